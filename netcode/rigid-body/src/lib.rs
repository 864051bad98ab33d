//! A codec for rigid bodies that push each other, such as a pile of boxes that a player moves.
//!
//! The general coder (`truetick_netcode::replication`) estimates each field separately from its
//! baselines. For bodies in contact more is known: the motion of a body follows from its velocity,
//! its spin, the ground, the player that carries it and the neighbour that was coded last. A small
//! network, trained once from recorded play, reads all of that. For each body it weighs the known
//! vectors (its velocities, the player's rigid motion, the neighbour's step, ...) and estimates the
//! size of the residual. The residual is coded with static tables, one for each degree of
//! certainty.
//!
//! ```text
//! history (acknowledged states) -> frame -> own (eight bodies side by side)
//!         -> inputs (with the neighbour's) -> network -> block (both directions) -> bytes
//! ```
//! Nothing adapts between packets: a block is decoded from the states it names and nothing else, so
//! a lost packet costs no more than an older baseline. Only operations that IEEE 754 rounds alike
//! everywhere are used, in a fixed order (sums, products, products added with one rounding,
//! quotients, square roots), so that every machine computes equal estimates.
//!
//! Lengths are in steps of a grid that the game chooses (the models were trained with 1/512 m).
//! Rotations are their smallest three components with 9 bits each
//! ([`truetick_netcode::replication::quaternion`]).

mod block;
mod certainty;
mod frame;
mod history;
mod inputs;
mod lanes;
pub mod model;
mod moves;
mod neighbours;
mod network;
mod own;
mod rotation;
pub mod symbols;
#[cfg(test)]
mod tests;
mod vector;

pub use block::{Bodies, MAX_BODIES, visit};
pub use frame::{BodyBaselines, Floors};
pub use history::{Acknowledged, OLDER, PastTicks};
pub use inputs::{Inputs, MOVES, SCALARS, TURNS};
pub use network::{Expectation, LANES, Network, OUTPUTS, Shape};
pub use rotation::TURN_STEPS;

use truetick_netcode::replication::quaternion::{Quaternion, restore};

/// Largest grid value of a rotation's component.
pub const ROTATION_MAX: u32 = 511;

/// Largest absolute value of a position's coordinate, in grid steps.
pub const POSITION_LIMIT: i32 = 1 << 18;

/// The state of one body: its position, its rotation and a flag of the game.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Position in grid steps along x, y and z; z is up. Each coordinate is within plus and minus
    /// [`POSITION_LIMIT`].
    pub position: [i32; 3],
    rotation: u32,
}

impl Body {
    /// Creates a body. `rotation` holds the index of its largest component (0 to 3 for x, y, z, w),
    /// then the other components in order (0 to [`ROTATION_MAX`]); higher bits are cut off. `mark`
    /// is a flag of the game's own, which should change seldom.
    pub fn new(position: [i32; 3], rotation: [u32; 4], mark: bool) -> Self {
        let [largest, a, b, c] = rotation;
        let cut = |part: u32| part & ROTATION_MAX;
        let packed =
            (largest & 3) << 27 | cut(a) << 18 | cut(b) << 9 | cut(c) | u32::from(mark) << 29;
        Self {
            position,
            rotation: packed,
        }
    }

    /// The index of the rotation's largest component (0 to 3 for x, y, z, w), then the grid values
    /// of the others in order (0 to [`ROTATION_MAX`]).
    #[inline(always)]
    pub fn rotation(self) -> [u32; 4] {
        let part = |shift: u32| self.rotation >> shift & ROTATION_MAX;
        [self.rotation >> 27 & 3, part(18), part(9), part(0)]
    }

    /// The game's flag.
    #[inline(always)]
    pub fn mark(self) -> bool {
        self.rotation >> 29 & 1 == 1
    }

    #[inline(always)]
    fn marked(self, mark: bool) -> Self {
        Self {
            rotation: self.rotation & !(1 << 29) | u32::from(mark) << 29,
            ..self
        }
    }

    #[inline(always)]
    fn quaternion(self) -> Quaternion {
        restore(self.rotation(), ROTATION_MAX)
    }

    /// Whether the position or the rotation differs; the mark is ignored.
    #[inline(always)]
    fn moved_from(self, other: Self) -> bool {
        let [x, y, z] = self.position;
        let [a, b, c] = other.position;
        (x ^ a) | (y ^ b) | (z ^ c) != 0 || (self.rotation ^ other.rotation) << 3 != 0
    }
}

/// The turn from one body's rotation to another's, as a vector about x, y and z whose length is the
/// angle in units of 1/[`TURN_STEPS`] radian.
pub fn turn_between(before: Body, now: Body) -> [f32; 3] {
    rotation::to_vector(rotation::turn(before.quaternion(), now.quaternion()))
}
