//! The server side of Truetick, an authoritative server for fast-paced multiplayer games: rooms,
//! sessions, transports, recordings and the auction house.
//!
//! The path of the data: [`host`] (threads, sockets), [`server`] (sessions), [`command_queue`],
//! [`world_room`] (the tick on one page), [`simulation`] (the world), snapshots, [`host`].
//!
//! [`room`], [`server`] and the modules that they use do no IO and are independent of any game.
//! [`arena`] is a game.

pub mod arena;
pub mod auction;
mod command_feedback;
pub mod command_queue;
pub mod config;
pub mod descriptors;
pub mod drain;
pub mod entity_table;
pub mod files;
pub mod frame;
pub mod game;
pub mod game_fault;
pub mod guarded_room;
pub mod host;
pub mod http;
pub mod journal;
pub mod keys;
pub mod listeners;
pub mod log;
pub mod metrics;
pub mod page;
pub mod peer;
pub mod quic_settings;
pub mod recording;
pub mod registry;
pub mod relevance;
pub mod room;
pub mod server;
pub mod session_event;
mod session_log;
pub mod simulation;
pub mod systems;
pub mod timeline;
pub mod token_service;
pub mod transport_set;
pub mod world_access;
pub mod world_room;
