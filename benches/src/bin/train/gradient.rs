//! Trains the network that estimates bodies: gradient descent on the bits that its errors cost.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_rigid_body::{Inputs, LANES, MOVES, OUTPUTS, SCALARS, Shape, TURNS};

use crate::cost::errors;
use crate::layer::{Adam, Dense};

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

/// Samples per gradient step.
const BATCH: usize = 2048;

/// Maximum learning rate.
const RATE: f32 = 6e-3;

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

    /// Returns the weights in the layout of [`truetick_rigid_body::Network::new`].
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
