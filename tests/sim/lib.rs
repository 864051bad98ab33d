//! The simulator: the whole system in one thread under virtual time, from one seed.
//! `docs/testing.md` describes what it does, how to write a story and how to add a fault.

pub mod auction;
pub mod brittle;
pub mod capture_transport;
pub mod check;
pub mod client_process;
mod client_run;
pub mod convergence;
pub mod delivery;
pub mod disk;
pub mod event_queue;
pub mod fault;
pub mod figures;
pub mod fuzz_targets;
pub mod inflict;
pub mod loopback_client;
pub mod mark;
pub mod messaging_game;
pub mod network;
pub mod plan;
pub mod process;
pub mod quic;
pub mod record_keeper;
pub mod reduction;
pub mod run;
pub mod scenario;
pub mod script;
pub mod second_game;
pub mod server_process;
mod server_run;
pub mod tokens;
pub mod virtual_clock;
pub mod world;
