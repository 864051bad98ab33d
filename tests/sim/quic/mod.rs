//! QUIC in virtual time: `quinn-proto` between bots and server, with the numbers, the time and the
//! keys of a seed.
//!
//! | | |
//! |---|---|
//! | [`end`] | one end without a socket: what `netcode/src/transport/quic` is to the network, this is to the simulator |
//! | [`secrets`] | certificate, ids and reset keys that follow from a seed |
//! | [`plan`] | what a run is made of, and what goes wrong |
//! | [`world`] | runs a plan and looks whether all is well |

mod check;
pub mod end;
pub mod plan;
pub mod secrets;
pub mod world;
