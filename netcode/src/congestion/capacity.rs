//! What a path carried when it was full last, and whether it carries more since.

use std::time::Duration;

use super::{Measured, QUEUE};
use crate::rtt::RoundTrip;

/// A path carries more than it did if packets save at least this share of the time that they took
/// at the old capacity.
const FASTER: f64 = 0.75;

/// Intervals that show what round trips are usual.
const USUAL_AFTER: u32 = 4;

/// Between these shares of the capacity the rate rises by [`NEAR_STEP`] of it per
/// [`INTERVAL`](super::INTERVAL): a queue that fills slowly is noticed while it is short.
const NEAR_FROM: f64 = 0.85;
const NEAR_TO: f64 = 1.1;
const NEAR_STEP: f64 = 1.0 / 250.0;

/// The same of a capacity that is not confirmed: the rate rises fast, and is above for a moment
/// before a queue shows.
const FAR: f64 = 2.0;

/// What a path carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// Bytes per tick.
    bytes: f64,
    /// Whether the path was full at this capacity twice in a row. Paths that are narrow for a
    /// moment are not.
    is_confirmed: bool,
    /// Least of [`Measured::wait`] since the path was full.
    least_wait: f64,
    /// Intervals since then.
    intervals: u32,
    /// Whether all packets of the last interval were faster than this capacity allows.
    was_faster: bool,
}

impl Capacity {
    /// A capacity of `bytes` per tick. It is confirmed if the `last` one was about the same.
    pub(super) fn new(bytes: f64, last: Option<Self>) -> Self {
        let is_confirmed = last.is_some_and(|last| last.is_about(bytes));
        Self { bytes, is_confirmed, least_wait: f64::MAX, intervals: 0, was_faster: false }
    }

    /// Whether a measurement of `bytes` per tick is about this capacity.
    pub(super) fn is_about(&self, bytes: f64) -> bool {
        bytes > self.bytes * NEAR_FROM && bytes < self.bytes * NEAR_TO
    }

    /// Whether a rate at which no queue fills is so far above that the path must carry more.
    pub(super) fn is_below(&self, rate: f64) -> bool {
        rate >= self.bytes * if self.is_confirmed { NEAR_TO } else { FAR }
    }

    /// By how much a rate near a confirmed capacity may rise in an interval; `None` if it is not
    /// near, or not confirmed.
    pub(super) fn step(&self, rate: f64) -> Option<f64> {
        (self.is_confirmed && rate > self.bytes * NEAR_FROM).then_some(self.bytes * NEAR_STEP)
    }

    /// Seconds of a round trip beyond what the packet takes at this capacity. Negative if the path
    /// is faster.
    pub(super) fn wait(&self, round_trip: RoundTrip, tick: Duration) -> f64 {
        round_trip.time.as_secs_f64()
            - f64::from(round_trip.bytes) / self.bytes * tick.as_secs_f64()
    }

    /// Takes in an interval without a queue, of packets of at least `bytes`. Returns whether all of
    /// them, for the second time in a row, were faster than this capacity allows.
    pub(super) fn is_outgrown(&mut self, measured: Measured, bytes: f64, tick: Duration) -> bool {
        let saved = Duration::from_secs_f64(bytes / self.bytes * tick.as_secs_f64() * FASTER);
        let faster = (saved.max(QUEUE) + measured.jitter).as_secs_f64();
        // Until it is known what is usual, only a round trip shorter than the packet alone would
        // take shows it.
        let usual = if self.intervals < USUAL_AFTER { 0.0 } else { self.least_wait };
        let is_faster = measured.wait + faster < usual;
        if !is_faster {
            self.least_wait = self.least_wait.min(measured.wait);
        }
        self.intervals += 1;
        std::mem::replace(&mut self.was_faster, is_faster) && is_faster
    }
}
