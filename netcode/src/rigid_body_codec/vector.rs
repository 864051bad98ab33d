//! Vectors in space, of one body or of several side by side.

use super::Body;
use super::lanes::Number;

/// A vector in space.
pub type Vector = [f32; 3];

/// The position of a body.
#[inline(always)]
pub fn place(body: Body) -> Vector {
    let [x, y, z] = body.position;
    [x as f32, y as f32, z as f32]
}

/// A sum.
#[inline(always)]
pub fn plus<N: Number>(a: [N; 3], b: [N; 3]) -> [N; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// A difference.
#[inline(always)]
pub fn less<N: Number>(a: [N; 3], b: [N; 3]) -> [N; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// A multiple.
#[inline(always)]
pub fn scaled<N: Number>(v: [N; 3], by: N) -> [N; 3] {
    [v[0] * by, v[1] * by, v[2] * by]
}

/// The inner product.
#[inline(always)]
pub fn dot<N: Number>(a: [N; 3], b: [N; 3]) -> N {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// A vector made a bit shorter than 1.
#[inline(always)]
pub fn direction<N: Number>(v: [N; 3]) -> [N; 3] {
    scaled(v, (dot(v, v) + 1.0).inverse_root())
}

/// A quarter turn about the vertical: the axis about which a thing that moves so would roll.
#[inline(always)]
pub fn aside<N: Number>(v: [N; 3]) -> [N; 3] {
    [v[1] * -1.0, v[0], v[0].same(0.0)]
}

/// The logarithm of a vector's length, without its root.
#[inline(always)]
pub fn log_length<N: Number>(v: [N; 3]) -> N {
    dot(v, v).log() * 0.5
}

/// A logarithm with the sign of its number.
#[inline(always)]
pub fn signed_log<N: Number>(number: N) -> N {
    number.size().log().signed_by(number)
}
