//! Inputs from the bodies' own history and from the player, for several bodies side by side. They
//! do not depend on neighbours in the frame.

use fearless_simd::f32x8;
use fearless_simd::prelude::*;

use super::frame::Frame;
use super::history::OLDER;
use super::inputs::{Inputs, OWN_MOVES, OWN_SCALARS, OWN_TURNS};
use super::lanes::{BATCH, Number};
use super::rotation::{rotate, to_vector, turn};
use super::vector::{Vector, aside, direction, dot, less, log_length, plus, scaled, signed_log};
use super::{Body, ROTATION_MAX};
use truetick_netcode::replication::quaternion::{MOST, Quaternion};

/// Distance from the player within which its rigid motion matters, in grid steps.
const NEAR: f32 = 1500.0;

/// A body counts as carried if the player's rigid motion explains its past motion to within this,
/// in grid steps per coordinate.
const CARRIED: f32 = 24.0;

/// One vector for each body of a batch.
type Vectors<S> = [f32x8<S>; 3];

/// The bodies of a batch in one state.
#[derive(Clone, Copy)]
struct State<S: Simd> {
    place: Vectors<S>,
    rotation: [f32x8<S>; 4],
}

impl<S: Simd> State<S> {
    #[inline(always)]
    fn of(simd: S, bodies: &[Body], indices: &[u16; BATCH]) -> Self {
        let (mut place, mut rotation) = ([[0.0; BATCH]; 3], [[0.0; BATCH]; 4]);
        for (lane, index) in indices.iter().enumerate() {
            let body = bodies[usize::from(*index)];
            for (part, of) in place.iter_mut().zip(body.position) {
                part[lane] = of as f32;
            }
            for (part, of) in rotation.iter_mut().zip(body.rotation()) {
                part[lane] = of as f32;
            }
        }
        let ([x, y, z], [largest, a, b, c]) = (place, rotation);
        Self {
            place: [beside(simd, x), beside(simd, y), beside(simd, z)],
            rotation: restored([
                beside(simd, largest),
                beside(simd, a),
                beside(simd, b),
                beside(simd, c),
            ]),
        }
    }
}

// The following code avoids closures: the compiler does not always inline them where SIMD levels
// are selected at run time, and then calls a function for each addition.

#[inline(always)]
fn beside<S: Simd>(simd: S, numbers: [f32; BATCH]) -> f32x8<S> {
    f32x8::simd_from(simd, numbers)
}

/// Converts a grid value of a rotation's component.
#[inline(always)]
fn component<S: Simd>(part: f32x8<S>) -> f32x8<S> {
    const STEP: f32 = 2.0 / ROTATION_MAX as f32;
    (part * STEP - 1.0) * MOST
}

/// The rotation of grid values, with the arithmetic of netcode's `quaternion::restore`.
#[inline(always)]
fn restored<S: Simd>([largest, a, b, c]: [f32x8<S>; 4]) -> [f32x8<S>; 4] {
    let (a, b, c) = (component(a), component(b), component(c));
    let left = (a.same(1.0) - a * a - b * b - c * c).max(0.0).sqrt();
    let x = largest.simd_eq(0.0).select(left, a);
    let y = largest
        .simd_eq(1.0)
        .select(left, largest.simd_eq(0.0).select(a, b));
    let z = largest
        .simd_eq(2.0)
        .select(left, largest.simd_lt(2.0).select(b, c));
    let w = largest.simd_eq(3.0).select(left, c);
    [x, y, z, w]
}

/// Copies one vector to all bodies.
#[inline(always)]
fn all<S: Simd>(simd: S, v: Vector) -> Vectors<S> {
    [
        f32x8::splat(simd, v[0]),
        f32x8::splat(simd, v[1]),
        f32x8::splat(simd, v[2]),
    ]
}

/// Copies one turn to all bodies.
#[inline(always)]
fn one_turn<S: Simd>(simd: S, q: Quaternion) -> [f32x8<S>; 4] {
    [
        f32x8::splat(simd, q[0]),
        f32x8::splat(simd, q[1]),
        f32x8::splat(simd, q[2]),
        f32x8::splat(simd, q[3]),
    ]
}

/// The quantities from which the inputs are computed.
struct Seen<S: Simd> {
    /// Velocities and spins since each of the older states.
    moves: [Vectors<S>; OLDER],
    turns: [Vectors<S>; OLDER],
    /// Offset from the player in the baseline.
    offset: Vectors<S>,
    near: Near<S>,
    /// The player's step.
    step: Vectors<S>,
    fall: f32,
}

/// Quantities of the player's rigid motion; all are zero for bodies that are not near.
struct Near<S: Simd> {
    /// 1 where the body is near the player, and where the player carried it; else 0.
    near: f32x8<S>,
    carried: f32x8<S>,
    step: Vectors<S>,
    turn: Vectors<S>,
    astray: Vectors<S>,
}

#[inline(always)]
fn motion<S: Simd>(base: &State<S>, older: &State<S>, ratio: f32) -> Vectors<S> {
    scaled(less(base.place, older.place), base.place[0].same(ratio))
}

#[inline(always)]
fn spin<S: Simd>(base: &State<S>, older: &State<S>, ratio: f32) -> Vectors<S> {
    scaled(
        to_vector(turn(older.rotation, base.rotation)),
        base.place[0].same(ratio),
    )
}

/// Computes the inputs of a batch of bodies that do not depend on a neighbour.
#[inline(always)]
pub fn look<S: Simd>(simd: S, frame: &Frame, indices: &[u16; BATCH], inputs: &mut [Inputs; BATCH]) {
    let base = State::of(simd, frame.pasts.base, indices);
    let [a, b, c, d] = frame.pasts.older;
    let older = [
        State::of(simd, a, indices),
        State::of(simd, b, indices),
        State::of(simd, c, indices),
        State::of(simd, d, indices),
    ];
    let (mut floor, mut mark, mut player) = ([0.0; BATCH], [0.0; BATCH], [0.0; BATCH]);
    for (lane, index) in indices.iter().enumerate() {
        let index = usize::from(*index);
        floor[lane] = frame.floors.of(index) as f32;
        mark[lane] = f32::from(u8::from(frame.pasts.base[index].mark()));
        player[lane] = f32::from(u8::from(index == 0));
    }
    let (floor, mark, player) = (
        beside(simd, floor),
        beside(simd, mark),
        beside(simd, player),
    );
    let seen = Seen {
        moves: [
            motion(&base, &older[0], frame.ratios[0]),
            motion(&base, &older[1], frame.ratios[1]),
            motion(&base, &older[2], frame.ratios[2]),
            motion(&base, &older[3], frame.ratios[3]),
        ],
        turns: [
            spin(&base, &older[0], frame.ratios[0]),
            spin(&base, &older[1], frame.ratios[1]),
            spin(&base, &older[2], frame.ratios[2]),
            spin(&base, &older[3], frame.ratios[3]),
        ],
        offset: less(base.place, all(simd, frame.player[1])),
        near: near(simd, frame, player, &base, &older[OLDER - 1]),
        step: all(simd, less(frame.player[2], frame.player[1])),
        fall: frame.fall,
    };
    let (scalars, moves, turns) = (
        seen.scalars(base.place[2] - floor, mark, player),
        seen.moves(),
        seen.turns(),
    );
    for (lane, inputs) in inputs.iter_mut().enumerate() {
        for (to, from) in inputs.scalars.iter_mut().zip(&scalars) {
            *to = from[lane];
        }
        for k in 0..3 {
            for (to, from) in inputs.moves[k].iter_mut().zip(&moves) {
                *to = from[k][lane];
            }
            for (to, from) in inputs.turns[k].iter_mut().zip(&turns) {
                *to = from[k][lane];
            }
        }
    }
}

#[inline(always)]
fn near<S: Simd>(
    simd: S,
    frame: &Frame,
    player: f32x8<S>,
    base: &State<S>,
    oldest: &State<S>,
) -> Near<S> {
    let offset = less(base.place, all(simd, frame.player[1]));
    let one = f32x8::splat(simd, 1.0);
    let near = dot(offset, offset)
        .simd_lt(NEAR * NEAR)
        .select(one - player, one.same(0.0));
    let turned = rotate(one_turn(simd, frame.turns[1]), offset);
    let step = less(
        all(simd, less(frame.player[2], frame.player[1])),
        less(offset, turned),
    );
    let before = rotate(
        one_turn(simd, frame.turns[0]),
        less(oldest.place, all(simd, frame.player[0])),
    );
    let astray = scaled(less(before, offset), near);
    let farthest = astray[0].size().max(astray[1].size()).max(astray[2].size());
    let carried = farthest.simd_lt(CARRIED).select(near, one.same(0.0));
    let turn = scaled(all(simd, to_vector(frame.turns[1])), near);
    Near {
        near,
        carried,
        step: scaled(step, near),
        turn,
        astray,
    }
}

impl<S: Simd> Seen<S> {
    #[inline(always)]
    fn moves(&self) -> [Vectors<S>; OWN_MOVES] {
        let ([v1, v2, v3, v6], near) = (self.moves, self.near.near);
        [
            v1,
            v2,
            v3,
            v6,
            self.near.step,
            scaled(self.step, near),
            scaled(aside(self.turns[0]), near.same(0.7)),
            [near.same(0.0), near.same(0.0), near.same(30.0 * self.fall)],
        ]
    }

    #[inline(always)]
    fn turns(&self) -> [Vectors<S>; OWN_TURNS] {
        let [w1, w2, w3, w6] = self.turns;
        [
            w1,
            w2,
            w3,
            w6,
            self.near.turn,
            aside(self.moves[0]),
            aside(self.moves[2]),
        ]
    }

    #[inline(always)]
    fn scalars(
        &self,
        height: f32x8<S>,
        mark: f32x8<S>,
        player: f32x8<S>,
    ) -> [f32x8<S>; OWN_SCALARS] {
        let ([v1, v2, v3, v6], [w1, w2, w3, w6]) = (self.moves, self.turns);
        let (near, step) = (&self.near, self.step);
        [
            log_length(v1),
            log_length(v6),
            log_length(less(v3, v6)),
            log_length(less(v1, v3)),
            log_length(less(plus(v1, v3), plus(v2, v6))),
            log_length(w1),
            log_length(w6),
            log_length(less(w1, w2)),
            log_length(less(w2, w3)),
            log_length(less(w3, w6)),
            log_length(less(scaled(aside(w1), height.same(0.7)), v1)),
            log_length(self.offset),
            log_length(near.step),
            log_length(near.astray),
            log_length(near.turn),
            // These two matter near the player only.
            log_length(scaled(less(near.step, v1), near.near)),
            log_length(scaled(less(near.turn, w1), near.near)),
            signed_log(v1[2]),
            signed_log(v6[2]),
            signed_log(v3[2] - v6[2] + height.same(25.0 * self.fall)),
            signed_log(height),
            signed_log(height + v1[2]),
            signed_log(dot(less(v1, step), direction(self.offset))),
            signed_log(self.offset[2]),
            near.near,
            near.carried,
            mark,
            player,
        ]
    }
}
