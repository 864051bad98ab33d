//! A small network: from what is known of a body to how it will move, and how sure that is.

use fearless_simd::f32x16;
use fearless_simd::prelude::*;

use super::inputs::{Inputs, MOVES, OWN_SCALARS, SCALARS, TURNS};
use super::vector::Vector;

/// Outputs: weights of each move (across, up) and turn (across, up), and the four sizes of what is
/// left over.
pub const OUTPUTS: usize = 2 * MOVES + 2 * TURNS + SIZES;

/// Sizes of what is left over: z; x and y; turns across; turns about the vertical.
const SIZES: usize = 4;

/// Outputs whose sums are built side by side.
pub const LANES: usize = 16;

/// How wide the layers are: multiples of [`LANES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Of the first hidden layer.
    pub first: usize,
    /// Of the second, or 0: there is none.
    pub second: usize,
}

impl Shape {
    /// Inputs and outputs of each layer, outputs rounded up to full lanes.
    fn layers(self) -> impl Iterator<Item = (usize, usize)> {
        let outputs = OUTPUTS.next_multiple_of(LANES);
        let second = (self.second > 0).then_some((self.first, self.second));
        let last = if self.second > 0 { self.second } else { self.first };
        [Some((SCALARS, self.first)), second, Some((last, outputs))].into_iter().flatten()
    }

    /// How many weights there are.
    pub fn weights(self) -> usize {
        self.layers().map(|(inputs, outputs)| (inputs + 1) * outputs).sum()
    }
}

/// Rows that are added side by side; every layer's inputs are a multiple of it.
const ROWS: usize = 4;
const _: () = assert!(SCALARS.is_multiple_of(ROWS) && LANES.is_multiple_of(ROWS));
const _: () = assert!(OWN_SCALARS.is_multiple_of(ROWS));

/// One layer: for each [`LANES`] outputs their biases, then their weights for each input.
#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    weights: Vec<[f32; LANES]>,
}

/// A group of outputs, side by side.
#[inline(always)]
fn summed<S: Simd>(
    simd: S,
    bias: &[f32; LANES],
    weights: &[[f32; LANES]],
    inputs: &[f32],
) -> [f32; LANES] {
    // More sums than one, lest each addition wait for the one before.
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

/// What the first layer makes of a body's own numbers.
pub type Begun = [[f32; LANES]; WIDEST];

/// How a body is expected to move.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expectation {
    /// Its step, in grid steps.
    pub step: Vector,
    /// Its turn, in [`super::rotation::TURN_STEPS`].
    pub turn: Vector,
    /// Natural logarithms of the sizes of what is left over, in grid steps: z; x and y; turns
    /// across; turns about the vertical.
    pub sizes: [f32; SIZES],
}

/// The network.
#[derive(Clone, Debug)]
pub struct Network {
    layers: Vec<Layer>,
}

/// Widest layer, in lanes.
pub const WIDEST: usize = 8;

impl Network {
    /// A network of these weights: layer by layer, for each output its bias and then its weights,
    /// where outputs go in groups of [`LANES`]. None: it is not of this shape.
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
            let rows = mine.chunks_exact(LANES).map(|row| std::array::from_fn(|lane| row[lane]));
            Layer { inputs, weights: rows.collect() }
        });
        Some(Self { layers: layers.collect() })
    }

    /// What the first layer makes of a body's own numbers: the part that waits for no neighbour.
    #[inline(always)]
    pub fn begin<S: Simd>(&self, simd: S, inputs: &Inputs, begun: &mut Begun) {
        for (group, out) in self.layers[0].groups().zip(begun) {
            *out = summed(simd, &group[0], &group[1..=OWN_SCALARS], &inputs.scalars[..OWN_SCALARS]);
        }
    }

    /// What is to be expected of a body whose inputs are whole.
    #[inline(always)]
    pub fn expect<S: Simd>(&self, simd: S, begun: &Begun, inputs: &Inputs) -> Expectation {
        let mut values = [[0.0; LANES]; WIDEST];
        let mut before = [[0.0; LANES]; WIDEST];
        for ((group, begun), out) in self.layers[0].groups().zip(begun).zip(&mut values) {
            *out = summed(simd, begun, &group[1 + OWN_SCALARS..], &inputs.scalars[OWN_SCALARS..]);
        }
        for layer in &self.layers[1..] {
            for (out, value) in before.as_flattened_mut().iter_mut().zip(values.as_flattened()) {
                *out = value.max(0.0);
            }
            layer.run(simd, before.as_flattened(), &mut values);
        }
        let outputs = values.as_flattened();
        let (turns, mut sizes) = (2 * MOVES, [0.0; SIZES]);
        sizes.copy_from_slice(&outputs[turns + 2 * TURNS..][..SIZES]);
        Expectation {
            step: weighed(simd, &inputs.moves, outputs, &outputs[MOVES..]),
            turn: weighed(simd, &inputs.turns, &outputs[turns..], &outputs[turns + TURNS..]),
            sizes,
        }
    }
}

/// The sum of vectors, each so many times: x and y with one set of weights, z with another. After
/// the last vector there are zeros, so that it does not matter which weights stand there.
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

/// The sum of all lanes.
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
        let shape = Shape { first: LANES, second: 0 };
        let mut weights = vec![0.0; shape.weights()];
        // The first hidden value is twice the fourth scalar; the second move goes by three times
        // that, and one more.
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
        assert!(Network::new(Shape { first: LANES, second: LANES }, &weights).is_none());
    }
}
