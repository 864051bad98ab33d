//! When the server's ticks are due, as the server told.

use crate::error::WireError;
use crate::tick::Tick;

/// Ticks follow each other at a rate from when tick 0 was due, in microseconds of the server's
/// clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLine {
    epoch_us: i64,
    tick_rate: u32,
}

/// A server's clock starts within some 300 years of its tick 0.
pub fn check_epoch(epoch_us: i64) -> Result<i64, WireError> {
    match epoch_us.unsigned_abs() < 1 << 53 {
        true => Ok(epoch_us),
        false => Err(WireError::Malformed("time line out of range")),
    }
}

impl TimeLine {
    /// A time line of 1 to 1,000 ticks a second.
    pub fn new(tick_rate: u32, epoch_us: i64) -> Result<Self, WireError> {
        if !(1..=1_000).contains(&tick_rate) {
            return Err(WireError::Malformed("tick rate out of range"));
        }
        Ok(Self { epoch_us: check_epoch(epoch_us)?, tick_rate })
    }

    /// Ticks per second.
    pub fn tick_rate(&self) -> u32 {
        self.tick_rate
    }

    /// The server fell behind and moved it; returns by how many microseconds.
    pub fn move_to(&mut self, epoch_us: i64) -> Result<i64, WireError> {
        let (moved, lap_us) =
            (check_epoch(epoch_us)? - self.epoch_us, (1_000_000 << 32) / i64::from(self.tick_rate));
        // A server whose ticks have wrapped tells of its last tick 0.
        let laps = (moved + lap_us / 2).div_euclid(lap_us);
        self.epoch_us = epoch_us;
        Ok(moved - laps * lap_us)
    }

    /// When a tick is due.
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
        assert_eq!((line.tick_at_us(Tick(0)), line.tick_at_us(Tick(120))), (5_000, 2_005_000));
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
