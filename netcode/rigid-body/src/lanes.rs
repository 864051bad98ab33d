//! A number trait that is implemented for one body's number and for those of several bodies side by
//! side.

use std::ops::{Add, Mul, Sub};

use fearless_simd::prelude::*;
use fearless_simd::{f32x8, i32x8};

/// Number of bodies that are computed side by side.
pub const BATCH: usize = 8;

/// One number or a SIMD vector of numbers. Every operation gives each element the result that it
/// would have alone.
pub trait Number:
    Copy
    + Add<Output = Self>
    + Add<f32, Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Mul<f32, Output = Self>
{
    /// A value whose elements are all `number`.
    fn same(self, number: f32) -> Self;

    /// One divided by the square root.
    fn inverse_root(self) -> Self;

    /// The absolute value.
    fn size(self) -> Self;

    /// The numbers, negated where `of` is negative.
    fn signed_by(self, of: Self) -> Self;

    /// An approximation of the binary logarithm of one plus the number (0 or more), to within a
    /// tenth: the exponent and mantissa of the float, read as a fixed-point number.
    fn log(self) -> Self;
}

/// A step of one in a float's exponent, as an integer of its bits.
const EXPONENT: f32 = (1 << 23) as f32;

impl Number for f32 {
    #[inline(always)]
    fn same(self, number: f32) -> Self {
        number
    }

    #[inline(always)]
    fn inverse_root(self) -> Self {
        1.0 / self.sqrt()
    }

    #[inline(always)]
    fn size(self) -> Self {
        self.abs()
    }

    #[inline(always)]
    fn signed_by(self, of: Self) -> Self {
        if of < 0.0 { -self } else { self }
    }

    #[inline(always)]
    fn log(self) -> Self {
        ((1.0 + self).to_bits() as i32 as f32) * (1.0 / EXPONENT) - 127.0
    }
}

impl<S: Simd> Number for f32x8<S> {
    #[inline(always)]
    fn same(self, number: f32) -> Self {
        f32x8::splat(self.simd, number)
    }

    #[inline(always)]
    fn inverse_root(self) -> Self {
        self.same(1.0) / self.sqrt()
    }

    #[inline(always)]
    fn size(self) -> Self {
        self.abs()
    }

    #[inline(always)]
    fn signed_by(self, of: Self) -> Self {
        of.simd_lt(0.0).select(-self, self)
    }

    #[inline(always)]
    fn log(self) -> Self {
        let bits: i32x8<S> = (self + 1.0).bitcast();
        f32x8::float_from(bits) * (1.0 / EXPONENT) - 127.0
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    use super::*;

    #[inline(always)]
    fn all<N: Number>(x: N, y: N) -> [N; 5] {
        [
            x.size().inverse_root(),
            x.size(),
            x.signed_by(y),
            x.size().log(),
            (x + 2.0) * 3.0 - x * y.same(0.5),
        ]
    }

    proptest! {
        #[test]
        fn side_by_side_numbers_are_what_they_are_alone(
            x in proptest::array::uniform8(-1e6f32..1e6),
            y in proptest::array::uniform8(-3f32..3.0),
        ) {
            let beside = dispatch!(Level::new(), simd => {
                all(f32x8::simd_from(simd, x), f32x8::simd_from(simd, y)).map(|n| n.to_array())
            });
            for lane in 0..BATCH {
                let alone = all(x[lane], y[lane]);
                prop_assert_eq!(alone, beside.map(|numbers| numbers[lane]));
            }
        }
    }
}
