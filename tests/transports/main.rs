//! One suite over every transport: memory, secure UDP, QUIC, WebTransport (with a native client),
//! laminar.
//!
//! | | |
//! |---|---|
//! | [`contract`] | what `netcode/src/transport/mod.rs` promises of datagrams, frames and ends |
//! | [`play`] | whole systems: an arena, an auction, coming back, being told |
//! | [`migration`] | a client's address changes |
//! | [`early`] | 0-RTT, and a server that was started again |
//! | [`refused`] | 0-RTT that is refused, strangers that hold connections, bots and a server that was started again |
//! | [`sockets`] | errors of sockets, hosts with several addresses |
//! | [`hostile`] | what QUIC gets that breaks its rules |

mod contract;
mod early;
mod hostile;
mod migration;
mod play;
mod refused;
mod sockets;
mod tamper;
mod ways;
