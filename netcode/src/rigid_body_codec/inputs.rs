//! What the network reads of one body, and the vectors that it weighs.
//!
//! All motions are scaled to the time from the baseline to now: a velocity of so many grid steps in
//! that time. So one network serves all ages. What a body's own past and the player tell comes
//! first ([`super::own`]), then what the neighbour tells that was coded last.

use fearless_simd::f32x8;
use fearless_simd::prelude::*;

use super::frame::Frame;
use super::history::OLDER;
use super::lanes::Number;
use super::neighbours::Neighbour;
use super::network::LANES;
use super::rotation::{to_vector, turn};
use super::vector::{Vector, aside, direction, dot, less, place, scaled};

/// Numbers that say what kind of situation it is, of the body's own.
pub const OWN_SCALARS: usize = 28;
/// All of them, with the neighbour's.
pub const SCALARS: usize = OWN_SCALARS + 8;

/// Vectors a position may move by, of the body's own.
pub const OWN_MOVES: usize = 8;
/// All of them, with the neighbour's.
pub const MOVES: usize = OWN_MOVES + 4;

/// Vectors a body may turn by, of its own.
pub const OWN_TURNS: usize = 7;
/// All of them, with the neighbour's.
pub const TURNS: usize = OWN_TURNS + 3;

/// What is known of one body before it is coded.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Logarithms of lengths and of what has a sign, flags.
    pub scalars: [f32; SCALARS],
    /// Vectors a position may move by, in grid steps: their x, their y, their z; zeros after the
    /// last.
    pub moves: [[f32; LANES]; 3],
    /// Vectors a body may turn by, in [`super::rotation::TURN_STEPS`].
    pub turns: [[f32; LANES]; 3],
}

const _: () = assert!(MOVES <= LANES && TURNS <= LANES);

impl Default for Inputs {
    fn default() -> Self {
        Self { scalars: [0.0; SCALARS], moves: [[0.0; LANES]; 3], turns: [[0.0; LANES]; 3] }
    }
}

impl Inputs {
    /// Adds what the neighbour of a body did that was coded last.
    #[inline(always)]
    pub fn look_beside<S: Simd>(
        &mut self,
        simd: S,
        frame: &Frame,
        index: usize,
        neighbour: Option<Neighbour>,
    ) {
        self.scalars[OWN_SCALARS..].fill(0.0);
        put(&mut self.moves, OWN_MOVES, [[0.0; 3]; MOVES - OWN_MOVES]);
        put(&mut self.turns, OWN_TURNS, [[0.0; 3]; TURNS - OWN_TURNS]);
        let Some(Neighbour { index: beside, now }) = neighbour else {
            return;
        };
        let base = frame.pasts.base[beside];
        let there = place(base);
        let velocity =
            |k: usize| scaled(less(there, place(frame.pasts.older[k][beside])), frame.ratios[k]);
        let offset = less(there, place(frame.pasts.base[index]));
        let (step, turn) =
            (less(place(now), there), to_vector(turn(base.quaternion(), now.quaternion())));
        let (velocity, velocity_longer) = (velocity(0), velocity(OLDER - 1));
        let first = |of: &[[f32; LANES]; 3]| [of[0][0], of[1][0], of[2][0]];
        let (v1, w1) = (first(&self.moves), first(&self.turns));
        let square = |v: Vector| dot(v, v);
        let squares = [
            square(turn),
            square(less(step, velocity)),
            square(offset),
            square(less(v1, step)),
            square(less(v1, velocity_longer)),
            square(less(w1, turn)),
            offset[2] * offset[2],
            0.0,
        ];
        let logs = (f32x8::simd_from(simd, squares).log() * 0.5).to_array();
        self.scalars[OWN_SCALARS..].copy_from_slice(&logs);
        self.scalars[SCALARS - 2] = logs[6].signed_by(offset[2]);
        self.scalars[SCALARS - 1] = 1.0;
        let toward = scaled(direction(offset), 20.0);
        put(&mut self.moves, OWN_MOVES, [step, velocity, velocity_longer, toward]);
        put(&mut self.turns, OWN_TURNS, [turn, aside(step), aside(toward)]);
    }
}

/// Puts some vectors to their places.
#[inline(always)]
fn put<const N: usize>(vectors: &mut [[f32; LANES]; 3], at: usize, these: [Vector; N]) {
    for k in 0..3 {
        for (i, vector) in these.iter().enumerate() {
            vectors[k][at + i] = vector[k];
        }
    }
}
