//! Vectors in space, of one body or of several side by side.

use super::Body;
use super::lanes::Number;

/// A vector in space: x, y, z.
pub(crate) type Vector = [f32; 3];

/// Position of a body in grid steps.
#[inline(always)]
pub fn place(body: Body) -> Vector {
    let [x, y, z] = body.position;
    [x as f32, y as f32, z as f32]
}

/// Sum of two vectors.
#[inline(always)]
pub fn plus<N: Number>(a: [N; 3], b: [N; 3]) -> [N; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// Difference of two vectors.
#[inline(always)]
pub fn less<N: Number>(a: [N; 3], b: [N; 3]) -> [N; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// Product of a vector and a number.
#[inline(always)]
pub fn scaled<N: Number>(v: [N; 3], by: N) -> [N; 3] {
    [v[0] * by, v[1] * by, v[2] * by]
}

/// Returns the inner product of two vectors.
#[inline(always)]
pub fn dot<N: Number>(a: [N; 3], b: [N; 3]) -> N {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The direction of a vector, with a length a little below 1; zero stays zero.
#[inline(always)]
pub fn direction<N: Number>(v: [N; 3]) -> [N; 3] {
    scaled(v, (dot(v, v) + 1.0).inverse_root())
}

/// A quarter turn about the vertical: the axis about which a body that moves along `v` would roll.
#[inline(always)]
pub(crate) fn aside<N: Number>(v: [N; 3]) -> [N; 3] {
    [v[1] * -1.0, v[0], v[0].same(0.0)]
}

/// Approximate binary logarithm of a vector's length, without a square root; see [`Number::log`].
#[inline(always)]
pub(crate) fn log_length<N: Number>(v: [N; 3]) -> N {
    dot(v, v).log() * 0.5
}

/// Approximate binary logarithm of the magnitude, with the sign of the number; see [`Number::log`].
#[inline(always)]
pub(crate) fn signed_log<N: Number>(number: N) -> N {
    number.size().log().signed_by(number)
}
