//! The auction house as a room. Sessions, ticks and channels are those of any room; a journal makes
//! the house durable.
//!
//! ```text
//! request -> sequencer (order by receive ms, user, sequence; finished milliseconds only)
//!         -> tick: house -> entry -> journal
//!                        -> pending
//! journal: durable -> pending answers -> their clients
//!                     events -> public book -> watchers (at their pace)
//! ```
//! All output of this room was durable before it is sent. The house in memory is ahead of that, so
//! nothing is sent from it directly.

pub mod audit;
pub mod entry;
pub mod fanout;
pub mod offline;
pub mod participant;
pub mod room;
pub mod sequencer;
pub mod settings;
