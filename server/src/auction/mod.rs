//! The auction house as a room: sessions, ticks and channels are those of any room; its journal
//! makes it durable.
//!
//! ```text
//! request -> desk (order by receive ms, user, sequence; finished milliseconds only) -> tick: house -> entry -> journal
//!                                                                                                  -> pending
//! journal: durable -> pending answers -> their clients;  events -> board -> watchers (at their pace)
//! ```
//! Whatever leaves this room was durable before. The house in memory is ahead of that and is asked
//! by nobody.

pub mod audit;
pub mod entry;
pub mod fanout;
pub mod offline;
pub mod participant;
pub mod room;
pub mod sequencer;
pub mod settings;
