//! Appends entries and makes them durable.

use std::io::ErrorKind;

use super::disk::Disk;
use super::error::JournalError;
use super::segment::{self, ENTRY, FRAME_OVERHEAD, FRAMES, MARKS, Mark, PAD, SEALED, SECTOR};
use super::{JournalConfig, Place, Replica, snapshot};
use crate::frame::{CHAIN, FrameWriter, HEAD};

/// Bytes of a frame without payload: the last of a segment is one.
const BARE: usize = HEAD + CHAIN;

/// Bytes at a segment's end that entries leave: for its last frame, and for what fills the sector.
const SPARE: usize = 2 * BARE + SECTOR;

/// What is to be done beside committing, at leisure and by anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Makes the next segment.
    Prepare {
        /// Which journal.
        journal: u64,
        /// Which segment.
        segment: u64,
        /// Its bytes.
        bytes: usize,
    },
    /// Makes the snapshot after a segment.
    Compact {
        /// Which journal.
        journal: u64,
        /// Which segment.
        segment: u64,
        /// Segments that stay.
        keep: u64,
    },
}

impl Chore {
    /// Does it. `replica` is a state of before the first entry.
    pub fn perform(self, disk: &mut dyn Disk, replica: &mut dyn Replica) -> Result<(), JournalError> {
        match self {
            Self::Prepare { journal, segment, bytes } => {
                let (name, header) = (segment::name(segment), segment::header(journal, segment));
                disk.create(&name, &header, bytes).map_err(JournalError::disk("create", &name))
            }
            Self::Compact { journal, segment, keep } => {
                snapshot::compact(disk, (journal, segment), keep, replica)
            }
        }
    }
}

/// A journal that is being written.
pub struct Journal<D> {
    disk: D,
    config: JournalConfig,
    journal: u64,
    segment: u64,
    mark: Mark,
    /// After the last entry that was appended.
    place: Place,
    next_is_ready: bool,
    chores: Vec<Chore>,
    buffer: Vec<u8>,
}

impl<D: Disk> Journal<D> {
    /// A journal whose segment's frames up to the mark are durable.
    pub(super) fn at(
        disk: D,
        config: JournalConfig,
        journal: u64,
        (segment, mark): (u64, Mark),
        place: Place,
    ) -> Self {
        let (next_is_ready, buffer) = (false, Vec::new());
        let prepare = Chore::Prepare { journal, segment: segment + 1, bytes: config.segment_bytes };
        let chores = match segment {
            1 => vec![prepare],
            _ => vec![prepare, Chore::Compact { journal, segment: segment - 1, keep: config.keep }],
        };
        Self { disk, config, journal, segment, mark, place, next_is_ready, chores, buffer }
    }

    /// The last durable entry.
    pub fn durable(&self) -> u64 {
        self.mark.sequence
    }

    /// The segment that is being written, and the byte up to which it is durable.
    pub fn end(&self) -> (u64, usize) {
        (self.segment, self.mark.end)
    }

    /// The disk.
    pub fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    /// What is to be done at leisure.
    pub fn take_chores(&mut self) -> Vec<Chore> {
        std::mem::take(&mut self.chores)
    }

    /// The next segment was made.
    pub fn next_is_ready(&mut self) {
        self.next_is_ready = true;
        self.chores.retain(|chore| !matches!(chore, Chore::Prepare { .. }));
    }

    /// Appends entries and makes them durable. After an error nothing more may be committed.
    pub fn commit<'a>(&mut self, entries: impl IntoIterator<Item = &'a [u8]>) -> Result<(), JournalError> {
        let mut payload = Vec::new();
        for entry in entries {
            let bytes = entry.len() + FRAME_OVERHEAD + SPARE;
            if FRAMES + bytes > self.config.segment_bytes {
                return Err(JournalError::TooLong(entry.len()));
            }
            if self.mark.end + self.buffer.len() + bytes > self.config.segment_bytes {
                self.next_segment()?;
            }
            self.place.sequence += 1;
            payload.clear();
            let envelope = segment::envelope(self.journal, self.mark.sequence, self.place.sequence);
            payload.extend_from_slice(&envelope);
            payload.extend_from_slice(entry);
            self.append(ENTRY, &payload);
        }
        self.flush()
    }

    fn append(&mut self, kind: u8, payload: &[u8]) {
        let mut frames = FrameWriter::after(self.place.chain);
        frames.append(kind, payload, &mut self.buffer);
        self.place.chain = frames.chain();
    }

    /// Ends a sector that holds what is durable: nothing else goes into it.
    pub(super) fn begin_sector(&mut self) -> Result<(), JournalError> {
        self.fill_sector();
        if self.buffer.is_empty() { Ok(()) } else { self.write() }
    }

    fn fill_sector(&mut self) {
        let beyond = (self.mark.end + self.buffer.len()) % SECTOR;
        if beyond > 0 {
            let left = SECTOR - beyond;
            let left = if left < BARE { left + SECTOR } else { left };
            self.append(PAD, &[0; SECTOR + BARE][..left - BARE]);
        }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.fill_sector();
        self.write()
    }

    /// Writes what was appended, and makes it durable.
    fn write(&mut self) -> Result<(), JournalError> {
        let name = segment::name(self.segment);
        let written = self.disk.write(&name, self.mark.end, &self.buffer);
        written.map_err(JournalError::disk("write", &name))?;
        self.disk.sync(&name).map_err(JournalError::disk("sync", &name))?;
        self.mark.end += self.buffer.len();
        self.mark.sequence = self.place.sequence;
        self.mark.chain = self.place.chain;
        self.buffer.clear();
        self.mark()
    }

    /// Marks what is durable. The next sync makes the mark durable, too.
    pub(super) fn mark(&mut self) -> Result<(), JournalError> {
        self.mark.count += 1;
        let (name, at) = (segment::name(self.segment), MARKS[(self.mark.count % 2) as usize]);
        let bytes = self.mark.bytes((self.journal, self.segment));
        self.disk.write(&name, at, &bytes).map_err(JournalError::disk("write", &name))
    }

    /// A segment is sealed only when the next one is there, so that none that is sealed lacks one.
    fn next_segment(&mut self) -> Result<(), JournalError> {
        let (journal, bytes, keep) = (self.journal, self.config.segment_bytes, self.config.keep);
        let next = self.segment + 1;
        if !std::mem::take(&mut self.next_is_ready) {
            let (name, header) = (segment::name(next), segment::header(journal, next));
            match self.disk.create(&name, &header, bytes) {
                // Whoever does the chores has just made it, and may not have made sure that it stays.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    self.disk.secure(&name).map_err(JournalError::disk("sync", &name))?;
                }
                created => created.map_err(JournalError::disk("create", &name))?,
            }
        }
        self.append(SEALED, &[]);
        self.write()?;
        self.segment = next;
        self.mark = Mark::none(&self.place);
        self.chores.extend([
            Chore::Prepare { journal, segment: next + 1, bytes },
            Chore::Compact { journal, segment: next - 1, keep },
        ]);
        Ok(())
    }
}
