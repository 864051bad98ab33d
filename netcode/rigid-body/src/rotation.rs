//! Turns as vectors along their axis, with the angle as length.

use super::lanes::Number;
use super::vector::Vector;
use truetick_netcode::replication::quaternion::Quaternion;

/// Number of units per radian in turn vectors: about the steps of a rotation's grid (its components
/// grow by half the angle, in steps of root 2 in 511).
pub const TURN_STEPS: f32 = 180.0;

/// Quaternion product: the turn `a` after the turn `b`.
#[inline(always)]
pub fn product<N: Number>(a: [N; 4], b: [N; 4]) -> [N; 4] {
    [
        a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1],
        a[3] * b[1] - a[0] * b[2] + a[1] * b[3] + a[2] * b[0],
        a[3] * b[2] + a[0] * b[1] - a[1] * b[0] + a[2] * b[3],
        a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2],
    ]
}

/// The turn that leads from one rotation to another.
#[inline(always)]
pub fn turn<N: Number>(from: [N; 4], to: [N; 4]) -> [N; 4] {
    let none = from[0].same(0.0);
    product(
        to,
        [none - from[0], none - from[1], none - from[2], from[3]],
    )
}

/// Converts a turn to a vector in units of 1/[`TURN_STEPS`] radian, exact to within a thousandth up
/// to a right angle.
#[inline(always)]
pub(crate) fn to_vector<N: Number>(turn: [N; 4]) -> [N; 3] {
    let sine2 = turn[0] * turn[0] + turn[1] * turn[1] + turn[2] * turn[2];
    // Taylor series of the arc sine.
    let series = sine2 * (sine2 * (sine2 * 0.06 + 0.075) + 1.0 / 6.0) + 1.0;
    let signed = (series * (2.0 * TURN_STEPS)).signed_by(turn[3]);
    [turn[0] * signed, turn[1] * signed, turn[2] * signed]
}

/// Converts a vector to a turn, of length 1 to within a thousandth.
#[inline(always)]
pub(crate) fn of_vector(vector: Vector) -> Quaternion {
    let half = 0.5 / TURN_STEPS;
    let [x, y, z] = [vector[0] * half, vector[1] * half, vector[2] * half];
    let angle2 = (x * x + y * y + z * z).min(2.0);
    let sine = 1.0 - angle2 * (1.0 / 6.0 - angle2 * (1.0 / 120.0));
    let cosine = 1.0 - angle2 * (0.5 - angle2 * (1.0 / 24.0 - angle2 * (1.0 / 720.0)));
    [x * sine, y * sine, z * sine, cosine]
}

/// Rotates a vector by a turn.
#[inline(always)]
pub fn rotate<N: Number>(turn: [N; 4], v: [N; 3]) -> [N; 3] {
    let [x, y, z, w] = turn;
    let (a, b, c) = (
        (y * v[2] - z * v[1]) * 2.0,
        (z * v[0] - x * v[2]) * 2.0,
        (x * v[1] - y * v[0]) * 2.0,
    );
    [
        v[0] + w * a + (y * c - z * b),
        v[1] + w * b + (z * a - x * c),
        v[2] + w * c + (x * b - y * a),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_vector_returns(x in -0.7f32..0.7, y in -0.7f32..0.7, z in -0.7f32..0.7) {
            let vector = [x * TURN_STEPS, y * TURN_STEPS, z * TURN_STEPS];
            let back = to_vector(of_vector(vector));
            for (a, b) in vector.iter().zip(&back) {
                prop_assert!((a - b).abs() < 0.5, "{vector:?} {back:?}");
            }
        }

        #[test]
        fn a_turn_leads_from_one_to_the_other(a in -0.9f32..0.9, b in -0.9f32..0.9) {
            let (from, to) = (of_vector([a * TURN_STEPS, 20.0, -30.0]), of_vector([9.0, b * TURN_STEPS, 40.0]));
            let there = product(turn(from, to), from);
            for (x, y) in there.iter().zip(&to) {
                prop_assert!((x - y).abs() < 1e-4);
            }
            // One vector, rotated once directly and once in two steps.
            let v = [100.0, -50.0, 25.0];
            let (once, twice) = (rotate(to, v), rotate(turn(from, to), rotate(from, v)));
            prop_assert!(once.iter().zip(&twice).all(|(x, y)| (x - y).abs() < 0.1));
        }
    }
}
