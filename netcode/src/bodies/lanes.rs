//! Four numbers side by side, and what they have in common with one.

use std::ops::{Add, Mul, Sub};

use crate::replication::quaternion::Quaternion;

/// A number, or several.
pub trait Number: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// The same number everywhere.
    fn all(number: f32) -> Self;

    /// The number with the sign turned where `of` is negative.
    fn signed_by(self, of: Self) -> Self;
}

impl Number for f32 {
    #[inline(always)]
    fn all(number: f32) -> Self {
        number
    }

    #[inline(always)]
    fn signed_by(self, of: Self) -> Self {
        if of < 0.0 { -self } else { self }
    }
}

/// Four numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lanes(pub [f32; 4]);

impl Lanes {
    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let ([a, b, c, d], [e, g, h, i]) = (self.0, other.0);
        Self([f(a, e), f(b, g), f(c, h), f(d, i)])
    }
}

impl Add for Lanes {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }
}

impl Sub for Lanes {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }
}

impl Mul for Lanes {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }
}

impl Number for Lanes {
    #[inline(always)]
    fn all(number: f32) -> Self {
        Self([number; 4])
    }

    #[inline(always)]
    fn signed_by(self, of: Self) -> Self {
        self.with(of, |number, of| number.signed_by(of))
    }
}

/// Four rotations, each of x, y, z and w.
#[inline(always)]
pub fn side_by_side(rotations: [Quaternion; 4]) -> [Lanes; 4] {
    let [a, b, c, d] = rotations;
    [
        Lanes([a[0], b[0], c[0], d[0]]),
        Lanes([a[1], b[1], c[1], d[1]]),
        Lanes([a[2], b[2], c[2], d[2]]),
        Lanes([a[3], b[3], c[3], d[3]]),
    ]
}
