//! A process's clocks: a monotonic one with a rate of its own, and a wall clock that may jump.

use truetick_netcode::time::Timestamp;

const BILLION: i128 = 1_000_000_000;

/// The clocks of one process, as functions of true time.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock {
    /// True time and own time at the last change of rate.
    base: (Timestamp, Timestamp),
    /// Drift of the own clock in billionths; positive is fast.
    drift_ppb: i64,
    /// Wall clock less own time, in milliseconds.
    wall_offset_ms: i64,
}

impl VirtualClock {
    /// Creates a clock that shows `shown` at `now` and has no drift. Its wall clock shows
    /// `wall_ms`, in milliseconds since 1970.
    pub fn new(now: Timestamp, shown: Timestamp, wall_ms: i64) -> Self {
        let wall_offset_ms = wall_ms - (shown.as_micros() / 1_000) as i64;
        Self {
            base: (now, shown),
            drift_ppb: 0,
            wall_offset_ms,
        }
    }

    /// Returns the clock's time at a true time, which must not be before the last change of rate.
    pub fn at(&self, now: Timestamp) -> Timestamp {
        let passed = i128::from(now.as_nanos().saturating_sub(self.base.0.as_nanos()));
        let own = passed * (BILLION + i128::from(self.drift_ppb)) / BILLION;
        Timestamp::from_nanos((i128::from(self.base.1.as_nanos()) + own) as u64)
    }

    /// Returns the first true time at which the clock shows `shown` or more.
    pub fn when(&self, shown: Timestamp) -> Timestamp {
        let own = i128::from(shown.as_nanos().saturating_sub(self.base.1.as_nanos())) * BILLION;
        let rate = BILLION + i128::from(self.drift_ppb);
        let passed = (own + rate - 1) / rate;
        let at = i128::from(self.base.0.as_nanos()) + passed;
        Timestamp::from_nanos(u64::try_from(at).unwrap_or(u64::MAX))
    }

    /// Sets the drift from now on in millionths; positive is fast.
    pub(crate) fn set_drift_ppm(&mut self, now: Timestamp, ppm: i32) {
        self.base = (now, self.at(now));
        self.drift_ppb = i64::from(ppm) * 1_000;
    }

    /// Returns the wall clock in milliseconds since 1970.
    pub fn wall_ms(&self, now: Timestamp) -> i64 {
        (self.at(now).as_micros() / 1_000) as i64 + self.wall_offset_ms
    }

    /// Returns the wall clock less the own clock, in nanoseconds.
    pub fn wall_offset_ns(&self) -> i64 {
        self.wall_offset_ms * 1_000_000
    }

    /// Returns the wall clock in nanoseconds since 1970, with which a kernel stamps datagrams.
    pub(crate) fn wall_ns(&self, now: Timestamp) -> u64 {
        self.at(now)
            .as_nanos()
            .saturating_add_signed(self.wall_offset_ns())
    }

    /// Sets the wall clock forward by `by_ms`, or back if that is negative.
    pub(crate) fn jump_wall(&mut self, by_ms: i64) {
        self.wall_offset_ms += by_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #[test]
        fn when_is_the_first_moment(start in 0u64..1 << 40, shown in 0u64..1 << 50, ppm in -500i32..500, ahead in 0u64..1 << 40) {
            let mut clock = VirtualClock::new(Timestamp::from_nanos(start), Timestamp::from_nanos(shown), 0);
            clock.set_drift_ppm(Timestamp::from_nanos(start), ppm);
            let wanted = Timestamp::from_nanos(shown + ahead);
            let when = clock.when(wanted);
            prop_assert!(clock.at(when) >= wanted);
            prop_assert!(when.as_nanos() == start || clock.at(Timestamp::from_nanos(when.as_nanos() - 1)) < wanted);
        }
    }

    #[test]
    fn a_fast_clock_gains_what_it_says() {
        let start = Timestamp::from_millis(1_000);
        let mut clock = VirtualClock::new(start, Timestamp::default(), 5_000);
        clock.set_drift_ppm(start, 200);
        let later = start + Duration::from_secs(10);
        assert_eq!(clock.at(later).as_micros(), 10_002_000);
        clock.jump_wall(-3_000);
        assert_eq!(clock.wall_ms(later), 12_002);
    }
}
