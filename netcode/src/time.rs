//! Points in time as plain numbers, so that production, simulation and tests share one type.
//!
//! A [`Timestamp`] counts nanoseconds since an arbitrary start; a [`UnixTime`] counts milliseconds
//! since 1970. Only `truetick_transport::clock` creates them from the clocks of the machine; all
//! other code receives them as arguments.
//!
//! ```
//! use std::time::Duration;
//! use truetick_netcode::time::Timestamp;
//!
//! let began = Timestamp::from_millis(100);
//! let now = began + Duration::from_millis(20);
//! assert_eq!(now.since(began), Duration::from_millis(20));
//! assert_eq!(began.since(now), Duration::ZERO);
//! ```

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point on a monotonic time line, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Returns the point `ns` nanoseconds after the start.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Returns the point `us` microseconds after the start.
    pub const fn from_micros(us: u64) -> Self {
        Self(us * 1_000)
    }

    /// Returns the point `ms` milliseconds after the start.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Returns the nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the whole microseconds since the start, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Returns the time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the signed microseconds from `other` to `self`; negative if `other` is later.
    pub fn micros_from(self, other: Self) -> i64 {
        (self.0 as i64).wrapping_sub(other.0 as i64) / 1_000
    }

    /// Returns `self` moved by `us` microseconds, forward or (if negative) backward, but not before
    /// the start.
    pub(crate) fn offset_micros(self, us: i64) -> Self {
        Self(self.0.saturating_add_signed(us.saturating_mul(1_000)))
    }
}

/// A point of wall-clock time, in milliseconds since 1970 (UTC). The wall clock can jump; sessions
/// measure only token lifetimes by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// Returns the time `ms` milliseconds after the start of 1970.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Returns the milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the whole seconds since 1970, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}
