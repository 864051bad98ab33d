//! Secure sessions: over datagrams the netcode 1.02 standard as sans-IO state machines, with resume
//! above it; on connections that are secret already the same tokens, places and rules without its
//! seals.
//!
//! ```text
//! server                                          client
//!   half_open  <- request, token ---------------    Requesting
//!              -- challenge ------------------->    Responding
//!   live       <- response ---------------------
//!              -- keep-alive, payload <-------->    Connected
//!
//! half-open -> live -> parked (silent; its place is kept for the grace) -> gone
//!               ^  \______________________________________________________^   left, closed
//!               |____ parked or live: a ticket, or a newer token of the same user: epoch + 1
//! ```
//! Who has proved no address costs an entry of a capped table and nothing else, and that once for
//! each genuine token. Every packet of a session is sealed with keys that only its token holds, or
//! by the connection that carries it. `PROTOCOL.md` has the bytes in prose.
//!
//! | file | is |
//! |---|---|
//! | [`token`], [`packet`], [`challenge`] | the standard's bytes |
//! | [`crypto`], [`replay`], [`keys`] | ciphers, repeats, a token's keys with their numbers |
//! | [`drops`], [`denial`] | why something was dropped, why a token was refused |
//! | [`client`], [`backoff`] | the client's side |
//! | [`server`], [`config`], [`admission`], [`roster`] | the server's side: all sessions, how one gets in, who is in |
//! | [`half_open`], [`history`], [`rate`] | its capped tables |
//! | [`secured`], `by_connection` (one on each side) | what differs on connections: what is said, and what is done |

pub mod admission;
pub mod backoff;
mod by_connection;
mod bytes;
pub mod challenge;
pub mod client;
pub mod client_table;
pub mod config;
pub mod crypto;
pub mod denial;
pub mod drops;
pub mod half_open;
pub mod history;
pub mod keys;
mod lifecycle;
pub mod packet;
pub mod rate;
pub mod replay;
pub mod roster;
pub mod secured;
pub mod server;
pub mod token;

use std::net::IpAddr;

use bitcode::{Decode, Encode};

/// Number of a client in its server, never used twice by one server. It stays the same when a
/// session is resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// Who someone is, as the issuer of tokens knows them: the standard's client id. It stays the same
/// for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct UserId(pub u64);

/// What a client does in its room, as its token says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It plays: it owns an entity and sends commands.
    #[default]
    Player,
    /// It watches: it owns nothing, sends no commands, and sees what everyone may see, wherever it
    /// is.
    Spectator,
}

/// One subscriber's addresses, for limits: an IPv4 address, or the 64 bits of an IPv6 address that
/// a provider gives away together (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RateLimitKey(u64);

impl From<IpAddr> for RateLimitKey {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(u32::from(ip))),
            // Global addresses begin with 2 or 3, so none is taken for an IPv4 address.
            IpAddr::V6(ip) => Self((u128::from(ip) >> 64) as u64 | 1 << 63),
        }
    }
}
