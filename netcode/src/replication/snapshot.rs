//! The state part of a server's packet, header and all; each packet can be decoded alone.
//!
//! ```text
//! tick:32  index:4  last:1  [ feedback ]                     feedback in the packet of index 0
//! removals: golomb(count, 0) { slot:14 generation:16 }
//! deferred: mode:2 [ count:7 { slot:14 } ]                   0 none, 1 these, 2 any
//! golomb(tick - common baseline, 4)
//! has-own:1  golomb(others, 5)
//! [ own: slot:14 entity ]  { golomb(gap, 0) entity }         others by rising slot
//! entity: 0 | 10 golomb(tick - baseline, 4) | 11, then its bits (common baseline | another | whole)
//! hash:16                                                    over the entities' visible fields
//! ```
//! Absence from all packets of a tick means "as you acknowledged it", unless the entity is named as deferred.

use super::NetId;
use crate::bits::{BitReader, BitWriter, golomb_bits};
use crate::error::WireError;
use crate::limits::{DEFERRED_PER_PACKET, REMOVALS_PER_PACKET};
use crate::tick::Tick;

/// Bits of a slot on the wire.
pub const SLOT_BITS: u32 = 14;

/// One unit of a [`Feedback`] time, in microseconds.
pub const FEEDBACK_UNIT_US: i64 = 32;

/// What the server tells a client about the client's own commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// How long before the tick's drain its command came, in units of [`FEEDBACK_UNIT_US`] (0 to 65,534);
    /// `None` if it was missing and the last one was repeated.
    pub margin: Option<u16>,
    /// The latest of the commands that came too late since the last snapshot: how many ticks back, and how
    /// late it was, in units of [`FEEDBACK_UNIT_US`].
    pub late: Option<(u8, u16)>,
    /// Commands missing so far, modulo 256.
    pub missing: u8,
    /// Time from the tick's deadline to this packet's making, in units of 64 us, at most 255.
    pub processing: u8,
}

const NO_MARGIN: u32 = 0xffff;

impl Feedback {
    fn write(&self, writer: &mut BitWriter) {
        writer.write(self.margin.map_or(NO_MARGIN, u32::from), 16);
        writer.write_flag(self.late.is_some());
        if let Some((back, late)) = self.late {
            writer.write(u32::from(back), 8);
            writer.write(u32::from(late), 16);
        }
        writer.write(u32::from(self.missing), 8);
        writer.write(u32::from(self.processing), 8);
    }

    fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        let margin = reader.read(16)?;
        let late = match reader.read_flag()? {
            true => Some((reader.read(8)? as u8, reader.read(16)? as u16)),
            false => None,
        };
        Ok(Self {
            margin: (margin != NO_MARGIN).then_some(margin as u16),
            late,
            missing: reader.read(8)? as u8,
            processing: reader.read(8)? as u8,
        })
    }
}

/// Entities whose absence says nothing: relevant ones that changed but found no room in this tick, and those that
/// left sight without the packet naming their removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Deferred {
    /// None: absence means unchanged.
    #[default]
    None,
    /// These slots.
    These(Vec<u16>),
    /// Too many to name.
    Any,
}

impl Deferred {
    /// Those in these slots, which rise.
    pub fn of(slots: Vec<u16>) -> Self {
        match slots.len() {
            0 => Self::None,
            1..=DEFERRED_PER_PACKET => Self::These(slots),
            _ => Self::Any,
        }
    }

    /// Whether an entity's absence says nothing.
    pub fn contains(&self, slot: u16) -> bool {
        match self {
            Self::None => false,
            Self::These(slots) => slots.binary_search(&slot).is_ok(),
            Self::Any => true,
        }
    }
}

/// Everything in a packet before its entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Tick of the state.
    pub tick: Tick,
    /// Which of the tick's packets this is.
    pub index: u8,
    /// Whether it is the last of them.
    pub last: bool,
    /// On the client's commands; in the packet of index 0.
    pub feedback: Feedback,
    /// Entities that are gone or no longer relevant; at most [`REMOVALS_PER_PACKET`].
    pub removals: Vec<NetId>,
    /// Which absences say nothing, by rising slot; in the packet of index 0.
    pub deferred: Deferred,
    /// The baseline that most entities of the packet share.
    pub common_baseline: Tick,
    /// Whether the receiver's own entity comes first.
    pub has_own: bool,
    /// How many others follow.
    pub others: u32,
}

impl SnapshotHeader {
    /// Writes the header.
    pub fn write(&self, writer: &mut BitWriter) {
        writer.write(self.tick.0, 32);
        writer.write(u32::from(self.index), 4);
        writer.write_flag(self.last);
        if self.index == 0 {
            self.feedback.write(writer);
        }
        writer.write_golomb(self.removals.len() as u32, 0);
        for id in &self.removals {
            writer.write(u32::from(id.slot), SLOT_BITS);
            writer.write(u32::from(id.generation), 16);
        }
        self.write_deferred(writer);
        writer.write_golomb(self.tick.distance(self.common_baseline) as u32, 4);
        writer.write_flag(self.has_own);
        writer.write_golomb(self.others, 5);
    }

    fn write_deferred(&self, writer: &mut BitWriter) {
        match &self.deferred {
            Deferred::None => writer.write(0, 2),
            Deferred::Any => writer.write(2, 2),
            Deferred::These(slots) => {
                writer.write(1, 2);
                writer.write(slots.len() as u32, 7);
                slots.iter().for_each(|slot| writer.write(u32::from(*slot), SLOT_BITS));
            }
        }
    }

    /// Reads a header.
    pub fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        let tick = Tick(reader.read(32)?);
        let index = reader.read(4)? as u8;
        let last = reader.read_flag()?;
        let feedback = if index == 0 { Feedback::read(reader)? } else { Feedback::default() };
        let removals = read_removals(reader)?;
        let deferred = read_deferred(reader)?;
        let common_baseline = tick.back(reader.read_golomb(4)?);
        let has_own = reader.read_flag()?;
        let others = reader.read_golomb(5)?;
        Ok(Self { tick, index, last, feedback, removals, deferred, common_baseline, has_own, others })
    }
}

fn read_removals(reader: &mut BitReader<'_>) -> Result<Vec<NetId>, WireError> {
    let count = reader.read_golomb(0)? as usize;
    if count > REMOVALS_PER_PACKET {
        return Err(WireError::Malformed("too many removals"));
    }
    (0..count)
        .map(|_| Ok(NetId { slot: reader.read(SLOT_BITS)? as u16, generation: reader.read(16)? as u16 }))
        .collect()
}

fn read_deferred(reader: &mut BitReader<'_>) -> Result<Deferred, WireError> {
    match reader.read(2)? {
        0 => Ok(Deferred::None),
        2 => Ok(Deferred::Any),
        1 => {
            let count = reader.read(7)? as usize;
            if count > DEFERRED_PER_PACKET {
                return Err(WireError::Malformed("too many deferred entities"));
            }
            let slots: Result<Vec<u16>, _> = (0..count).map(|_| Ok(reader.read(SLOT_BITS)? as u16)).collect();
            let slots = slots?;
            match slots.is_sorted() {
                true => Ok(Deferred::These(slots)),
                false => Err(WireError::Malformed("deferred entities out of order")),
            }
        }
        _ => Err(WireError::Malformed("unknown mode of deferral")),
    }
}

/// Which state an entity's bits build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The version of this tick.
    Version(Tick),
    /// None: the bits are whole.
    Whole,
}

impl Base {
    /// Bits that the choice takes.
    pub fn bits(self, (tick, common): (Tick, Tick)) -> u32 {
        match self {
            Self::Version(version) if version == common => 1,
            Self::Version(version) => 2 + golomb_bits(tick.distance(version) as u32, 4),
            Self::Whole => 2,
        }
    }

    /// Writes the choice.
    pub fn write(self, writer: &mut BitWriter, header: (Tick, Tick)) {
        let (tick, common) = header;
        match self {
            Self::Version(version) if version == common => writer.write_flag(false),
            Self::Version(version) => {
                writer.write(0b01, 2);
                writer.write_golomb(tick.distance(version) as u32, 4);
            }
            Self::Whole => writer.write(0b11, 2),
        }
    }

    /// Reads the choice.
    pub fn read(reader: &mut BitReader<'_>, header: (Tick, Tick)) -> Result<Self, WireError> {
        let (tick, common) = header;
        if !reader.read_flag()? {
            return Ok(Self::Version(common));
        }
        match reader.read_flag()? {
            false => Ok(Self::Version(tick.back(reader.read_golomb(4)?))),
            true => Ok(Self::Whole),
        }
    }
}

/// The part of one entity in a packet's hash: its visible fields, where it stands and which version it is.
pub fn hash_part(fields: u64, slot: u16, version: Tick) -> u32 {
    let place = u64::from(slot) << 32 | u64::from(version.0);
    let mixed = (fields ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed >> 48) as u32
}

/// The 16 bits that the parts of all of a packet's entities add up to.
pub fn combine(parts: impl Iterator<Item = u32>) -> u32 {
    parts.fold(0u32, u32::wrapping_add) & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_returns() {
        let header = SnapshotHeader {
            tick: Tick(1_000),
            index: 0,
            last: true,
            feedback: Feedback { margin: Some(70), late: Some((3, 9)), missing: 200, processing: 4 },
            removals: vec![NetId { slot: 16_383, generation: 65_535 }],
            deferred: Deferred::These(vec![1, 5, 900]),
            common_baseline: Tick(993),
            has_own: true,
            others: 77,
        };
        let mut writer = BitWriter::new();
        header.write(&mut writer);
        writer.pad_to_byte();
        let mut reader = BitReader::new(writer.bytes());
        assert_eq!(SnapshotHeader::read(&mut reader), Ok(header));
        reader.finish().unwrap();
    }

    #[test]
    fn every_base_returns() {
        let header = (Tick(100), Tick(95));
        for base in [Base::Version(Tick(95)), Base::Version(Tick(2)), Base::Whole] {
            let mut writer = BitWriter::new();
            base.write(&mut writer, header);
            assert_eq!(writer.bit_len(), base.bits(header) as usize);
            writer.pad_to_byte();
            assert_eq!(Base::read(&mut BitReader::new(writer.bytes()), header), Ok(base));
        }
    }
}
