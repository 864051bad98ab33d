//! A small network: from what is known of a body to how it will move, and how sure that is.

use super::inputs::{Inputs, MOVES, SCALARS, TURNS};
use super::rotation::Vector;

/// Outputs: weights of each move (across, up) and turn (across, up), and the four sizes of what is left over.
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

/// One layer: for each [`LANES`] outputs their biases, then their weights for each input.
#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    weights: Vec<[f32; LANES]>,
}

impl Layer {
    #[inline(always)]
    fn run(&self, inputs: &[f32], outputs: &mut [[f32; LANES]]) {
        for (group, out) in self.weights.chunks_exact(self.inputs + 1).zip(outputs) {
            // More sums than one, lest each addition wait for the one before.
            let mut sums = [[0.0; LANES]; ROWS];
            sums[0] = group[0];
            for (weights, inputs) in group[1..].chunks_exact(ROWS).zip(inputs.chunks_exact(ROWS)) {
                for row in 0..ROWS {
                    for lane in 0..LANES {
                        sums[row][lane] += weights[row][lane] * inputs[row];
                    }
                }
            }
            for lane in 0..LANES {
                out[lane] = (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]);
            }
        }
    }
}

/// How a body is expected to move.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expectation {
    /// Its step, in grid steps.
    pub step: Vector,
    /// Its turn, in [`super::rotation::TURN_STEPS`].
    pub turn: Vector,
    /// Natural logarithms of the sizes of what is left over, in grid steps: z; x and y; turns across; turns about the
    /// vertical.
    pub sizes: [f32; SIZES],
}

/// The network.
#[derive(Clone, Debug)]
pub struct Network {
    layers: Vec<Layer>,
}

/// Widest layer, in lanes.
const WIDEST: usize = 8;

impl Network {
    /// A network of these weights: layer by layer, for each output its bias and then its weights, where outputs go in groups
    /// of [`LANES`]. None: it is not of this shape.
    pub fn new(shape: Shape, weights: &[f32]) -> Option<Self> {
        let fits = |width: usize| width.is_multiple_of(LANES) && width <= WIDEST * LANES;
        if weights.len() != shape.weights() || !fits(shape.first) || !fits(shape.second) || shape.first == 0 {
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

    /// What is to be expected.
    #[inline(always)]
    pub fn expect(&self, inputs: &Inputs) -> Expectation {
        let mut values = [[0.0; LANES]; WIDEST];
        let mut before = [[0.0; LANES]; WIDEST];
        for (at, layer) in self.layers.iter().enumerate() {
            match at {
                0 => layer.run(&inputs.scalars, &mut values),
                _ => {
                    for (out, value) in before.as_flattened_mut().iter_mut().zip(values.as_flattened()) {
                        *out = value.max(0.0);
                    }
                    layer.run(before.as_flattened(), &mut values);
                }
            }
        }
        let outputs = values.as_flattened();
        let mut expectation = Expectation::default();
        let (across, rest) = outputs.split_at(MOVES);
        let (up, rest) = rest.split_at(MOVES);
        expectation.step = weighed(&inputs.moves, across, up);
        let (across, rest) = rest.split_at(TURNS);
        let (up, rest) = rest.split_at(TURNS);
        expectation.turn = weighed(&inputs.turns, across, up);
        expectation.sizes.copy_from_slice(&rest[..SIZES]);
        expectation
    }
}

/// The sum of vectors, each so many times: x and y with one set of weights, z with another.
#[inline(always)]
fn weighed(vectors: &[Vector], across: &[f32], up: &[f32]) -> Vector {
    let mut sum = [0.0; 3];
    for ((vector, across), up) in vectors.iter().zip(across).zip(up) {
        sum[0] += vector[0] * across;
        sum[1] += vector[1] * across;
        sum[2] += vector[2] * up;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_where_they_are_said_to_be() {
        let shape = Shape { first: LANES, second: 0 };
        let mut weights = vec![0.0; shape.weights()];
        // The first hidden value is twice the fourth scalar; the second move goes by three times that, and one more.
        weights[(1 + 3) * LANES] = 2.0;
        let outputs = (SCALARS + 1) * LANES;
        weights[outputs + 1] = 1.0;
        weights[outputs + LANES + 1] = 3.0;
        let mut inputs =
            Inputs { scalars: [0.0; SCALARS], moves: [[0.0; 3]; MOVES], turns: [[0.0; 3]; TURNS] };
        inputs.scalars[3] = 0.5;
        inputs.moves[1] = [10.0, 20.0, 30.0];
        let network = Network::new(shape, &weights).unwrap();
        assert_eq!(network.expect(&inputs).step, [40.0, 80.0, 0.0]);
        inputs.scalars[3] = -0.5;
        assert_eq!(network.expect(&inputs).step, [10.0, 20.0, 0.0]);
        assert!(Network::new(Shape { first: LANES, second: LANES }, &weights).is_none());
    }
}
