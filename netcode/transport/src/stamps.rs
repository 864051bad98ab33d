//! Receive times from the kernel's timestamps.
//!
//! A timestamp is wall-clock time, and the wall clock can be set at any moment. A receive time is a
//! point on the monotonic time line between the last read that found the socket empty and now.
//!
//! ```text
//! begin (both clocks, before the system call) -> place, once per datagram -> end (socket is empty)
//! ```

use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::time::Timestamp;

/// Maps the timestamps of one socket to the monotonic time line.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveStamps {
    /// The socket was empty at this time, so nothing read now arrived before it.
    empty_at: Timestamp,
    /// When the current read began.
    began: Timestamp,
    /// Wall clock minus monotonic clock at the current read and at the previous one, in
    /// nanoseconds.
    offsets: [i64; 2],
}

impl ReceiveStamps {
    /// Creates the mapping for a socket opened at `now`. `wall_offset_ns` is the wall clock minus
    /// the monotonic clock, in nanoseconds.
    pub fn new(now: Timestamp, wall_offset_ns: i64) -> Self {
        Self {
            empty_at: now,
            began: now,
            offsets: [wall_offset_ns; 2],
        }
    }

    /// Begins a read at `now`. `wall_offset_ns` is the wall clock minus the monotonic clock, in
    /// nanoseconds; negative if the wall clock is behind.
    pub fn begin(&mut self, now: Timestamp, wall_offset_ns: i64) {
        self.began = now;
        self.offsets = [wall_offset_ns, self.offsets[0]];
    }

    /// Returns the receive time of a datagram with timestamp `stamp_ns` (nanoseconds since 1970)
    /// that has been read by `now`. It is never later than `now` and never earlier than the start
    /// of the last read that left the socket empty, even if the wall clock was set in between.
    pub fn place(&self, stamp_ns: u64, now: Timestamp) -> Timestamp {
        // `None` if the timestamp is before the start of the monotonic clock: no datagram arrived
        // then.
        let shown = |offset: i64| {
            let ns = i128::from(stamp_ns) - i128::from(offset);
            u64::try_from(ns).ok().map(Timestamp::from_nanos)
        };
        let [present, before] = self.offsets.map(shown);
        if is_planted(Mutant::TrustStamps) {
            return present.unwrap_or_default();
        }
        let is_possible = |at: &Timestamp| (self.empty_at..=now).contains(at);
        // If the clock was set between arrival and read, the timestamp follows its previous
        // setting.
        let found = [present, before].into_iter().flatten().find(is_possible);
        found
            .or(present)
            .unwrap_or_default()
            .max(self.empty_at)
            .min(now)
    }

    /// Ends a read that left the socket empty.
    pub fn end(&mut self) {
        self.empty_at = self.empty_at.max(self.began);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// 1 s, 60 s, 1 h and 10 years, in nanoseconds.
    const STEPS: [i64; 4] = [
        1_000_000_000,
        60_000_000_000,
        3_600_000_000_000,
        315_576_000_000_000_000,
    ];

    const WALL: i64 = 1_790_000_000_000_000_000;

    fn at(us: u64) -> Timestamp {
        Timestamp::from_micros(us)
    }

    fn stamp(when: Timestamp, offset: i64) -> u64 {
        when.as_nanos().saturating_add_signed(offset)
    }

    #[test]
    fn a_clock_that_stands_gives_each_datagram_its_time() {
        let mut stamps = ReceiveStamps::new(at(5), WALL);
        stamps.begin(at(2_000), WALL);
        assert_eq!(stamps.place(stamp(at(1_500), WALL), at(2_010)), at(1_500));
    }

    #[test]
    fn wherever_the_wall_clock_is_set_a_datagram_keeps_its_time() {
        for step in STEPS.iter().flat_map(|step| [*step, -*step]) {
            for uptime_s in [0, 3_600, 1_000_000_000] {
                let start = at(uptime_s * 1_000_000);
                let mut stamps = ReceiveStamps::new(start, WALL);
                let came = [500, 1_000, 1_999].map(|us| start + Duration::from_micros(us));
                // The clock is set after two of them arrived, before they are read.
                let kernel = [
                    stamp(came[0], WALL),
                    stamp(came[1], WALL),
                    stamp(came[2], WALL + step),
                ];
                let now = start + Duration::from_micros(2_010);
                stamps.begin(start + Duration::from_micros(2_000), WALL + step);
                assert_eq!(
                    kernel.map(|stamp| stamps.place(stamp, now)),
                    came,
                    "set by {step} ns"
                );
                stamps.end();
                // The clock is set again after the read, between two readings of the clocks.
                let kernel = stamp(now, WALL + step);
                stamps.begin(now, WALL + step);
                let placed = stamps.place(kernel, now);
                assert_eq!(placed, now, "set by {step} ns");
            }
        }
    }

    #[test]
    fn no_stamp_is_later_than_now_or_earlier_than_the_socket_was_empty() {
        let mut stamps = ReceiveStamps::new(at(1_000), WALL);
        for (began, empty_at) in [(5_000, 1_000), (9_000, 5_000)] {
            let now = at(began + 10);
            stamps.begin(at(began), WALL);
            for kernel in [
                0,
                1,
                WALL as u64 - 1,
                WALL as u64 + 1_000_000_000_000,
                u64::MAX,
            ] {
                let placed = stamps.place(kernel, now);
                assert!(
                    (at(empty_at)..=now).contains(&placed),
                    "{kernel}: {placed:?}"
                );
            }
            stamps.end();
        }
        // A read that left datagrams behind moves no bound.
        stamps.begin(at(20_000), WALL);
        stamps.begin(at(30_000), WALL);
        assert_eq!(
            stamps.place(stamp(at(10_000), WALL), at(30_010)),
            at(10_000)
        );
    }
}
