//! How certain the network is and how wrong it was, by which the residual tables are selected.

use super::symbols::{DEGREES, SURPRISES};

/// The degree of certainty (0 to [`DEGREES`] - 1) for the natural logarithm of the expected size of
/// a residual; lower is more certain.
#[inline(always)]
pub fn degree(size: f32) -> usize {
    ((size + 1.5) * 4.0).clamp(0.0, (DEGREES - 1) as f32) as usize
}

/// How wrong an estimate was for its degree of certainty, 0 to [`SURPRISES`] - 1.
#[inline(always)]
pub fn surprise(degree: usize, expected: f32, actual: i32) -> usize {
    let off = (actual as f32 - expected).abs() + 0.35;
    let mut surprise = 0;
    for bound in &BOUNDS[degree] {
        surprise += usize::from(off >= *bound);
    }
    surprise
}

/// Bounds per degree, padded to whole SIMD lanes with infinity.
const LANES: usize = 8;

/// Lower bound of each surprise above 0, by degree. Bounds are a factor of 2^0.8 apart, around the
/// expected size.
static BOUNDS: [[f32; LANES]; DEGREES] = bounds();

const fn bounds() -> [[f32; LANES]; DEGREES] {
    /// Factor between the sizes of successive degrees: e^(1/4).
    const STEP: f32 = 1.284_025_4;
    /// Factor between successive bounds: 2^0.8.
    const WIDER: f32 = 1.741_101_1;
    let mut bounds = [[f32::INFINITY; LANES]; DEGREES];
    let mut size = 0.25; // e to minus 1.5, and half a step
    let mut degree = 0;
    while degree < DEGREES {
        let mut bound = (size + 0.3) * 0.25;
        let mut surprise = 0;
        while surprise < SURPRISES - 1 {
            bound *= WIDER;
            bounds[degree][surprise] = bound;
            surprise += 1;
        }
        size *= STEP;
        degree += 1;
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_expected_surprises_little_and_what_was_not_much() {
        // A size of e: a residual of 3 is as expected, one of 40 is as wrong as can be.
        let degree = degree(1.0);
        assert_eq!(surprise(degree, 7.0, 7), 0);
        assert_eq!(surprise(degree, 7.0, 10), 2);
        assert_eq!(surprise(degree, 7.0, 47), SURPRISES - 1);
    }
}
