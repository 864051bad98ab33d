//! Measures a path over intervals: round trips, loss, and what was sent and arrived.

use std::time::Duration;

use super::{Congestion, HEAVY_LOSS, INTERVAL, PathState, SILENT, State};
use crate::rtt::Fates;
use crate::time::Timestamp;

/// Length of a span for the minimum round trip, which is taken over the present span and the one
/// before.
pub(super) const LEAST_OVER: Duration = Duration::from_secs(10);

/// Least number of acknowledged packets in an interval. It does not apply to a long queue, while a
/// queue drains, or to an interval of [`LONGEST_INTERVAL`].
const INTERVAL_PACKETS: u64 = 4;

/// Length at which an interval ends even with fewer than [`INTERVAL_PACKETS`] acknowledged packets.
const LONGEST_INTERVAL: Duration = Duration::from_millis(1_000);

/// The measurement in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) began: Timestamp,
    /// Bytes that were sent before the interval, in all.
    pub(super) sent: u64,
    pub(super) fates: Fates,
    /// Shortest and longest round trip of the interval.
    pub(super) round_trips: Option<(Duration, Duration)>,
    /// Largest [`Capacity::wait`](super::Capacity::wait) of the interval, in seconds.
    pub(super) wait: f64,
}

/// A completed measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Shortest round trip of the interval.
    pub(super) round_trip: Duration,
    /// Largest [`Capacity::wait`](super::Capacity::wait) of the interval, in seconds; negative
    /// infinity where no capacity is known.
    pub(super) wait: f64,
    /// Half of the smoothed spread of round trips.
    pub(super) jitter: Duration,
    /// Length of the interval, in [`INTERVAL`]s.
    pub(super) length: f64,
    /// Bytes sent per tick.
    pub(super) sent: f64,
    /// Bytes acknowledged per tick.
    pub(super) delivered: f64,
    /// Share of packets that were lost, 0 to 1.
    pub(super) loss: f64,
}

impl Interval {
    pub(super) fn new(path: PathState, began: Timestamp) -> Self {
        Self {
            began,
            sent: path.sent,
            fates: path.fates,
            round_trips: None,
            wait: f64::NEG_INFINITY,
        }
    }
}

impl Measured {
    /// Whether about as much arrived as was sent and not lost.
    pub(super) fn all_arrived(&self) -> bool {
        self.delivered > self.sent * (1.0 - self.loss) * 0.9
    }
}

impl Congestion {
    /// Adds the present state of the path to the interval. Returns the measurement if the interval
    /// ends.
    pub(super) fn measure(
        &mut self,
        path: PathState,
        is_late: bool,
        now: Timestamp,
    ) -> Option<Measured> {
        if now >= self.span_ends {
            self.span_ends = now + LEAST_OVER;
            self.least = [Duration::MAX, self.least[0]];
            self.loss_limit = HEAVY_LOSS;
        }
        let newest = path.round_trip?;
        let latest = newest.time;
        let length = now.since(self.interval.began);
        let fates = path.fates - self.interval.fates;
        if fates.delivered == 0 {
            if !is_late && length >= SILENT.max(2 * latest) && path.sent > self.interval.sent {
                self.fall_silent(path, now);
            }
            return None;
        }
        self.least[0] = self.least[0].min(latest);
        let (least, most) = self.interval.round_trips.unwrap_or((latest, latest));
        let (round_trip, most) = (least.min(latest), most.max(latest));
        self.interval.round_trips = Some((round_trip, most));
        if let Some(full) = self.full {
            self.interval.wait = self.interval.wait.max(full.wait(newest, self.limits.tick));
        }
        let is_long = self.is_long(round_trip.saturating_sub(self.least()));
        // While a queue drains, few packets are sent, and one round trip shows whether the queue is
        // gone.
        let is_enough = is_long
            || matches!(self.state, State::Draining(_))
            || fates.delivered >= INTERVAL_PACKETS;
        let is_short = length < INTERVAL.max(self.least() / 2);
        if (is_short || !is_enough) && length < LONGEST_INTERVAL {
            return None;
        }
        let ticks = length.as_secs_f64() / self.limits.tick.as_secs_f64();
        let Interval {
            sent: sent_before,
            wait,
            ..
        } = self.interval;
        self.interval = Interval::new(path, now);
        if matches!(self.state, State::Starting | State::Rising) {
            self.jitter = (self.jitter * 7 + (most - round_trip)) / 8;
        }
        Some(Measured {
            round_trip,
            wait,
            jitter: self.jitter / 2,
            length: length.as_secs_f64() / INTERVAL.as_secs_f64(),
            sent: (path.sent - sent_before) as f64 / ticks,
            delivered: fates.bytes as f64 / ticks,
            loss: fates.loss(),
        })
    }
}
