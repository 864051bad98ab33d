//! The one module that reads the machine's clocks; the `tidy` test holds that rule.
//!
//! Everything else takes a [`Timestamp`] as an argument and so runs the same under virtual time.

use std::time::Duration;
/// What libraries call a time, for those that want to be told.
pub use std::time::Instant;

use rustix::thread::{NanosleepRelativeResult, clock_nanosleep_absolute};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::time::{Timestamp, UnixTime};

/// Now, on the machine's monotonic clock. Processes on one host share its start.
pub fn now() -> Timestamp {
    Timestamp::from_nanos(nanos(clock_gettime(ClockId::Monotonic)))
}

/// Now, as the clock on the wall shows it.
pub fn unix_now() -> UnixTime {
    UnixTime::from_millis(nanos(clock_gettime(ClockId::Realtime)) / 1_000_000)
}

/// How far the wall clock is ahead of the monotonic one (below zero: behind), in nanoseconds. It
/// changes whenever the wall clock is set; [`crate::transport::stamps`] bounds what follows from
/// it.
pub fn wall_offset_nanos() -> i64 {
    let [wall, own] = [ClockId::Realtime, ClockId::Monotonic].map(|id| nanos(clock_gettime(id)));
    wall.wrapping_sub(own) as i64
}

/// The same for libraries.
pub fn instant() -> Instant {
    Instant::now()
}

/// Processor time that the calling thread has used so far.
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(nanos(clock_gettime(ClockId::ThreadCPUTime)))
}

/// Sleeps until `deadline` on [`now`]'s line; at once if it has passed. Signals do not cut it
/// short.
pub fn sleep_until(deadline: Timestamp) {
    let at = timespec(deadline);
    while clock_nanosleep_absolute(ClockId::Monotonic, &at).is_err() {}
}

/// Sleeps for `span`, for threads that only watch others.
pub fn sleep(span: Duration) {
    let mut left =
        Timespec { tv_sec: span.as_secs() as i64, tv_nsec: i64::from(span.subsec_nanos()) };
    while let NanosleepRelativeResult::Interrupted(rest) = rustix::thread::nanosleep(&left) {
        left = rest;
    }
}

fn nanos(at: Timespec) -> u64 {
    (at.tv_sec.max(0) as u64).saturating_mul(1_000_000_000).saturating_add(at.tv_nsec as u64)
}

fn timespec(at: Timestamp) -> Timespec {
    Timespec {
        tv_sec: (at.as_nanos() / 1_000_000_000) as i64,
        tv_nsec: (at.as_nanos() % 1_000_000_000) as i64,
    }
}
