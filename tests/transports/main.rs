//! One suite over every transport: memory, secure UDP, QUIC, WebTransport (with a native client),
//! laminar.
//!
//! - [`contract`]: the promises of `netcode/transport/src/lib.rs` for datagrams, frames and ends.
//! - [`play`]: whole systems: an arena, an auction, resumption, disconnect notices.
//! - [`migration`]: the change of a client's address.
//! - [`early`]: 0-RTT, and a restarted server.
//! - [`refused`]: refused 0-RTT, strangers that hold connections, bots and a restarted server.
//! - [`sockets`]: errors of sockets, hosts with several addresses.
//! - [`hostile`]: violations of QUIC's rules.
//! - [`scene`], [`tried`]: the servers and clients of these tests.

mod contract;
mod early;
mod hostile;
mod migration;
mod play;
mod refused;
mod scene;
mod sockets;
mod tamper;
mod tried;
mod ways;
