//! The server's feedback on a client's commands: how early they arrived, and which were late.

use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;
use crate::limits::LATE_COMMANDS;

/// Unit of the times in a [`Feedback`], in microseconds.
pub const FEEDBACK_UNIT_US: i64 = 32;

/// The server's feedback to a client on the client's commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Time by which the tick's command arrived before the commands of the tick were taken, in
    /// units of [`FEEDBACK_UNIT_US`] (0 to 65,534). `None` if it was missing and the last one was
    /// repeated.
    pub margin: Option<u16>,
    /// The newest commands that arrived too late since the last snapshot.
    pub lates: Lates,
    /// Number of missing commands so far, modulo 256.
    pub missing: u8,
    /// Time from the tick's deadline to the creation of this packet, in units of 64 us, at most
    /// 255.
    pub processing: u8,
    /// Number of slots of the time line that the server has skipped so far, modulo 65,536: the
    /// snapshot's tick ran in slot `tick + skipped`. Commands are for slots.
    pub skipped: u16,
}

/// A command that arrived too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// Number of slots from the command's slot to the snapshot's.
    pub back: u8,
    /// Time by which the command was late, in units of [`FEEDBACK_UNIT_US`].
    pub by: u16,
}

/// Up to [`LATE_COMMANDS`] commands that arrived too late, in the order of arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lates {
    count: u8,
    lates: [Late; LATE_COMMANDS],
}

impl Lates {
    /// Adds a command that arrived after the others; if the list is full, the oldest is removed.
    pub fn push(&mut self, late: Late) {
        if usize::from(self.count) == LATE_COMMANDS {
            self.lates.rotate_left(1);
            self.count -= 1;
        }
        self.lates[usize::from(self.count)] = late;
        self.count += 1;
    }

    /// The commands in the order of arrival.
    pub fn as_slice(&self) -> &[Late] {
        &self.lates[..usize::from(self.count)]
    }
}

const NO_MARGIN: u32 = 0xffff;

/// Bits of the field that counts commands that were late.
const LATES_BITS: u32 = 3;

impl Feedback {
    pub(super) fn write(&self, writer: &mut BitWriter) {
        writer.write(self.margin.map_or(NO_MARGIN, u32::from), 16);
        writer.write(u32::from(self.lates.count), LATES_BITS);
        for late in self.lates.as_slice() {
            writer.write(u32::from(late.back), 8);
            writer.write(u32::from(late.by), 16);
        }
        writer.write(u32::from(self.missing), 8);
        writer.write(u32::from(self.processing), 8);
        writer.write(u32::from(self.skipped), 16);
    }

    pub(super) fn bits(&self) -> usize {
        16 + LATES_BITS as usize + 24 * usize::from(self.lates.count) + 8 + 8 + 16
    }

    pub(super) fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        let margin = reader.read(16)?;
        let count = reader.read(LATES_BITS)?;
        if count as usize > LATE_COMMANDS {
            return Err(WireError::Malformed("too many late commands"));
        }
        let mut lates = Lates::default();
        for _ in 0..count {
            lates.push(Late {
                back: reader.read(8)? as u8,
                by: reader.read(16)? as u16,
            });
        }
        Ok(Self {
            margin: (margin != NO_MARGIN).then_some(margin as u16),
            lates,
            missing: reader.read(8)? as u8,
            processing: reader.read(8)? as u8,
            skipped: reader.read(16)? as u16,
        })
    }
}
