//! How late the server is, and what it leaves out so that being late costs less, not more.
//!
//! * Of several ticks that are due at once all are simulated and the last is sent: it says all that
//!   the others would. Messages are queued for each.
//! * What round trips say while the server is late is not taken for the paths' at once; see
//!   `congestion`.

use std::time::Duration;

use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::time::Timestamp;

use crate::timeline::Due;

/// For so long after a tick that was late round trips tell of it.
const LATE_FOR: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// When ticks of any room were late first and last, without [`LATE_FOR`] in between in which
    /// none was.
    late: Option<(Timestamp, Timestamp)>,
    /// When the server ran last.
    ran_at: Timestamp,
}

impl Lateness {
    /// Takes note of what was due in a room when the server ran.
    pub fn note(&mut self, due: Due, now: Timestamp) {
        self.ran_at = now;
        if due.ticks > 1 || !due.skipped.is_zero() {
            self.late = Some((self.since(now).unwrap_or(now), now));
        }
    }

    /// Since when the server is late, if it is, or was a moment ago.
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        self.late.filter(|(_, last)| now.since(*last) < LATE_FOR).map(|(first, _)| first)
    }

    /// Whether a tick is sent while `left` more are due.
    pub fn is_sent(&self, left: u32) -> bool {
        left == 0 || is_planted(Mutant::SendEveryTick)
    }

    /// When a packet counts against its client's rate: when it came, however late it is read.
    pub fn counted_at(&self, arrived: Timestamp) -> Timestamp {
        if is_planted(Mutant::CountWhenRun) { self.ran_at } else { arrived }
    }
}
