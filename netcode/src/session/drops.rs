//! Reasons for dropping a datagram, and the counters of each.

use std::fmt;

use crate::error::WireError;

macro_rules! reasons {
    ($($name:ident: $key:literal $description:literal,)*) => {
        /// Why a datagram was dropped. A drop changes nothing but a counter. The sender gets no
        /// answer, unless a genuine token was refused; see [`super::denial::Denial`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum DropReason {
            $(#[doc = $description] $name,)*
        }

        impl DropReason {
            /// Every reason, in the order of the discriminants.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the reason's name in reports.
            pub fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }

            /// Returns a description of the reason for people.
            pub fn description(self) -> &'static str {
                match self { $(Self::$name => $description,)* }
            }
        }
    };
}

reasons! {
    TooShort: "too_short" "Shorter than any packet.",
    TooLong: "too_long" "Longer than any packet.",
    UnknownKind: "unknown_kind" "A kind of packet that there is not.",
    NumberLength: "number_length" "The length of its number is not 1 to 8 bytes.",
    RequestLength: "request_length" "A request that has not 1,078 bytes.",
    OtherVersion: "other_version" "A request of another version of the standard.",
    OtherProtocol: "other_protocol" "A request of another protocol, or of another version of ours.",
    Expired: "expired" "A token that has expired.",
    ClockAhead: "clock_ahead" "A token that says it was issued later than now: its issuer's clock is ahead.",
    LongLived: "long_lived" "A token that lives longer than is allowed, or was issued by a clock that is ahead.",
    ForgedToken: "forged_token" "A token that was not sealed with the servers' key.",
    MalformedToken: "malformed_token" "A genuine token whose contents are not what the standard says.",
    OtherServer: "other_server" "A token that does not name this server.",
    SecondAddress: "second_address" "A token that another address used first.",
    Consumed: "consumed" "A token that has opened a session already.",
    HistoryFull: "history_full" "Too many tokens used that have not expired.",
    BeforeStart: "before_start" "A token issued before this server started, or that may have been.",
    Replaced: "replaced" "A ticket for a session that a newer token of its user has taken over.",
    StaleTicket: "stale_ticket" "A ticket for a session that has ended or was resumed since.",
    UserPresent: "user_present" "A user who is in session already.",
    AddressPresent: "address_present" "A response that nobody asked for from an address that is in session.",
    AddressLimit: "address_limit" "More sessions from one address than are allowed.",
    RateLimited: "rate_limited" "More attempts to join than are allowed.",
    Full: "full" "No session is free.",
    Draining: "draining" "The server takes nobody any more.",
    ForeignChallenge: "foreign_challenge" "A response to a challenge that was not this one's.",
    OldChallenge: "old_challenge" "A response to a challenge that is too old.",
    Stranger: "stranger" "From an address that is in no session.",
    Forged: "forged" "Not sealed with the session's key, or damaged.",
    Repeated: "repeated" "A packet that came before, or is older than the window.",
    Unexpected: "unexpected" "A kind of packet that this side does not take now.",
    OtherTransport: "other_transport" "A ticket for a session on another kind of transport.",
    NarrowPath: "narrow_path" "A connection that carries too small datagrams.",
    ContentsLength: "contents_length" "A genuine packet whose contents have not the size of its kind.",
    Flood: "flood" "More packets than a session may send.",
    Malformed: "malformed" "Genuine, but its contents are not what the format says.",
    Incompatible: "incompatible" "Genuine, but of another build.",
    Misbehaving: "misbehaving" "Genuine, and what an honest peer would not send.",
    Stale: "stale" "Genuine, but overtaken.",
}

impl fmt::Display for DropReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.description())
    }
}

impl From<WireError> for DropReason {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Malformed(_) => Self::Malformed,
            WireError::Incompatible(_) => Self::Incompatible,
            WireError::Misbehaving(_) => Self::Misbehaving,
            WireError::Stale(_) => Self::Stale,
        }
    }
}

/// Numbers of dropped datagrams, by reason.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

impl fmt::Debug for Drops {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map()
            .entries(self.counts().map(|(reason, count)| (reason.key(), count)))
            .finish()
    }
}

impl Drops {
    /// Counts one dropped datagram.
    pub fn note(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// Returns the number of datagrams dropped for one reason.
    pub fn count(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Returns the number of dropped datagrams of all reasons.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns every reason that occurred, with its count.
    pub fn counts(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL
            .iter()
            .copied()
            .zip(self.0)
            .filter(|(_, count)| *count > 0)
    }
}
