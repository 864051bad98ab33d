//! Every maximum of an auction house in one place: name, value, reason.

/// Bytes of a lot's title.
pub const TITLE_BYTES: usize = 80;

/// Steps of a lot's increments.
pub const INCREMENT_STEPS: usize = 32;

/// Ticks for which a lot may be open: a year at 60 Hz.
pub const LONGEST_LOT: u64 = 366 * 24 * 3_600 * 60;

/// Lots that a house holds, those included whose receipts are still kept.
pub const LOTS: usize = 16_384;

/// Users of whom a house has heard.
pub const ACCOUNTS: usize = 1 << 20;

/// Receipts kept for one user. More commands are rejected until some have been forgotten; those of whoever runs the house are not.
pub const RECEIPTS_PER_USER: usize = 1 << 18;

/// The same for one who has no account.
pub const RECEIPTS_PER_STRANGER: usize = 256;

/// Bidders of one sealed lot: all of them are revealed in one message.
pub const SEALED_BIDDERS: usize = 1_024;

/// Users who may run a house.
pub const ADMINS: usize = 64;

/// Bytes of orders that one tick takes, about: a journal's entry stays far below its frame's and segment's bounds.
pub const ORDER_BYTES_PER_TICK: usize = 1 << 20;

/// Orders that one tick takes; more wait for the next. At 60 Hz half a million a second.
pub const ORDERS_PER_TICK: usize = 8_192;
