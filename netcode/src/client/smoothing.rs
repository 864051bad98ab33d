//! Hides corrections: what is shown glides from the wrong prediction to the right one.

use crate::schema::{Field, Scale};
use crate::time::Timestamp;

/// A correction's visible rest shrinks to 1/e in this time, in seconds.
const DECAY_S: f32 = 0.1;

/// Corrections larger than this (in a field's own unit, metres for positions) are shown at once: a respawn is
/// not a glide.
const SNAP: f32 = 4.0;

/// The visible rest of past corrections, per field.
#[derive(Clone, Debug, Default)]
pub struct Smoothing {
    offsets: Vec<f32>,
    at: Timestamp,
}

impl Smoothing {
    /// The state jumped from `before` to `after`: keep showing `before` and glide.
    pub fn corrected(&mut self, fields: &[Field], before: &[u32], after: &[u32], now: Timestamp) {
        self.decay(now);
        self.offsets.resize(fields.len(), 0.0);
        for (i, field) in fields.iter().enumerate() {
            if let Scale::Linear { .. } = field.scale {
                let offset = self.offsets[i] + field.value(before[i]) - field.value(after[i]);
                self.offsets[i] = if offset.abs() > SNAP { 0.0 } else { offset };
            }
        }
    }

    /// The values to show for `state` now.
    pub fn apply(&mut self, fields: &[Field], state: &[u32], now: Timestamp) -> Vec<f32> {
        self.decay(now);
        let offset = |i: usize| self.offsets.get(i).copied().unwrap_or(0.0);
        fields.iter().zip(state).enumerate().map(|(i, (field, n))| field.value(*n) + offset(i)).collect()
    }

    fn decay(&mut self, now: Timestamp) {
        let keep = (-now.since(self.at).as_secs_f32() / DECAY_S).exp();
        self.offsets.iter_mut().for_each(|offset| *offset *= keep);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [Field; 1] = [Field::linear("x", -64.0, 64.0, 1.0 / 256.0)];

    #[test]
    fn a_correction_glides_and_a_leap_does_not() {
        let at = |metres: f32| [X[0].quantise(metres)];
        let mut smoothing = Smoothing::default();
        smoothing.corrected(&X, &at(1.0), &at(2.0), Timestamp::default());
        assert_eq!(smoothing.apply(&X, &at(2.0), Timestamp::default()), [1.0]);
        let later = smoothing.apply(&X, &at(2.0), Timestamp::from_millis(100))[0];
        assert!((1.6..1.7).contains(&later), "{later}");
        let end = smoothing.apply(&X, &at(2.0), Timestamp::from_millis(2_000))[0];
        assert!((end - 2.0).abs() < 1e-3);
        smoothing.corrected(&X, &at(2.0), &at(40.0), Timestamp::from_millis(2_000));
        assert_eq!(smoothing.apply(&X, &at(40.0), Timestamp::from_millis(2_000)), [40.0]);
    }
}
