//! The server for any game: sans-IO, time and bytes as arguments.

pub mod any_room;
mod command_feedback;
pub mod command_queue;
pub mod drain;
pub mod entity_table;
pub mod game;
pub mod game_fault;
pub mod guarded_room;
pub mod metrics;
pub mod peer;
pub mod registry;
pub mod relevance;
pub mod room;
pub mod server;
pub mod session_event;
pub mod simulation;
pub mod systems;
pub mod timeline;
pub mod world_room;
