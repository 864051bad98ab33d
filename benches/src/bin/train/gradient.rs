//! Trains the network that estimates bodies: gradient descent (Adam, Kingma and Ba 2015) on the
//! bits that its errors cost.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::rigid_body_codec::{Inputs, LANES, MOVES, OUTPUTS, SCALARS, Shape, TURNS};

/// The known state of a body and its actual motion.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Inputs of the network.
    pub inputs: Inputs,
    /// Translation of the body in the tick.
    pub step: [f32; 3],
    /// Lowest possible vertical translation.
    pub lowest: f32,
    /// Rotation of the body in the tick.
    pub turn: [f32; 3],
}

/// Distribution of the residuals: a mixture of logistic distributions as (factor on the network's
/// size, weight).
const MIXTURE: [(f32, f32); 4] = [(0.45, 0.4), (1.0, 0.4), (2.6, 0.18), (10.0, 0.02)];

/// Smallest size of a distribution, which rounding causes.
const NARROWEST: f32 = 0.12;

/// Samples per gradient step.
const BATCH: usize = 2048;

/// Maximum learning rate.
const RATE: f32 = 6e-3;

/// One layer: for each input the weights of all outputs, then the biases.
#[derive(Clone, Debug)]
struct Dense {
    inputs: usize,
    outputs: usize,
    weights: Vec<f32>,
}

impl Dense {
    fn new(inputs: usize, outputs: usize, rng: &mut Xoshiro256PlusPlus) -> Self {
        let spread = (1.0 / inputs as f32).sqrt();
        let weights = (0..(inputs + 1) * outputs).map(|_| rng.random_range(-spread..spread));
        Self {
            inputs,
            outputs,
            weights: weights.collect(),
        }
    }

    fn forward(&self, inputs: &[f32], outputs: &mut [f32]) {
        let (rows, biases) = self.weights.split_at(self.inputs * self.outputs);
        outputs.copy_from_slice(biases);
        for (row, input) in rows.chunks_exact(self.outputs).zip(inputs) {
            for (output, weight) in outputs.iter_mut().zip(row) {
                *output += weight * input;
            }
        }
    }

    /// Computes the gradients by the weights (added) and by the inputs from the gradient by the
    /// outputs.
    fn backward(
        &self,
        inputs: &[f32],
        by_outputs: &[f32],
        by_weights: &mut [f32],
        by_inputs: &mut [f32],
    ) {
        let split = self.inputs * self.outputs;
        let (sums, biases) = by_weights.split_at_mut(split);
        for (bias, by) in biases.iter_mut().zip(by_outputs) {
            *bias += by;
        }
        let rows = self.weights[..split].chunks_exact(self.outputs);
        let all = rows
            .zip(sums.chunks_exact_mut(self.outputs))
            .zip(inputs)
            .zip(by_inputs);
        for (((row, sums), input), by_input) in all {
            for (sum, by) in sums.iter_mut().zip(by_outputs) {
                *sum += by * input;
            }
            let mut lanes = [0.0; 8];
            for (row, by) in row.chunks_exact(8).zip(by_outputs.chunks_exact(8)) {
                for (lane, sum) in lanes.iter_mut().enumerate() {
                    *sum += row[lane] * by[lane];
                }
            }
            *by_input = lanes.iter().sum();
        }
    }
}

/// A network in training.
#[derive(Clone, Debug)]
pub struct Trainee {
    shape: Shape,
    layers: Vec<Dense>,
    means: [f32; SCALARS],
    scales: [f32; SCALARS],
}

impl Trainee {
    /// Creates an untrained network, normalised to the mean and the deviation of the samples'
    /// inputs.
    pub fn new(shape: Shape, samples: &[Sample], rng: &mut Xoshiro256PlusPlus) -> Self {
        let (mut means, mut scales) = ([0.0; SCALARS], [0.0; SCALARS]);
        for k in 0..SCALARS {
            let values = || {
                samples
                    .iter()
                    .map(|sample| f64::from(sample.inputs.scalars[k]))
            };
            let mean = values().sum::<f64>() / samples.len() as f64;
            let variance =
                values().map(|value| (value - mean).powi(2)).sum::<f64>() / samples.len() as f64;
            (means[k], scales[k]) = (mean as f32, 1.0 / (variance.sqrt() as f32 + 1e-3));
        }
        let mut layers = vec![Dense::new(SCALARS, shape.first, rng)];
        let mut last = shape.first;
        if shape.second > 0 {
            layers.push(Dense::new(last, shape.second, rng));
            last = shape.second;
        }
        let mut output = Dense::new(last, OUTPUTS, rng);
        output.weights.iter_mut().for_each(|weight| *weight *= 0.3);
        // Initially each body continues its last motion.
        let biases = &mut output.weights[last * OUTPUTS..];
        for (start, second) in [(0, 1), (MOVES, 1), (2 * MOVES, 1), (2 * MOVES + TURNS, 1)] {
            (biases[start], biases[start + second]) = (0.7, 0.3);
        }
        biases[OUTPUTS - 4..].fill(1.5);
        layers.push(output);
        Self {
            shape,
            layers,
            means,
            scales,
        }
    }

    /// Returns the weights in the layout of [`truetick_netcode::rigid_body_codec::Network::new`].
    pub fn weights(&self) -> Vec<f32> {
        let mut all = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let weight = |input: usize, output: usize| match output < layer.outputs {
                true => layer.weights[input * layer.outputs + output],
                false => 0.0,
            };
            let scale = |input: usize| if at == 0 { self.scales[input] } else { 1.0 };
            for group in (0..layer.outputs.next_multiple_of(LANES)).step_by(LANES) {
                for output in group..group + LANES {
                    let mean = |input: usize| {
                        if at == 0 {
                            self.means[input] * self.scales[input]
                        } else {
                            0.0
                        }
                    };
                    let moved: f32 = (0..layer.inputs)
                        .map(|input| mean(input) * weight(input, output))
                        .sum();
                    all.push(weight(layer.inputs, output) - moved);
                }
                for input in 0..layer.inputs {
                    all.extend(
                        (group..group + LANES).map(|output| weight(input, output) * scale(input)),
                    );
                }
            }
        }
        debug_assert_eq!(all.len(), self.shape.weights());
        all
    }

    /// Bits that a sample's errors cost; adds the gradient.
    fn learn_from(&self, sample: &Sample, gradient: &mut [Vec<f32>]) -> f32 {
        let scalars = std::array::from_fn::<_, SCALARS, _>(|k| {
            (sample.inputs.scalars[k] - self.means[k]) * self.scales[k]
        });
        let mut values = vec![scalars.to_vec()];
        for (at, layer) in self.layers.iter().enumerate() {
            let mut outputs = vec![0.0; layer.outputs];
            layer.forward(&values[at], &mut outputs);
            if at + 1 < self.layers.len() {
                outputs.iter_mut().for_each(|value| *value = value.max(0.0));
            }
            values.push(outputs);
        }
        let (bits, mut by_outputs) = errors(sample, &values[self.layers.len()]);
        for (at, layer) in self.layers.iter().enumerate().rev() {
            let mut by_inputs = vec![0.0; layer.inputs];
            layer.backward(&values[at], &by_outputs, &mut gradient[at], &mut by_inputs);
            for (by, value) in by_inputs.iter_mut().zip(&values[at]) {
                if at > 0 && *value <= 0.0 {
                    *by = 0.0;
                }
            }
            by_outputs = by_inputs;
        }
        bits
    }

    fn no_gradient(&self) -> Vec<Vec<f32>> {
        self.layers
            .iter()
            .map(|layer| vec![0.0; layer.weights.len()])
            .collect()
    }

    /// Trains for `rounds` passes over the samples. After each it reports the pass and the bits per
    /// sample to `say`.
    pub fn train(
        &mut self,
        samples: &[Sample],
        rounds: usize,
        rng: &mut Xoshiro256PlusPlus,
        mut say: impl FnMut(usize, f32),
    ) {
        let mut adam = Adam {
            first: self.no_gradient(),
            second: self.no_gradient(),
            steps: 0,
        };
        let mut order: Vec<usize> = (0..samples.len()).collect();
        let all = (rounds * (samples.len() / BATCH)) as f32;
        for round in 0..rounds {
            for at in (1..order.len()).rev() {
                order.swap(at, rng.random_range(0..=at));
            }
            let (mut bits, mut batches) = (0.0, 0);
            for batch in order.chunks_exact(BATCH) {
                bits += self.step(samples, batch, &mut adam, all);
                batches += 1;
            }
            say(round, bits / batches as f32);
        }
    }

    fn step(&mut self, samples: &[Sample], batch: &[usize], adam: &mut Adam, all: f32) -> f32 {
        let this = &*self;
        let part = |part: &[usize]| {
            let mut gradient = this.no_gradient();
            let bits: f32 = part
                .iter()
                .map(|at| this.learn_from(&samples[*at], &mut gradient))
                .sum();
            (bits, gradient)
        };
        let (left, right) = batch.split_at(batch.len() / 2);
        let ((bits, mut gradient), (more, other)) = std::thread::scope(|scope| {
            let other = scope.spawn(|| part(right));
            (
                part(left),
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            )
        });
        for (mine, other) in gradient.iter_mut().flatten().zip(other.iter().flatten()) {
            *mine = (*mine + other) / batch.len() as f32;
        }
        let norm = gradient.iter().flatten().map(|g| g * g).sum::<f32>().sqrt();
        let shrink = if norm > 5.0 { 5.0 / norm } else { 1.0 };
        adam.steps += 1;
        let done = adam.steps as f32 / all;
        let rate = match done {
            early if early < 0.1 => RATE * early / 0.1,
            late => RATE * 0.5 * (1.0 + ((late - 0.1) / 0.9 * std::f32::consts::PI).cos()),
        };
        for (at, layer) in self.layers.iter_mut().enumerate() {
            adam.update(at, &mut layer.weights, &gradient[at], shrink, rate);
        }
        (bits + more) / batch.len() as f32
    }
}

struct Adam {
    first: Vec<Vec<f32>>,
    second: Vec<Vec<f32>>,
    steps: i32,
}

impl Adam {
    fn update(
        &mut self,
        layer: usize,
        weights: &mut [f32],
        gradient: &[f32],
        shrink: f32,
        rate: f32,
    ) {
        let (past, past2) = (0.9f32, 0.999f32);
        let (full, full2) = (1.0 - past.powi(self.steps), 1.0 - past2.powi(self.steps));
        let moments = self.first[layer].iter_mut().zip(&mut self.second[layer]);
        for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * shrink;
            *first = past * *first + (1.0 - past) * gradient;
            *second = past2 * *second + (1.0 - past2) * gradient * gradient;
            *weight -= rate * (*first / full) / ((*second / full2).sqrt() + 1e-8);
        }
    }
}

/// The bits of a sample's errors, and their gradient by the network's outputs.
fn errors(sample: &Sample, outputs: &[f32]) -> (f32, Vec<f32>) {
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_gradient_is_what_the_bits_change_by() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let mut number = || rng.random_range(-3.0f32..3.0);
        let inputs = Inputs {
            scalars: std::array::from_fn(|_| number()),
            moves: std::array::from_fn(|_| std::array::from_fn(|_| number())),
            turns: std::array::from_fn(|_| std::array::from_fn(|_| number())),
        };
        let samples = [Sample {
            inputs,
            step: [4.0, -2.0, 1.0],
            lowest: -50.0,
            turn: [1.0, 0.0, -3.0],
        }];
        let mut trainee = Trainee::new(
            Shape {
                first: 32,
                second: 32,
            },
            &samples,
            &mut rng,
        );
        (trainee.means, trainee.scales) = ([0.0; SCALARS], [1.0; SCALARS]);
        let mut gradient = trainee.no_gradient();
        trainee.learn_from(&samples[0], &mut gradient);
        for (layer, gradient) in gradient.iter().enumerate() {
            let steepest = |at: &usize| (gradient[*at].abs() * 1e6) as u64;
            let at = (0..gradient.len()).max_by_key(steepest).unwrap();
            let mut bits = [0.0; 2];
            for (bits, by) in bits.iter_mut().zip([-1e-3, 1e-3]) {
                let mut moved = trainee.clone();
                moved.layers[layer].weights[at] += by;
                *bits = moved.learn_from(&samples[0], &mut trainee.no_gradient());
            }
            let (slope, told) = ((bits[1] - bits[0]) / 2e-3, gradient[at]);
            assert!(
                (slope - told).abs() < 0.05 * told.abs() + 0.05,
                "layer {layer}: {slope} and not {told}"
            );
        }
    }
}
