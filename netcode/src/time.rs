//! Points in time as plain numbers, so that production, simulation and tests share one type.
//!
//! A [`Timestamp`] counts nanoseconds since an arbitrary start. Only [`crate::clock`] makes one
//! from the machine's clock; everything else receives it as an argument. So does [`UnixTime`],
//! which counts from 1970.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point on a monotonic time line, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `ns` nanoseconds after the start.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// The point `us` microseconds after the start.
    pub const fn from_micros(us: u64) -> Self {
        Self(us * 1_000)
    }

    /// The point `ms` milliseconds after the start.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Time from `earlier` to here, zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Signed microseconds from `other` to here: negative where `other` is later.
    pub fn micros_from(self, other: Self) -> i64 {
        (self.0 as i64).wrapping_sub(other.0 as i64) / 1_000
    }

    /// Here moved by `us` microseconds in either direction, stopping at the start.
    pub fn offset_micros(self, us: i64) -> Self {
        Self(self.0.saturating_add_signed(us.saturating_mul(1_000)))
    }
}

/// A time on the wall, in milliseconds since 1970. It can jump; only tokens are measured by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The time `ms` milliseconds after 1970 began.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
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
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}
