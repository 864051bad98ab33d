//! The display time: the time on the server's time line at which other entities are shown.
//!
//! A single estimate covers base delay, gap between snapshots, jitter and loss: the delay by which
//! the display must trail the local clock so that a newer state has arrived (`DelayWindow`). Two
//! estimates would diverge when the path changes.
//!
//! Only the rate of the display time is adjusted, within bounds that a viewer does not notice; the
//! time never goes back. When nothing newer arrives, it continues for `EXTRAPOLATED_US` and brakes
//! to a stop over the last third of that. A display that falls behind by more than `CUT_US` jumps,
//! which counts as a cut.

use std::time::Duration;

use super::delay_window::{DelaySample, DelayWindow};
use crate::mutant::{Mutant, is_planted};
use crate::tick::Tick;
use crate::time::Timestamp;

/// Time for which the display time continues beyond the newest snapshot, in microseconds.
pub(super) const EXTRAPOLATED_US: f64 = 250_000.0;

/// Cost of starving all the time, as an equivalent delay in microseconds: 1 % of starved time costs
/// 10 ms.
const WEIGHT_US: i64 = 1_000_000;

/// Delay added to what is needed, in microseconds.
const SPARE_US: f64 = 1_000.0;

/// Time in which a display that is behind catches up, in microseconds.
const FAST_US: f64 = 300_000.0;
/// Time in which a display that is ahead falls back, in microseconds.
const SLOW_US: f64 = 600_000.0;

/// Largest rate of the display time.
const MAX_RATE: f64 = 1.65;
/// Rate after an outage that left the display more than [`OUTAGE_US`] behind.
const RATE_AFTER_OUTAGE: f64 = 3.2;
/// Distance behind that counts as the effect of an outage, in microseconds.
const OUTAGE_US: f64 = 350_000.0;
/// Least rate of the display time.
const MIN_RATE: f64 = 0.5;

/// A display that is further behind cuts, in microseconds.
const CUT_US: f64 = 1_500_000.0;

/// Distance of the newest snapshot from the origin of ticks at which the origin moves, so that
/// nothing wraps.
const REBASE_TICKS: i32 = 1 << 20;

/// The clock that decides at which time other entities are shown.
#[derive(Clone, Debug)]
pub struct DisplayClock {
    dt_us: f64,
    /// Tick from which times of the server are counted.
    origin: Option<Tick>,
    /// Local time of microsecond 0.
    start: Timestamp,
    /// Newest tick, and when its first packet arrived.
    newest: Option<(Tick, i64)>,
    /// Delays that arrivals needed since the path last changed.
    needs: DelayWindow,
    delay_us: f64,
    /// The display time, in microseconds of the server since `origin`.
    shown_us: Option<f64>,
    advanced_us: i64,
    starved_us: f64,
    cuts: u64,
}

impl DisplayClock {
    /// A clock for a server of `tick_rate` ticks per second.
    pub fn new(tick_rate: u32) -> Self {
        let dt_us = 1e6 / f64::from(tick_rate);
        Self {
            dt_us,
            origin: None,
            start: Timestamp::default(),
            newest: None,
            needs: DelayWindow::default(),
            delay_us: 2.0 * dt_us,
            shown_us: None,
            advanced_us: 0,
            starved_us: 0.0,
            cuts: 0,
        }
    }

    /// How far the display time trails the newest snapshot's tick at its arrival: the price of an
    /// even display. Zero before the first snapshot.
    pub fn delay(&self) -> Duration {
        let Some((newest, arrived_us)) = self.newest else {
            return Duration::ZERO;
        };
        let way_us = arrived_us as f64 - self.tick_us(newest);
        Duration::from_micros((self.delay_us - way_us).max(0.0) as u64)
    }

    /// Total time in which nothing newer than the displayed state had arrived.
    pub fn starved(&self) -> Duration {
        Duration::from_micros(self.starved_us as u64)
    }

    /// Number of times that the display fell too far behind and cut.
    pub fn cuts(&self) -> u64 {
        self.cuts
    }

    /// The display time in ticks of the server, as a real number; `None` before the first frame.
    pub fn shown_tick(&self) -> Option<f64> {
        Some(f64::from(self.origin?.0) + self.shown_us? / self.dt_us)
    }

    /// The display time, in microseconds since the origin of [`Self::tick_us`].
    pub(super) fn shown_us(&self) -> Option<f64> {
        self.shown_us
    }

    /// The last tick whose time lies at least `us` microseconds before the display time.
    pub(super) fn tick_before(&self, us: f64) -> Option<Tick> {
        let ticks = ((self.shown_us? - us) / self.dt_us).floor();
        let origin = self.origin?;
        Some(if ticks < 0.0 {
            origin.back(-ticks as u32)
        } else {
            origin + ticks as u32
        })
    }

    /// Length of a tick in microseconds.
    pub(super) fn dt_us(&self) -> f64 {
        self.dt_us
    }

    /// The time of a tick, in microseconds since the origin.
    pub(super) fn tick_us(&self, tick: Tick) -> f64 {
        f64::from(tick.distance(self.origin.unwrap_or(tick))) * self.dt_us
    }

    fn local_us(&self, now: Timestamp) -> i64 {
        now.micros_from(self.start)
    }

    /// Handles the first packet of a snapshot newer than all before. Returns by how many
    /// microseconds the origin moved.
    pub(super) fn snapshot(&mut self, tick: Tick, now: Timestamp) -> f64 {
        if self.origin.is_none() {
            (self.origin, self.start) = (Some(tick), now);
        }
        let at_us = self.local_us(now);
        if let Some((before, arrived_us)) = self.newest {
            // Until now no state newer than `before` was available.
            let need_us = at_us - self.tick_us(before) as i64;
            self.needs.push(DelaySample {
                at_us,
                need_us,
                span_us: (at_us - arrived_us).max(0),
            });
        }
        self.newest = Some((tick, at_us));
        let first_us = at_us as f64 - self.tick_us(tick) + self.dt_us;
        self.delay_us = self
            .needs
            .cheapest(WEIGHT_US)
            .map_or(first_us, |us| us as f64)
            + SPARE_US;
        self.rebase(tick)
    }

    fn rebase(&mut self, newest: Tick) -> f64 {
        let Some(origin) = self
            .origin
            .filter(|origin| newest.distance(*origin) > REBASE_TICKS)
        else {
            return 0.0;
        };
        let moved_us = f64::from(newest.distance(origin)) * self.dt_us;
        self.origin = Some(newest);
        self.needs.shift(moved_us as i64);
        self.delay_us += moved_us;
        self.shown_us = self.shown_us.map(|shown| shown - moved_us);
        moved_us
    }

    /// Handles a move of the server's time line: its ticks are due later by `us` microseconds.
    pub(crate) fn time_line_moved(&mut self, us: i64) {
        self.needs.shift(us);
        self.delay_us += us as f64;
        // The gap that the move explains is not a gap of the path.
        if let Some((_, arrived_us)) = &mut self.newest {
            *arrived_us += us;
        }
    }

    /// Advances the display time to now.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let Some((newest, _)) = self.newest else {
            return;
        };
        let at_us = self.local_us(now);
        let passed = (at_us - std::mem::replace(&mut self.advanced_us, at_us)).max(0) as f64;
        let wanted = at_us as f64 - self.delay_us;
        let newest_us = self.tick_us(newest);
        let Some(shown) = self.shown_us else {
            self.shown_us = Some(wanted.min(newest_us));
            return;
        };
        if is_planted(Mutant::WaitForBuffer) && newest_us - shown < 100_000.0 {
            return;
        }
        let behind = wanted - shown - passed;
        // Without newer states there is nothing to cut to.
        let next = if wanted.min(newest_us) - shown > CUT_US {
            self.cuts += 1;
            wanted
        } else {
            let rate = match behind {
                b if b > 0.0 && is_planted(Mutant::LeapDisplay) => 1.0 + b / passed.max(1.0),
                b if b > OUTAGE_US => RATE_AFTER_OUTAGE,
                b if b > 0.0 => (1.0 + b / FAST_US).min(MAX_RATE),
                b => (1.0 + b / SLOW_US).max(MIN_RATE),
            };
            let left = newest_us + EXTRAPOLATED_US - shown;
            let brake = (left / (EXTRAPOLATED_US / 3.0)).clamp(0.0, 1.0);
            // One long frame must not exceed the end of the extrapolation.
            (shown + passed * rate * brake).min(shown.max(newest_us + EXTRAPOLATED_US))
        };
        self.starved_us += (next - shown.max(newest_us)).max(0.0);
        self.shown_us = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 60;

    fn at_ms(ms: f64) -> Timestamp {
        Timestamp::from_micros(5_000_000 + (ms * 1e3) as u64)
    }

    /// Snapshots of 60 Hz that arrive after `way_ms(sent)`, drawn at 60 Hz. Returns the time and
    /// the display time of each frame.
    fn frames(
        clock: &mut DisplayClock,
        seconds: u32,
        way_ms: impl Fn(f64) -> Option<f64>,
    ) -> Vec<(f64, f64)> {
        let sent = |tick: u32| f64::from(tick) * 1e3 / f64::from(RATE);
        let arrive = |tick: u32| way_ms(sent(tick)).map(|way| (sent(tick) + way, tick));
        let mut arrivals: Vec<_> = (0..seconds * RATE).filter_map(arrive).collect();
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut arrivals, mut newest) = (arrivals.into_iter().peekable(), None);
        let mut drawn = Vec::new();
        for frame in 0..seconds * RATE {
            let now = f64::from(frame) * 1e3 / f64::from(RATE) + 3.0;
            while let Some((at, tick)) = arrivals.next_if(|(at, _)| *at <= now) {
                if newest.is_none_or(|newest| tick > newest) {
                    newest = Some(tick);
                    clock.snapshot(Tick(tick), at_ms(at));
                }
            }
            clock.advance(at_ms(now));
            drawn.extend(
                clock
                    .shown_tick()
                    .map(|shown| (now, shown * 1e3 / f64::from(RATE))),
            );
        }
        drawn
    }

    /// Longest time without motion, and largest motion in a frame relative to an even one, after
    /// two seconds.
    fn stillness_and_leap(drawn: &[(f64, f64)]) -> (f64, f64) {
        let (mut still, mut longest, mut leap) = (0.0, 0.0f64, 0.0f64);
        for pair in drawn.windows(2).filter(|pair| pair[0].0 > 2_000.0) {
            let (passed, moved) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
            assert!(moved >= 0.0, "never back");
            still = if moved < 0.05 * passed {
                still + passed
            } else {
                0.0
            };
            (longest, leap) = (longest.max(still), leap.max(moved / passed));
        }
        (longest, leap)
    }

    #[test]
    fn a_steady_path_is_shown_one_gap_late() {
        let mut clock = DisplayClock::new(RATE);
        let drawn = frames(&mut clock, 6, |_| Some(40.0));
        let (now, shown) = *drawn.last().unwrap();
        assert!((57.0..59.5).contains(&(now - shown)), "{}", now - shown);
        assert_eq!((clock.cuts(), clock.starved()), (0, Duration::ZERO));
        assert!((17.0..19.0).contains(&(clock.delay().as_secs_f64() * 1e3)));
    }

    #[test]
    fn steps_in_either_direction_neither_freeze_nor_leap() {
        for step in [10.0, 30.0, 80.0, 150.0, 300.0] {
            for (before, after) in [(40.0, 40.0 + step), (40.0 + step, 40.0)] {
                let way = |sent: f64| Some(if sent < 5_000.0 { before } else { after });
                let mut clock = DisplayClock::new(RATE);
                let drawn = frames(&mut clock, 10, way);
                let (still, leap) = stillness_and_leap(&drawn);
                let unavoidable = f64::max(0.0, step - 165.0) + 37.0;
                assert!(
                    still <= unavoidable && leap <= 2.0,
                    "{before} to {after}: {still} ms, {leap}"
                );
                let (now, shown) = *drawn.last().unwrap();
                assert!(
                    (now - shown - after) < 25.0,
                    "{before} to {after}: {}",
                    now - shown - after
                );
            }
        }
    }

    #[test]
    fn an_outage_is_bridged_then_made_up_for() {
        let way = |sent: f64| (!(5_000.0..6_000.0).contains(&sent)).then_some(40.0);
        let mut clock = DisplayClock::new(RATE);
        let drawn = frames(&mut clock, 10, way);
        let (still, leap) = stillness_and_leap(&drawn);
        assert!(
            (500.0..700.0).contains(&still) && leap <= 3.7,
            "{still} {leap}"
        );
        let later: Vec<_> = drawn
            .into_iter()
            .filter(|(now, _)| *now > 7_000.0)
            .collect();
        assert!(stillness_and_leap(&later).1 < 1.1);
        assert_eq!(clock.cuts(), 0);
    }

    #[test]
    fn a_long_outage_is_cut_once() {
        let way = |sent: f64| (!(5_000.0..9_000.0).contains(&sent)).then_some(40.0);
        let mut clock = DisplayClock::new(RATE);
        frames(&mut clock, 12, way);
        assert_eq!(clock.cuts(), 1);
    }

    #[test]
    fn ticks_may_wrap_and_go_on_for_years() {
        let mut clock = DisplayClock::new(RATE);
        let mut tick = Tick(u32::MAX - 50);
        let mut now = at_ms(0.0);
        for step in 0..300u32 {
            // Every third step jumps by twelve days of an even stream.
            let (ticks, passed) = if step % 3 == 0 {
                (1 << 26, (1u64 << 26) * 1_000_000 / 60)
            } else {
                (1, 16_667)
            };
            (tick, now) = (tick + ticks, now + Duration::from_micros(passed));
            clock.snapshot(tick, now);
            clock.advance(now);
            assert!(clock.tick_us(tick).abs() <= f64::from(1 << 27) * 16_667.0);
        }
    }
}
