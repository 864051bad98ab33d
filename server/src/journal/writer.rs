//! Appends entries to a journal and makes them durable.

use std::io::ErrorKind;

use super::disk::Disk;
use super::error::{JournalError, SYNC};
use super::segment::{
    self, ENTRY, FRAME_OVERHEAD, FRAMES, MARKS, Mark, PAD, SEALED, SECTOR, SegmentId,
};
use super::{JournalConfig, Place, Replica, snapshot};
use crate::frame::{CHAIN, FrameWriter, HEAD};

/// Bytes of a frame without payload, such as the last one of a segment.
const BARE: usize = HEAD + CHAIN;

/// Bytes at a segment's end that entries leave free, for the last frame and for the one that fills
/// the sector.
const SPARE: usize = 2 * BARE + SECTOR;

/// Work besides committing that is not urgent and may run on any thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// Makes the next segment.
    Prepare {
        /// Number of the journal.
        journal: u64,
        /// Number of the segment.
        segment: u64,
        /// Bytes of the segment.
        bytes: usize,
    },
    /// Makes the snapshot after a segment.
    Compact {
        /// Number of the journal.
        journal: u64,
        /// Number of the segment.
        segment: u64,
        /// Number of segments to keep although a snapshot covers them.
        keep: u64,
    },
}

impl Maintenance {
    /// Does the work. `replica` must be in the state before the first entry.
    ///
    /// # Errors
    /// If the disk fails, or the segments cannot be replayed.
    pub fn perform(
        self,
        disk: &mut dyn Disk,
        replica: &mut dyn Replica,
    ) -> Result<(), JournalError> {
        match self {
            Self::Prepare {
                journal,
                segment,
                bytes,
            } => {
                let (name, header) = (segment::name(segment), segment::header(journal, segment));
                disk.create(&name, &header, bytes)
                    .map_err(JournalError::disk("create", &name))
            }
            Self::Compact {
                journal,
                segment,
                keep,
            } => {
                let through = SegmentId {
                    journal,
                    number: segment,
                };
                snapshot::compact(disk, through, keep, replica)
            }
        }
    }
}

/// A journal that is open for writing.
pub struct Journal<D> {
    disk: D,
    config: JournalConfig,
    /// The segment that is being written.
    segment: SegmentId,
    mark: Mark,
    /// Position after the last entry that was appended.
    place: Place,
    next_is_ready: bool,
    /// Whether the next segment's file is open.
    next_is_open: bool,
    /// Whether the buffer ends with the segment's last frame. Once it is written, the next segment
    /// continues.
    sealing: bool,
    /// Whether the durable position has not been marked yet.
    mark_is_due: bool,
    chores: Vec<Maintenance>,
    buffer: Vec<u8>,
}

impl<D: Disk> Journal<D> {
    /// A journal of which the frames up to the segment's mark are durable.
    pub(super) fn at(
        disk: D,
        config: JournalConfig,
        segment: SegmentId,
        mark: Mark,
        place: Place,
    ) -> Self {
        let SegmentId { journal, number } = segment;
        let mut chores = vec![Maintenance::Prepare {
            journal,
            segment: number + 1,
            bytes: config.segment_bytes,
        }];
        if number > 1 {
            chores.push(Maintenance::Compact {
                journal,
                segment: number - 1,
                keep: config.keep,
            });
        }
        Self {
            disk,
            config,
            segment,
            mark,
            place,
            next_is_ready: false,
            next_is_open: false,
            sealing: false,
            mark_is_due: false,
            chores,
            buffer: Vec::new(),
        }
    }

    /// Sequence number of the last durable entry.
    pub fn durable(&self) -> u64 {
        self.mark.sequence
    }

    /// Sequence number of the last entry that was taken, whether it is durable yet or not.
    pub fn taken(&self) -> u64 {
        self.place.sequence
    }

    /// Number of the segment that is being written, and the byte up to which it is durable.
    pub fn end(&self) -> (u64, usize) {
        (self.segment.number, self.mark.end)
    }

    /// The disk of the journal.
    pub fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    /// Takes the maintenance work that has come up since the last call.
    pub fn take_maintenance(&mut self) -> Vec<Maintenance> {
        std::mem::take(&mut self.chores)
    }

    /// Records that the next segment was made. Its file is opened now, so that no lack of
    /// descriptors is met when it is needed.
    pub fn next_is_ready(&mut self) {
        self.next_is_ready = true;
        self.chores
            .retain(|chore| !matches!(chore, Maintenance::Prepare { .. }));
        self.open_next();
    }

    /// Opens the next segment's file if it exists. After an error each commit tries again.
    fn open_next(&mut self) {
        if self.next_is_ready && !self.next_is_open {
            self.next_is_open = self.disk.open(&self.segment.next().name()).is_ok();
        }
    }

    /// Appends entries and makes them durable.
    ///
    /// # Errors
    /// If an entry is too long, or the disk fails. After a passing error
    /// ([`JournalError::is_passing`]) the entries up to [`Self::taken`] are kept, and another
    /// commit, of the entries that follow, continues where this one stopped. After any other error
    /// nothing more may be committed.
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
            let envelope = segment::envelope(
                self.segment.journal,
                self.mark.sequence,
                self.place.sequence,
            );
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

    /// Fills the sector that holds durable data, so that nothing else is written to it.
    pub(super) fn begin_sector(&mut self) -> Result<(), JournalError> {
        self.fill_sector();
        if self.buffer.is_empty() {
            Ok(())
        } else {
            self.write()
        }
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
        let name = self.segment.name();
        let written = self.disk.write(&name, self.mark.end, &self.buffer);
        written.map_err(JournalError::disk("write", &name))?;
        self.disk
            .sync(&name)
            .map_err(JournalError::disk(SYNC, &name))?;
        self.mark.end += self.buffer.len();
        self.mark.sequence = self.place.sequence;
        self.mark.chain = self.place.chain;
        self.buffer.clear();
        self.mark_is_due = true;
        self.mark()
    }

    /// Marks the durable position. The next sync makes the mark durable too.
    pub(super) fn mark(&mut self) -> Result<(), JournalError> {
        let mark = Mark {
            count: self.mark.count + 1,
            ..self.mark
        };
        let (name, at) = (self.segment.name(), MARKS[(mark.count % 2) as usize]);
        let bytes = mark.bytes(self.segment);
        self.disk
            .write(&name, at, &bytes)
            .map_err(JournalError::disk("write", &name))?;
        (self.mark, self.mark_is_due) = (mark, false);
        Ok(())
    }

    /// Completes a commit that a passing error interrupted.
    fn go_on(&mut self) -> Result<(), JournalError> {
        self.open_next();
        if self.mark_is_due {
            self.mark()?;
        }
        if self.sealing { self.seal() } else { Ok(()) }
    }

    /// Ends the segment. The next one must exist and be open first, so that no sealed segment lacks
    /// a successor.
    fn next_segment(&mut self) -> Result<(), JournalError> {
        let next = self.segment.next();
        let (name, header) = (next.name(), next.header());
        if !self.next_is_ready {
            match self.disk.create(&name, &header, self.config.segment_bytes) {
                // The maintenance thread has just made it, and may not have made its name durable.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    self.disk
                        .open(&name)
                        .map_err(JournalError::disk("open", &name))?;
                    self.disk
                        .secure(&name)
                        .map_err(JournalError::disk(SYNC, &name))?;
                }
                created => created.map_err(JournalError::disk("create", &name))?,
            }
            self.next_is_ready = true;
        }
        if !self.next_is_open {
            self.disk
                .open(&name)
                .map_err(JournalError::disk("open", &name))?;
            self.next_is_open = true;
        }
        self.append(SEALED, &[]);
        self.sealing = true;
        self.seal()
    }

    /// Writes the segment's last frames and continues in the next segment.
    fn seal(&mut self) -> Result<(), JournalError> {
        if !self.buffer.is_empty() {
            self.write()?;
        }
        let (written, bytes, keep) = (self.segment, self.config.segment_bytes, self.config.keep);
        (self.sealing, self.next_is_ready, self.next_is_open) = (false, false, false);
        self.segment = written.next();
        self.mark = Mark::none(&self.place);
        self.chores.extend([
            Maintenance::Prepare {
                journal: written.journal,
                segment: self.segment.number + 1,
                bytes,
            },
            Maintenance::Compact {
                journal: written.journal,
                segment: written.number,
                keep,
            },
        ]);
        Ok(())
    }
}
