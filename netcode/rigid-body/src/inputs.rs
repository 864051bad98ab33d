//! The network's inputs for one body, and the vectors that it weighs.
//!
//! All motions are scaled to the time from the baseline to now: a velocity is in grid steps per
//! that time, so one network serves all ages. The inputs from a body's own history and from the
//! player come first ([`super::own`]), then those from the neighbour that was coded last.

use fearless_simd::f32x8;
use fearless_simd::prelude::*;

use super::frame::Frame;
use super::history::OLDER;
use super::lanes::Number;
use super::neighbours::Neighbour;
use super::network::LANES;
use super::rotation::{to_vector, turn};
use super::vector::{Vector, aside, direction, dot, less, place, scaled};

/// Number of scalar inputs from the body's own history and the player.
pub(crate) const OWN_SCALARS: usize = 28;
/// Number of scalar inputs, with those from the neighbour.
pub const SCALARS: usize = OWN_SCALARS + 8;

/// Number of candidate vectors for the step of a body, from its own history and the player.
pub(crate) const OWN_MOVES: usize = 8;
/// Number of candidate vectors for the step of a body, with those from the neighbour.
pub const MOVES: usize = OWN_MOVES + 4;

/// Number of candidate vectors for the turn of a body, from its own history and the player.
pub(crate) const OWN_TURNS: usize = 7;
/// Number of candidate vectors for the turn of a body, with those from the neighbour.
pub const TURNS: usize = OWN_TURNS + 3;

/// Everything that is known about one body before it is coded.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Scalar inputs: logarithms of lengths, signed logarithms, and flags.
    pub scalars: [f32; SCALARS],
    /// Candidate vectors for the step, in grid steps: all x, all y, all z; padded with zeros.
    pub moves: [[f32; LANES]; 3],
    /// Candidate vectors for the turn, in units of 1/[`super::rotation::TURN_STEPS`] radian: all x,
    /// all y, all z; padded with zeros.
    pub turns: [[f32; LANES]; 3],
}

const _: () = assert!(MOVES <= LANES && TURNS <= LANES);

impl Default for Inputs {
    fn default() -> Self {
        Self {
            scalars: [0.0; SCALARS],
            moves: [[0.0; LANES]; 3],
            turns: [[0.0; LANES]; 3],
        }
    }
}

impl Inputs {
    /// Adds the inputs from the neighbour that was coded last; all of them are zero if there is
    /// none.
    #[inline(always)]
    pub(crate) fn look_beside<S: Simd>(
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
        let velocity = |k: usize| {
            scaled(
                less(there, place(frame.pasts.older[k][beside])),
                frame.ratios[k],
            )
        };
        let offset = less(there, place(frame.pasts.base[index]));
        let (step, turn) = (
            less(place(now), there),
            to_vector(turn(base.quaternion(), now.quaternion())),
        );
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
        put(
            &mut self.moves,
            OWN_MOVES,
            [step, velocity, velocity_longer, toward],
        );
        put(
            &mut self.turns,
            OWN_TURNS,
            [turn, aside(step), aside(toward)],
        );
    }
}

/// Stores vectors from index `at` on.
#[inline(always)]
fn put<const N: usize>(vectors: &mut [[f32; LANES]; 3], at: usize, these: [Vector; N]) {
    for k in 0..3 {
        for (i, vector) in these.iter().enumerate() {
            vectors[k][at + i] = vector[k];
        }
    }
}
