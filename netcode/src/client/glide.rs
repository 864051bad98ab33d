//! Hides corrections: an entity glides from where it was drawn to its corrected state.
//!
//! What remains of a correction shrinks to 1/e in [`GLIDE_S`]. Where velocities move an entity, the
//! glide is also limited by the entity's own motion: a correction never looks like a leap, and
//! never reverses a motion. Corrections beyond [`SNAP`] are shown at once, since a respawn must not
//! glide.

use crate::schema::{CompiledEstimator, Estimator, Field, KindInfo, Scale};
use crate::time::Timestamp;

/// Time in which what remains of a correction shrinks to 1/e, in seconds.
const GLIDE_S: f32 = 0.1;

/// Larger corrections are shown at once, in the field's own unit (metres for positions).
const SNAP: f32 = 8.0;

/// Largest motion of a glide, as a share of the entity's own motion.
const GLIDE_SHARE: f32 = 0.75;

/// Time for which an entity's speed is remembered, in seconds: an entity that has stopped glides as
/// fast as it moved.
const PACE_S: f32 = 0.5;

/// Least share of a correction by which a frame glides, for an entity that hardly moves.
const LEAST_GLIDE: f32 = 0.25;

/// An entity as it was drawn last, and what remains of its corrections.
#[derive(Clone, Debug, Default)]
pub(super) struct Glide {
    at: Timestamp,
    /// Values of the entity's states.
    values: Vec<f32>,
    /// Drawn values minus values of the states.
    rest: Vec<f32>,
    /// Present or recent speed, in metres per second.
    pace: f32,
}

impl Glide {
    /// Starts a glide: for the time drawn last, the states now give `description`.
    pub fn corrected(&mut self, info: &KindInfo, description: Vec<f32>) {
        if self.values.len() != description.len() {
            return;
        }
        if is_teleport(info, &self.values, &description) {
            self.rest.fill(0.0);
            self.values = description;
            return;
        }
        for (i, field) in info
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| glides(field))
        {
            let off = self.rest[i] + self.values[i] - description[i];
            self.rest[i] = match field.scale {
                Scale::Turn => half_turn(off),
                _ if off.abs() > SNAP => 0.0,
                _ => off,
            };
        }
        let snaps = |at: usize| self.values[at] != description[at] && self.rest[at] == 0.0;
        if moved(info).any(|(at, _)| snaps(at) && (self.values[at] - description[at]).abs() > SNAP)
        {
            moved(info).for_each(|(at, _)| self.rest[at] = 0.0);
        }
        self.values = description;
    }

    /// The values to draw now, where the states give `values`.
    pub fn draw(&mut self, info: &KindInfo, values: Vec<f32>, now: Timestamp) -> Vec<f32> {
        if self.values.len() != values.len() {
            *self = Self {
                at: now,
                rest: vec![0.0; values.len()],
                values: values.clone(),
                pace: 0.0,
            };
        }
        if is_teleport(info, &self.values, &values) {
            self.rest.fill(0.0);
            self.values.clone_from(&values);
        }
        let passed_s = now.since(self.at).as_secs_f32();
        self.pace = speed(info, &values).max(self.pace * (-passed_s / PACE_S).exp());
        let most_m = most_glide(distance(info, &values, &self.values), self.pace * passed_s);
        glide(&mut self.rest, info, most_m, passed_s);
        (self.at, self.values) = (now, values);
        let drawn =
            info.fields
                .iter()
                .zip(&self.values)
                .zip(&self.rest)
                .map(|((field, value), rest)| match field.scale {
                    Scale::Turn => (value + rest).rem_euclid(std::f32::consts::TAU),
                    _ => value + rest,
                });
        drawn.collect()
    }
}

/// Largest glide of a frame, in metres. In this frame the entity moves by `own_m`; at its speed it
/// would move by `pace_m`. Motion and glide together stay below two frames' motion, and no glide
/// reverses a motion.
fn most_glide(own_m: f32, pace_m: f32) -> f32 {
    let backwards = if own_m > 0.1 * pace_m { own_m } else { pace_m };
    (GLIDE_SHARE * backwards).min((1.9 * pace_m - own_m).max(0.25 * pace_m))
}

/// Shrinks what remains of corrections by the share for the time passed. Positions move at most by
/// `most_m`, but at least by [`LEAST_GLIDE`] of that share, for entities that never move.
fn glide(rest: &mut [f32], info: &KindInfo, most_m: f32, passed_s: f32) {
    if rest.iter().all(|rest| *rest == 0.0) {
        return;
    }
    let share = 1.0 - (-passed_s / GLIDE_S).exp();
    let length = moved(info).fold(0.0f32, |length, (at, _)| length.hypot(rest[at]));
    let moved_share = share.min((most_m / length.max(f32::MIN_POSITIVE)).max(share * LEAST_GLIDE));
    for (field, rest) in info.fields.iter().zip(rest) {
        *rest *= 1.0
            - if matches!(field.model, Estimator::Velocity { .. }) {
                moved_share
            } else {
                share
            };
    }
}

/// Indices of the fields that move by a velocity, each with that of its velocity.
fn moved(info: &KindInfo) -> impl Iterator<Item = (usize, usize)> {
    let fields = info.plan.iter().flat_map(|component| &component.fields);
    fields.filter_map(|coded| match coded.estimator {
        CompiledEstimator::Velocity { velocity, .. } => Some((coded.at, velocity)),
        _ => None,
    })
}

/// Distance between two states by the fields that velocities move.
fn distance(info: &KindInfo, a: &[f32], b: &[f32]) -> f32 {
    moved(info).fold(0.0, |length: f32, (at, _)| length.hypot(a[at] - b[at]))
}

/// Speed by the fields that are velocities of others.
fn speed(info: &KindInfo, values: &[f32]) -> f32 {
    moved(info).fold(0.0, |speed: f32, (_, velocity)| {
        speed.hypot(values[velocity])
    })
}

fn is_teleport(info: &KindInfo, from: &[f32], to: &[f32]) -> bool {
    info.fields
        .iter()
        .zip(from.iter().zip(to))
        .any(|(field, (from, to))| field.teleport.is_between(*from as u32, *to as u32))
}

/// Whether corrections of a field are hidden: counts do not blend, nor do the parts of a
/// quaternion.
fn glides(field: &Field) -> bool {
    field.scale != Scale::Count && !matches!(field.model, Estimator::Rotation { .. })
}

/// The angle in the range from minus half a turn to half a turn.
fn half_turn(angle: f32) -> f32 {
    let turned = angle.rem_euclid(std::f32::consts::TAU);
    if turned > std::f32::consts::PI {
        turned - std::f32::consts::TAU
    } else {
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Replicate, Schema};

    struct Walker;

    impl Replicate for Walker {
        const NAME: &'static str = "walker";
        const FIELDS: &'static [Field] = &[
            Field::linear("vx", -64.0, 64.0, 1.0 / 256.0),
            Field::linear("x", -64.0, 64.0, 1.0 / 256.0).moved_by(0),
            Field::turn("heading", 12),
        ];
        fn quantise(&self, _: &mut [u32]) {}
        fn restore(_: &[u32]) -> Self {
            Self
        }
    }

    fn walker() -> Schema {
        let mut schema = Schema::new();
        let component = schema.add_component::<Walker>().unwrap();
        schema.add_kind("walker", &[component]).unwrap();
        schema
    }

    #[test]
    fn corrections_glide_within_the_entitys_own_motion_and_leaps_do_not() {
        let schema = walker();
        let info = schema.kinds().next().unwrap().1;
        let mut glide = Glide::default();
        let at = Timestamp::from_millis;
        let x = |n: u64| n as f32 * 0.1;
        assert_eq!(
            glide.draw(info, vec![10.0, x(0), 0.0], at(0)),
            [10.0, 0.0, 0.0]
        );
        glide.corrected(info, vec![10.0, x(0) - 2.0, 0.0]);
        let mut before = 0.0;
        for n in 1..100 {
            let drawn = glide.draw(info, vec![10.0, x(n) - 2.0, 0.0], at(n * 10))[1];
            assert!(
                (0.02..=0.2).contains(&(drawn - before)),
                "frame {n}: {}",
                drawn - before
            );
            before = drawn;
        }
        assert!((before - (x(99) - 2.0)).abs() < 0.01);
        glide.corrected(info, vec![10.0, 40.0, 0.0]);
        assert_eq!(glide.draw(info, vec![10.0, 40.0, 0.0], at(990))[1], 40.0);
    }

    #[test]
    fn turns_glide_the_short_way() {
        let schema = walker();
        let info = schema.kinds().next().unwrap().1;
        let mut glide = Glide::default();
        glide.draw(info, vec![0.0, 0.0, 6.2], Timestamp::from_millis(0));
        glide.corrected(info, vec![0.0, 0.0, 0.2]);
        let half = glide.draw(info, vec![0.0, 0.0, 0.2], Timestamp::from_millis(50))[2];
        assert!(!(0.2..=6.2).contains(&half), "{half}");
        assert!((half_turn(6.0) + 0.283).abs() < 1e-3 && half_turn(-3.0) == -3.0);
    }
}
