//! The server for any game: sans-IO, time and bytes as arguments.

pub mod command_queue;
pub mod entity_table;
pub mod game;
pub mod metrics;
pub mod registry;
pub mod relevance;
pub mod room;
pub mod server;
pub mod simulation;
pub mod systems;
pub mod timeline;
