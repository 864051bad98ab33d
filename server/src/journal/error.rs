//! Why a journal cannot be gone on with.

use std::io;

use thiserror::Error;

/// What a disk did not do when it could not make something durable.
pub(super) const SYNC: &str = "sync";

/// What is wrong with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SegmentFault {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// Its first bytes are not those of a segment of this number.
    #[error("does not begin as a segment of that number does")]
    Header,
    /// It belongs to another journal.
    #[error("belongs to another journal")]
    Foreign,
    /// It ends before what was durable does.
    #[error("ends at byte {length}, but {durable} bytes of it were durable")]
    Short {
        /// Its length.
        length: usize,
        /// How much was durable.
        durable: usize,
    },
    /// What was durable is not what was written.
    #[error("is damaged at byte {at}, which was durable (up to byte {durable})")]
    Damaged {
        /// Where.
        at: usize,
        /// Up to where it was durable.
        durable: usize,
    },
    /// Another goes on after it, but it says of none.
    #[error("ends too early: a later segment has entries")]
    Unsealed,
}

/// Why a journal cannot be gone on with. Nothing is changed on the disk then.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The disk did not do something.
    #[error("cannot {verb} {name}: {error}")]
    Disk {
        /// What it was to do.
        verb: &'static str,
        /// With which file.
        name: String,
        /// What the system says.
        error: io::Error,
    },
    /// A segment is not as it must be. Accepted entries may be lost, so nothing is accepted on top
    /// of them.
    #[error("{name} {what}; restore it from a copy, nothing was changed")]
    Segment {
        /// Which file.
        name: String,
        /// What is wrong.
        what: SegmentFault,
    },
    /// An entry could not be applied, or led to another state than it did before.
    #[error("entry {sequence} cannot be replayed: {why}")]
    Replay {
        /// Which.
        sequence: u64,
        /// Why.
        why: String,
    },
    /// Segments from before the first that is there are gone, and no whole snapshot stands for
    /// them.
    #[error("no whole snapshot stands for the segments before {0}")]
    NoSnapshot(String),
    /// An entry is longer than a segment.
    #[error("an entry of {0} bytes is longer than a segment")]
    TooLong(usize),
}

/// Whether the system refused for lack of something that it may have again later: descriptors,
/// space, memory.
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
    by_number || matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl JournalError {
    /// Whether the same may succeed later. What a sync could not do is never tried again: after its
    /// failure nobody knows what the disk holds.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Disk { verb, error, .. } if *verb != SYNC && is_passing(error))
    }

    /// What the disk did not do.
    pub(super) fn disk(verb: &'static str, name: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Disk { verb, name: name.into(), error }
    }
}
