//! Clients of an auction house: bidders of several strategies, watchers, and the keeper who runs
//! the house.
//!
//! ```text
//! strategy (what it does next) -> bidder (sans-IO: client, record of the answers, figures)
//!                              -> crowd (sockets, a thread)
//! ```

pub mod bidder;
pub mod crowd;
pub mod figures;
pub mod report;
pub mod run;
pub mod strategy;
