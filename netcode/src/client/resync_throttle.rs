//! Limits how often a client requests a full resync, and how often it reports a mismatch between
//! decoded state and the server's hash.

use std::time::Duration;

use crate::limits::{REPORT_INTERVAL, UNUSABLE_PACKETS};
use crate::time::Timestamp;

/// Rate limits of a client's resync requests and mismatch reports.
#[derive(Debug, Default)]
pub(crate) struct ResyncThrottle {
    asked_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
    /// Consecutive packets whose baseline is not held.
    unusable: u32,
}

impl ResyncThrottle {
    /// Notes that a packet was applied: it ends a row of unusable ones.
    pub fn packet_taken(&mut self) {
        self.unusable = 0;
    }

    /// Notes a packet whose baseline is not held, usually an old one overtaken by newer ones.
    /// Returns true at every [`UNUSABLE_PACKETS`] of them in a row: the server then has a wrong
    /// belief about the client's state.
    pub(crate) fn packet_unusable(&mut self) -> bool {
        self.unusable += 1;
        let doubtful = self.unusable >= UNUSABLE_PACKETS;
        if doubtful {
            self.unusable = 0;
        }
        doubtful
    }

    /// Whether to request a full resync now: the last request was more than `wait` ago. True counts
    /// as a request.
    pub fn may_ask(&mut self, wait: Duration, now: Timestamp) -> bool {
        is_due(&mut self.asked_at, wait, now)
    }

    /// Whether to report a mismatch now: the last report was more than [`REPORT_INTERVAL`] ago.
    /// True counts as a report.
    pub(crate) fn may_report(&mut self, now: Timestamp) -> bool {
        is_due(&mut self.reported_at, REPORT_INTERVAL, now)
    }
}

fn is_due(last: &mut Option<Timestamp>, pause: Duration, now: Timestamp) -> bool {
    let due = last.is_none_or(|at| now.since(at) > pause);
    if due {
        *last = Some(now);
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_unusable_packets_raises_doubt_once_and_a_good_one_ends_it() {
        let mut resync_throttle = ResyncThrottle::default();
        let row = |resync_throttle: &mut ResyncThrottle, count| {
            (0..count)
                .filter(|_| resync_throttle.packet_unusable())
                .count()
        };
        assert_eq!(row(&mut resync_throttle, UNUSABLE_PACKETS - 1), 0);
        resync_throttle.packet_taken();
        assert_eq!(row(&mut resync_throttle, UNUSABLE_PACKETS - 1), 0);
        assert_eq!(row(&mut resync_throttle, UNUSABLE_PACKETS), 1);
    }

    #[test]
    fn asking_and_reporting_have_a_pause_each() {
        let mut resync_throttle = ResyncThrottle::default();
        let (start, wait) = (Timestamp::from_millis(1), Duration::from_millis(50));
        assert!(resync_throttle.may_ask(wait, start) && resync_throttle.may_report(start));
        assert!(
            !resync_throttle.may_ask(wait, start + wait)
                && !resync_throttle.may_report(start + REPORT_INTERVAL)
        );
        let moment = Duration::from_nanos(1);
        assert!(
            resync_throttle.may_ask(wait, start + wait + moment)
                && resync_throttle.may_report(start + REPORT_INTERVAL + moment)
        );
    }
}
