//! One layer of the network in training, and the optimiser that changes its weights (Adam, Kingma
//! and Ba 2015).

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

/// One layer: for each input the weights of all outputs, then the biases.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) weights: Vec<f32>,
}

impl Dense {
    /// Creates a layer with small random weights.
    pub(super) fn new(inputs: usize, outputs: usize, rng: &mut Xoshiro256PlusPlus) -> Self {
        let spread = (1.0 / inputs as f32).sqrt();
        let weights = (0..(inputs + 1) * outputs).map(|_| rng.random_range(-spread..spread));
        Self {
            inputs,
            outputs,
            weights: weights.collect(),
        }
    }

    /// Computes the outputs from the inputs.
    pub(super) fn forward(&self, inputs: &[f32], outputs: &mut [f32]) {
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
    pub(super) fn backward(
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

/// State of the optimiser Adam: two moments of each weight's gradient, by layer.
pub(super) struct Adam {
    pub(super) first: Vec<Vec<f32>>,
    pub(super) second: Vec<Vec<f32>>,
    pub(super) steps: i32,
}

impl Adam {
    /// Moves the weights of a layer against the gradient, scaled by `shrink`.
    pub(super) fn update(
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
