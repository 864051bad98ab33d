//! A client of the simulated auction house with its links; its machine can sleep.

use std::net::SocketAddr;
use std::time::Duration;

use truetick_client_sim::auction::bidder::Bidder;
use truetick_netcode::link_sim::{LinkConfig, LinkSim};
use truetick_netcode::time::Timestamp;

/// Time after a sleep within which a client has received something from the server.
const AWAKE: Duration = Duration::from_millis(1_500);

/// One client with its links.
pub struct Member {
    /// The client that takes part in the auction.
    pub bidder: Bidder,
    pub(super) address: SocketAddr,
    pub(super) up: LinkSim,
    pub(super) down: LinkSim,
    pub(super) rejoin_at: Option<Timestamp>,
    /// The client sleeps until this time, and its clock stands still.
    pub(super) wakes_at: Timestamp,
    pub(super) slept: Duration,
}

impl Member {
    /// Creates a member with the index `place` among all members.
    pub(super) fn new(bidder: Bidder, place: usize, up: LinkSim, down: LinkSim) -> Self {
        Self {
            bidder,
            address: SocketAddr::from(([127, 0, 0, 1], 50_000 + place as u16)),
            up,
            down,
            rejoin_at: None,
            wakes_at: Timestamp::default(),
            slept: Duration::ZERO,
        }
    }

    /// The time that its clock shows.
    pub(super) fn shown(&self, now: Timestamp) -> Timestamp {
        now - self.slept
    }

    /// Checks its estimate of the server's clock. It cannot detect a sleep before it receives
    /// something.
    pub(super) fn wrong_clock(&self, now: Timestamp) -> Option<String> {
        let (server_us, uncertainty) = self.bidder.client().server_time(self.shown(now))?;
        let wrong = server_us.abs_diff(now.as_micros() as i64);
        let is_wrong =
            now >= self.wakes_at + AWAKE && u128::from(wrong) > uncertainty.as_micros() + 1;
        is_wrong.then(|| {
            format!(
                "{:?} says its clock is wrong by {uncertainty:?}, but it is by {wrong} us",
                self.bidder.user()
            )
        })
    }

    /// Sets the properties of its link from the server.
    pub fn throttle(&mut self, link: LinkConfig) {
        self.down.set_config(link);
    }
}
