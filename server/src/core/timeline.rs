//! When ticks are due: absolute deadlines, a bounded catch-up, and an honest slip beyond it.

use std::time::Duration;

use truetick_netcode::limits::CATCH_UP_TICKS;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

/// A room's deadlines. Tick `n` is due at `epoch + n / rate`; rounding never adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    rate: u32,
    /// When tick 0 was due, in nanoseconds; below zero where the clock began later. Ticks wrap: it is the last tick 0.
    epoch_ns: i64,
    next: Tick,
    /// How often ticks have wrapped.
    laps: u64,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Ticks to run, 0 to [`CATCH_UP_TICKS`].
    pub ticks: u32,
    /// By how much the time line moved because the room fell too far behind.
    pub slipped: Duration,
}

impl Timeline {
    /// A time line of `rate` ticks per second whose first tick, `next`, is due one tick from `now`.
    pub fn new(rate: u32, next: Tick, now: Timestamp) -> Self {
        let mut timeline = Self { rate, epoch_ns: 0, next, laps: 0 };
        timeline.epoch_ns = now.as_nanos() as i64 - timeline.offset_ns(i64::from(next.0) - 1);
        timeline
    }

    /// Ticks per second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Length of a tick.
    pub fn tick_length(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 / u64::from(self.rate))
    }

    /// When tick 0 was due, in microseconds; the last one, if ticks have wrapped.
    pub fn epoch_us(&self) -> i64 {
        self.epoch_ns / 1_000
    }

    /// When the first tick 0 was due, in microseconds: what [`Self::number`] counts from.
    pub fn first_epoch_us(&self) -> i64 {
        let laps = self.offset_ns(i64::try_from(self.laps << 32).unwrap_or(i64::MAX));
        self.epoch_ns.saturating_sub(laps) / 1_000
    }

    /// The number of the tick to run next, which does not wrap.
    pub fn number(&self) -> u64 {
        self.laps << 32 | u64::from(self.next.0)
    }

    fn offset_ns(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * 1_000_000_000).div_euclid(i128::from(self.rate)) as i64
    }

    /// When a tick is due, that is not further from the next than half of the ticks before they wrap.
    pub fn deadline(&self, tick: Tick) -> Timestamp {
        let ticks = i64::from(self.next.0) + i64::from(tick.distance(self.next));
        Timestamp::from_nanos(self.epoch_ns.saturating_add(self.offset_ns(ticks)).max(0) as u64)
    }

    /// The tick to run next.
    pub fn next(&self) -> Tick {
        self.next
    }

    /// When it is due.
    pub fn next_deadline(&self) -> Timestamp {
        self.deadline(self.next)
    }

    /// Which ticks are due. More than [`CATCH_UP_TICKS`] behind, the time line slips: no tick is skipped, they
    /// are all due later.
    pub fn due(&mut self, now: Timestamp) -> Due {
        let late = now.since(self.next_deadline());
        if now < self.next_deadline() {
            return Due { ticks: 0, slipped: Duration::ZERO };
        }
        let behind = late.as_nanos() / self.tick_length().as_nanos() + 1;
        if behind <= u128::from(CATCH_UP_TICKS) {
            return Due { ticks: behind as u32, slipped: Duration::ZERO };
        }
        self.epoch_ns += late.as_nanos() as i64;
        Due { ticks: 1, slipped: late }
    }

    /// The next tick has run.
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
        assert_eq!(timeline.deadline(Tick(60 * 3_600)), Timestamp::from_millis(3_601_000));
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
                let error = timeline.next_deadline().as_nanos().abs_diff((now + due).as_nanos());
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
        assert_eq!(due, Due { ticks: 4, slipped: Duration::ZERO });
    }

    #[test]
    fn beyond_that_the_line_slips_and_no_tick_is_skipped() {
        let mut timeline = start();
        let now = timeline.deadline(Tick(6)) + Duration::from_millis(1);
        let due = timeline.due(now);
        assert_eq!(due.ticks, 1);
        assert_eq!(due.slipped, now.since(start().next_deadline()));
        assert_eq!((timeline.next(), timeline.next_deadline()), (Tick(1), now));
    }
}
