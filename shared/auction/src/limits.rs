//! Every limit of an auction house: name, value, reason.

/// Maximum length of a lot's title, in bytes.
pub const TITLE_BYTES: usize = 80;

/// Maximum number of steps in a lot's increments.
pub(crate) const INCREMENT_STEPS: usize = 32;

/// Maximum duration of a lot, in ticks: a year at 60 Hz.
pub const LONGEST_LOT: u64 = 366 * 24 * 3_600 * 60;

/// Maximum number of lots in a house, including closed ones whose receipts are still kept.
pub const LOTS: usize = 16_384;

/// Maximum number of accounts, including those of users who are not registered.
pub const ACCOUNTS: usize = 1 << 20;

/// Maximum number of receipts kept for one registered user. Further commands are rejected until
/// some receipts are removed. It does not apply to administrators.
pub const RECEIPTS_PER_USER: usize = 1 << 18;

/// Maximum number of receipts kept for a user who is not registered.
pub const RECEIPTS_PER_STRANGER: usize = 256;

/// Maximum number of offers kept for one sealed lot. A better offer displaces the lowest. All of
/// them are revealed in one message.
pub(crate) const SEALED_BIDDERS: usize = 1_024;

/// Maximum number of ranges of used lot numbers. Consecutive numbers form one range; an isolated
/// number is a range of its own.
pub const LOT_RANGES: usize = 65_536;

/// Maximum number of administrators' receipts, which are kept for ever so that a repetition does
/// not move money again. Further commands of administrators are rejected. At a thousand a day it
/// lasts eleven years.
pub const LASTING_RECEIPTS: u64 = 1 << 22;

/// Approximate memory of a receipt in bytes, including its entries in the lists of what is to be
/// removed.
pub const RECEIPT_BYTES: u64 = 128;

/// Maximum number of items (receipts, offers, aliases, lots) that a step removes; the rest follow
/// in later steps.
pub const FORGOTTEN_PER_STEP: usize = 4_096;

/// Work that a house's room does in a tick: an order, a lot that closes or is paused, and a
/// released hold count as one each. The rest continues in the next tick.
pub const WORK_PER_TICK: usize = 10_240;

/// Answers, events and lot removals that a room releases at once after they became durable. The
/// rest follow immediately, but after the server's other rooms.
pub const RELEASED_AT_ONCE: usize = 16_384;

/// Maximum number of administrators of a house.
pub const ADMINS: usize = 64;

/// Approximate maximum size of the orders of one tick, in bytes. It keeps a journal entry far below
/// the limits of its frame and segment.
pub const ORDER_BYTES_PER_TICK: usize = 1 << 20;

/// Maximum size of a request, in bytes; the longest opens a lot.
pub const REQUEST_BYTES: usize = 4_096;

/// Maximum number of commands that wait for their tick. Further commands are refused for the
/// moment.
pub const WAITING: usize = 1 << 18;

/// Maximum number of lots that one client watches.
pub const WATCHED: usize = 1_024;

/// Maximum number of unanswered time requests of one client.
pub const QUESTIONS: usize = 16;

/// Maximum number of lots in one catalogue reply.
pub const CATALOGUE: usize = 1_024;

/// Number of recent events kept for a lot, hence also the most in one message. A client that missed
/// more receives the whole lot.
pub const EVENTS: usize = 64;

/// Bytes in flight to a client above which it counts as slow.
pub const SLOW_BYTES: usize = 8_192;

/// Maximum number of events that a client keeps until they are polled. Reaching it ends the
/// session.
pub(crate) const CLIENT_EVENTS: usize = 4_096;

/// Maximum number of requests that a client has queued in a stream, far below the stream's own
/// limit. Further requests wait in the client.
pub const REQUESTS_AT_ONCE: usize = 256;

/// Maximum number of orders of one tick; the rest wait for the next tick. At 60 Hz this is half a
/// million a second.
pub const ORDERS_PER_TICK: usize = 8_192;
