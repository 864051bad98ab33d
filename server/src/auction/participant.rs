//! One client of the house, and what it is still to be told.

use std::collections::{BTreeMap, BTreeSet};

use truetick_netcode::channel::Channel;
use truetick_netcode::session::UserId;
use truetick_netcode::session::rate::TokenBucket;
use truetick_netcode::time::Timestamp;
use truetick_shared::auction::terms::LotId;

/// One client.
#[derive(Debug)]
pub struct Participant {
    /// Who it is.
    pub user: UserId,
    /// It has fallen silent: what it is to be told waits.
    pub away: bool,
    /// Time of its last command, in milliseconds.
    pub last_ms: u64,
    /// What it asks for, weighed.
    pub meter: TokenBucket,
    /// Messages for it alone.
    pub outbox: Vec<(Channel, Vec<u8>)>,
    /// Lots that it watches, and the last event of each that it was told; `None` if it was told
    /// nothing.
    pub watching: BTreeMap<LotId, Option<u64>>,
    /// Those of which there is more to tell.
    pub due: BTreeSet<LotId>,
    /// It wants to know what is in its account.
    pub asked_account: bool,
    /// It asked for the time: its clock, and when that came.
    pub asked_time: Vec<(u64, Timestamp)>,
    /// Since when it takes less than there is to tell.
    pub slow_since: Option<Timestamp>,
    /// Until then it is told prices, no single events.
    pub calm_at: Timestamp,
}

impl Participant {
    /// A client that has just come.
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
