//! Round-trip time, loss and delivered bytes, estimated from acknowledgements.
//!
//! ```
//! use std::time::Duration;
//! use truetick_netcode::rtt::{RoundTrip, RttEstimator};
//!
//! let mut rtt = RttEstimator::default();
//! assert_eq!(rtt.measured(), None);
//! rtt.sample(RoundTrip { time: Duration::from_millis(80), bytes: 200 });
//! assert_eq!(rtt.rtt(), Duration::from_millis(80));
//! ```

use std::ops::Sub;
use std::time::Duration;

/// Smoothed round-trip time (RFC 6298, section 2), a smoothed loss rate, and counts of packets.
#[derive(Clone, Debug, Default)]
pub struct RttEstimator {
    smoothed_us: Option<f64>,
    variance_us: f64,
    latest: Option<RoundTrip>,
    loss: f64,
    fates: Fates,
}

/// A measured round trip of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Time from sending the packet to its acknowledgement, less the time for which the peer held
    /// the acknowledgement back.
    pub time: Duration,
    /// Size of the packet in bytes.
    pub bytes: u32,
}

/// Counts of packets that were delivered or lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Number of packets that were acknowledged.
    pub delivered: u64,
    /// Sum of the sizes of acknowledged packets, in bytes.
    pub bytes: u64,
    /// Number of packets that were lost.
    pub lost: u64,
}

impl Fates {
    /// Number of packets that were either acknowledged or lost.
    pub fn all(&self) -> u64 {
        self.delivered + self.lost
    }

    /// Share of lost packets among all of them, 0 to 1; 0 where there are none.
    pub fn loss(&self) -> f64 {
        self.lost as f64 / self.all().max(1) as f64
    }
}

impl Sub for Fates {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            delivered: self.delivered - earlier.delivered,
            bytes: self.bytes - earlier.bytes,
            lost: self.lost - earlier.lost,
        }
    }
}

/// Least time before a resend: a tick at 60 Hz, in which the acknowledgement travels, and a margin.
const MIN_RESEND: Duration = Duration::from_millis(30);

/// Longest time before a resend. A lower limit would send everything twice on a path with a round
/// trip of a second.
const MAX_RESEND: Duration = Duration::from_secs(3);

impl RttEstimator {
    /// Adds a measured round trip.
    pub fn sample(&mut self, round_trip: RoundTrip) {
        let us = round_trip.time.as_secs_f64() * 1e6;
        self.latest = Some(round_trip);
        match self.smoothed_us {
            None => {
                self.smoothed_us = Some(us);
                self.variance_us = us / 2.0;
            }
            Some(smoothed) => {
                self.variance_us = 0.75 * self.variance_us + 0.25 * (smoothed - us).abs();
                self.smoothed_us = Some(0.875 * smoothed + 0.125 * us);
            }
        }
    }

    /// Records that a packet of `bytes` bytes was delivered.
    pub fn delivered(&mut self, bytes: u32) {
        self.fates.delivered += 1;
        self.fates.bytes += u64::from(bytes);
        self.note_loss(0.0);
    }

    /// Records that a packet was lost.
    pub fn lost(&mut self) {
        self.fates.lost += 1;
        self.note_loss(1.0);
    }

    /// Updates the loss rate, an exponential average over about 128 packets.
    fn note_loss(&mut self, loss: f64) {
        self.loss += (loss - self.loss) / 128.0;
    }

    /// Counts of all delivered and lost packets so far.
    pub fn fates(&self) -> Fates {
        self.fates
    }

    /// The round trip that was measured last; `None` before the first one.
    pub fn latest(&self) -> Option<RoundTrip> {
        self.latest
    }

    /// Smoothed round-trip time; 100 ms before the first sample.
    pub fn rtt(&self) -> Duration {
        Duration::from_micros(self.smoothed_us.unwrap_or(100_000.0) as u64)
    }

    /// Smoothed round-trip time; `None` before the first sample.
    pub fn measured(&self) -> Option<Duration> {
        self.smoothed_us.map(|us| Duration::from_micros(us as u64))
    }

    /// Smoothed share of recent packets that were lost, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// Time without an acknowledgement after which a reliable message is sent again: the smoothed
    /// round trip plus four variances (RFC 6298), within 30 ms to 3 s.
    pub fn resend_after(&self) -> Duration {
        let spread = Duration::from_micros((4.0 * self.variance_us) as u64);
        (self.rtt() + spread).clamp(MIN_RESEND, MAX_RESEND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(ms: u64) -> RoundTrip {
        RoundTrip {
            time: Duration::from_millis(ms),
            bytes: 100,
        }
    }

    #[test]
    fn converges_to_a_steady_round_trip() {
        let mut rtt = RttEstimator::default();
        for _ in 0..100 {
            rtt.sample(round_trip(80));
            rtt.delivered(100);
        }
        assert_eq!(rtt.rtt().as_millis(), 80);
        assert!(rtt.resend_after() < Duration::from_millis(82));
        assert_eq!(rtt.loss(), 0.0);
    }

    #[test]
    fn jitter_makes_resends_wait() {
        let mut rtt = RttEstimator::default();
        for i in 0..100 {
            rtt.sample(round_trip(if i % 2 == 0 { 60 } else { 100 }));
        }
        assert!(rtt.resend_after() > Duration::from_millis(120));
    }
}
