//! Truetick's netcode: a library for the servers and clients of any fast multiplayer game.
//!
//! It depends on no game, no ECS and no file. Its cores are sans-IO: time, bytes and randomness are
//! arguments and effects are polled, so the same code runs in production, under a simulator's
//! virtual time and in benchmarks. It reads no clock and opens no socket: the crate
//! `truetick-transport` does.
//!
//! ```text
//! session (netcode 1.02) -> packet -> connection (sequence, rtt, channel) -> messages, disconnect
//! schema -> replication (server: versions, baselines, packets)
//!        -> client (snapshots, prediction, interpolation)
//! link_sim: a simulated network; transport: what a session needs of a real one
//! ```
//! Start at [`client::runtime::ClientRuntime`] for a client; at [`session::server::SessionServer`],
//! [`connection::Connection`] and [`replication::client_view::ClientView`] for a server. The crate
//! `truetick-server` combines the latter. "netcode 1.02" is the standard for sessions over UDP
//! (<https://github.com/mas-bandwidth/netcode/blob/main/STANDARD.md>), not this crate.
//! `PROTOCOL.md`, in this crate's directory, documents every byte on the wire in prose.

pub mod bits;
pub mod channel;
pub mod client;
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
pub mod rtt;
pub mod schema;
pub mod sequence;
pub mod session;
pub mod tick;
pub mod time;
pub mod transport;
