//! Deadlines of ticks: absolute, with a bounded catch-up beyond which slots are skipped.
//!
//! The timeline consists of slots, one tick long each, and never moves. A server that falls too far
//! behind skips the slots that it missed: no tick runs in them, and the ticks of the simulation
//! stay contiguous. Tick `t` runs in slot `t + skipped`. Clients send commands for slots, so their
//! commands for skipped slots become void by themselves.

use std::time::Duration;

use truetick_netcode::limits::CATCH_UP_TICKS;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

/// Deadlines of a room's ticks. Slot `n` is due at `epoch + n / rate`; rounding errors do not add
/// up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    rate: u32,
    /// When slot 0 was due, in nanoseconds; negative if the clock began later. After ticks have
    /// wrapped it belongs to the last tick 0.
    epoch_ns: i64,
    next: Tick,
    /// Number of slots skipped so far.
    skipped: u64,
    /// Number of times that ticks have wrapped.
    laps: u64,
}

/// The ticks that are due now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Number of ticks to run, 0 to [`CATCH_UP_TICKS`].
    pub ticks: u32,
    /// Total length of the slots that were skipped because the room fell too far behind; zero if
    /// none.
    pub skipped: Duration,
}

impl Timeline {
    /// Creates a timeline of `rate` ticks per second whose first tick, `next`, is due one tick
    /// after `now`.
    pub fn new(rate: u32, next: Tick, now: Timestamp) -> Self {
        let mut timeline = Self {
            rate,
            epoch_ns: 0,
            next,
            skipped: 0,
            laps: 0,
        };
        timeline.epoch_ns = now.as_nanos() as i64 - timeline.offset_ns(i64::from(next.0) - 1);
        timeline
    }

    /// Ticks per second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Length of a tick, rounded down to nanoseconds.
    pub(crate) fn tick_length(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 / u64::from(self.rate))
    }

    /// The time in microseconds from which the deadlines of future ticks follow: when tick 0 would
    /// have been due if all slots skipped so far had been skipped before it. After ticks have
    /// wrapped it belongs to the last tick 0.
    pub fn epoch_us(&self) -> i64 {
        self.epoch_ns.saturating_add(self.skipped_ns()) / 1_000
    }

    /// Number of slots skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The slot in which a tick runs. The tick must not lie before the last skipped slot.
    pub fn slot(&self, tick: Tick) -> Tick {
        tick + self.skipped as u32
    }

    /// The slot that is due next at a given time.
    pub(crate) fn slot_at(&self, now: Timestamp) -> Tick {
        let next = self.next_deadline();
        let tick_ns = i128::from(1_000_000_000 / u64::from(self.rate));
        let ahead =
            (i128::from(now.as_nanos()) - i128::from(next.as_nanos())).div_euclid(tick_ns) + 1;
        let slot = self.slot(self.next);
        match u32::try_from(ahead) {
            Ok(ahead) => slot + ahead,
            Err(_) => slot.back(u32::try_from(-ahead).unwrap_or(0)),
        }
    }

    fn skipped_ns(&self) -> i64 {
        self.offset_ns(i64::try_from(self.skipped).unwrap_or(i64::MAX))
    }

    /// When the first tick 0, before any wrap, was due, in microseconds. [`Self::number`] counts
    /// from it.
    pub(crate) fn first_epoch_us(&self) -> i64 {
        let laps = self.offset_ns(i64::try_from(self.laps << 32).unwrap_or(i64::MAX));
        self.epoch_ns
            .saturating_add(self.skipped_ns())
            .saturating_sub(laps)
            / 1_000
    }

    /// Number of the next tick, which does not wrap.
    pub fn number(&self) -> u64 {
        self.laps << 32 | u64::from(self.next.0)
    }

    fn offset_ns(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * 1_000_000_000).div_euclid(i128::from(self.rate)) as i64
    }

    /// Deadline of a tick, which must be within half the range of ticks from the next one.
    pub fn deadline(&self, tick: Tick) -> Timestamp {
        self.slot_deadline(self.slot(tick))
    }

    /// Deadline of a slot, which must be within half the range of ticks from the next one.
    pub(crate) fn slot_deadline(&self, slot: Tick) -> Timestamp {
        let ahead = slot.distance(self.slot(self.next));
        let ticks = i64::from(self.next.0).saturating_add_unsigned(self.skipped) + i64::from(ahead);
        Timestamp::from_nanos(self.epoch_ns.saturating_add(self.offset_ns(ticks)).max(0) as u64)
    }

    /// The next tick to run.
    pub fn next(&self) -> Tick {
        self.next
    }

    /// Deadline of the next tick.
    pub fn next_deadline(&self) -> Timestamp {
        self.deadline(self.next)
    }

    /// Determines which ticks are due. More than [`CATCH_UP_TICKS`] behind, slots are skipped so
    /// that the next tick runs in the slot that is due now.
    pub fn due(&mut self, now: Timestamp) -> Due {
        let late = now.since(self.next_deadline());
        if now < self.next_deadline() {
            return Due {
                ticks: 0,
                skipped: Duration::ZERO,
            };
        }
        let behind = late.as_nanos() / self.tick_length().as_nanos() + 1;
        if behind <= u128::from(CATCH_UP_TICKS) {
            return Due {
                ticks: behind as u32,
                skipped: Duration::ZERO,
            };
        }
        let skipped = u32::try_from(behind - 1).unwrap_or(u32::MAX);
        self.skipped += u64::from(skipped);
        Due {
            ticks: 1,
            skipped: self.tick_length() * skipped,
        }
    }

    /// Records that the next tick has run.
    pub fn advance(&mut self) {
        self.next = self.next.next();
        if self.next == Tick(0) {
            self.laps += 1;
            self.epoch_ns = self.epoch_ns.saturating_add(self.offset_ns(1 << 32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timeline {
        Timeline::new(60, Tick(1), Timestamp::from_millis(1_000))
    }

    #[test]
    fn deadlines_do_not_drift() {
        let timeline = start();
        assert_eq!(timeline.deadline(Tick(0)), Timestamp::from_millis(1_000));
        assert_eq!(
            timeline.deadline(Tick(60 * 3_600)),
            Timestamp::from_millis(3_601_000)
        );
    }

    #[test]
    fn nothing_is_due_early_and_one_tick_on_time() {
        let mut timeline = start();
        let deadline = timeline.next_deadline();
        assert_eq!(timeline.due(deadline - Duration::from_nanos(1)).ticks, 0);
        assert_eq!(timeline.due(deadline).ticks, 1);
    }

    #[test]
    fn deadlines_go_on_where_ticks_wrap() {
        for rate in [10, 60, 64, 128] {
            let now = Timestamp::from_millis(5_000);
            let mut timeline = Timeline::new(rate, Tick(u32::MAX - 99), now);
            for count in 1..=300u64 {
                let due = Duration::from_nanos(count * 1_000_000_000 / u64::from(rate));
                let error = timeline
                    .next_deadline()
                    .as_nanos()
                    .abs_diff((now + due).as_nanos());
                assert!(error <= 2, "{rate} Hz, tick {count}: {error} ns");
                assert_eq!(timeline.number(), u64::from(u32::MAX) - 99 + count - 1);
                assert_eq!(timeline.due(timeline.next_deadline()).ticks, 1);
                timeline.advance();
            }
            assert!(timeline.deadline(Tick(u32::MAX)) < timeline.deadline(Tick(0)));
            assert!(timeline.epoch_us() > 0 && timeline.first_epoch_us() < 0);
        }
    }

    #[test]
    fn four_ticks_are_caught_up() {
        let mut timeline = start();
        let due = timeline.due(timeline.deadline(Tick(4)));
        assert_eq!(
            due,
            Due {
                ticks: 4,
                skipped: Duration::ZERO
            }
        );
    }

    #[test]
    fn beyond_that_slots_are_skipped_and_no_tick_is() {
        let mut timeline = start();
        let before = timeline.epoch_us();
        let due_now = timeline.deadline(Tick(6));
        let now = due_now + Duration::from_millis(1);
        assert_eq!(timeline.slot_at(now), Tick(7));
        let due = timeline.due(now);
        assert_eq!((due.ticks, due.skipped), (1, timeline.tick_length() * 5));
        assert_eq!(
            (timeline.next(), timeline.slot(Tick(1)), timeline.skipped()),
            (Tick(1), Tick(6), 5)
        );
        assert_eq!(
            (timeline.next_deadline(), timeline.slot_deadline(Tick(6))),
            (due_now, due_now)
        );
        assert_eq!(timeline.slot_at(now), Tick(7));
        assert_eq!(timeline.slot_at(now - timeline.tick_length() * 3), Tick(4));
        assert!((83_332..=83_334).contains(&(timeline.epoch_us() - before)));
    }
}
