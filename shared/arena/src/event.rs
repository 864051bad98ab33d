//! Events of the arena, sent reliably with their tick.

use bitcode::{Decode, Encode};

/// A game event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ArenaEvent {
    /// A player's health reached 0.
    Died {
        /// Slot of the player who died.
        victim: u16,
        /// Slot of the player who fired.
        shooter: u16,
    },
}
