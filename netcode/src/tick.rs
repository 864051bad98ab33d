//! Simulation ticks and their order, which stays correct across the wrap-around.
//!
//! ```
//! use truetick_netcode::tick::Tick;
//!
//! let (last, first) = (Tick(u32::MAX), Tick(0));
//! assert!(first.is_after(last));
//! assert_eq!(first.distance(last), 1);
//! ```

use std::fmt;
use std::ops::Add;

/// Number of a simulation step. It wraps after 2^32 steps (2.2 years at 60 Hz). Two ticks are
/// ordered by their signed distance, which is correct across the wrap if they are less than 2^31
/// apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tick(pub u32);

impl Tick {
    /// Signed number of ticks from `other` to this one; positive if this one is later.
    pub fn distance(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// Whether this tick is later than `other`.
    pub fn is_after(self, other: Self) -> bool {
        self.distance(other) > 0
    }

    /// Number of ticks from `earlier` to this one, 0 to 2^32 - 1. The caller must know that
    /// `earlier` is not the later one.
    pub fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Limits the age of a tick to `oldest` at `now`: returns the tick itself, or `now` minus
    /// `oldest` if it is older. `now` is `passed` ticks after `before`, and this tick is not later
    /// than `before`.
    ///
    /// Ticks that are kept for long stay comparable if this is called before their distance to
    /// `now` exceeds 2^31.
    pub fn renewed(self, before: Self, passed: u32, now: Self, oldest: u32) -> Self {
        let age = u64::from(before.distance(self).max(0).unsigned_abs()) + u64::from(passed);
        if age > u64::from(oldest) {
            now.back(oldest)
        } else {
            self
        }
    }

    /// The later of two ticks.
    pub fn later(self, other: Self) -> Self {
        if self.is_after(other) { self } else { other }
    }

    /// The tick `count` ticks before this one; wraps.
    pub fn back(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count))
    }

    /// The tick after this one; wraps.
    pub fn next(self) -> Self {
        self + 1
    }

    /// Index below `count` (1 or more) at which a round begins in this tick. The indices of
    /// successive ticks lie far apart, and over many ticks each index is about equally frequent
    /// (multiples of the golden ratio).
    pub fn first_of_round(self, count: usize) -> usize {
        let turn = u64::from(self.0.wrapping_mul(0x9e37_79b9));
        ((turn * count as u64) >> 32) as usize
    }
}

impl Add<u32> for Tick {
    type Output = Self;

    fn add(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_begin_at_each_place_about_as_often() {
        for count in [1, 2, 5, 12, 16, 157, 1_000] {
            let mut began = vec![0; count];
            (0..count as u32 * 10).for_each(|tick| began[Tick(tick).first_of_round(count)] += 1);
            assert!(
                began.iter().all(|times| (8..=12).contains(times)),
                "{count}: {began:?}"
            );
        }
    }

    #[test]
    fn what_rests_stays_comparable_however_far_time_jumps() {
        for start in [10, (1 << 31) - 100, u32::MAX - 50] {
            for passed in [
                1,
                100,
                1 << 20,
                (1 << 31) - 1,
                1 << 31,
                (1 << 31) + 77,
                u32::MAX,
            ] {
                let (before, now) = (Tick(start), Tick(start) + passed);
                for age in [0, 5, 500] {
                    let renewed = before.back(age).renewed(before, passed, now, 1_000);
                    let expected = (u64::from(age) + u64::from(passed)).min(1_000);
                    assert_eq!(now.distance(renewed), expected as i32, "{start} + {passed}");
                }
            }
        }
    }

    #[test]
    fn order_holds_across_the_wrap() {
        let (before, after) = (Tick(u32::MAX - 1), Tick(3));
        assert!(after.is_after(before) && !before.is_after(after));
        assert_eq!(after.distance(before), 5);
        assert_eq!(before.distance(after), -5);
        assert_eq!(before.later(after), after);
        assert_eq!(before + 5, after);
        assert_eq!(after.back(5), before);
    }
}
