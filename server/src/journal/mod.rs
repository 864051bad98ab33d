//! A durable row of entries: what was committed is there after whatever happens to process and
//! machine, or opening says why not. It knows nothing of what its entries mean.
//!
//! ```text
//! entry -> journal: frame -> segment (write, fdatasync, mark) -> durable        -> committer: on a thread of its own
//!                            sealed segment -> snapshot (replays from files)
//! open:    newest snapshot -> segments after it -> torn end cut, or refused -> goes on
//! ```
//!
//! **Torn or rotten.** Up to a segment's mark, and up to whatever a later frame says was durable,
//! each byte must be as it was written: anything else is rot, and opening refuses. Past that
//! nothing was ever reported as durable: the first frame that is not whole ends the journal there,
//! the rest is overwritten with zeros, and a line in the log says so. Whole frames past the mark
//! count; as nobody knows whether the disk has them (a failed sync may have forgotten that they are
//! dirty), they are written once more and synced before anything is said on their grounds.

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

/// Where a journal stands: after which entry, in which chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The last entry, from 1; 0 before the first.
    pub sequence: u64,
    /// Chain of the frame that ends here.
    pub chain: u64,
}

/// Takes entries in their order.
pub trait Entries {
    /// The next entry. An error ends the reading.
    fn entry(&mut self, entry: &[u8]) -> Result<(), String>;
}

/// State that follows from a journal's entries.
pub trait Replica: Entries {
    /// Takes over a state instead of the entries that led to it.
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;

    /// The state now.
    fn snapshot(&mut self) -> Vec<u8>;
}

/// Makes entries durable while their author goes on.
pub trait CommitLog<E>: Send {
    /// Takes the next entry. False if no more fit, or it has failed.
    fn submit(&mut self, entry: E) -> bool;

    /// The last durable entry.
    fn durable(&self) -> u64;

    /// Why nothing will become durable any more, if it has failed.
    fn failure(&self) -> Option<&str>;

    /// Takes no more entries. Those taken before are still committed; this does not wait for them.
    fn close(&mut self) {}
}

/// How a journal lies on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Bytes of a segment.
    pub segment_bytes: usize,
    /// Segments that are kept though snapshots stand for them.
    pub keep: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, keep: 64 }
    }
}
