//! The changed bodies of a frame that are coded already, and a search for the one nearest to the
//! next body.

use super::Body;
use super::vector::place;

/// A changed body of the frame that is already coded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neighbour {
    /// Index of the body in the frame.
    pub index: usize,
    /// New state of the body.
    pub now: Body,
}

/// Number of bodies that are compared side by side in SIMD lanes.
const LANES: usize = 8;

/// Distance in grid steps below which a body counts as a neighbour.
const REACH: f32 = 700.0;

/// The changed bodies of a frame that are coded already, searchable by position.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    bodies: Vec<Neighbour>,
    /// Their positions in the baseline: x, y and z of eight bodies each. The last group is padded
    /// with infinity, which is out of reach.
    places: Vec<[[f32; LANES]; 3]>,
}

impl Changed {
    /// Removes all bodies.
    pub fn clear(&mut self) {
        self.bodies.clear();
        self.places.clear();
    }

    /// Adds a body whose baseline is `base`.
    #[inline(always)]
    pub fn push(&mut self, neighbour: Neighbour, base: Body) {
        let lane = self.bodies.len() % LANES;
        if lane == 0 {
            self.places.push([[f32::INFINITY; LANES]; 3]);
        }
        self.bodies.push(neighbour);
        let last = self.places.len() - 1;
        for (k, part) in place(base).into_iter().enumerate() {
            self.places[last][k][lane] = part;
        }
    }

    /// Returns the body whose baseline is nearest to `base`, if one is within reach.
    #[inline(always)]
    pub fn nearest(&self, base: Body) -> Option<Neighbour> {
        let [x, y, z] = place(base);
        let mut best = [REACH * REACH; LANES];
        let mut of = [u32::MAX; LANES];
        for (group, [xs, ys, zs]) in self.places.iter().enumerate() {
            for lane in 0..LANES {
                let (dx, dy, dz) = (xs[lane] - x, ys[lane] - y, zs[lane] - z);
                let distance2 = dx * dx + dy * dy + dz * dz;
                let nearer = distance2 < best[lane];
                best[lane] = if nearer { distance2 } else { best[lane] };
                of[lane] = if nearer { group as u32 } else { of[lane] };
            }
        }
        let lane = (1..LANES).fold(0, |least, lane| {
            if best[lane] < best[least] {
                lane
            } else {
                least
            }
        });
        let group = of[lane] as usize;
        self.bodies
            .get(group.checked_mul(LANES)?.checked_add(lane)?)
            .copied()
            .filter(|_| of[lane] != u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(position: [i32; 3]) -> Body {
        Body::new(position, [3, 255, 255, 255], false)
    }

    proptest! {
        #[test]
        fn the_nearest_is_found(places in proptest::collection::vec([-900i32..900, -900..900, -50..50], 0..40)) {
            let mut changed = Changed::default();
            for (index, place) in places.iter().enumerate() {
                changed.push(Neighbour { index, now: at([0; 3]) }, at(*place));
            }
            let distance2 = |place: &[i32; 3]| place.iter().map(|part| part * part).sum::<i32>();
            let least = places.iter().map(distance2).filter(|distance2| *distance2 < 490_000).min();
            let found = changed.nearest(at([0; 3]));
            prop_assert_eq!(found.map(|found| distance2(&places[found.index])), least);
        }
    }
}
