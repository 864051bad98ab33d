//! The server's time line: when each of its ticks is due.

use crate::error::WireError;
use crate::tick::Tick;

/// A server's time line. Ticks follow each other at a fixed rate from the time at which tick 0 was
/// due, in microseconds of the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLine {
    epoch_us: i64,
    tick_rate: u32,
}

/// Checks the time at which tick 0 was due: its magnitude is below 2^53 microseconds, about 285
/// years.
///
/// # Errors
/// [`WireError::Malformed`] beyond that range.
pub(crate) fn check_epoch(epoch_us: i64) -> Result<i64, WireError> {
    match epoch_us.unsigned_abs() < 1 << 53 {
        true => Ok(epoch_us),
        false => Err(WireError::Malformed("time line out of range")),
    }
}

impl TimeLine {
    /// A time line of `tick_rate` ticks per second, from 1 to 1,000. Tick 0 is due at `epoch_us`,
    /// in microseconds of the server's clock.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if either value is out of its range.
    pub fn new(tick_rate: u32, epoch_us: i64) -> Result<Self, WireError> {
        if !(1..=1_000).contains(&tick_rate) {
            return Err(WireError::Malformed("tick rate out of range"));
        }
        Ok(Self {
            epoch_us: check_epoch(epoch_us)?,
            tick_rate,
        })
    }

    /// Ticks per second, from 1 to 1,000.
    pub fn tick_rate(&self) -> u32 {
        self.tick_rate
    }

    /// Moves tick 0 to `epoch_us`, since the server fell behind. Returns by how many microseconds
    /// ticks are due later; the value is negative where they are due earlier.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if `epoch_us` is out of range; the time line is then unchanged.
    pub(crate) fn move_to(&mut self, epoch_us: i64) -> Result<i64, WireError> {
        let (moved, lap_us) = (
            check_epoch(epoch_us)? - self.epoch_us,
            (1_000_000 << 32) / i64::from(self.tick_rate),
        );
        // Once its ticks have wrapped, a server reports the epoch of the latest tick 0.
        let laps = (moved + lap_us / 2).div_euclid(lap_us);
        self.epoch_us = epoch_us;
        Ok(moved - laps * lap_us)
    }

    /// When a tick is due, in microseconds of the server's clock.
    pub fn tick_at_us(&self, tick: Tick) -> i64 {
        self.epoch_us + i64::from(tick.0) * 1_000_000 / i64::from(self.tick_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_follow_from_the_epoch_wherever_it_moves() {
        let mut line = TimeLine::new(60, 5_000).unwrap();
        assert_eq!(
            (line.tick_at_us(Tick(0)), line.tick_at_us(Tick(120))),
            (5_000, 2_005_000)
        );
        assert_eq!(line.move_to(45_000), Ok(40_000));
        assert_eq!(line.tick_at_us(Tick(120)), 2_045_000);
    }

    #[test]
    fn a_move_is_told_from_a_wrap() {
        for rate in [10, 60, 128, 1_000] {
            let lap_us = (1_000_000 << 32) / i64::from(rate);
            let mut line = TimeLine::new(rate, 5_000).unwrap();
            assert_eq!(line.move_to(5_000 + lap_us + 40_000), Ok(40_000));
            assert_eq!(line.move_to(5_000 + lap_us + 30_000), Ok(-10_000));
            assert_eq!(line.tick_at_us(Tick(0)), 35_000 + lap_us);
        }
    }

    #[test]
    fn what_no_server_has_is_refused_and_changes_nothing() {
        assert!(TimeLine::new(0, 0).is_err() && TimeLine::new(1_001, 0).is_err());
        assert!(TimeLine::new(60, i64::MIN).is_err());
        let mut line = TimeLine::new(60, 7).unwrap();
        assert!(line.move_to(i64::MAX).is_err());
        assert_eq!(line.tick_at_us(Tick(0)), 7);
    }
}
