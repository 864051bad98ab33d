//! The auction house: lots, bids, money. One pure state machine, [`house::House`], steps by ticks
//! and ordered commands.
//!
//! ```text
//! order -> house (accounts, lots) -> answer, to whoever asked
//!                                 -> event, to everyone -> public_lot (server and clients keep the same copy)
//! ```

pub mod client;
pub mod countdown;
pub mod english;
pub mod event;
pub mod house;
pub mod ledger;
pub mod limits;
pub mod lot;
pub mod lot_numbers;
pub mod money;
pub mod offers;
pub mod order;
pub mod public_book;
pub mod public_lot;
pub mod terms;
pub mod time_sync;
pub mod wire;

#[cfg(test)]
mod tests;
