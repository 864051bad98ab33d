//! Secure sessions. Over datagrams, the netcode 1.02 standard as sans-IO state machines, extended
//! by resumption. On connections that are encrypted already, the same tokens, limits and rules
//! without the standard's encryption.
//!
//! ```text
//! server                                          client
//!   half_open  <- request, token ---------------    Requesting
//!              -- challenge ------------------->    Responding
//!   live       <- response ---------------------
//!              -- keep-alive, payload <-------->    Connected
//!
//! half-open -> live -> parked (silent; kept for the grace period) -------> gone
//!               ^  \______________________________________________________^   left, closed
//!               |____ parked or live: a ticket, or a newer token of the same user: epoch + 1
//! ```
//! A sender whose address is not proved costs one entry of a capped table, once per genuine token,
//! and nothing else. Every packet of a session is sealed with keys that only its token holds, or
//! encrypted by the connection that carries it. `PROTOCOL.md` has the bytes in prose.
//!
//! | file | contents |
//! |---|---|
//! | [`token`], [`packet`], [`challenge`] | the standard's bytes |
//! | [`crypto`], [`replay`], [`keys`] | ciphers, replay window, a token's keys and their numbers |
//! | [`drops`], [`denial`] | why a packet was dropped, why a token was refused |
//! | [`client`], [`backoff`] | the client's side |
//! | [`server`], [`config`] | the server's side of all sessions and its configuration |
//! | [`admission`], [`roster`] | admission of clients, the admitted sessions |
//! | [`half_open`], [`history`], [`rate`] | the server's capped tables |
//! | [`secured`], `by_connection` (one on each side) | frames and behaviour on connections |

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

/// Number of a client in its server, never used twice by one server. It does not change when the
/// session is resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// The standard's client id: identifies a user to the issuer of tokens. It never changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct UserId(pub u64);

/// What a client does in its room. The token sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The client plays: it owns an entity and sends commands.
    #[default]
    Player,
    /// The client watches: it owns nothing, sends no commands, and receives all that is visible to
    /// everyone, independent of position.
    Spectator,
}

/// The addresses of one subscriber, for rate limits: an IPv4 address, or the 64-bit prefix of an
/// IPv6 address that a provider assigns as a whole (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RateLimitKey(u64);

impl From<IpAddr> for RateLimitKey {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(u32::from(ip))),
            // Bit 63 separates the families. Global addresses (2000::/3) have it 0: none collide.
            IpAddr::V6(ip) => Self((u128::from(ip) >> 64) as u64 | 1 << 63),
        }
    }
}
