//! Truetick's authoritative side.
//!
//! The data's way: `host` (threads, sockets) -> [`core::server`] (sessions) -> [`core::command_queue`] ->
//! [`core::room`] (the tick on one page) -> [`core::simulation`] (the world) -> snapshots -> `host`.
//!
//! [`core`] knows no game; [`arena`] is one.

pub mod arena;
pub mod auction;
pub mod carriers;
pub mod config;
pub mod core;
pub mod descriptors;
pub mod doors;
pub mod files;
pub mod frame;
pub mod host;
pub mod http;
pub mod journal;
pub mod keys;
pub mod log;
pub mod page;
pub mod quic_settings;
pub mod recording;
mod session_log;
pub mod token_service;
