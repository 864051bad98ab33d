//! The arena: players in a walled square accelerate, dash, fire, take hits, come back and score,
//! among drones and pick-ups.
//!
//! Positions are metres on a plane, x to the right and y up, the origin in the middle.

pub mod command;
pub mod components;
pub mod event;
pub mod map;
pub mod priors;
pub mod schema;
pub mod step;

pub use command::ArenaCommand;
pub use schema::{ArenaSchema, arena_schema};
pub use step::{PlayerState, StepConfig, step_player};
