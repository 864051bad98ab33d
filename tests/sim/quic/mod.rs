//! QUIC in virtual time: `quinn-proto` between bots and server, with the ids, the time and the keys
//! of a seed.
//!
//! - [`end`]: one end without a socket; the simulator's counterpart of
//!   `netcode/transport/src/quic`.
//! - [`secrets`]: certificate, ids and reset keys that follow from a seed.
//! - [`plan`]: the configuration and failures of a run.
//! - `member`: a bot with its links, and `serving`: the server.
//! - [`world`]: runs a plan and checks its invariants.

mod check;
pub mod end;
mod member;
pub mod plan;
pub mod secrets;
mod serving;
pub mod world;
