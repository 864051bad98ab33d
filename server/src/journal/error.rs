//! Why a journal cannot be read or written.

use std::io;

use thiserror::Error;

/// The verb of a disk error when something could not be made durable.
pub(super) const SYNC: &str = "sync";

/// What is wrong with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SegmentFault {
    /// The segment does not exist.
    #[error("is missing")]
    Missing,
    /// The header is not that of a segment with this number.
    #[error("does not begin as a segment of that number does")]
    Header,
    /// The segment belongs to another journal.
    #[error("belongs to another journal")]
    Foreign,
    /// The file is shorter than its durable part.
    #[error("ends at byte {length}, but {durable} bytes of it were durable")]
    Short {
        /// Length of the file in bytes.
        length: usize,
        /// Number of bytes that were durable.
        durable: usize,
    },
    /// Durable data is not as it was written.
    #[error("is damaged at byte {at}, which was durable (up to byte {durable})")]
    Damaged {
        /// The byte at which the damage was found.
        at: usize,
        /// The byte up to which the segment was durable.
        durable: usize,
    },
    /// The segment is not sealed, although a later one has entries.
    #[error("ends too early: a later segment has entries")]
    Unsealed,
}

/// Why a journal cannot be read or written.
#[derive(Debug, Error)]
pub enum JournalError {
    /// An operation of the disk failed.
    #[error("cannot {verb} {name}: {error}")]
    Disk {
        /// The operation that failed.
        verb: &'static str,
        /// Name of the file.
        name: String,
        /// Error of the operating system.
        error: io::Error,
    },
    /// A segment is damaged or missing. Accepted entries may be lost, so nothing more is accepted.
    #[error("{name} {what}; restore it from a copy, nothing was changed")]
    Segment {
        /// Name of the segment's file.
        name: String,
        /// What is wrong with the segment.
        what: SegmentFault,
    },
    /// An entry could not be applied, or led to another state than before.
    #[error("entry {sequence} cannot be replayed: {why}")]
    Replay {
        /// Sequence number of the entry.
        sequence: u64,
        /// Why the entry cannot be applied.
        why: String,
    },
    /// The segments before the first existing one are gone, and no whole snapshot covers them.
    #[error("no whole snapshot stands for the segments before {0}")]
    NoSnapshot(String),
    /// An entry is longer than a segment.
    #[error("an entry of {0} bytes is longer than a segment")]
    TooLong(usize),
}

/// Whether the system lacked something that it may have again later: descriptors, space or memory.
pub fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let lacks = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::FBIG,
        Errno::NOMEM,
        Errno::AGAIN,
        Errno::INTR,
    ];
    let by_number = Errno::from_io_error(error).is_some_and(|error| lacks.contains(&error));
    by_number
        || matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
}

impl JournalError {
    /// Whether a later attempt may succeed. A failed sync is never tried again, because nobody
    /// knows what the disk holds after it.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Disk { verb, error, .. } if *verb != SYNC && is_passing(error))
    }

    /// Makes an error of the disk, given the operation and the file.
    pub(super) fn disk(verb: &'static str, name: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Disk {
            verb,
            name: name.into(),
            error,
        }
    }
}
