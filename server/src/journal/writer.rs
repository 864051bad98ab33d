//! Appends entries and makes them durable.

use std::io::ErrorKind;

use super::disk::Disk;
use super::error::{JournalError, SYNC};
use super::segment::{self, ENTRY, FRAME_OVERHEAD, FRAMES, MARKS, Mark, PAD, SEALED, SECTOR};
use super::{JournalConfig, Place, Replica, snapshot};
use crate::frame::{CHAIN, FrameWriter, HEAD};

/// Bytes of a frame without payload: the last of a segment is one.
const BARE: usize = HEAD + CHAIN;

/// Bytes at a segment's end that entries leave: for its last frame, and for what fills the sector.
const SPARE: usize = 2 * BARE + SECTOR;

/// What is to be done beside committing, at leisure and by anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
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

impl Maintenance {
    /// Does it. `replica` is a state of before the first entry.
    pub fn perform(
        self,
        disk: &mut dyn Disk,
        replica: &mut dyn Replica,
    ) -> Result<(), JournalError> {
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
    /// The next segment's file is open.
    next_is_open: bool,
    /// The buffer ends with the segment's last frame: once it is written, the next segment goes on.
    sealing: bool,
    /// What is durable was not marked yet.
    mark_is_due: bool,
    chores: Vec<Maintenance>,
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
        let buffer = Vec::new();
        let prepare =
            Maintenance::Prepare { journal, segment: segment + 1, bytes: config.segment_bytes };
        let chores = match segment {
            1 => vec![prepare],
            _ => vec![
                prepare,
                Maintenance::Compact { journal, segment: segment - 1, keep: config.keep },
            ],
        };
        Self {
            disk,
            config,
            journal,
            segment,
            mark,
            place,
            next_is_ready: false,
            next_is_open: false,
            sealing: false,
            mark_is_due: false,
            chores,
            buffer,
        }
    }

    /// The last durable entry.
    pub fn durable(&self) -> u64 {
        self.mark.sequence
    }

    /// The last entry that was taken, whether it is durable yet or not.
    pub fn taken(&self) -> u64 {
        self.place.sequence
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
    pub fn take_chores(&mut self) -> Vec<Maintenance> {
        std::mem::take(&mut self.chores)
    }

    /// The next segment was made. Its file is opened now, so that no lack of descriptors is met
    /// when it is needed.
    pub fn next_is_ready(&mut self) {
        self.next_is_ready = true;
        self.chores.retain(|chore| !matches!(chore, Maintenance::Prepare { .. }));
        self.open_next();
    }

    /// Opens the next segment's file if it is there; what fails here is tried again with each
    /// commit.
    fn open_next(&mut self) {
        if self.next_is_ready && !self.next_is_open {
            self.next_is_open = self.disk.open(&segment::name(self.segment + 1)).is_ok();
        }
    }

    /// Appends entries and makes them durable.
    ///
    /// After an error that is passing ([`JournalError::is_passing`]) the entries up to
    /// [`Self::taken`] are kept, and another commit, of those that follow, goes on where this one
    /// stopped. After any other error nothing more may be committed.
    pub fn commit<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), JournalError> {
        self.go_on()?;
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
        self.disk.sync(&name).map_err(JournalError::disk(SYNC, &name))?;
        self.mark.end += self.buffer.len();
        self.mark.sequence = self.place.sequence;
        self.mark.chain = self.place.chain;
        self.buffer.clear();
        self.mark_is_due = true;
        self.mark()
    }

    /// Marks what is durable. The next sync makes the mark durable, too.
    pub(super) fn mark(&mut self) -> Result<(), JournalError> {
        let mark = Mark { count: self.mark.count + 1, ..self.mark };
        let (name, at) = (segment::name(self.segment), MARKS[(mark.count % 2) as usize]);
        let bytes = mark.bytes((self.journal, self.segment));
        self.disk.write(&name, at, &bytes).map_err(JournalError::disk("write", &name))?;
        (self.mark, self.mark_is_due) = (mark, false);
        Ok(())
    }

    /// Does what a commit left undone that a passing error interrupted.
    fn go_on(&mut self) -> Result<(), JournalError> {
        self.open_next();
        if self.mark_is_due {
            self.mark()?;
        }
        if self.sealing { self.seal() } else { Ok(()) }
    }

    /// A segment is sealed only when the next one is there and open, so that none that is sealed
    /// lacks one.
    fn next_segment(&mut self) -> Result<(), JournalError> {
        let next = self.segment + 1;
        let (name, header) = (segment::name(next), segment::header(self.journal, next));
        if !self.next_is_ready {
            match self.disk.create(&name, &header, self.config.segment_bytes) {
                // Whoever does the chores has just made it, and may not have made sure that it
                // stays.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    self.disk.open(&name).map_err(JournalError::disk("open", &name))?;
                    self.disk.secure(&name).map_err(JournalError::disk(SYNC, &name))?;
                }
                created => created.map_err(JournalError::disk("create", &name))?,
            }
            self.next_is_ready = true;
        }
        if !self.next_is_open {
            self.disk.open(&name).map_err(JournalError::disk("open", &name))?;
            self.next_is_open = true;
        }
        self.append(SEALED, &[]);
        self.sealing = true;
        self.seal()
    }

    /// Writes the segment's last frames and goes on in the next one.
    fn seal(&mut self) -> Result<(), JournalError> {
        if !self.buffer.is_empty() {
            self.write()?;
        }
        let (journal, bytes, keep) = (self.journal, self.config.segment_bytes, self.config.keep);
        (self.sealing, self.next_is_ready, self.next_is_open) = (false, false, false);
        self.segment += 1;
        self.mark = Mark::none(&self.place);
        self.chores.extend([
            Maintenance::Prepare { journal, segment: self.segment + 1, bytes },
            Maintenance::Compact { journal, segment: self.segment - 1, keep },
        ]);
        Ok(())
    }
}
