//! Draining a queue, to find out whether the sender caused it.

use std::time::Duration;

use super::{HEAVY_LOSS, INTERVAL, LONG_QUEUE, Limits, Measured, QUEUE};
use crate::rtt::Fates;
use crate::time::Timestamp;

/// Number of packets after which the share of lost ones is judged.
const JUDGED_PACKETS: u64 = 16;

/// Share of the measured capacity that is sent after the drain, where less arrived than was sent.
const AFTER: f64 = 0.9;

/// Least share of the former rate that is sent after the drain, where everything arrived or the
/// queue was small.
const AFTER_ALL: f64 = 0.8;

/// A path is narrow if a long queue has lasted for this time plus one round trip. Half of this time
/// is enough where the queue has grown.
const NARROW: Duration = Duration::from_millis(600);

/// Share of the measured capacity above which sending does not count as draining, so that round
/// trips need not fall.
const DRAINED: f64 = 0.75;

/// State of a drain: less is sent, and the round trips are watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    began: Timestamp,
    /// Bytes per tick that were sent before the drain.
    pub(super) rate: f64,
    /// Sum of the bytes per tick that arrived while the path was full, each weighted by its length
    /// in [`INTERVAL`]s, and the sum of those lengths.
    arrived: f64,
    intervals: f64,
    /// Whether everything that was sent before the drain arrived.
    all_arrived: bool,
    /// Share of packets that were lost before the drain, if it was heavy.
    pub(super) heavy_loss: Option<f64>,
    /// Round trip at the beginning, and the longest one since.
    first: Duration,
    longest: Duration,
    /// Time since when less is sent than arrives, and time of the last measurement.
    drained_since: Option<Timestamp>,
    last_at: Timestamp,
    /// Time since when a long queue waits although no more than about the floor is sent.
    long_since: Option<Timestamp>,
    floor: f64,
    /// Whether the path is known to carry less than the floor in each tick.
    pub(super) is_narrow: bool,
    /// Whether the path was known to be narrow when the drain began.
    pub(super) was_narrow: bool,
    /// Range of the round trips of packets sent during the drain, while they differ by less than
    /// [`QUEUE`] plus jitter.
    steady: Option<Steady>,
    /// Counts of delivered and lost packets when the first packet sent during the drain was
    /// acknowledged.
    fates: Option<Fates>,
}

#[derive(Clone, Copy, Debug)]
struct Steady {
    since: Timestamp,
    shortest: Duration,
    longest: Duration,
}

/// Result of a drain so far.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// No result yet.
    Open,
    /// The queue disappeared sooner than the drain can have emptied it.
    Passed,
    /// The path was full, and its queue is gone.
    Drained,
    /// The path was full, and most of its queue is gone; holds the present round trip.
    DrainedTo(Duration),
    /// The path is not full but longer; holds its new round trip.
    Longer(Duration),
    /// The path is not full but loses packets; holds their share.
    Lossy(f64),
}

impl Drain {
    /// Begins a drain at a rate in bytes per tick. `is_narrow` is whether the path is known to
    /// carry less than the floor in each tick.
    pub(super) fn new(
        rate: f64,
        is_narrow: bool,
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

    /// Bytes per tick to send once the queue is gone.
    pub(super) fn rate_after(&self, least: Duration, now: Timestamp) -> f64 {
        let arrived = self.carries() * AFTER;
        // A small queue that disappears at once was a small excess or mere jitter.
        let is_little = self.all_arrived || self.is_small(least, now);
        if is_little {
            arrived.max(self.rate * AFTER_ALL)
        } else {
            arrived
        }
    }

    /// Capacity of the path in bytes per tick: what arrived while it was full.
    pub(super) fn carries(&self) -> f64 {
        self.arrived / self.intervals
    }

    /// Whether the queue was small and disappeared at once.
    pub(super) fn is_small(&self, least: Duration, now: Timestamp) -> bool {
        self.first < least + LONG_QUEUE && now.since(self.began) < 3 * INTERVAL
    }

    /// Adds a measurement and returns the result so far. `least` is the minimum round trip of the
    /// path, `is_late` whether the sender runs behind its ticks.
    pub(super) fn judge(
        &mut self,
        measured: Measured,
        least: Duration,
        is_late: bool,
        fates: Fates,
        now: Timestamp,
    ) -> Verdict {
        let Measured {
            round_trip, jitter, ..
        } = measured;
        let lasts = now.since(self.began);
        // Age of the drain when the packets that are acknowledged now were sent.
        let shows = lasts.checked_sub(round_trip);
        self.is_narrow |= !is_late && self.looks_narrow(measured, least, now);
        self.longest = self.longest.max(round_trip);
        let has_queue = round_trip > least + least / 8 + QUEUE / 2 + jitter;
        if self.heavy_loss.is_none() && !has_queue {
            return self.without_queue(shows, least);
        }
        if has_queue {
            // While a queue waits, the arriving bytes are the capacity of the path.
            self.arrived += measured.delivered.min(self.rate) * measured.length;
            self.intervals += measured.length;
        }
        let is_drained = measured.sent < (self.carries() * DRAINED).max(self.floor / 2.0);
        self.drained_since = is_drained.then(|| self.drained_since.unwrap_or(self.last_at));
        self.last_at = now;
        // Packets from before the rate fell show nothing about the drain.
        if self
            .drained_since
            .is_none_or(|since| now.since(since) < round_trip)
        {
            (self.steady, self.fates) = (None, None);
            return Verdict::Open;
        }
        let steady_for = self.steady_for(round_trip, jitter, now);
        let fates = fates - *self.fates.get_or_insert(fates);
        match self.heavy_loss {
            None if steady_for >= 2 * INTERVAL && fates.loss() < HEAVY_LOSS => {
                let fell_most = 2 * round_trip < self.longest + least;
                if fell_most {
                    Verdict::DrainedTo(round_trip)
                } else {
                    Verdict::Longer(round_trip)
                }
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

    /// The result where the queue is gone. `shows` is the age of the drain when the packets that
    /// are acknowledged now were sent.
    fn without_queue(&self, shows: Option<Duration>, least: Duration) -> Verdict {
        let is_too_soon = shows.is_none_or(|shows| shows < self.first.saturating_sub(least));
        if is_too_soon {
            Verdict::Passed
        } else {
            Verdict::Drained
        }
    }

    /// Whether a long queue has stayed for long although no more than about the floor is sent.
    fn looks_narrow(&mut self, measured: Measured, least: Duration, now: Timestamp) -> bool {
        let is_long = measured.round_trip > least + least / 4 + LONG_QUEUE;
        let is_caused = is_long && measured.sent > self.floor / 2.0;
        self.long_since = is_caused.then(|| self.long_since.unwrap_or(now));
        let long_for = self
            .long_since
            .map_or(Duration::ZERO, |since| now.since(since));
        let has_grown = measured.round_trip > self.first + LONG_QUEUE;
        long_for
            > if has_grown {
                NARROW / 2
            } else {
                NARROW + measured.round_trip
            }
    }

    /// Time for which round trips have hardly differed.
    fn steady_for(&mut self, round_trip: Duration, jitter: Duration, now: Timestamp) -> Duration {
        let fresh = Steady {
            since: now,
            shortest: round_trip,
            longest: round_trip,
        };
        let steady = self.steady.get_or_insert(fresh);
        steady.shortest = steady.shortest.min(round_trip);
        steady.longest = steady.longest.max(round_trip);
        if steady.longest - steady.shortest >= QUEUE + jitter {
            *steady = fresh;
        }
        now.since(steady.since)
    }
}
