//! The arena: players in a walled square accelerate, dash, fire, take hits, respawn and score,
//! among drones and pick-ups.
//!
//! Positions are in metres on a plane: x points right, y up, and the origin is the centre.

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
