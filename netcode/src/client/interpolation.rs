//! Shows other entities a little in the past, between two states that are known.
//!
//! [`DisplayClock`] says which time is shown. Each entity adds to it:
//!
//! - a delay of its own, up to [`EXTRA_US`], where its updates come less often than snapshots do (a budget that does not hold all);
//! - past its newest state it goes on by the schema's velocity, for half a second at most;
//! - where a new state says that it was elsewhere at the time shown, it glides there, in about 100 ms and by no more in a frame
//!   than its own motion, so that a correction never looks like a leap. Beyond [`SNAP_M`] it is put there at once.
//! - It is first drawn at the time of its first state, not when that arrives.

use std::time::Duration;

use super::display_clock::DisplayClock;
use super::snapshot_buffer::Remote;
use crate::replication::NetId;
use crate::schema::{Field, Foresight, KindInfo, Model, Scale};
use crate::tick::Tick;
use crate::time::Timestamp;

/// Longest delay of an entity behind the others, in microseconds.
const EXTRA_US: f64 = 50_000.0;

/// Past its newest state an entity goes on for this long, in microseconds. The time shown itself stops earlier where no snapshot
/// arrives; this bound is for an entity that others displace from full snapshots.
const EXTRAPOLATED_US: f64 = 500_000.0;

/// By how much that delay changes at most in each microsecond: one part in ten is not noticed.
const EXTRA_SLOPE: f64 = 0.1;

/// The rest of a correction shrinks to 1/e in this time, in seconds.
const GLIDE_S: f32 = 0.1;

/// Corrections of more than this (in the field's unit, metres for positions) are shown at once.
const SNAP_M: f32 = 6.0;

/// A correction glides by at most this share of the entity's own motion.
const GLIDE_SHARE: f32 = 0.75;

/// An entity's speed is remembered for about this long, in seconds: one that has stopped glides as fast as it moved.
const PACE_S: f32 = 0.5;

/// An entity that moves less than this share of a correction's rest in a frame glides by that share nevertheless.
const LEAST_GLIDE: f32 = 0.25;

/// How other entities are shown.
#[derive(Clone, Debug)]
pub struct Interpolation {
    clock: DisplayClock,
    /// What was drawn last, by slot.
    drawn: Vec<Option<Drawn>>,
}

/// An entity as it was drawn last.
#[derive(Clone, Debug)]
struct Drawn {
    id: NetId,
    at: Timestamp,
    /// The time at which it was drawn, and its delay behind the others, in microseconds.
    time_us: f64,
    extra_us: f64,
    /// Its newest state and the number of states then: whether anything new came since.
    known: (Tick, usize),
    /// What its states said for that time.
    values: Vec<f32>,
    /// What was drawn less that.
    rest: Vec<f32>,
    /// Its speed now or a little ago, in metres per second.
    pace: f32,
}

impl Interpolation {
    /// For a server of so many ticks per second.
    pub fn new(tick_rate: u32) -> Self {
        Self { clock: DisplayClock::new(tick_rate), drawn: Vec::new() }
    }

    /// The clock that says which time is shown.
    pub fn clock(&self) -> &DisplayClock {
        &self.clock
    }

    /// See [`DisplayClock::delay`].
    pub fn delay(&self) -> Duration {
        self.clock.delay()
    }

    /// See [`DisplayClock::starved`].
    pub fn starved(&self) -> Duration {
        self.clock.starved()
    }

    /// The first packet of a newer snapshot arrived.
    pub fn snapshot(&mut self, tick: Tick, now: Timestamp) {
        let moved_us = self.clock.snapshot(tick, now);
        if moved_us != 0.0 {
            self.drawn.iter_mut().flatten().for_each(|drawn| drawn.time_us -= moved_us);
        }
    }

    /// The server moved its time line: its ticks are due later by `us`.
    pub fn time_line_moved(&mut self, us: i64) {
        self.clock.time_line_moved(us);
    }

    /// Moves the time shown on to now. What is shown never goes back.
    pub fn advance(&mut self, now: Timestamp) {
        self.clock.advance(now);
    }

    /// An entity's values to draw now, one per field of its kind; `None` while its first state lies ahead of the time shown.
    pub fn sample(&mut self, remote: &Remote, info: &KindInfo, now: Timestamp) -> Option<Vec<f32>> {
        let shown_us = self.clock.shown_us()?;
        let slot = usize::from(remote.id.slot);
        if self.drawn.len() <= slot {
            self.drawn.resize(slot + 1, None);
        }
        let before = self.drawn[slot].take().filter(|drawn| drawn.id == remote.id);
        let passed_us = before.as_ref().map_or(0.0, |drawn| now.micros_from(drawn.at).max(0) as f64);
        let extra_us = self.extra_us(remote, before.as_ref(), passed_us);
        let time_us = before.as_ref().map_or(f64::MIN, |drawn| drawn.time_us).max(shown_us - extra_us);
        if before.is_none() && self.clock.tick_us(remote.since()) > time_us {
            return None;
        }
        let values = self.values(remote, info, time_us);
        let passed_s = passed_us as f32 / 1e6;
        let (mut rest, mut pace) = (vec![0.0; info.fields.len()], speed(info, &values));
        if let Some(before) = before {
            let known = (remote.newest().tick, remote.versions().len());
            let says = (before.known != known).then(|| self.values(remote, info, before.time_us));
            pace = pace.max(before.pace * (-passed_s / PACE_S).exp());
            let says = says.as_ref().unwrap_or(&before.values);
            let most_m = most_glide(distance(info, &values, says), pace * passed_s);
            rest = correct(info, &before, says);
            glide(&mut rest, info, most_m, passed_s);
        }
        let shown =
            info.fields.iter().zip(&values).zip(&rest).map(|((field, value), rest)| match field.scale {
                Scale::Turn => (value + rest).rem_euclid(std::f32::consts::TAU),
                _ => value + rest,
            });
        let shown = shown.collect();
        let known = (remote.newest().tick, remote.versions().len());
        self.drawn[slot] =
            Some(Drawn { id: remote.id, at: now, time_us, extra_us, known, values, rest, pace });
        Some(shown)
    }

    /// What the entity's own updates need beyond each snapshot's; it changes slowly.
    fn extra_us(&self, remote: &Remote, before: Option<&Drawn>, passed_us: f64) -> f64 {
        let wanted = ((remote.gap() - 1.0) * self.clock.dt_us()).clamp(0.0, EXTRA_US);
        let Some(before) = before else { return wanted };
        let step = EXTRA_SLOPE * passed_us;
        before.extra_us + (wanted - before.extra_us).clamp(-step, step)
    }

    /// What the states that are known say for a time.
    fn values(&self, remote: &Remote, info: &KindInfo, time_us: f64) -> Vec<f32> {
        let fields = &info.fields;
        let us = |tick: Tick| self.clock.tick_us(tick);
        let mut after = remote.newest();
        if us(after.tick) <= time_us {
            let mut values: Vec<f32> =
                fields.iter().zip(after.fields).map(|(field, n)| field.value(*n)).collect();
            extrapolate(remote, info, &mut values, (time_us - us(after.until)).clamp(0.0, EXTRAPOLATED_US));
            return values;
        }
        for before in remote.versions().rev().skip(1) {
            if us(before.tick) <= time_us {
                let to = us(after.tick);
                let from = us(before.until).min(to - self.clock.dt_us());
                let part = ((time_us - from) / (to - from)).clamp(0.0, 1.0) as f32;
                let pairs = before.fields.iter().zip(after.fields);
                return fields
                    .iter()
                    .zip(pairs)
                    .map(|(field, (a, b))| between(field, *a, *b, part))
                    .collect();
            }
            after = before;
        }
        fields.iter().zip(after.fields).map(|(field, n)| field.value(*n)).collect()
    }
}

/// Carries fields on by their velocities.
fn extrapolate(remote: &Remote, info: &KindInfo, values: &mut [f32], ahead_us: f64) {
    let seconds = (ahead_us / 1e6) as f32;
    for coded in info.plan.iter().flat_map(|component| &component.fields) {
        if let Foresight::Moved { velocity, .. } = coded.foresight
            && remote.audience.sees(coded.field.visibility)
        {
            let (least, most) = (coded.field.value(0), coded.field.value(coded.field.max));
            values[coded.at] = (values[coded.at] + values[velocity] * seconds).clamp(least, most);
        }
    }
}

/// The rest of corrections: what was drawn less what the states say by now for the time drawn.
fn correct(info: &KindInfo, before: &Drawn, says: &[f32]) -> Vec<f32> {
    let mut rest = before.rest.clone();
    for (i, field) in info.fields.iter().enumerate().filter(|(_, field)| glides(field)) {
        let off = rest[i] + before.values[i] - says[i];
        rest[i] = if field.scale == Scale::Turn { half_turn(off) } else { off };
    }
    if moved(info).any(|(at, _)| rest[at].abs() > SNAP_M) {
        rest.fill(0.0);
    }
    rest
}

/// How far a correction may glide in a frame in which the entity moves by `own_m` and, at its speed, would move by `pace_m`:
/// motion and glide together stay below two frames' worth, and no glide turns a motion around.
fn most_glide(own_m: f32, pace_m: f32) -> f32 {
    let backwards = if own_m > 0.1 * pace_m { own_m } else { pace_m };
    (GLIDE_SHARE * backwards).min((1.9 * pace_m - own_m).max(0.25 * pace_m))
}

/// Lets the rest of corrections shrink: by its share of the time passed, positions by no more than `most_m` (but by a
/// share of [`LEAST_GLIDE`] in any case, for what never moves).
fn glide(rest: &mut [f32], info: &KindInfo, most_m: f32, passed_s: f32) {
    if rest.iter().all(|rest| *rest == 0.0) {
        return;
    }
    let share = 1.0 - (-passed_s / GLIDE_S).exp();
    let length = moved(info).fold(0.0f32, |length, (at, _)| length.hypot(rest[at]));
    let moved_share = share.min((most_m / length.max(f32::MIN_POSITIVE)).max(share * LEAST_GLIDE));
    for (i, field) in info.fields.iter().enumerate() {
        rest[i] *= 1.0 - if matches!(field.model, Model::Moved { .. }) { moved_share } else { share };
    }
}

/// Distance between two states by the fields that velocities move.
fn distance(info: &KindInfo, a: &[f32], b: &[f32]) -> f32 {
    moved(info).fold(0.0, |length: f32, (at, _)| length.hypot(a[at] - b[at]))
}

/// Speed by the fields that are velocities of others.
fn speed(info: &KindInfo, values: &[f32]) -> f32 {
    moved(info).fold(0.0, |speed, (_, velocity)| speed.hypot(values[velocity]))
}

/// Places of the fields that move by a velocity, and of their velocities.
fn moved(info: &KindInfo) -> impl Iterator<Item = (usize, usize)> {
    let fields = info.plan.iter().flat_map(|component| &component.fields);
    fields.filter_map(|coded| match coded.foresight {
        Foresight::Moved { velocity, .. } => Some((coded.at, velocity)),
        _ => None,
    })
}

/// Whether corrections of a field are hidden: counts do not blend, nor do parts of a quaternion.
fn glides(field: &Field) -> bool {
    field.scale != Scale::Count && !matches!(field.model, Model::Quaternion { .. })
}

/// The same angle from minus half a turn to half a turn.
fn half_turn(angle: f32) -> f32 {
    let turned = angle.rem_euclid(std::f32::consts::TAU);
    if turned > std::f32::consts::PI { turned - std::f32::consts::TAU } else { turned }
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

    #[test]
    fn a_turn_takes_the_short_way() {
        let field = Field::turn("heading", 8);
        let value = between(&field, 250, 4, 0.5);
        assert!((value - field.value(255)).abs() < 1e-5);
        assert!((half_turn(6.0) + 0.283).abs() < 1e-3 && half_turn(-3.0) == -3.0);
    }
}
