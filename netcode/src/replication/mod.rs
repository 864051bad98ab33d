//! State replication on the server: one ring of quantised world states, shared encoding, and a view
//! per client.
//!
//! ```text
//! capture -> state_ring (versions)
//!         -> client_view, block_acks, due, agreement (what is due, on which baselines)
//!         -> delta_cache (bytes, once) <- block_delta (streams) <- entity (estimates, residuals)
//!         -> send_scheduler (what fits) -> view_packets -> snapshot (packet layout)
//! ```
//! The client's side is [`crate::client::snapshot_buffer`].

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

/// Identity of an entity on the wire: a slot that is reused, and a generation that distinguishes
/// the entities that use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetId {
    /// Index of the entity, below [`crate::limits::ENTITIES`].
    pub slot: u16,
    /// Count of the entities that had this slot before; wraps.
    pub generation: u16,
}

impl NetId {
    /// Number of bits that [`Self::to_bits`] uses.
    pub const BITS: u32 = 30;

    /// Encodes the identity for fields that refer to entities: the slot in the low 14 bits, the
    /// generation above.
    pub fn to_bits(self) -> u32 {
        u32::from(self.slot) | u32::from(self.generation) << 14
    }

    /// Decodes an identity that [`Self::to_bits`] encoded.
    pub fn from_bits(bits: u32) -> Self {
        Self {
            slot: (bits & 0x3fff) as u16,
            generation: (bits >> 14) as u16,
        }
    }
}

impl fmt::Display for NetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests;
