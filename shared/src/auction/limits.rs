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

/// Receipts kept for one user. More commands are rejected until some have been forgotten; those of
/// whoever runs the house are not.
pub const RECEIPTS_PER_USER: usize = 1 << 18;

/// The same for one who has no account.
pub const RECEIPTS_PER_STRANGER: usize = 256;

/// Bidders of one sealed lot whose offers are kept: the best. A better one displaces the lowest;
/// all of them are revealed in one message.
pub const SEALED_BIDDERS: usize = 1_024;

/// Ranges of lot numbers that were used: numbers that stand alone count each, numbers in a row
/// count once.
pub const LOT_RANGES: usize = 65_536;

/// Receipts of those who run the house, which are kept for ever: what moved money must not move it
/// again. More of their commands are rejected. At a thousand a day eleven years.
pub const LASTING_RECEIPTS: u64 = 1 << 22;

/// Bytes of memory that a receipt takes, about, with its places in the lists of what is to be
/// forgotten when.
pub const RECEIPT_BYTES: u64 = 128;

/// Receipts that a step of the house forgets at the most, with the offers of the lots that are
/// forgotten; the others follow in the next steps.
pub const FORGOTTEN_PER_STEP: usize = 4_096;

/// Work that a house's room does in a tick: an order, a lot that closes or whose clock stops, an
/// offer that is given back, each counts as one. What is left goes on in the next tick.
pub const WORK_PER_TICK: usize = 10_240;

/// Answers, events and forgotten lots that a room hands out at once after they became durable; the
/// others follow at once, but after the server's other rooms.
pub const RELEASED_AT_ONCE: usize = 16_384;

/// Users who may run a house.
pub const ADMINS: usize = 64;

/// Bytes of orders that one tick takes, about: a journal's entry stays far below its frame's and
/// segment's bounds.
pub const ORDER_BYTES_PER_TICK: usize = 1 << 20;

/// Bytes of a request at the most: the longest is a lot's opening.
pub const REQUEST_BYTES: usize = 4_096;

/// Commands that wait for their tick; more are refused for the moment.
pub const WAITING: usize = 1 << 18;

/// Lots that one client watches.
pub const WATCHED: usize = 1_024;

/// Questions for the time of one client that wait for their answers.
pub const QUESTIONS: usize = 16;

/// Lots in one reply to who asks for the catalogue.
pub const CATALOGUE: usize = 1_024;

/// Events of a lot that are kept, hence in one message: who missed more gets the lot as it is.
pub const EVENTS: usize = 64;

/// Bytes on their way to a client past which it counts as slow.
pub const SLOW_BYTES: usize = 8_192;

/// Events that a client keeps until they are polled; as many end its session.
pub const CLIENT_EVENTS: usize = 4_096;

/// Requests that a client hands to a stream at once; the others wait with it: far fewer than a
/// stream takes.
pub const REQUESTS_AT_ONCE: usize = 256;

/// Orders that one tick takes; more wait for the next. At 60 Hz half a million a second.
pub const ORDERS_PER_TICK: usize = 8_192;
