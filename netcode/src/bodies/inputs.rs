//! What the network reads of one body, and the vectors that it weighs.
//!
//! All motions are scaled to the time from the baseline to now: a velocity of so many grid steps in that time. So one network
//! serves all ages.

use super::Body;
use super::frame::{Frame, less, vector};
use super::history::OLDER;
use super::lanes::{Lanes, Number, side_by_side};
use super::neighbours::Neighbour;
use super::rotation::{Vector, to_vector, turn};

/// Numbers that say what kind of situation it is.
pub const SCALARS: usize = LENGTHS + LOGS + FLAGS;

/// Logarithms of lengths.
const LENGTHS: usize = 25;
/// Logarithms of what has a sign.
const LOGS: usize = 10;
/// Yes or no.
const FLAGS: usize = 5;

/// Vectors a position may move by.
pub const MOVES: usize = 14;

/// Vectors a body may turn by.
pub const TURNS: usize = 12;

/// The player's rigid motion matters within this of it, in grid steps.
const NEAR: f32 = 1500.0;

/// A body that the player's rigid motion foresaw so well in the past is carried by it.
const CARRIED: f32 = 24.0;

/// What is known of one body before it is coded.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Logarithms of lengths and of what has a sign, flags.
    pub scalars: [f32; SCALARS],
    /// Vectors a position may move by, in grid steps.
    pub moves: [Vector; MOVES],
    /// Vectors a body may turn by, in [`super::rotation::TURN_STEPS`].
    pub turns: [Vector; TURNS],
}

const NONE: Vector = [0.0; 3];

/// A logarithm of 1 and more, to within a tenth: the exponent and the mantissa of the float, as they stand.
#[inline(always)]
fn log(x: f32) -> f32 {
    ((1.0 + x).to_bits() as i32 as f32) * (1.0 / (1 << 23) as f32) - 127.0
}

#[inline(always)]
fn dot(a: Vector, b: Vector) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Logarithms of the lengths of vectors, without their roots.
#[inline(always)]
fn log_lengths<const N: usize>(vectors: [Vector; N]) -> [f32; N] {
    let mut parts = [[0.0; N]; 3];
    for (at, vector) in vectors.iter().enumerate() {
        for k in 0..3 {
            parts[k][at] = vector[k];
        }
    }
    let [x, y, z] = parts;
    let mut logs = [0.0; N];
    for at in 0..N {
        logs[at] = 0.5 * log(x[at] * x[at] + y[at] * y[at] + z[at] * z[at]);
    }
    logs
}

/// Logarithms with the signs of their numbers.
#[inline(always)]
fn signed_logs<const N: usize>(numbers: [f32; N]) -> [f32; N] {
    let mut logs = [0.0; N];
    for at in 0..N {
        logs[at] = log(numbers[at].abs()).signed_by(numbers[at]);
    }
    logs
}

#[inline(always)]
fn scaled(v: Vector, by: f32) -> Vector {
    [v[0] * by, v[1] * by, v[2] * by]
}

#[inline(always)]
fn plus(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// A quarter turn about the vertical: the axis about which a thing that moves so would roll.
#[inline(always)]
fn aside(v: Vector) -> Vector {
    [-v[1], v[0], 0.0]
}

/// Velocities and spins over each of the older states.
struct Motions {
    moves: [Vector; OLDER],
    turns: [Vector; OLDER],
}

#[inline(always)]
fn motions(frame: &Frame, index: usize) -> Motions {
    let base = frame.pasts.base[index];
    let [a, b, c, d] = frame.pasts.older;
    let older = [a[index], b[index], c[index], d[index]];
    if !older[0].moved_from(base) && !older[OLDER - 1].moved_from(base) {
        return Motions { moves: [NONE; OLDER], turns: [NONE; OLDER] };
    }
    let ratios = Lanes(frame.ratios);
    let places = [vector(older[0]), vector(older[1]), vector(older[2]), vector(older[3])];
    let axis = |k: usize| {
        let here = Lanes::all(base.position[k] as f32);
        (here - Lanes([places[0][k], places[1][k], places[2][k], places[3][k]])) * ratios
    };
    let rotations =
        [older[0].quaternion(), older[1].quaternion(), older[2].quaternion(), older[3].quaternion()];
    let to = base.quaternion();
    let to = [Lanes::all(to[0]), Lanes::all(to[1]), Lanes::all(to[2]), Lanes::all(to[3])];
    let turns = to_vector(turn(side_by_side(rotations), to));
    Motions {
        moves: apart([axis(0), axis(1), axis(2)]),
        turns: apart([turns[0] * ratios, turns[1] * ratios, turns[2] * ratios]),
    }
}

/// Four vectors.
#[inline(always)]
fn apart([x, y, z]: [Lanes; 3]) -> [Vector; 4] {
    let vector = |k: usize| [x.0[k], y.0[k], z.0[k]];
    [vector(0), vector(1), vector(2), vector(3)]
}

/// What the player's nearness means.
struct Near {
    near: bool,
    carried: bool,
    step: Vector,
    turn: Vector,
    astray: Vector,
}

#[inline(always)]
fn near(frame: &Frame, index: usize, here: Vector, offset: Vector) -> Near {
    let far = Near { near: false, carried: false, step: NONE, turn: NONE, astray: NONE };
    if index == 0 || dot(offset, offset) >= NEAR * NEAR {
        return far;
    }
    let oldest = vector(frame.pasts.older[OLDER - 1][index]);
    let astray = frame.astray(oldest, here);
    Near {
        near: true,
        carried: astray[0].abs().max(astray[1].abs()).max(astray[2].abs()) < CARRIED,
        step: frame.carried(offset),
        turn: to_vector(frame.turns[1]),
        astray,
    }
}

/// What the neighbour that was coded last did.
struct Beside {
    there: f32,
    offset: Vector,
    step: Vector,
    velocity: Vector,
    velocity_longer: Vector,
    turn: Vector,
}

#[inline(always)]
fn beside(frame: &Frame, here: Vector, neighbour: Option<Neighbour>) -> Beside {
    let Some(Neighbour { index, now }) = neighbour else {
        return Beside {
            there: 0.0,
            offset: NONE,
            step: NONE,
            velocity: NONE,
            velocity_longer: NONE,
            turn: NONE,
        };
    };
    let base = frame.pasts.base[index];
    let there = vector(base);
    let velocity = |k: usize| scaled(less(there, vector(frame.pasts.older[k][index])), frame.ratios[k]);
    Beside {
        there: 1.0,
        offset: less(there, here),
        step: less(vector(now), there),
        velocity: velocity(0),
        velocity_longer: velocity(OLDER - 1),
        turn: to_vector(turn(base.quaternion(), now.quaternion())),
    }
}

impl Inputs {
    /// Looks at one body.
    #[inline(always)]
    pub fn of(frame: &Frame, index: usize, neighbour: Option<Neighbour>) -> Self {
        let body = frame.pasts.base[index];
        let here = vector(body);
        let offset = less(here, frame.player[1]);
        let seen = Seen {
            own: motions(frame, index),
            near: near(frame, index, here, offset),
            beside: beside(frame, here, neighbour),
            offset,
            player_step: less(frame.player[2], frame.player[1]),
            player_past: scaled(less(frame.player[1], frame.player[0]), frame.ratios[OLDER - 1]),
            fall: frame.fall,
        };
        Self {
            scalars: seen.scalars(body, index, here[2] - frame.floors.of(index) as f32),
            moves: seen.moves(),
            turns: seen.turns(),
        }
    }
}

/// All that was looked at.
struct Seen {
    own: Motions,
    near: Near,
    beside: Beside,
    offset: Vector,
    player_step: Vector,
    player_past: Vector,
    fall: f32,
}

impl Seen {
    #[inline(always)]
    fn outward(&self) -> Vector {
        scaled(self.offset, 1.0 / (dot(self.offset, self.offset) + 1.0).sqrt())
    }

    #[inline(always)]
    fn beside_direction(&self) -> Vector {
        scaled(self.beside.offset, 1.0 / (dot(self.beside.offset, self.beside.offset) + 1.0).sqrt())
    }

    #[inline(always)]
    fn moves(&self) -> [Vector; MOVES] {
        let near = if self.near.near { 1.0 } else { 0.0 };
        let [v1, v2, v3, v6] = self.own.moves;
        [
            v1,
            v2,
            v3,
            v6,
            self.near.step,
            scaled(self.outward(), 50.0),
            scaled(self.player_step, near),
            scaled(self.player_past, near),
            self.beside.step,
            self.beside.velocity,
            self.beside.velocity_longer,
            scaled(self.beside_direction(), 20.0),
            scaled(aside(self.own.turns[0]), 0.7),
            [0.0, 0.0, 30.0 * self.fall],
        ]
    }

    #[inline(always)]
    fn turns(&self) -> [Vector; TURNS] {
        let near = if self.near.near { 1.0 } else { 0.0 };
        let [w1, w2, w3, w6] = self.own.turns;
        [
            w1,
            w2,
            w3,
            w6,
            self.near.turn,
            self.beside.turn,
            aside(self.own.moves[0]),
            aside(self.own.moves[2]),
            scaled(aside(self.player_step), near),
            aside(self.beside.step),
            scaled(aside(self.outward()), 20.0),
            scaled(aside(self.beside_direction()), 20.0),
        ]
    }

    #[inline(always)]
    fn scalars(&self, body: Body, index: usize, height: f32) -> [f32; SCALARS] {
        let ([v1, v2, v3, v6], [w1, w2, w3, w6]) = (self.own.moves, self.own.turns);
        let (near, beside, step) = (&self.near, &self.beside, self.player_step);
        let flag = |flag: bool| if flag { 1.0 } else { 0.0 };
        let (is_near, there) = (flag(near.near), beside.there);
        let lengths = log_lengths([
            v1,
            v6,
            less(v3, v6),
            less(v1, v3),
            less(plus(v1, v3), plus(v2, v6)),
            w1,
            w6,
            less(w1, w2),
            less(w2, w3),
            less(w3, w6),
            less(scaled(aside(w1), 0.7), v1),
            self.offset,
            step,
            less(step, self.player_past),
            near.step,
            near.astray,
            near.turn,
            beside.turn,
            less(beside.step, beside.velocity),
            // What matters near the player, or beside a neighbour, alone.
            scaled(less(near.step, v1), is_near),
            scaled(less(near.turn, w1), is_near),
            scaled(beside.offset, there),
            scaled(less(v1, beside.step), there),
            scaled(less(v1, beside.velocity_longer), there),
            scaled(less(w1, beside.turn), there),
        ]);
        let relative = less(v1, step);
        let logs = signed_logs([
            v1[2],
            v3[2],
            v6[2],
            v3[2] - v6[2] + 25.0 * self.fall,
            height,
            height + v1[2],
            dot(relative, self.outward()),
            self.offset[2],
            beside.offset[2],
            self.fall,
        ]);
        let flags = [is_near, flag(near.carried), there, flag(body.mark()), flag(index == 0)];
        let mut scalars = [0.0; SCALARS];
        scalars[..LENGTHS].copy_from_slice(&lengths);
        scalars[LENGTHS..][..LOGS].copy_from_slice(&logs);
        scalars[LENGTHS + LOGS..].copy_from_slice(&flags);
        scalars
    }
}
