//! One suite over every transport: memory, secure UDP, QUIC, WebTransport (with a native client), laminar.
//!
//! | | |
//! |---|---|
//! | [`contract`] | what `netcode/src/transport/mod.rs` promises of datagrams, frames and ends |
//! | [`play`] | whole systems: an arena, an auction, coming back, being told |
//! | [`migration`] | a client's address changes |
//! | [`early`] | 0-RTT, and a server that was started again |
//! | [`hostile`] | what QUIC gets that breaks its rules |

mod contract;
mod early;
mod hostile;
mod migration;
mod play;
mod tamper;
mod ways;
