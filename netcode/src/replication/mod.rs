//! State replication, server side: one ring of quantised world copies, shared encoding, a view per
//! client.
//!
//! ```text
//! capture -> state_ring (versions) -> client_view, block_view, due, agreement (what is due, on which baselines)
//!         -> unit_cache (bytes, once) <- unit (streams) <- entity (foresight, residuals)
//!         -> view_packets -> snapshot (packet layout)
//! ```
//! The client's half is [`crate::client::snapshot_buffer`].

mod agreement;
pub mod block_acks;
pub mod block_delta;
pub mod client_view;
pub mod delta_cache;
mod due;
pub mod entity;
pub mod quaternion;
mod renewal;
mod send_scheduler;
pub mod snapshot;
pub mod state_ring;
mod view_packets;

use std::fmt;

/// Identity of an entity on the wire: a slot that is used again, and a generation that tells its
/// users apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetId {
    /// Place, below [`crate::limits::ENTITIES`].
    pub slot: u16,
    /// Counts the entities that had this place; wraps.
    pub generation: u16,
}

impl NetId {
    /// Bits of [`Self::to_bits`].
    pub const BITS: u32 = 30;

    /// As a number, for fields that refer to entities: the slot in the low 14 bits, the generation
    /// above.
    pub fn to_bits(self) -> u32 {
        u32::from(self.slot) | u32::from(self.generation) << 14
    }

    /// The inverse of [`Self::to_bits`].
    pub fn from_bits(bits: u32) -> Self {
        Self { slot: (bits & 0x3fff) as u16, generation: (bits >> 14) as u16 }
    }
}

impl fmt::Display for NetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests;
