//! The capacity of a path when it was last full, and whether the path carries more since.

use std::time::Duration;

use super::{Measured, QUEUE};
use crate::rtt::RoundTrip;

/// A path carries more than its capacity if packets save at least this share of their transmission
/// time at that capacity.
const FASTER: f64 = 0.75;

/// Number of intervals after which the usual waiting time is known.
const USUAL_AFTER: u32 = 4;

/// Between these shares of a confirmed capacity, the rate rises by [`NEAR_STEP`] of the capacity
/// per [`INTERVAL`](super::INTERVAL), so that a slowly filling queue is detected while it is short.
const NEAR_FROM: f64 = 0.85;
const NEAR_TO: f64 = 1.1;
const NEAR_STEP: f64 = 1.0 / 250.0;

/// Factor above an unconfirmed capacity at which the path must carry more. It is larger than
/// [`NEAR_TO`], because the rate rises fast and exceeds the capacity for a moment before a queue
/// shows.
const FAR: f64 = 2.0;

/// The measured capacity of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// The capacity in bytes per tick.
    bytes: f64,
    /// Whether the path was full at this capacity twice in a row. Paths that are narrow for a
    /// moment are not confirmed.
    is_confirmed: bool,
    /// Smallest [`Measured::wait`] since the path was full, in seconds.
    least_wait: f64,
    /// Number of intervals since the path was full.
    intervals: u32,
    /// Whether all packets of the last interval were faster than this capacity allows.
    was_faster: bool,
}

impl Capacity {
    /// Creates a capacity of `bytes` per tick. It is confirmed if the `last` one was about equal.
    pub(super) fn new(bytes: f64, last: Option<Self>) -> Self {
        let is_confirmed = last.is_some_and(|last| last.is_about(bytes));
        Self {
            bytes,
            is_confirmed,
            least_wait: f64::MAX,
            intervals: 0,
            was_faster: false,
        }
    }

    /// Whether a measurement of `bytes` per tick is about equal to this capacity.
    pub(super) fn is_about(&self, bytes: f64) -> bool {
        bytes > self.bytes * NEAR_FROM && bytes < self.bytes * NEAR_TO
    }

    /// Whether a rate without a queue is so far above this capacity that the path must carry more.
    pub(super) fn is_below(&self, rate: f64) -> bool {
        rate >= self.bytes * if self.is_confirmed { NEAR_TO } else { FAR }
    }

    /// Bytes per tick by which a rate near a confirmed capacity may rise in an interval; `None` if
    /// the capacity is not confirmed or the rate is not near it.
    pub(super) fn step(&self, rate: f64) -> Option<f64> {
        (self.is_confirmed && rate > self.bytes * NEAR_FROM).then_some(self.bytes * NEAR_STEP)
    }

    /// Seconds of a round trip beyond the packet's transmission time at this capacity. Negative if
    /// the path is faster than that.
    pub(super) fn wait(&self, round_trip: RoundTrip, tick: Duration) -> f64 {
        round_trip.time.as_secs_f64()
            - f64::from(round_trip.bytes) / self.bytes * tick.as_secs_f64()
    }

    /// Adds an interval without a queue, of packets of at least `bytes`. Returns whether all of its
    /// packets, for the second time in a row, were faster than this capacity allows.
    pub(super) fn is_outgrown(&mut self, measured: Measured, bytes: f64, tick: Duration) -> bool {
        let saved = Duration::from_secs_f64(bytes / self.bytes * tick.as_secs_f64() * FASTER);
        let faster = (saved.max(QUEUE) + measured.jitter).as_secs_f64();
        // Until the usual wait is known, only a round trip shorter than the packet's own
        // transmission time proves a larger capacity.
        let usual = if self.intervals < USUAL_AFTER {
            0.0
        } else {
            self.least_wait
        };
        let is_faster = measured.wait + faster < usual;
        if !is_faster {
            self.least_wait = self.least_wait.min(measured.wait);
        }
        self.intervals += 1;
        std::mem::replace(&mut self.was_faster, is_faster) && is_faster
    }
}
