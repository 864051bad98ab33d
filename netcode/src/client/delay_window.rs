//! A window of observed delays, and the delay of the least cost.
//!
//! A display must trail the newest state by some delay, or it starves between two arrivals. No
//! percentile is chosen by hand: [`DelayWindow::cheapest`] minimises `delay + weight * share of
//! time starved`. It thereby covers a short tail of the distribution completely, and does not pay
//! for a single late arrival.
//!
//! A change of the path is detected: when all samples of the last 400 ms lie below (or above) three
//! quarters of the older ones, the older ones are dropped.

use std::collections::VecDeque;

use crate::limits::DELAY_SAMPLES;

/// Samples older than this are dropped, in microseconds.
const WINDOW_US: i64 = 4_000_000;

/// Samples of this last time are compared with the older ones, in microseconds.
const RECENT_US: i64 = 400_000;

/// Least number of samples to compare: by chance, six of one kind occur once in 4,000 times.
const RECENT_SAMPLES: usize = 6;

/// A smaller shift is no change of the path, in microseconds.
const SHIFT_US: i64 = 1_000;

/// The delay that one arrival needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DelaySample {
    /// Time of the arrival, in microseconds of the local clock.
    pub at_us: i64,
    /// The least delay that would have been sufficient until the arrival, in microseconds.
    pub need_us: i64,
    /// Longest time for which a shorter delay would have starved, in microseconds.
    pub span_us: i64,
}

/// A delay at which a starved interval begins (1) or ends (-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    delay_us: i64,
    change: i8,
}

/// The delays of the last few seconds, up to [`DELAY_SAMPLES`].
#[derive(Clone, Debug, Default)]
pub(super) struct DelayWindow {
    samples: VecDeque<DelaySample>,
    /// The ends of the intervals of all samples, by increasing delay.
    edges: Vec<Edge>,
    span_us: i64,
}

impl DelayWindow {
    /// Number of samples held.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Adds a sample that is not older than those before it.
    pub fn push(&mut self, sample: DelaySample) {
        let old = |first: &DelaySample| first.at_us < sample.at_us - WINDOW_US;
        while self.samples.len() >= DELAY_SAMPLES
            || (self.samples.len() > RECENT_SAMPLES && self.samples.front().is_some_and(old))
        {
            self.pop();
        }
        for edge in edges(&sample) {
            let at = self.edges.partition_point(|other| *other < edge);
            self.edges.insert(at, edge);
        }
        self.span_us += sample.span_us;
        self.samples.push_back(sample);
        self.forget_other_path(sample.at_us);
    }

    fn pop(&mut self) {
        let Some(sample) = self.samples.pop_front() else {
            return;
        };
        for edge in edges(&sample) {
            if let Ok(at) = self.edges.binary_search(&edge) {
                self.edges.remove(at);
            }
        }
        self.span_us -= sample.span_us;
    }

    /// Adds `us` microseconds to all delays, the observed ones included.
    pub fn shift(&mut self, us: i64) {
        self.samples
            .iter_mut()
            .for_each(|sample| sample.need_us += us);
        self.edges.iter_mut().for_each(|edge| edge.delay_us += us);
    }

    fn forget_other_path(&mut self, now_us: i64) {
        let within = |sample: &&DelaySample| sample.at_us > now_us - RECENT_US;
        let recent = self
            .samples
            .iter()
            .rev()
            .take_while(within)
            .count()
            .max(RECENT_SAMPLES);
        if self.samples.len() < recent + 2 {
            return;
        }
        let old = self.samples.len() - recent;
        let needs = self.samples.iter().skip(old).map(|sample| sample.need_us);
        let (low, high) = needs.fold((i64::MAX, i64::MIN), |(low, high), need| {
            (low.min(need), high.max(need))
        });
        let mut older: Vec<i64> = self
            .samples
            .iter()
            .take(old)
            .map(|sample| sample.need_us)
            .collect();
        let lower_quarter = *older.select_nth_unstable(old / 4).1;
        let upper_quarter = *older.select_nth_unstable(old - 1 - old / 4).1;
        let shorter = high + SHIFT_US < lower_quarter;
        // Packets that were held up and are released fall from high to usual delays. Either that is
        // over soon, or the spread is larger than the shift.
        let lasted = now_us - self.samples[old].at_us > RECENT_US * 85 / 100;
        let shift = low - upper_quarter;
        let longer = lasted && shift > SHIFT_US && high - low < shift.max(2 * SHIFT_US);
        if shorter || longer {
            (0..old).for_each(|_| self.pop());
        }
    }

    /// The delay that minimises `delay + weight * share of time starved`, in microseconds; `None`
    /// without samples. `weight_us` is the delay whose cost equals starving all the time.
    pub fn cheapest(&self, weight_us: i64) -> Option<i64> {
        let total = self.span_us.max(1) as f64;
        let (mut starved_us, mut open, mut above) = (0i64, 0i64, self.edges.last()?.delay_us);
        let (mut least, mut best) = (f64::MAX, above);
        for edge in self.edges.iter().rev() {
            starved_us += open * (above - edge.delay_us);
            let cost = edge.delay_us as f64 + weight_us as f64 * (starved_us as f64 / total);
            if cost < least {
                (least, best) = (cost, edge.delay_us);
            }
            above = edge.delay_us;
            open += i64::from(edge.change);
        }
        Some(best)
    }
}

fn edges(sample: &DelaySample) -> [Edge; 2] {
    [
        Edge {
            delay_us: sample.need_us,
            change: 1,
        },
        Edge {
            delay_us: sample.need_us - sample.span_us,
            change: -1,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WEIGHT_US: i64 = 1_000_000;

    fn sample(at_ms: i64, need_ms: i64, span_ms: i64) -> DelaySample {
        DelaySample {
            at_us: at_ms * 1_000,
            need_us: need_ms * 1_000,
            span_us: span_ms * 1_000,
        }
    }

    /// The cost by its definition.
    fn cost(samples: &[DelaySample], delay_us: i64) -> f64 {
        let total: i64 = samples.iter().map(|sample| sample.span_us).sum();
        let starved = |sample: &DelaySample| (sample.need_us - delay_us).clamp(0, sample.span_us);
        let starved: i64 = samples.iter().map(starved).sum();
        delay_us as f64 + WEIGHT_US as f64 * starved as f64 / total.max(1) as f64
    }

    proptest! {
        #[test]
        fn nothing_is_cheaper_than_the_cheapest(samples in proptest::collection::vec((0i64..200, 0i64..40), 1..60)) {
            let mut window = DelayWindow::default();
            // All samples are close together in time, so that none is dropped.
            let samples: Vec<_> = samples.iter().map(|(need, span)| sample(0, *need, *span)).collect();
            samples.iter().for_each(|sample| window.push(*sample));
            let best = cost(&samples, window.cheapest(WEIGHT_US).unwrap());
            // Below the lowest edge the display starves all the time.
            let lowest = samples.iter().map(|sample| sample.need_us - sample.span_us).min().unwrap();
            for delay_us in (lowest..200_000).step_by(500) {
                prop_assert!(best <= cost(&samples, delay_us) + 1e-3);
            }
        }
    }

    #[test]
    fn a_burst_that_is_released_at_once_counts_once() {
        let mut window = DelayWindow::default();
        (0..200).for_each(|i| window.push(sample(i * 16, 20, 16)));
        window.push(sample(4_200, 1_000, 980));
        (0..60).for_each(|i| window.push(sample(4_200, 1_000 - i * 16, 0)));
        assert_eq!(window.cheapest(WEIGHT_US), Some(20_000));
    }

    #[test]
    fn another_path_is_noticed_both_ways() {
        for (before, after) in [(200, 50), (50, 200)] {
            let mut window = DelayWindow::default();
            (0..200).for_each(|i| window.push(sample(i * 16, before, 16)));
            (200..228).for_each(|i| window.push(sample(i * 16, after, 16)));
            assert_eq!(window.cheapest(WEIGHT_US), Some(after * 1_000));
        }
    }

    #[test]
    fn the_window_is_bounded_in_time_and_number() {
        let mut window = DelayWindow::default();
        (0..20_000).for_each(|i| window.push(sample(i, 20, 1)));
        assert!(window.len() <= DELAY_SAMPLES && window.edges.len() == 2 * window.len());
        assert_eq!(window.span_us, window.len() as i64 * 1_000);
        window.shift(5_000);
        assert_eq!(window.cheapest(WEIGHT_US), Some(25_000));
        (0..10).for_each(|i| window.push(sample(30_000 + i * 100, 20, 1)));
        assert!(window.len() <= 10);
    }
}
