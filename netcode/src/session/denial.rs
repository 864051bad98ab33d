//! Why a server refuses a genuine token, as sent to the client.
//!
//! The standard's denied packet has no contents. Its number is free, and authenticated like the
//! rest of the packet, so eight bits of it carry the code (`keys` has the layout). A client of
//! another implementation ignores them. The number of another implementation's server, which counts
//! from 2^63 or from 0, has code 0.

use super::drops::DropReason;
use super::keys::OUTSIDE;

/// Position of the code in a number, in bits.
const CODE_SHIFT: u32 = 55;

/// Why a token was refused. The discriminants are the codes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The server gave no reason.
    #[error("the server refused the token and did not say why")]
    Unspecified = 0,
    /// All sessions of the token's role are in use.
    #[error("the server is full")]
    Full = 1,
    /// The server is being drained and admits no new clients.
    #[error("the server takes no new clients: it is about to stop")]
    Draining = 2,
    /// The user has a session already.
    #[error("the user is in session already")]
    UserPresent = 3,
    /// One address has too many sessions of this role.
    #[error("the server has too many sessions from this address")]
    AddressLimit = 4,
    /// The token was issued before the server started, or may have been.
    #[error("the token was issued before the server started: ask for a new one")]
    BeforeStart = 5,
    /// The token's time of issue is in the future.
    #[error(
        "the token was issued by a clock that is ahead of the server's: set the issuer's clock"
    )]
    ClockAhead = 6,
    /// The token expires too late.
    #[error(
        "the token lives longer than the server allows, or was issued by a clock that is ahead"
    )]
    LongLived = 7,
    /// The server's history of consumed tokens is full.
    #[error("the server has taken too many tokens: try again when some have expired")]
    HistoryFull = 8,
    /// The session that the ticket names has ended, or was resumed since.
    #[error("the session has ended, or the ticket was used before")]
    SessionEnded = 9,
    /// A newer token of the same user has taken the session over.
    #[error("the user has another session now")]
    Replaced = 10,
    /// The session is on another kind of transport.
    #[error("the ticket is for another kind of transport")]
    OtherTransport = 11,
}

impl Denial {
    /// All denials, in the order of their codes.
    pub const ALL: [Self; 12] = [
        Self::Unspecified,
        Self::Full,
        Self::Draining,
        Self::UserPresent,
        Self::AddressLimit,
        Self::BeforeStart,
        Self::ClockAhead,
        Self::LongLived,
        Self::HistoryFull,
        Self::SessionEnded,
        Self::Replaced,
        Self::OtherTransport,
    ];

    /// Returns the denial of a code; [`Self::Unspecified`] if the code is unknown.
    pub(crate) fn from_code(code: u8) -> Self {
        Self::ALL
            .get(usize::from(code))
            .copied()
            .unwrap_or(Self::Unspecified)
    }

    /// Returns the number of a packet outside of sessions. `counter` must fit into 55 bits and
    /// never be used twice by one server.
    pub(super) fn number(self, counter: u64) -> u64 {
        OUTSIDE | (self as u64) << CODE_SHIFT | counter & ((1 << CODE_SHIFT) - 1)
    }

    /// Returns the denial that the number of a denied packet carries.
    pub(super) fn of_number(number: u64) -> Self {
        match number & OUTSIDE {
            0 => Self::Unspecified,
            _ => Self::from_code(((number & !OUTSIDE) >> CODE_SHIFT) as u8),
        }
    }
}

impl From<DropReason> for Denial {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::Full => Self::Full,
            DropReason::Draining => Self::Draining,
            DropReason::UserPresent => Self::UserPresent,
            DropReason::AddressLimit => Self::AddressLimit,
            DropReason::BeforeStart => Self::BeforeStart,
            DropReason::ClockAhead => Self::ClockAhead,
            DropReason::LongLived => Self::LongLived,
            DropReason::HistoryFull => Self::HistoryFull,
            DropReason::StaleTicket => Self::SessionEnded,
            DropReason::Replaced => Self::Replaced,
            DropReason::OtherTransport => Self::OtherTransport,
            _ => Self::Unspecified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_tells_its_denial_and_anothers_tells_none() {
        for (code, denial) in Denial::ALL.into_iter().enumerate() {
            assert_eq!(
                (denial as usize, Denial::from_code(code as u8)),
                (code, denial)
            );
            for counter in [0, 1, (1 << CODE_SHIFT) - 1] {
                assert_eq!(Denial::of_number(denial.number(counter)), denial);
            }
        }
        assert_eq!(Denial::from_code(200), Denial::Unspecified);
        for theirs in [0, 5, OUTSIDE, OUTSIDE | 77] {
            assert_eq!(Denial::of_number(theirs), Denial::Unspecified);
        }
    }
}
