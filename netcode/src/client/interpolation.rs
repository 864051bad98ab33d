//! Shows other entities a little in the past, between two states that are known.
//!
//! The delay follows the gap between snapshots and the high end of their jitter: it grows fast, when states
//! begin to come late, and shrinks slowly.

use std::collections::VecDeque;
use std::time::Duration;

use super::snapshot_buffer::Remote;
use crate::limits::INTERPOLATION_TICKS;
use crate::schema::{Field, Scale};
use crate::tick::Tick;
use crate::time::Timestamp;

/// Arrivals considered: 2 s at 60 Hz.
const WINDOW: usize = 128;

/// Share of arrivals that must come before they are to be shown.
const COVERED: f64 = 0.98;

/// Distances are taken from a tick that is no further away: ticks wrap.
const NEAR_TICKS: i32 = 1 << 20;

/// Part of the way to a larger or smaller delay that each snapshot goes.
const GROW: f64 = 0.25;
const SHRINK: f64 = 0.01;

/// Always kept beyond gap and jitter, in microseconds.
const SPARE_US: f64 = 1_000.0;

/// The clock by which other entities are shown.
#[derive(Clone, Debug)]
pub struct Interpolation {
    dt_us: f64,
    /// A tick not long ago, and how many ticks it is after the first.
    first: Option<(Tick, f64)>,
    /// For each recent snapshot: arrival less tick time, in microseconds.
    offsets: VecDeque<f64>,
    /// The smallest of them: a snapshot that was not held up.
    base_us: f64,
    delay_us: f64,
    shown: f64,
    started: bool,
    starved: Duration,
}

impl Interpolation {
    /// For a server of so many ticks per second.
    pub fn new(tick_rate: u32) -> Self {
        let dt_us = 1e6 / f64::from(tick_rate);
        Self {
            dt_us,
            first: None,
            offsets: VecDeque::with_capacity(WINDOW),
            base_us: 0.0,
            delay_us: dt_us * 2.0,
            shown: 0.0,
            started: false,
            starved: Duration::ZERO,
        }
    }

    /// Current delay behind the newest state that came without being held up.
    pub fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_us as u64)
    }

    /// Time so far in which nothing newer than what was shown had come.
    pub fn starved(&self) -> Duration {
        self.starved
    }

    /// The time shown, in ticks of the server; `None` before the first snapshot.
    pub fn shown_tick(&self) -> Option<f64> {
        self.first.map(|(near, ticks)| f64::from(near.0) + self.shown - ticks)
    }

    /// Ticks since the first snapshot, as a real number.
    fn ticks(&self, tick: Tick) -> f64 {
        self.first.map_or(0.0, |(near, ticks)| ticks + f64::from(tick.distance(near)))
    }

    /// The first packet of a newer snapshot came.
    pub fn snapshot(&mut self, tick: Tick, now: Timestamp) {
        let near = self.first.get_or_insert((tick, 0.0)).0;
        if tick.distance(near) > NEAR_TICKS {
            self.first = Some((tick, self.ticks(tick)));
        }
        if self.offsets.len() == WINDOW {
            self.offsets.pop_front();
        }
        let offset = now.as_nanos() as f64 / 1e3 - self.ticks(tick) * self.dt_us;
        self.offsets.push_back(offset);
        let mut sorted: Vec<f64> = self.offsets.iter().copied().collect();
        let high = ((sorted.len() - 1) as f64 * COVERED) as usize;
        let (_, high, _) = sorted.select_nth_unstable_by(high, f64::total_cmp);
        let high = *high;
        self.base_us = self.offsets.iter().copied().fold(f64::MAX, f64::min);
        let wanted =
            (self.dt_us + high - self.base_us + SPARE_US).min(f64::from(INTERPOLATION_TICKS) * self.dt_us);
        let step = if wanted > self.delay_us { GROW } else { SHRINK };
        self.delay_us += (wanted - self.delay_us) * step;
    }

    /// The server moved its time line by `us`: its ticks come that much later.
    pub fn time_line_moved(&mut self, us: i64) {
        self.offsets.iter_mut().for_each(|offset| *offset += us as f64);
        self.base_us += us as f64;
    }

    /// Moves to now; `newest` is the newest tick held. What is shown never goes back.
    pub fn advance(&mut self, newest: Tick, now: Timestamp) {
        if self.first.is_none() {
            return;
        }
        let wanted = (now.as_nanos() as f64 / 1e3 - self.base_us - self.delay_us) / self.dt_us;
        let before = self.shown.max(self.ticks(newest));
        self.shown = self.shown.max(wanted);
        if self.shown > before && self.started {
            self.starved += Duration::from_nanos(((self.shown - before) * self.dt_us * 1e3) as u64);
        }
        self.started = true;
    }

    /// An entity's values at the time shown. Past its newest state it stands still.
    pub fn sample(&self, remote: &Remote, fields: &[Field]) -> Vec<f32> {
        let values = |n: &[u32]| fields.iter().zip(n).map(|(f, n)| f.value(*n)).collect();
        let mut after = remote.newest();
        if self.ticks(after.tick) <= self.shown {
            return values(after.fields);
        }
        let mut before = None;
        for held in remote.versions().rev().skip(1) {
            if self.ticks(held.tick) <= self.shown {
                before = Some(held);
                break;
            }
            after = held;
        }
        let Some(before) = before else { return values(after.fields) };
        let (from, to) = (self.ticks(before.until).min(self.ticks(after.tick) - 1.0), self.ticks(after.tick));
        let part = ((self.shown - from) / (to - from)).clamp(0.0, 1.0) as f32;
        let pairs = before.fields.iter().zip(after.fields.iter());
        fields.iter().zip(pairs).map(|(field, (a, b))| between(field, *a, *b, part)).collect()
    }
}

/// The value at `part` (0 to 1) of the way from `a` to `b`; counts do not blend.
fn between(field: &Field, a: u32, b: u32, part: f32) -> f32 {
    match field.scale {
        Scale::Count => field.value(if part < 1.0 { a } else { b }),
        Scale::Linear { .. } => field.value(a) + (field.value(b) - field.value(a)) * part,
        Scale::Turn => {
            let turned = field.value(a) + field.difference(a, b) as f32 * field.value(1) * part;
            turned.rem_euclid(std::f32::consts::TAU)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(interpolation: &mut Interpolation, ticks: std::ops::Range<u32>, late_us: impl Fn(u32) -> u64) {
        for tick in ticks {
            let now = Timestamp::from_micros(u64::from(tick) * 16_667 + 30_000 + late_us(tick));
            interpolation.snapshot(Tick(tick), now);
            interpolation.advance(Tick(tick), now);
        }
    }

    #[test]
    fn delay_settles_at_one_gap_on_a_steady_link() {
        let mut interpolation = Interpolation::new(60);
        feed(&mut interpolation, 0..600, |_| 0);
        assert!((17.0..19.5).contains(&(interpolation.delay().as_secs_f64() * 1e3)));
        assert_eq!(interpolation.starved(), Duration::ZERO);
    }

    #[test]
    fn delay_grows_fast_with_jitter_and_shrinks_slowly() {
        let mut interpolation = Interpolation::new(60);
        feed(&mut interpolation, 0..300, |_| 0);
        feed(&mut interpolation, 300..330, |tick| u64::from(tick % 3) * 10_000);
        assert!(interpolation.delay() > Duration::from_millis(34));
        feed(&mut interpolation, 330..360, |_| 0);
        assert!(interpolation.delay() > Duration::from_millis(30));
        feed(&mut interpolation, 360..1_200, |_| 0);
        assert!(interpolation.delay() < Duration::from_millis(20));
    }

    #[test]
    fn only_the_time_without_anything_newer_is_starved() {
        let mut interpolation = Interpolation::new(60);
        feed(&mut interpolation, 0..300, |_| 0);
        let last = Timestamp::from_micros(299 * 16_667 + 30_000);
        for ms in 0..100 {
            interpolation.advance(Tick(299), last + Duration::from_millis(ms));
        }
        let starved = interpolation.starved().as_secs_f64() * 1e3;
        assert!((79.0..83.0).contains(&starved), "{starved}");
    }

    #[test]
    fn a_turn_takes_the_short_way() {
        let field = Field::turn("heading", 8);
        let value = between(&field, 250, 4, 0.5);
        assert!((value - field.value(255)).abs() < 1e-5);
    }
}
