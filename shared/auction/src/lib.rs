//! The auction house: lots, bids, money. One pure state machine, [`house::House`], steps by ticks
//! and ordered commands.
//!
//! ```text
//! order -> house (accounts, lots) -> answer, to the sender
//!                                 -> event, to all -> public_lot (equal on server and clients)
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
