//! Rotations as their smallest three components: the largest one is named and omitted, and taken as
//! positive.
//!
//! Only IEEE additions, multiplications, divisions and square roots are used, which every machine
//! computes alike.

/// Upper bound of every component but the largest: 1 over the root of 2.
pub const MOST: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// A rotation: x, y, z, w.
pub type Quaternion = [f32; 4];

/// Returns the four grid values of a rotation: the index of its largest component (0 to 3 for x, y,
/// z, w), then the others in order, 0 to `max`.
pub fn quantise(q: Quaternion, max: u32) -> [u32; 4] {
    let largest = largest(q);
    let parts = in_frame_of(q, largest, max);
    [largest as u32, parts[0], parts[1], parts[2]]
}

/// Returns the rotation of four grid values; the inverse of [`quantise`] up to rounding and sign.
#[inline]
pub fn restore(fields: [u32; 4], max: u32) -> Quaternion {
    let step = 2.0 / max as f32;
    let value = |n: u32| (n as f32 * step - 1.0) * MOST;
    let (a, b, c) = (value(fields[1]), value(fields[2]), value(fields[3]));
    let left = (1.0 - a * a - b * b - c * c).max(0.0).sqrt();
    // Selected separately: a branch on the largest component would be mispredicted often.
    let largest = fields[0];
    let x = if largest == 0 { left } else { a };
    let w = if largest < 3 { c } else { left };
    let (before, after) = (
        if largest == 0 { a } else { b },
        if largest < 2 { b } else { c },
    );
    let y = if largest == 1 { left } else { before };
    let z = if largest == 2 { left } else { after };
    [x, y, z, w]
}

/// Index of the component with the largest magnitude.
pub fn largest(q: Quaternion) -> usize {
    (1..4).fold(
        0,
        |best, i| if q[i].abs() > q[best].abs() { i } else { best },
    )
}

/// Grid values of all components but `left_out`, which is taken as positive. Values out of range
/// are limited to 0 to `max`.
pub(crate) fn in_frame_of(q: Quaternion, left_out: usize, max: u32) -> [u32; 3] {
    grid_of(q, left_out, max).map(|part| ((part + 0.5).floor().max(0.0) as u32).min(max))
}

/// The components other than each.
const OTHERS: [[usize; 3]; 4] = [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]];

/// Positions on the grid of all components but `left_out`, not rounded. They lie outside 0 to `max`
/// where another component is larger.
#[inline]
pub fn grid_of(q: Quaternion, left_out: usize, max: u32) -> [f32; 3] {
    let sign = if q[left_out] < 0.0 { -1.0 } else { 1.0 };
    let [a, b, c] = OTHERS[left_out & 3];
    let part = |i: usize| (q[i] * sign / MOST + 1.0) * 0.5 * max as f32;
    [part(a), part(b), part(c)]
}

/// Continues a turn: the rotation after a further turn by `ratio` times the turn from `older` to
/// `base`. It follows the chord, which is near the arc for turns of less than a quarter.
pub(crate) fn turned_on(older: Quaternion, base: Quaternion, ratio: f32) -> Quaternion {
    let dot = older[0] * base[0] + older[1] * base[1] + older[2] * base[2] + older[3] * base[3];
    let sign = if dot < 0.0 { -1.0 } else { 1.0 };
    let mut q = [0.0; 4];
    for i in 0..4 {
        q[i] = base[i] + (base[i] - older[i] * sign) * ratio;
    }
    let norm = (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]).sqrt();
    if norm < 1e-3 {
        base
    } else {
        q.map(|part| part / norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit_quaternion() -> impl Strategy<Value = Quaternion> {
        [-1f32..1.0, -1f32..1.0, -1f32..1.0, -1f32..1.0].prop_filter_map("too short", |q| {
            let norm = q.iter().map(|part| part * part).sum::<f32>().sqrt();
            (norm > 0.1).then(|| q.map(|part| part / norm))
        })
    }

    proptest! {
        #[test]
        fn a_rotation_returns_to_within_a_step(q in unit_quaternion()) {
            let back = restore(quantise(q, 511), 511);
            let dot: f32 = q.iter().zip(&back).map(|(a, b)| a * b).sum();
            prop_assert!(dot.abs() > 0.999_9, "{q:?} {back:?}");
        }

        #[test]
        fn steady_turning_is_foreseen(axis in unit_quaternion(), step in 0.0f32..0.1) {
            let turn = |angle: f32| {
                let (sin, cos) = (angle / 2.0).sin_cos();
                let norm = (axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2]).sqrt().max(1e-3);
                [axis[0] / norm * sin, axis[1] / norm * sin, axis[2] / norm * sin, cos]
            };
            let estimated = turned_on(turn(1.0), turn(1.0 + step), 1.0);
            let dot: f32 = estimated.iter().zip(turn(1.0 + step * 2.0)).map(|(a, b)| a * b).sum();
            prop_assert!(dot.abs() > 0.999_9);
        }
    }
}
