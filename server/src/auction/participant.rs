//! One client of the auction house, and the output that is due to it.

use std::collections::{BTreeMap, BTreeSet};

use truetick_auction::terms::LotId;
use truetick_netcode::channel::Channel;
use truetick_netcode::session::UserId;
use truetick_netcode::session::rate::TokenBucket;
use truetick_netcode::time::Timestamp;

/// One client of the auction house.
#[derive(Debug)]
pub(crate) struct Participant {
    /// User of the client.
    pub user: UserId,
    /// Whether the client is suspended; its output then waits.
    pub away: bool,
    /// Time of its last command, in milliseconds.
    pub last_ms: u64,
    /// Rate limit of its commands, each by its weight.
    pub meter: TokenBucket,
    /// Messages for this client only.
    pub outbox: Vec<(Channel, Vec<u8>)>,
    /// Lots that it watches, with the last event of each that it was sent; `None` if none was sent.
    pub watching: BTreeMap<LotId, Option<u64>>,
    /// Watched lots with output that was not sent yet.
    pub due: BTreeSet<LotId>,
    /// Whether it has asked for its account.
    pub asked_account: bool,
    /// Its requests for the time: the client's clock and the request's arrival.
    pub asked_time: Vec<(u64, Timestamp)>,
    /// Time at which it fell behind its output; `None` if it keeps up.
    pub slow_since: Option<Timestamp>,
    /// Time until which it receives lots as they stand, not single events.
    pub calm_at: Timestamp,
}

impl Participant {
    /// Creates a participant that has just joined.
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            away: false,
            last_ms: 0,
            meter: TokenBucket::default(),
            outbox: Vec::new(),
            watching: BTreeMap::new(),
            due: BTreeSet::new(),
            asked_account: false,
            asked_time: Vec::new(),
            slow_since: None,
            calm_at: Timestamp::default(),
        }
    }
}
