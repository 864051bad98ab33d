//! Truetick's netcode: the library that any game's server and clients can use.
//!
//! It knows no game, no ECS, no file. Its cores are sans-IO: time, bytes and randomness come in as
//! arguments and effects are polled, so that the same code runs in production, under a simulator's
//! virtual time and in benchmarks. [`clock`] alone reads the machine's clock; [`transport`] alone
//! opens sockets.
//!
//! ```text
//! session (netcode 1.02) -> packet -> connection (sequence, rtt, channel) -> messages, farewell
//! schema -> replication (server: versions, baselines, packets) -> client (snapshots, prediction, interpolation)
//! link_sim, transport: networks, imagined and real
//! ```
//! `PROTOCOL.md` beside this crate has every byte in prose.

pub mod bits;
pub mod channel;
pub mod client;
pub mod clock;
pub mod coding;
pub mod command;
pub mod congestion;
pub mod connection;
pub mod disconnect;
pub mod error;
pub mod limits;
pub mod link_sim;
pub mod messages;
pub mod mutant;
pub mod packet;
pub mod replication;
pub mod rigid_body_codec;
pub mod rtt;
pub mod schema;
pub mod sequence;
pub mod session;
pub mod tick;
pub mod time;
pub mod transport;
