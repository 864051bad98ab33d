//! Access to the machine's clocks. No other module reads them; the `tidy` test enforces that rule.
//!
//! All other code takes a [`Timestamp`] as an argument, so it runs unchanged under virtual time.

use std::time::Duration;
/// The standard library's monotonic time, for libraries whose interface requires it.
pub use std::time::Instant;

use rustix::thread::{NanosleepRelativeResult, clock_nanosleep_absolute};
use rustix::time::{ClockId, Timespec, clock_gettime};

use truetick_netcode::time::{Timestamp, UnixTime};

/// Reads the machine's monotonic clock. All processes of one host share its start.
pub fn now() -> Timestamp {
    Timestamp::from_nanos(nanos(clock_gettime(ClockId::Monotonic)))
}

/// Reads the wall clock (UTC), in milliseconds since 1970.
pub fn unix_now() -> UnixTime {
    UnixTime::from_millis(nanos(clock_gettime(ClockId::Realtime)) / 1_000_000)
}

/// Returns the wall clock minus the monotonic clock, in nanoseconds; negative if the wall clock is
/// behind. It changes whenever the wall clock is set; [`crate::stamps`] bounds the
/// resulting error.
pub fn wall_offset_nanos() -> i64 {
    let [wall, own] = [ClockId::Realtime, ClockId::Monotonic].map(|id| nanos(clock_gettime(id)));
    wall.wrapping_sub(own) as i64
}

/// Reads the monotonic clock as an [`Instant`], for libraries whose interface requires one.
pub fn instant() -> Instant {
    Instant::now()
}

/// Returns the processor time that the calling thread has used so far.
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(nanos(clock_gettime(ClockId::ThreadCPUTime)))
}

/// Sleeps until `deadline` on the clock of [`now`]. Returns at once if the deadline has passed.
/// Signals do not shorten the sleep.
pub fn sleep_until(deadline: Timestamp) {
    let at = timespec(deadline);
    while clock_nanosleep_absolute(ClockId::Monotonic, &at).is_err() {}
}

/// Sleeps for `span`. Signals do not shorten the sleep. Meant for threads that only monitor others.
pub fn sleep(span: Duration) {
    let mut left = Timespec {
        tv_sec: span.as_secs() as i64,
        tv_nsec: i64::from(span.subsec_nanos()),
    };
    while let NanosleepRelativeResult::Interrupted(rest) = rustix::thread::nanosleep(&left) {
        left = rest;
    }
}

fn nanos(at: Timespec) -> u64 {
    (at.tv_sec.max(0) as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(at.tv_nsec as u64)
}

fn timespec(at: Timestamp) -> Timespec {
    Timespec {
        tv_sec: (at.as_nanos() / 1_000_000_000) as i64,
        tv_nsec: (at.as_nanos() % 1_000_000_000) as i64,
    }
}
