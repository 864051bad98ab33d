//! The systems of one tick of the arena. Every system visits entities in the order of their slots.

pub mod contact;
pub mod drones;
pub mod players;
pub mod projectiles;
