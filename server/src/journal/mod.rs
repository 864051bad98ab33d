//! A durable sequence of entries: whatever happens to process and machine, a committed entry is
//! there again, or opening fails with the reason. The journal does not interpret its entries.
//!
//! ```text
//! entry -> journal: frame -> segment (write, fdatasync, mark) -> durable
//!                            sealed segment -> snapshot (replays from files)
//!          committer: runs the journal on a thread of its own
//! open:    newest snapshot -> segments after it -> torn end cut, or refused -> continues
//! ```
//!
//! **Torn or damaged.** Up to a segment's mark, and up to whatever a later frame reports as
//! durable, each byte must be as it was written. Anything else is damage, and opening fails. Past
//! that point nothing was ever reported as durable: the first frame that is not whole ends the
//! journal there, the rest is overwritten with zeros, and the log reports it. Whole frames past the
//! mark count. Nobody knows whether the disk has them, because a failed sync may have forgotten
//! that they are dirty, so they are written again and synced before anything is reported on their
//! basis.

pub mod committer;
pub mod disk;
pub mod error;
pub mod open;
#[cfg(test)]
mod passing_tests;
pub mod segment;
pub mod snapshot;
#[cfg(test)]
mod tests;
pub mod writer;

/// Position in a journal: the last entry and the chain after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Sequence number of the last entry, from 1; 0 before the first.
    pub sequence: u64,
    /// Chain of the frame that ends here.
    pub chain: u64,
}

/// Takes the entries of a journal in their order.
pub trait Entries {
    /// Processes the next entry.
    ///
    /// # Errors
    /// The reason why the entry cannot be applied. An error ends the reading.
    fn entry(&mut self, entry: &[u8]) -> Result<(), String>;
}

/// State that follows from a journal's entries.
pub trait Replica: Entries {
    /// Replaces the state, instead of processing the entries that led to it.
    ///
    /// # Errors
    /// The reason why the state cannot be restored.
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;

    /// The present state in bytes, as [`Self::restore`] reads it.
    fn snapshot(&mut self) -> Vec<u8>;
}

/// Makes entries durable while their producer continues.
pub trait CommitLog<E>: Send {
    /// Takes the next entry. Returns `false` if no more entries fit or the log has failed.
    fn submit(&mut self, entry: E) -> bool;

    /// Sequence number of the last durable entry.
    fn durable(&self) -> u64;

    /// Why no entry will become durable any more; `None` if the log has not failed.
    fn failure(&self) -> Option<&str>;

    /// Takes no more entries. Those taken before are still committed, but not waited for.
    fn close(&mut self) {}
}

/// Layout of a journal on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Bytes of a segment; 16 MiB by default.
    pub segment_bytes: usize,
    /// Number of segments that are kept although a snapshot covers them; 64 by default.
    pub keep: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            keep: 64,
        }
    }
}
