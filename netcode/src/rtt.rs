//! Round-trip time, loss and what arrived, from acknowledgements.

use std::ops::Sub;
use std::time::Duration;

/// Smoothed round trip after RFC 6298, section 2, and a loss rate.
#[derive(Clone, Debug, Default)]
pub struct RttEstimator {
    smoothed_us: Option<f64>,
    variance_us: f64,
    latest: Option<RoundTrip>,
    loss: f64,
    fates: Fates,
}

/// A measured round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// From the packet's departure to its acknowledgement, less the time that the peer held that
    /// back.
    pub time: Duration,
    /// Bytes of the packet.
    pub bytes: u32,
}

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Packets that were acknowledged.
    pub delivered: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that were lost.
    pub lost: u64,
}

impl Fates {
    /// Packets whose fate is known.
    pub fn all(&self) -> u64 {
        self.delivered + self.lost
    }

    /// Share of them that was lost, 0 to 1; 0 where there are none.
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

/// Resends wait at least this long: a tick at 60 Hz for the acknowledgement to ride on, and some.
const MIN_RESEND: Duration = Duration::from_millis(30);

/// Resends wait at most this long: with less, all that crosses a path with a round trip of a second
/// is sent twice.
const MAX_RESEND: Duration = Duration::from_secs(3);

impl RttEstimator {
    /// Takes in one measured round trip.
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

    /// Takes in that a packet of so many bytes arrived.
    pub fn delivered(&mut self, bytes: u32) {
        self.fates.delivered += 1;
        self.fates.bytes += u64::from(bytes);
        self.note_loss(0.0);
    }

    /// Takes in that a packet was lost.
    pub fn lost(&mut self) {
        self.fates.lost += 1;
        self.note_loss(1.0);
    }

    /// Forgets over some hundred packets.
    fn note_loss(&mut self, loss: f64) {
        self.loss += (loss - self.loss) / 128.0;
    }

    /// What became of all packets so far.
    pub fn fates(&self) -> Fates {
        self.fates
    }

    /// The round trip that was measured last.
    pub fn latest(&self) -> Option<RoundTrip> {
        self.latest
    }

    /// Smoothed round trip; 100 ms until the first sample.
    pub fn rtt(&self) -> Duration {
        Duration::from_micros(self.smoothed_us.unwrap_or(100_000.0) as u64)
    }

    /// Smoothed round trip, if one was measured.
    pub fn measured(&self) -> Option<Duration> {
        self.smoothed_us.map(|us| Duration::from_micros(us as u64))
    }

    /// Share of packets lost of late, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// After how long without acknowledgement something reliable is sent again.
    pub fn resend_after(&self) -> Duration {
        let spread = Duration::from_micros((4.0 * self.variance_us) as u64);
        (self.rtt() + spread).clamp(MIN_RESEND, MAX_RESEND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(ms: u64) -> RoundTrip {
        RoundTrip { time: Duration::from_millis(ms), bytes: 100 }
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
