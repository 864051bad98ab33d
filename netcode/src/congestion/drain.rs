//! A queue that drains: whether it was the sender's.

use std::time::Duration;

use super::{HEAVY_LOSS, INTERVAL, LONG_QUEUE, Limits, Measured, QUEUE};
use crate::rtt::Fates;
use crate::time::Timestamp;

/// Packets by which the share of lost ones is judged.
const JUDGED_PACKETS: u64 = 16;

/// What is sent afterwards of what arrived, where less arrived than was sent.
const AFTER: f64 = 0.9;

/// What is sent afterwards of what was sent before, where it all arrived or the queue was small.
const AFTER_ALL: f64 = 0.8;

/// A path carries less than the floor if a long queue has waited for so long and a round trip.
const NARROW: Duration = Duration::from_millis(600);

/// Where more than this share of what arrives is still sent, round trips need not fall.
const DRAINED: f64 = 0.75;

/// Less is sent, and watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    began: Timestamp,
    /// Bytes per tick that were sent before.
    pub(super) rate: f64,
    /// Bytes that arrived while the path was full, and in how many [`INTERVAL`]s, times the ticks
    /// of one.
    arrived: f64,
    intervals: f64,
    /// Whether all that was sent arrived.
    all_arrived: bool,
    /// Share of packets lost before, if it was heavy.
    pub(super) heavy_loss: Option<f64>,
    /// Round trip at first, and the longest since.
    first: Duration,
    longest: Duration,
    /// Since when less is sent than arrived, and when that was looked at last.
    drained_since: Option<Timestamp>,
    last_at: Timestamp,
    /// Since when a long queue waits while as much as the floor is sent, or nearly.
    long_since: Option<Timestamp>,
    floor: f64,
    /// Whether the path is known to carry less than the floor in each tick.
    pub(super) is_narrow: bool,
    /// Whether it was known when the drain began.
    pub(super) was_narrow: bool,
    /// Round trips of packets sent since the drain began, while they differ by less than [`QUEUE`].
    steady: Option<Steady>,
    /// What had become of packets when the first of those was acknowledged.
    fates: Option<Fates>,
}

#[derive(Clone, Copy, Debug)]
struct Steady {
    since: Timestamp,
    shortest: Duration,
    longest: Duration,
}

/// What a drain has shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// Nothing yet.
    Open,
    /// The queue is gone sooner than the drain can have emptied it.
    Passed,
    /// The path was full, and its queue is gone.
    Drained,
    /// The same, though the round trip is this now: most of what it had grown by is gone.
    DrainedTo(Duration),
    /// The path is not full, its round trip is this now.
    Longer(Duration),
    /// The path is not full, it loses this share of packets.
    Lossy(f64),
}

impl Drain {
    /// Begins at a rate. `is_narrow` says whether the path is known to carry less than the floor in
    /// each tick.
    pub(super) fn new(
        (rate, is_narrow): (f64, bool),
        Limits { floor, .. }: Limits,
        heavy_loss: Option<f64>,
        measured: Measured,
        now: Timestamp,
    ) -> Self {
        Self {
            began: now,
            rate,
            arrived: measured.delivered.min(rate) * measured.length,
            intervals: measured.length,
            all_arrived: measured.all_arrived(),
            heavy_loss,
            first: measured.round_trip,
            longest: measured.round_trip,
            drained_since: None,
            last_at: now,
            long_since: None,
            floor,
            is_narrow,
            was_narrow: is_narrow,
            steady: None,
            fates: None,
        }
    }

    /// Bytes per tick to be sent once the queue is gone.
    pub(super) fn rate_after(&self, least: Duration, now: Timestamp) -> f64 {
        let arrived = self.carries() * AFTER;
        // A small queue that is gone at once was little too much, or mere jitter.
        let is_little = self.all_arrived || self.is_small(least, now);
        if is_little { arrived.max(self.rate * AFTER_ALL) } else { arrived }
    }

    /// Bytes per tick that the path carries: what arrived while it was full.
    pub(super) fn carries(&self) -> f64 {
        self.arrived / self.intervals
    }

    /// Whether the queue was small and is gone at once.
    pub(super) fn is_small(&self, least: Duration, now: Timestamp) -> bool {
        self.first < least + LONG_QUEUE && now.since(self.began) < 3 * INTERVAL
    }

    /// Takes in a measurement, on a path whose least round trip is given, by a sender that is late
    /// or not.
    pub(super) fn judge(
        &mut self,
        measured: Measured,
        (least, is_late): (Duration, bool),
        fates: Fates,
        now: Timestamp,
    ) -> Verdict {
        let Measured { round_trip, jitter, .. } = measured;
        let lasts = now.since(self.began);
        // For so long the drain had gone on when the packets were sent that are acknowledged now.
        let shows = lasts.checked_sub(round_trip);
        self.is_narrow |= !is_late && self.looks_narrow(measured, least, now);
        self.longest = self.longest.max(round_trip);
        let has_queue = round_trip > least + least / 8 + QUEUE / 2 + jitter;
        if self.heavy_loss.is_none() && !has_queue {
            let is_too_soon = shows.is_none_or(|shows| shows < self.first.saturating_sub(least));
            return if is_too_soon { Verdict::Passed } else { Verdict::Drained };
        }
        if has_queue {
            // While a queue waits, what arrives is what the path carries.
            self.arrived += measured.delivered.min(self.rate) * measured.length;
            self.intervals += measured.length;
        }
        let is_drained = measured.sent < (self.carries() * DRAINED).max(self.floor / 2.0);
        self.drained_since = is_drained.then(|| self.drained_since.unwrap_or(self.last_at));
        self.last_at = now;
        // What was sent before it was less says nothing.
        if self.drained_since.is_none_or(|since| now.since(since) < round_trip) {
            (self.steady, self.fates) = (None, None);
            return Verdict::Open;
        }
        let steady_for = self.steady_for(round_trip, jitter, now);
        let fates = fates - *self.fates.get_or_insert(fates);
        match self.heavy_loss {
            None if steady_for >= 2 * INTERVAL && fates.loss() < HEAVY_LOSS => {
                let fell_most = 2 * round_trip < self.longest + least;
                if fell_most { Verdict::DrainedTo(round_trip) } else { Verdict::Longer(round_trip) }
            }
            Some(before) if fates.all() >= JUDGED_PACKETS && !has_queue => {
                match fates.loss() > before / 2.0 {
                    true => Verdict::Lossy(before.max(fates.loss())),
                    false => Verdict::Drained,
                }
            }
            _ => Verdict::Open,
        }
    }

    /// Whether the queue stays though no more than the floor is sent, and that has shown for long.
    fn looks_narrow(&mut self, measured: Measured, least: Duration, now: Timestamp) -> bool {
        let is_long = measured.round_trip > least + least / 4 + LONG_QUEUE;
        let is_caused = is_long && measured.sent > self.floor / 2.0;
        self.long_since = is_caused.then(|| self.long_since.unwrap_or(now));
        let long_for = self.long_since.map_or(Duration::ZERO, |since| now.since(since));
        let has_grown = measured.round_trip > self.first + LONG_QUEUE;
        long_for > if has_grown { NARROW / 2 } else { NARROW + measured.round_trip }
    }

    /// For how long round trips have hardly differed.
    fn steady_for(&mut self, round_trip: Duration, jitter: Duration, now: Timestamp) -> Duration {
        let fresh = Steady { since: now, shortest: round_trip, longest: round_trip };
        let steady = self.steady.get_or_insert(fresh);
        steady.shortest = steady.shortest.min(round_trip);
        steady.longest = steady.longest.max(round_trip);
        if steady.longest - steady.shortest >= QUEUE + jitter {
            *steady = fresh;
        }
        now.since(steady.since)
    }
}
