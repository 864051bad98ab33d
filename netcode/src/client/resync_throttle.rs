//! When a client doubts its copy of the world: how often it asks for everything whole, and how
//! often it tells what it decoded.

use std::time::Duration;

use crate::limits::{REPORT_PAUSE, UNUSABLE_PACKETS};
use crate::time::Timestamp;

/// See the module.
#[derive(Debug, Default)]
pub struct ResyncThrottle {
    asked_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
    /// Packets in a row that built on what is not held.
    unusable: u32,
}

impl ResyncThrottle {
    /// A packet was taken over.
    pub fn packet_taken(&mut self) {
        self.unusable = 0;
    }

    /// A packet built on what is not held: an old one, overtaken by newer ones. True if there were
    /// so many in a row that the server must believe what is not so.
    pub fn packet_unusable(&mut self) -> bool {
        self.unusable += 1;
        let doubtful = self.unusable >= UNUSABLE_PACKETS;
        if doubtful {
            self.unusable = 0;
        }
        doubtful
    }

    /// Whether to ask for everything whole now: the last time was more than `wait` ago.
    pub fn may_ask(&mut self, wait: Duration, now: Timestamp) -> bool {
        is_due(&mut self.asked_at, wait, now)
    }

    /// Whether to report what was decoded now: the last time was more than [`REPORT_PAUSE`] ago.
    pub fn may_report(&mut self, now: Timestamp) -> bool {
        is_due(&mut self.reported_at, REPORT_PAUSE, now)
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
            (0..count).filter(|_| resync_throttle.packet_unusable()).count()
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
                && !resync_throttle.may_report(start + REPORT_PAUSE)
        );
        let moment = Duration::from_nanos(1);
        assert!(
            resync_throttle.may_ask(wait, start + wait + moment)
                && resync_throttle.may_report(start + REPORT_PAUSE + moment)
        );
    }
}
