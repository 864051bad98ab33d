//! Rotations as their smallest three components: the largest is left out, named, and taken to be
//! positive.
//!
//! Only IEEE additions, multiplications, divisions and square roots, which every machine computes
//! alike.

/// The largest that a component beside the largest can be: 1 over the root of 2.
pub(crate) const MOST: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// A rotation: x, y, z, w.
pub type Quaternion = [f32; 4];

/// The four grid values of a rotation whose components have `max` as their largest grid value:
/// which is the largest (0 to 3 for x, y, z, w), and the others in order.
pub fn quantise(q: Quaternion, max: u32) -> [u32; 4] {
    let largest = largest(q);
    let parts = in_frame_of(q, largest, max);
    [largest as u32, parts[0], parts[1], parts[2]]
}

/// The rotation of four grid values.
#[inline]
pub fn restore(fields: [u32; 4], max: u32) -> Quaternion {
    let step = 2.0 / max as f32;
    let value = |n: u32| (n as f32 * step - 1.0) * MOST;
    let (a, b, c) = (value(fields[1]), value(fields[2]), value(fields[3]));
    let left = (1.0 - a * a - b * b - c * c).max(0.0).sqrt();
    // Chosen one by one: which is the largest is hard to foresee, and a branch on it slow.
    let largest = fields[0];
    let x = if largest == 0 { left } else { a };
    let w = if largest < 3 { c } else { left };
    let (before, after) = (if largest == 0 { a } else { b }, if largest < 2 { b } else { c });
    let y = if largest == 1 { left } else { before };
    let z = if largest == 2 { left } else { after };
    [x, y, z, w]
}

/// Which component is the largest.
pub fn largest(q: Quaternion) -> usize {
    (1..4).fold(0, |best, i| if q[i].abs() > q[best].abs() { i } else { best })
}

/// Grid values of the components but one, which is taken to be positive.
pub fn in_frame_of(q: Quaternion, left_out: usize, max: u32) -> [u32; 3] {
    grid_of(q, left_out, max).map(|part| ((part + 0.5).floor().max(0.0) as u32).min(max))
}

/// The components beside each.
const OTHERS: [[usize; 3]; 4] = [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]];

/// The same between grid values, and outside the grid where the component is not the largest.
#[inline]
pub fn grid_of(q: Quaternion, left_out: usize, max: u32) -> [f32; 3] {
    let sign = if q[left_out] < 0.0 { -1.0 } else { 1.0 };
    let [a, b, c] = OTHERS[left_out & 3];
    let part = |i: usize| (q[i] * sign / MOST + 1.0) * 0.5 * max as f32;
    [part(a), part(b), part(c)]
}

/// The rotation after one more turn by `ratio` times the turn from `older` to `base`: along the
/// chord, which for what turns by less than a quarter between two states is near the arc.
pub fn turned_on(older: Quaternion, base: Quaternion, ratio: f32) -> Quaternion {
    let dot = older[0] * base[0] + older[1] * base[1] + older[2] * base[2] + older[3] * base[3];
    let sign = if dot < 0.0 { -1.0 } else { 1.0 };
    let mut q = [0.0; 4];
    for i in 0..4 {
        q[i] = base[i] + (base[i] - older[i] * sign) * ratio;
    }
    let norm = (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]).sqrt();
    if norm < 1e-3 { base } else { q.map(|part| part / norm) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block_delta() -> impl Strategy<Value = Quaternion> {
        [-1f32..1.0, -1f32..1.0, -1f32..1.0, -1f32..1.0].prop_filter_map("too short", |q| {
            let norm = q.iter().map(|part| part * part).sum::<f32>().sqrt();
            (norm > 0.1).then(|| q.map(|part| part / norm))
        })
    }

    proptest! {
        #[test]
        fn a_rotation_returns_to_within_a_step(q in block_delta()) {
            let back = restore(quantise(q, 511), 511);
            let dot: f32 = q.iter().zip(&back).map(|(a, b)| a * b).sum();
            prop_assert!(dot.abs() > 0.999_9, "{q:?} {back:?}");
        }

        #[test]
        fn steady_turning_is_foreseen(axis in block_delta(), step in 0.0f32..0.1) {
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
