//! A small neural network that estimates how a body moves, and how certain that estimate is.

use fearless_simd::f32x16;
use fearless_simd::prelude::*;

use super::inputs::{Inputs, MOVES, OWN_SCALARS, SCALARS, TURNS};
use super::vector::Vector;

/// Number of outputs: two weights (horizontal, vertical) for each candidate step and each candidate
/// turn, and four expected sizes of residuals.
pub const OUTPUTS: usize = 2 * MOVES + 2 * TURNS + SIZES;

/// Number of expected sizes of residuals: height; horizontal position; turn about horizontal axes;
/// turn about the vertical.
const SIZES: usize = 4;

/// Number of outputs whose sums are computed side by side in SIMD lanes.
pub const LANES: usize = 16;

/// Widths of the hidden layers: multiples of [`LANES`], at most 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Width of the first hidden layer, not 0.
    pub first: usize,
    /// Width of the second hidden layer; 0 for none.
    pub second: usize,
}

impl Shape {
    /// Numbers of inputs and outputs of each layer, outputs rounded up to whole SIMD lanes.
    fn layers(self) -> impl Iterator<Item = (usize, usize)> {
        let outputs = OUTPUTS.next_multiple_of(LANES);
        let second = (self.second > 0).then_some((self.first, self.second));
        let last = if self.second > 0 {
            self.second
        } else {
            self.first
        };
        [Some((SCALARS, self.first)), second, Some((last, outputs))]
            .into_iter()
            .flatten()
    }

    /// Number of weights, including the biases.
    pub fn weights(self) -> usize {
        self.layers()
            .map(|(inputs, outputs)| (inputs + 1) * outputs)
            .sum()
    }
}

/// Number of rows that are added side by side. The number of inputs of every layer is a multiple of
/// it.
const ROWS: usize = 4;
const _: () = assert!(SCALARS.is_multiple_of(ROWS) && LANES.is_multiple_of(ROWS));
const _: () = assert!(OWN_SCALARS.is_multiple_of(ROWS));

/// One layer. For each group of [`LANES`] outputs it holds their biases, then their weights for
/// each input.
#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    weights: Vec<[f32; LANES]>,
}

/// Computes the sums of one group of outputs.
#[inline(always)]
fn summed<S: Simd>(
    simd: S,
    bias: &[f32; LANES],
    weights: &[[f32; LANES]],
    inputs: &[f32],
) -> [f32; LANES] {
    // Several accumulators, so that an addition does not wait for the one before.
    let mut sums = [f32x16::splat(simd, 0.0); ROWS];
    sums[0] = f32x16::simd_from(simd, *bias);
    for (weights, inputs) in weights.chunks_exact(ROWS).zip(inputs.chunks_exact(ROWS)) {
        for row in 0..ROWS {
            sums[row] =
                f32x16::simd_from(simd, weights[row]).mul_add_precise(inputs[row], sums[row]);
        }
    }
    ((sums[0] + sums[1]) + (sums[2] + sums[3])).to_array()
}

impl Layer {
    #[inline(always)]
    fn groups(&self) -> impl Iterator<Item = &[[f32; LANES]]> {
        self.weights.chunks_exact(self.inputs + 1)
    }

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[f32], outputs: &mut [[f32; LANES]]) {
        for (group, out) in self.groups().zip(outputs) {
            *out = summed(simd, &group[0], &group[1..], inputs);
        }
    }
}

/// Sums of the first layer over a body's own inputs, before the neighbour's are added.
pub(crate) type Begun = [[f32; LANES]; WIDEST];

/// Estimated motion of a body, and expected sizes of the residuals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expectation {
    /// Estimated step in grid steps.
    pub step: Vector,
    /// Estimated turn, in units of 1/[`super::rotation::TURN_STEPS`] radian.
    pub turn: Vector,
    /// Natural logarithms of the expected sizes of the residuals, in grid steps: height; horizontal
    /// position; turn about horizontal axes; turn about the vertical.
    pub sizes: [f32; SIZES],
}

/// A feed-forward network with one or two hidden layers.
#[derive(Clone, Debug)]
pub struct Network {
    layers: Vec<Layer>,
}

/// Widest hidden layer, in multiples of [`LANES`].
pub(crate) const WIDEST: usize = 8;

impl Network {
    /// Creates a network from its weights: layer by layer, for each group of [`LANES`] outputs
    /// their biases, then their weights for each input. Returns `None` if the shape is not valid or
    /// the number of weights does not fit it.
    pub fn new(shape: Shape, weights: &[f32]) -> Option<Self> {
        let fits = |width: usize| width.is_multiple_of(LANES) && width <= WIDEST * LANES;
        if weights.len() != shape.weights()
            || !fits(shape.first)
            || !fits(shape.second)
            || shape.first == 0
        {
            return None;
        }
        let mut rest = weights;
        let layers = shape.layers().map(|(inputs, outputs)| {
            let (mine, others) = rest.split_at((inputs + 1) * outputs);
            rest = others;
            let rows = mine
                .chunks_exact(LANES)
                .map(|row| std::array::from_fn(|lane| row[lane]));
            Layer {
                inputs,
                weights: rows.collect(),
            }
        });
        Some(Self {
            layers: layers.collect(),
        })
    }

    /// Computes the first layer's sums over a body's own inputs, which do not depend on a
    /// neighbour.
    #[inline(always)]
    pub fn begin<S: Simd>(&self, simd: S, inputs: &Inputs, begun: &mut Begun) {
        for (group, out) in self.layers[0].groups().zip(begun) {
            *out = summed(
                simd,
                &group[0],
                &group[1..=OWN_SCALARS],
                &inputs.scalars[..OWN_SCALARS],
            );
        }
    }

    /// Estimates the motion of a body whose inputs are complete. `begun` comes from
    /// [`Self::begin`].
    #[inline(always)]
    pub fn expect<S: Simd>(&self, simd: S, begun: &Begun, inputs: &Inputs) -> Expectation {
        let mut values = [[0.0; LANES]; WIDEST];
        let mut before = [[0.0; LANES]; WIDEST];
        for ((group, begun), out) in self.layers[0].groups().zip(begun).zip(&mut values) {
            *out = summed(
                simd,
                begun,
                &group[1 + OWN_SCALARS..],
                &inputs.scalars[OWN_SCALARS..],
            );
        }
        for layer in &self.layers[1..] {
            for (out, value) in before
                .as_flattened_mut()
                .iter_mut()
                .zip(values.as_flattened())
            {
                *out = value.max(0.0);
            }
            layer.run(simd, before.as_flattened(), &mut values);
        }
        let outputs = values.as_flattened();
        let (turns, mut sizes) = (2 * MOVES, [0.0; SIZES]);
        sizes.copy_from_slice(&outputs[turns + 2 * TURNS..][..SIZES]);
        Expectation {
            step: weighed(simd, &inputs.moves, outputs, &outputs[MOVES..]),
            turn: weighed(
                simd,
                &inputs.turns,
                &outputs[turns..],
                &outputs[turns + TURNS..],
            ),
            sizes,
        }
    }
}

/// Sums weighted vectors: x and y with one set of weights, z with another. The vectors are padded
/// with zeros, so the weights at those places do not matter.
#[inline(always)]
fn weighed<S: Simd>(simd: S, vectors: &[[f32; LANES]; 3], across: &[f32], up: &[f32]) -> Vector {
    let across = f32x16::from_slice(simd, &across[..LANES]);
    let up = f32x16::from_slice(simd, &up[..LANES]);
    [
        total(f32x16::simd_from(simd, vectors[0]) * across),
        total(f32x16::simd_from(simd, vectors[1]) * across),
        total(f32x16::simd_from(simd, vectors[2]) * up),
    ]
}

/// Sums all SIMD lanes, in a fixed order.
#[inline(always)]
fn total<S: Simd>(numbers: f32x16<S>) -> f32 {
    let (a, b) = numbers.split();
    let (a, b) = (a + b).split();
    let [a, b, c, d] = (a + b).to_array();
    (a + b) + (c + d)
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    #[test]
    fn weights_are_where_they_are_said_to_be() {
        let shape = Shape {
            first: LANES,
            second: 0,
        };
        let mut weights = vec![0.0; shape.weights()];
        // The first hidden value is twice the fourth scalar. The second candidate step is weighted
        // by three times that plus one.
        weights[(1 + 3) * LANES] = 2.0;
        let outputs = (SCALARS + 1) * LANES;
        weights[outputs + 1] = 1.0;
        weights[outputs + LANES + 1] = 3.0;
        let mut inputs = Inputs::default();
        inputs.scalars[3] = 0.5;
        for (k, part) in [10.0, 20.0, 30.0].into_iter().enumerate() {
            inputs.moves[k][1] = part;
        }
        let network = Network::new(shape, &weights).unwrap();
        let step = |inputs: &Inputs| {
            let mut begun = Begun::default();
            let level = Level::new();
            dispatch!(level, simd => network.begin(simd, inputs, &mut begun));
            dispatch!(level, simd => network.expect(simd, &begun, inputs)).step
        };
        assert_eq!(step(&inputs), [40.0, 80.0, 0.0]);
        inputs.scalars[3] = -0.5;
        assert_eq!(step(&inputs), [10.0, 20.0, 0.0]);
        assert!(
            Network::new(
                Shape {
                    first: LANES,
                    second: LANES
                },
                &weights
            )
            .is_none()
        );
    }
}
