//! A queue that drains: whether it was the sender's.

use std::time::Duration;

use super::{HEAVY_LOSS, INTERVAL, Measured, QUEUE};
use crate::rtt::{Fates, RttEstimator};
use crate::time::Timestamp;

/// Packets by which the share of lost ones is judged.
const JUDGED_PACKETS: u64 = 16;

/// What is sent afterwards of what arrived, where less arrived than was sent.
const AFTER: f64 = 0.9;

/// What is sent afterwards of what was sent before, where it all arrived.
const AFTER_ALL: f64 = 0.8;

/// Less is sent, and watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// Bytes per tick that were sent before.
    pub(super) rate: f64,
    /// Most bytes per tick that arrived while the path was full.
    pub(super) delivered: f64,
    /// Whether all that was sent arrived.
    all_arrived: bool,
    /// Round trip at first.
    first: Duration,
    /// Whether the path is known to carry little, or the queue grows, overflows or stays: the path did not merely change.
    pub(super) is_narrow: bool,
    /// When what is sent since then is acknowledged.
    acked_at: Timestamp,
    /// Share of lost packets before, if it was heavy.
    heavy_loss: Option<f64>,
    /// When what is sent since then shows in round trips that differ by less than [`QUEUE`].
    shows_at: Timestamp,
    shortest: Duration,
    longest: Duration,
    /// Packets lost and delivered when it first showed.
    fates: Option<Fates>,
}

/// What a drain has shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// Nothing yet.
    Open,
    /// Whatever it was is over, before the drain can have been the cause.
    Passed,
    /// The path was full, and its queue is gone.
    Drained,
    /// The path is not full, its round trip is this now.
    Longer(Duration),
    /// The path is not full, it loses this share of packets.
    Lossy(f64),
}

impl Drain {
    /// Begins at a rate. `is_narrow` says whether the path is known to carry less than the floor.
    pub(super) fn new(
        (rate, is_narrow): (f64, bool),
        heavy_loss: Option<f64>,
        measured: Measured,
        now: Timestamp,
    ) -> Self {
        Self {
            rate,
            delivered: measured.delivered.min(rate),
            all_arrived: measured.all_arrived(),
            first: measured.round_trip,
            is_narrow,
            acked_at: now + measured.round_trip,
            heavy_loss,
            shows_at: now + measured.round_trip + INTERVAL,
            shortest: measured.round_trip,
            longest: measured.round_trip,
            fates: None,
        }
    }

    /// Bytes per tick to be sent once the queue is gone.
    pub(super) fn rate_after(&self) -> f64 {
        if self.all_arrived { self.rate * AFTER_ALL } else { self.delivered * AFTER }
    }

    /// Takes in a measurement, on a path whose least round trip is given, by a sender that is late or not.
    pub(super) fn judge(
        &mut self,
        measured: Measured,
        (least, is_late): (Duration, bool),
        rtt: &RttEstimator,
        now: Timestamp,
    ) -> Verdict {
        let Measured { round_trip, jitter, .. } = measured;
        self.shortest = self.shortest.min(round_trip);
        self.longest = self.longest.max(round_trip);
        let has_grown = round_trip > self.first + QUEUE + jitter || measured.loss > HEAVY_LOSS / 2.0;
        self.is_narrow |= !is_late && (has_grown || now > self.acked_at + 4 * INTERVAL);
        let is_steady = self.longest - self.shortest < QUEUE + jitter;
        if !is_steady {
            (self.shortest, self.longest) = (round_trip, round_trip);
            self.shows_at = self.shows_at.max(now + 2 * INTERVAL);
        }
        let has_queue = round_trip > least + least / 8 + QUEUE / 2 + jitter;
        if self.heavy_loss.is_none() && !has_queue {
            return if now < self.acked_at { Verdict::Passed } else { Verdict::Drained };
        }
        // While a queue waits, what arrives is what the path carries.
        self.delivered = self.delivered.max(measured.delivered.min(self.rate));
        if now < self.shows_at {
            return Verdict::Open;
        }
        let fates = rtt.fates() - *self.fates.get_or_insert(rtt.fates());
        match self.heavy_loss {
            None if is_steady && fates.loss() < HEAVY_LOSS => Verdict::Longer(round_trip),
            Some(before) if fates.all() >= JUDGED_PACKETS && !has_queue => {
                match fates.loss() > before / 2.0 {
                    true => Verdict::Lossy(before.max(fates.loss())),
                    false => Verdict::Drained,
                }
            }
            _ => Verdict::Open,
        }
    }
}
