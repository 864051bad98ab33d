//! How much a path carries: a byte budget per tick, from the growth of the round trip and from loss.
//!
//! A queue that fills shows as a round trip above the least of late (as in LEDBAT, RFC 6817); then the budget falls by a
//! part, else it rises in steps. Loss alone counts only where it is heavy: radio links lose packets without being full.
//!
//! A sender that is late itself makes round trips longer and loses acknowledgements: what it then measures says little of
//! the path. So while it is late the budget falls once a second at most. It does fall, for a sender that is late for long
//! may have a full path, too.

use std::time::Duration;

use crate::mutant::{Mutant, is_planted};
use crate::rtt::RttEstimator;
use crate::time::Timestamp;

/// The least round trip is that of so long, and of as long before.
const LEAST_OVER: Duration = Duration::from_secs(10);

/// A round trip longer than the least by this much, and by a quarter of it, says that a queue fills.
const QUEUE: Duration = Duration::from_millis(15);

/// A share of lost packets that says that the path is full, whatever the round trip.
const HEAVY_LOSS: f64 = 0.15;

/// Pause between two steps, where the round trip is shorter.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// Least time between two steps down while the sender is late.
pub const LATE_PAUSE: Duration = Duration::from_secs(1);

/// What is left of the budget after a step down.
const DOWN: f64 = 0.8;

/// Steps from nothing to the ceiling.
const STEPS_UP: f64 = 64.0;

/// One path's budget.
#[derive(Clone, Debug)]
pub struct Congestion {
    floor: f64,
    ceiling: f64,
    budget: f64,
    /// Least round trip of the present and of the last span.
    least: [Duration; 2],
    span_ends: Timestamp,
    step_at: Timestamp,
    /// When the budget fell last.
    fell_at: Timestamp,
}

impl Congestion {
    /// A path of which nothing is known: it may carry all, up to `ceiling` bytes a tick. The budget never falls below
    /// `floor`.
    pub fn new(floor: usize, ceiling: usize, now: Timestamp) -> Self {
        let (floor, ceiling) = (floor.min(ceiling) as f64, ceiling as f64);
        let least = [Duration::MAX; 2];
        Self {
            floor,
            ceiling,
            budget: ceiling,
            least,
            span_ends: now + LEAST_OVER,
            step_at: now,
            fell_at: now,
        }
    }

    /// Bytes that this tick may take. `late_since` is when the sender began to run behind its own ticks, if it does or did a
    /// moment ago.
    pub fn budget(&mut self, rtt: &RttEstimator, late_since: Option<Timestamp>, now: Timestamp) -> usize {
        if now >= self.step_at {
            self.step_at = now + rtt.rtt().max(LEAST_PAUSE);
            self.step(rtt, late_since, now);
        }
        self.budget as usize
    }

    /// Bytes that the last tick might take.
    pub fn bytes(&self) -> usize {
        self.budget as usize
    }

    fn step(&mut self, rtt: &RttEstimator, late_since: Option<Timestamp>, now: Timestamp) {
        if now >= self.span_ends {
            self.span_ends = now + LEAST_OVER;
            self.least = [Duration::MAX, self.least[0]];
        }
        let Some(round_trip) = rtt.measured() else { return };
        self.least[0] = self.least[0].min(round_trip);
        let least = self.least[0].min(self.least[1]);
        let is_full = round_trip > least + least / 4 + QUEUE || rtt.loss() > HEAVY_LOSS;
        let is_doubtful = late_since.is_some_and(|since| now.since(since.max(self.fell_at)) < LATE_PAUSE);
        let budget = match is_full {
            true if is_doubtful && !is_planted(Mutant::BlamePaths) => return,
            true => self.budget * DOWN,
            false => self.budget + self.ceiling / STEPS_UP,
        };
        if is_full {
            self.fell_at = now;
        }
        self.budget = budget.clamp(self.floor, self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute over a path of 40 ms that carries so many bytes a second, before which up to 64 KiB wait. Returns the bytes a
    /// second that came through and the longest wait, in the last half.
    fn a_minute_over(bytes_per_s: f64, ceiling: usize) -> (f64, Duration) {
        let (mut now, mut rtt) = (Timestamp::from_millis(1_000), RttEstimator::default());
        let mut congestion = Congestion::new(300, ceiling, now);
        let (mut queue, mut through, mut longest) = (0f64, 0f64, Duration::ZERO);
        for tick in 0..3_600 {
            now += Duration::from_micros(16_667);
            let sent = congestion.budget(&rtt, None, now) as f64;
            let lost = queue + sent > 65_536.0;
            queue = (queue + if lost { 0.0 } else { sent } - bytes_per_s / 60.0).max(0.0);
            let wait = Duration::from_secs_f64(queue / bytes_per_s);
            rtt.fate(lost);
            if !lost {
                rtt.sample(Duration::from_millis(40) + wait);
            }
            if tick >= 1_800 {
                longest = longest.max(wait);
                through += if lost { 0.0 } else { sent };
            }
        }
        (through / 30.0, longest)
    }

    #[test]
    fn a_long_path_is_not_taken_for_a_full_one() {
        let (mut now, mut rtt) = (Timestamp::from_millis(1_000), RttEstimator::default());
        let mut congestion = Congestion::new(300, 2_400, now);
        for tick in 0..600 {
            if tick >= 15 {
                rtt.sample(Duration::from_millis(250));
            }
            assert_eq!(congestion.budget(&rtt, None, now), 2_400);
            now += Duration::from_micros(16_667);
        }
    }

    #[test]
    fn a_wide_path_is_given_all() {
        let (through, longest) = a_minute_over(1e7, 2_400);
        assert!(through > 2_399.0 * 60.0 && longest < Duration::from_millis(1), "{through} {longest:?}");
    }

    #[test]
    fn a_narrow_path_is_filled_and_its_queue_kept_short() {
        for bytes_per_s in [30_000.0, 60_000.0, 120_000.0] {
            let (through, longest) = a_minute_over(bytes_per_s, 2_400);
            println!("{bytes_per_s}: {through:.0} B/s, {longest:?}");
            assert!(through > bytes_per_s * 0.75, "{through} of {bytes_per_s}");
            assert!(longest < Duration::from_millis(250), "{longest:?} at {bytes_per_s}");
        }
    }

    /// Round trips of 200 ms instead of 20 for so long, while the sender is late or not; returns what is left of 2,400 bytes.
    fn left_after(span: Duration, is_late: bool) -> usize {
        let (mut now, mut rtt) = (Timestamp::from_millis(1_000), RttEstimator::default());
        let mut congestion = Congestion::new(300, 2_400, now);
        let mut run = |round_trip, span: Duration, is_late: bool| {
            let (end, late_since) = (now + span, is_late.then_some(now));
            while now < end {
                rtt.sample(Duration::from_millis(round_trip));
                congestion.budget(&rtt, late_since, now);
                now += Duration::from_micros(16_667);
            }
            congestion.bytes()
        };
        assert_eq!(run(20, Duration::from_secs(5), false), 2_400);
        run(200, span, is_late)
    }

    #[test]
    fn a_late_sender_does_not_blame_its_paths_but_finds_a_full_one_in_the_end() {
        assert!(left_after(Duration::from_secs(3), false) < 400);
        assert_eq!(left_after(Duration::from_millis(900), true), 2_400);
        assert!(left_after(Duration::from_millis(3_300), true) > 2_400 * 8 / 10 * 8 / 10 * 8 / 10 - 3);
        assert!(left_after(Duration::from_secs(15), true) < 400);
    }

    #[test]
    fn lost_packets_alone_are_no_sign_until_they_are_many() {
        for (one_in, is_full) in [(20, false), (4, true)] {
            let (mut now, mut rtt) = (Timestamp::from_millis(1_000), RttEstimator::default());
            let mut congestion = Congestion::new(300, 2_400, now);
            for tick in 0..1_200 {
                now += Duration::from_micros(16_667);
                rtt.sample(Duration::from_millis(50));
                rtt.fate(tick % one_in == 0);
                congestion.budget(&rtt, None, now);
            }
            assert_eq!(congestion.budget(&rtt, None, now) < 2_400, is_full, "one in {one_in}");
        }
    }
}
