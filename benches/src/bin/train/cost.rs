//! The bits that the errors of the network cost, and their gradient.

use truetick_rigid_body::{MOVES, OUTPUTS, TURNS};

use crate::gradient::Sample;

/// Distribution of the residuals: a mixture of logistic distributions as (factor on the network's
/// size, weight).
const MIXTURE: [(f32, f32); 4] = [(0.45, 0.4), (1.0, 0.4), (2.6, 0.18), (10.0, 0.02)];

/// Smallest size of a distribution, which rounding causes.
const NARROWEST: f32 = 0.12;

/// The bits of a sample's errors, and their gradient by the network's outputs.
pub(super) fn errors(sample: &Sample, outputs: &[f32]) -> (f32, Vec<f32>) {
    let mut by = vec![0.0; OUTPUTS];
    let mut bits = 0.0;
    let sizes = OUTPUTS - 4;
    let turns = 2 * MOVES;
    // Axis, position of its weights, position of its size.
    let axes = [(0, 0, sizes + 1), (1, 0, sizes + 1), (2, MOVES, sizes)];
    for (k, start, size) in axes {
        let weights = &outputs[start..start + MOVES];
        let step: f32 = weights
            .iter()
            .zip(&sample.inputs.moves[k])
            .map(|(weight, part)| weight * part)
            .sum();
        let on_ground = k == 2 && step < sample.lowest;
        let expected = if on_ground { sample.lowest } else { step };
        let (cost, by_error, by_size) = cost(sample.step[k] - expected, outputs[size]);
        bits += cost;
        by[size] += by_size;
        if !on_ground {
            for (by, part) in by[start..start + MOVES]
                .iter_mut()
                .zip(&sample.inputs.moves[k])
            {
                *by -= by_error * part;
            }
        }
    }
    let axes = [
        (0, turns, sizes + 2),
        (1, turns, sizes + 2),
        (2, turns + TURNS, sizes + 3),
    ];
    for (k, start, size) in axes {
        let weights = &outputs[start..start + TURNS];
        let turn: f32 = weights
            .iter()
            .zip(&sample.inputs.turns[k])
            .map(|(weight, part)| weight * part)
            .sum();
        let (cost, by_error, by_size) = cost(sample.turn[k] - turn, outputs[size]);
        bits += cost;
        by[size] += by_size;
        for (by, part) in by[start..start + TURNS]
            .iter_mut()
            .zip(&sample.inputs.turns[k])
        {
            *by -= by_error * part;
        }
    }
    (bits, by)
}

/// Bits of an error in grid steps, and their derivatives by the error and by the logarithm of the
/// size.
fn cost(error: f32, log_size: f32) -> (f32, f32, f32) {
    let size = log_size.clamp(-4.0, 9.0).exp();
    let (mut p, mut by_error, mut by_size) = (1e-9f32, 0.0, 0.0);
    for (times, part) in MIXTURE {
        let spread = size * times + NARROWEST;
        let (high, low) = ((error + 0.5) / spread, (error - 0.5) / spread);
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let (above, below) = (sigmoid(high), sigmoid(low));
        p += part * (above - below);
        let (slope_above, slope_below) = (above * (1.0 - above), below * (1.0 - below));
        by_error += part * (slope_above - slope_below) / spread;
        by_size -= part * (slope_above * high - slope_below * low) / spread * size * times;
    }
    let by_p = -1.0 / (p * std::f32::consts::LN_2);
    (-p.log2(), by_p * by_error, by_p * by_size)
}
