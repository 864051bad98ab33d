//! How late the server is, and what it omits so that lateness costs less work, not more.
//!
//! * If several ticks are due at once, all are simulated and only the last is sent, because its
//!   snapshot covers the others. Messages are queued for each tick.
//! * Round trips measured while the server is late are not attributed to the paths at once; see
//!   `congestion`.

use std::time::Duration;

use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::time::Timestamp;

use crate::timeline::Due;

/// Time after a late tick during which round trips are still affected by it.
const LATE_FOR: Duration = Duration::from_millis(500);

/// How late the server is, over all rooms.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// The first and the last time at which a tick of any room was late, without a gap of
    /// [`LATE_FOR`] between late ticks.
    late: Option<(Timestamp, Timestamp)>,
    /// The last time at which the server ran.
    ran_at: Timestamp,
}

impl Lateness {
    /// Records what was due in a room when the server ran.
    pub fn note(&mut self, due: Due, now: Timestamp) {
        self.ran_at = now;
        if due.ticks > 1 || !due.skipped.is_zero() {
            self.late = Some((self.since(now).unwrap_or(now), now));
        }
    }

    /// Since when the server is late; `None` if no tick was late within [`LATE_FOR`].
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        self.late
            .filter(|(_, last)| now.since(*last) < LATE_FOR)
            .map(|(first, _)| first)
    }

    /// Whether a tick is sent while `left` more are due.
    pub fn is_sent(&self, left: u32) -> bool {
        left == 0 || is_planted(Mutant::SendEveryTick)
    }

    /// The time at which a packet counts against its client's rate: its arrival, however late it is
    /// read.
    pub(crate) fn counted_at(&self, arrived: Timestamp) -> Timestamp {
        if is_planted(Mutant::CountWhenRun) {
            self.ran_at
        } else {
            arrived
        }
    }
}
