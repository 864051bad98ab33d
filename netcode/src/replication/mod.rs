//! State replication, server side: one ring of quantised world copies, shared encoding, a view per client.
//!
//! ```text
//! capture -> state_ring (versions) -> client_view (what is due, baselines) -> encode_cache (bits, once)
//!         -> snapshot (packet layout)
//! ```
//! The client's half is [`crate::client::snapshot_buffer`].

pub mod client_view;
pub mod delta;
pub mod encode_cache;
pub mod snapshot;
pub mod state_ring;

use std::fmt;

/// Identity of an entity on the wire: a slot that is used again, and a generation that tells its users apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetId {
    /// Place, below [`crate::limits::ENTITIES`].
    pub slot: u16,
    /// Counts the entities that had this place; wraps.
    pub generation: u16,
}

impl fmt::Display for NetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests;
