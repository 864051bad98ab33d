//! Headless clients of the arena and of the auction house.
//!
//! ```text
//! bot (decides) -> bot_client (sans-IO) -> swarm (sockets, threads)
//!               -> report (figures) -> table (terminal)
//! ```
//!
//! [`demo`] starts a server in this process and plays against it; [`profile`] defines the networks.

pub mod auction;
pub mod bandwidth_report;
pub mod bot;
pub mod bot_client;
pub mod client_socket;
pub mod compare;
pub mod connect_options;
pub mod demo;
pub mod feel;
pub mod inspect;
pub mod live_table;
pub mod measure;
pub mod play;
pub mod profile;
pub mod relay_thread;
pub mod replay;
pub mod report;
pub mod say;
pub mod swarm;
pub mod table;
pub mod token_source;
pub mod world_dump;
