//! The state part of a server's packet, with its header. Each packet can be decoded on its own.
//!
//! ```text
//! tick:32  index:4  last:1  [ feedback ]                     feedback in the packet of index 0
//! removals: golomb(count, 0) { slot:14 generation:16 }
//! deferred: mode:2 [ count:7 { slot:14 } ]                   0 none, 1 these, 2 any
//! individual: golomb(entities, 2) [ has-own:1  golomb(bytes, 6) ]
//! block deltas: golomb(count, 2)
//!     { golomb(block - the last one's, 0)  golomb(age, 1)  [ golomb(gap, 0) ]  golomb(bytes, 6) }
//! zeros to the byte, the bytes of the individual stream, those of the block deltas; hash:16
//! ```
//! `age` is the age of a block delta's baseline, 0 where its entities are whole; `gap` is the
//! number of ticks by which the second baseline is older, 0 for none. [`super::block_delta`]
//! describes the streams. The hash is over all entities' visible fields. An entity that is absent
//! from all packets of a tick is as the client acknowledged it, unless it is named as deferred.

mod feedback;

use super::NetId;
use super::block_delta::{BaselineRef, GAP};
use crate::bits::{BitReader, BitWriter, golomb_bits};
use crate::error::WireError;
use crate::limits::{BLOCKS, DEFERRED_PER_PACKET, PAYLOAD_BYTES, REMOVALS_PER_PACKET};
use crate::tick::Tick;

pub use feedback::{FEEDBACK_UNIT_US, Feedback, Late, Lates};

/// Number of bits of a slot on the wire.
pub(crate) const SLOT_BITS: u32 = 14;

/// Entities whose absence from a snapshot does not mean "unchanged": relevant ones that changed but
/// did not fit into this tick, and those that left the client's interest before a packet named
/// their removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Deferred {
    /// No entity: absence means unchanged.
    #[default]
    None,
    /// The entities in these slots, in ascending order.
    These(Vec<u16>),
    /// Too many to name: any absent entity may have changed.
    Any,
}

impl Deferred {
    /// Creates the value for the entities in these slots, which must be in ascending order. More
    /// than [`DEFERRED_PER_PACKET`] become [`Self::Any`].
    pub fn of(slots: Vec<u16>) -> Self {
        match slots.len() {
            0 => Self::None,
            1..=DEFERRED_PER_PACKET => Self::These(slots),
            _ => Self::Any,
        }
    }

    /// Adds the entities in further slots, in any order.
    pub fn and(self, more: impl Iterator<Item = u16>) -> Self {
        let mut slots = match self {
            Self::Any => return Self::Any,
            Self::These(slots) => slots,
            Self::None => Vec::new(),
        };
        slots.extend(more);
        slots.sort_unstable();
        slots.dedup();
        Self::of(slots)
    }

    /// Whether the absence of the entity in a slot does not mean "unchanged".
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
    /// Index of the packet among those of the tick, from 0.
    pub index: u8,
    /// Whether this is the last packet of the tick.
    pub last: bool,
    /// Feedback on the client's commands; on the wire only in the packet of index 0.
    pub feedback: Feedback,
    /// Entities that were removed or are no longer relevant; at most [`REMOVALS_PER_PACKET`].
    pub removals: Vec<NetId>,
    /// Entities whose absence does not mean "unchanged"; named in the packet of index 0.
    pub deferred: Deferred,
    /// Number of entities in the individual stream.
    pub individual_items: u32,
    /// Whether the first entity of the individual stream is the receiver's own.
    pub has_own: bool,
    /// Length of the individual stream in bytes.
    pub individual_bytes: u32,
    /// Headers of the block deltas, by ascending block.
    pub block_deltas: Vec<DeltaHeader>,
}

/// Header of a block delta in a packet: its block, baseline and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaHeader {
    /// Index of the block.
    pub block: u16,
    /// Baseline of the entities; `None` where they are whole.
    pub base: Option<BaselineRef>,
    /// Length of the block delta in bytes.
    pub bytes: u32,
}

impl DeltaHeader {
    /// Number of bits that this header takes after that of a block delta of block `before`, which
    /// is not higher.
    pub fn bits(&self, now: Tick, before: u16) -> usize {
        let mut bits = golomb_bits(u32::from(self.block - before), 0) + golomb_bits(self.bytes, 6);
        let (age, gap) = self.base.map_or((0, 0), |base| (base.age(now), base.gap));
        bits += golomb_bits(age, 1);
        if age > 0 {
            bits += golomb_bits(gap, 0);
        }
        bits as usize
    }

    fn write(&self, writer: &mut BitWriter, now: Tick, before: u16) {
        writer.write_golomb(u32::from(self.block - before), 0);
        let (age, gap) = self.base.map_or((0, 0), |base| (base.age(now), base.gap));
        writer.write_golomb(age, 1);
        if age > 0 {
            writer.write_golomb(gap, 0);
        }
        writer.write_golomb(self.bytes, 6);
    }

    fn read(reader: &mut BitReader<'_>, now: Tick, before: u16) -> Result<Self, WireError> {
        let block = u32::from(before).saturating_add(reader.read_golomb(0)?);
        if block >= BLOCKS as u32 {
            return Err(WireError::Malformed("block out of range"));
        }
        let age = reader.read_golomb(1)?;
        let gap = if age > 0 { reader.read_golomb(0)? } else { 0 };
        if age > i32::MAX as u32 / 2 || gap > GAP {
            return Err(WireError::Malformed("baseline out of range"));
        }
        let base = (age > 0).then(|| BaselineRef {
            tick: now.back(age),
            gap,
        });
        Ok(Self {
            block: block as u16,
            base,
            bytes: reader.read_golomb(6)?,
        })
    }
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
        writer.write_golomb(self.individual_items, 2);
        if self.individual_items > 0 {
            writer.write_flag(self.has_own);
            writer.write_golomb(self.individual_bytes, 6);
        }
        writer.write_golomb(self.block_deltas.len() as u32, 2);
        let mut before = 0;
        for block_delta in &self.block_deltas {
            block_delta.write(writer, self.tick, before);
            before = block_delta.block;
        }
    }

    /// Number of bits of the header without the fields of the individual stream and of the block
    /// deltas.
    pub fn bits(&self) -> usize {
        let feedback = if self.index == 0 {
            self.feedback.bits()
        } else {
            0
        };
        let removals =
            golomb_bits(self.removals.len() as u32, 0) as usize + self.removals.len() * (14 + 16);
        let deferred = match &self.deferred {
            Deferred::These(slots) => 7 + slots.len() * SLOT_BITS as usize,
            Deferred::None | Deferred::Any => 0,
        };
        32 + 4 + 1 + feedback + removals + 2 + deferred
    }

    fn write_deferred(&self, writer: &mut BitWriter) {
        match &self.deferred {
            Deferred::None => writer.write(0, 2),
            Deferred::Any => writer.write(2, 2),
            Deferred::These(slots) => {
                writer.write(1, 2);
                writer.write(slots.len() as u32, 7);
                slots
                    .iter()
                    .for_each(|slot| writer.write(u32::from(*slot), SLOT_BITS));
            }
        }
    }

    /// Reads a header and checks all of its fields.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if the bits end too early or a field is out of range.
    pub fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        let tick = Tick(reader.read(32)?);
        let index = reader.read(4)? as u8;
        let last = reader.read_flag()?;
        let feedback = if index == 0 {
            Feedback::read(reader)?
        } else {
            Feedback::default()
        };
        let removals = read_removals(reader)?;
        let deferred = read_deferred(reader)?;
        let individual_items = reader.read_golomb(2)?;
        let (has_own, individual_bytes) = match individual_items {
            0 => (false, 0),
            _ => (reader.read_flag()?, reader.read_golomb(6)?),
        };
        let block_deltas = read_deltas(reader, tick)?;
        Ok(Self {
            tick,
            index,
            last,
            feedback,
            removals,
            deferred,
            individual_items,
            has_own,
            individual_bytes,
            block_deltas,
        })
    }
}

fn read_deltas(reader: &mut BitReader<'_>, now: Tick) -> Result<Vec<DeltaHeader>, WireError> {
    let count = reader.read_golomb(2)? as usize;
    // Each takes several bits of the packet.
    if count > PAYLOAD_BYTES {
        return Err(WireError::Malformed("too many units"));
    }
    let (mut block_deltas, mut before) = (Vec::new(), 0);
    for _ in 0..count {
        let block_delta = DeltaHeader::read(reader, now, before)?;
        before = block_delta.block;
        block_deltas.push(block_delta);
    }
    Ok(block_deltas)
}

fn read_removals(reader: &mut BitReader<'_>) -> Result<Vec<NetId>, WireError> {
    let count = reader.read_golomb(0)? as usize;
    if count > REMOVALS_PER_PACKET {
        return Err(WireError::Malformed("too many removals"));
    }
    (0..count)
        .map(|_| {
            Ok(NetId {
                slot: reader.read(SLOT_BITS)? as u16,
                generation: reader.read(16)? as u16,
            })
        })
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
            let slots: Result<Vec<u16>, _> = (0..count)
                .map(|_| Ok(reader.read(SLOT_BITS)? as u16))
                .collect();
            let slots = slots?;
            match slots.is_sorted() {
                true => Ok(Deferred::These(slots)),
                false => Err(WireError::Malformed("deferred entities out of order")),
            }
        }
        _ => Err(WireError::Malformed("unknown mode of deferral")),
    }
}

/// An entity's part of a packet's hash, from the hash of its visible fields and its identity; 16
/// bits.
pub(crate) fn hash_part(fields: u64, id: NetId) -> u32 {
    let place = u64::from(id.slot) << 32 | u64::from(id.generation);
    let mixed =
        (fields ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed >> 48) as u32
}

/// The 16 bits of a packet's hash, from the sum of its entities' parts.
pub fn fold(parts: u32) -> u32 {
    parts & 0xffff
}

#[cfg(test)]
mod tests;
