//! What happens in the arena at a moment, told reliably with its tick.

use bitcode::{Decode, Encode};

/// A game event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ArenaEvent {
    /// A player lost its last health.
    Died {
        /// The player's slot.
        victim: u16,
        /// The slot of who fired.
        shooter: u16,
    },
}
