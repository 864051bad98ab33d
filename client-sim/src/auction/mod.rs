//! Visitors of an auction house: bidders of several manners, watchers, whoever runs the house.
//!
//! ```text
//! manner (what it does next) -> visitor (sans-IO: client, memory of what was answered, figures) -> crowd (sockets, a thread)
//! ```

pub mod bidder;
pub mod crowd;
pub mod figures;
pub mod report;
pub mod run;
pub mod strategy;
