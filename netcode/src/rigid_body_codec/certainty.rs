//! How sure the network is, how wrong it was: what the tables of residuals are chosen by.

use super::symbols::{DEGREES, SURPRISES};

/// The degree of certainty, from the natural logarithm of the size of what is left over.
#[inline(always)]
pub fn degree(size: f32) -> usize {
    ((size + 1.5) * 4.0).clamp(0.0, (DEGREES - 1) as f32) as usize
}

/// How wrong an expectation was for its degree of certainty.
#[inline(always)]
pub fn surprise(degree: usize, expected: f32, actual: i32) -> usize {
    let off = (actual as f32 - expected).abs() + 0.35;
    let mut surprise = 0;
    for bound in &BOUNDS[degree] {
        surprise += usize::from(off >= *bound);
    }
    surprise
}

/// Bounds between surprises, filled up to whole lanes with what is never reached.
const LANES: usize = 8;

/// Where each surprise but the least begins, by degree: a factor of 2 to the 0.8 apart, around the
/// size that was expected.
static BOUNDS: [[f32; LANES]; DEGREES] = bounds();

const fn bounds() -> [[f32; LANES]; DEGREES] {
    /// e to a quarter.
    const STEP: f32 = 1.284_025_4;
    /// 2 to 0.8.
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
        // A size of e: a residual of 3 is as expected, one of 40 as wrong as can be.
        let degree = degree(1.0);
        assert_eq!(surprise(degree, 7.0, 7), 0);
        assert_eq!(surprise(degree, 7.0, 10), 2);
        assert_eq!(surprise(degree, 7.0, 47), SURPRISES - 1);
    }
}
