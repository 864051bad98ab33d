//! Who sees what: entities within a radius of the client's own, found through a uniform grid, with hysteresis.

use std::collections::BTreeMap;

use glam::{IVec2, Vec2};
use truetick_netcode::replication::client_view::Candidate;

/// Side of a grid cell in metres.
const CELL_M: f32 = 16.0;

/// An entity stays relevant until it is this much further away than where it became so, in metres.
pub const HYSTERESIS_M: f32 = 6.0;

/// Growth per tick of a near entity's priority; that of the farthest is 1.
const NEAR_WEIGHT: f32 = 16.0;

/// The places of one tick's entities.
#[derive(Debug, Default)]
pub struct RelevanceGrid {
    cells: BTreeMap<(i32, i32), Vec<(u16, Vec2)>>,
    everywhere: Vec<u16>,
    all: Vec<u16>,
}

impl RelevanceGrid {
    /// Takes in a tick's entities: slot and place, or none for what concerns everyone.
    pub fn rebuild(&mut self, places: impl Iterator<Item = (u16, Option<Vec2>)>) {
        self.cells.values_mut().for_each(Vec::clear);
        self.everywhere.clear();
        self.all.clear();
        for (slot, place) in places {
            self.all.push(slot);
            match place {
                Some(place) => self.cells.entry(cell(place)).or_default().push((slot, place)),
                None => self.everywhere.push(slot),
            }
        }
    }

    /// What is relevant from `center`, by rising slot. Without a radius, or before the client has a place,
    /// everything is. `was_relevant` tells what was a tick ago.
    pub fn relevant(
        &self,
        center: Option<Vec2>,
        radius_m: Option<f32>,
        was_relevant: impl Fn(u16) -> bool,
        out: &mut Vec<Candidate>,
    ) {
        out.clear();
        let (Some(center), Some(radius)) = (center, radius_m) else {
            out.extend(self.all.iter().map(|slot| Candidate { slot: *slot, weight: 1 }));
            return;
        };
        out.extend(self.everywhere.iter().map(|slot| Candidate { slot: *slot, weight: 1 }));
        let reach = radius + HYSTERESIS_M;
        let (low, high) = (cell(center - reach), cell(center + reach));
        for x in low.0..=high.0 {
            for (_, entities) in self.cells.range((x, low.1)..=(x, high.1)) {
                for (slot, place) in entities {
                    let distance = place.distance(center);
                    if distance <= radius || (distance <= reach && was_relevant(*slot)) {
                        let near = (1.0 - distance / reach) * NEAR_WEIGHT;
                        out.push(Candidate { slot: *slot, weight: 1 + near as u32 });
                    }
                }
            }
        }
        out.sort_unstable_by_key(|candidate| candidate.slot);
    }
}

fn cell(place: Vec2) -> (i32, i32) {
    let cell: IVec2 = (place / CELL_M).floor().as_ivec2();
    (cell.x, cell.y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn relevant(grid: &RelevanceGrid, center: Vec2, radius: f32, was: &[u16]) -> Vec<u16> {
        let mut out = Vec::new();
        grid.relevant(Some(center), Some(radius), |slot| was.contains(&slot), &mut out);
        out.into_iter().map(|candidate| candidate.slot).collect()
    }

    proptest! {
        #[test]
        fn the_grid_finds_what_a_search_finds(
            places in proptest::collection::vec((-60f32..60.0, -60f32..60.0), 0..100),
            center in (-60f32..60.0, -60f32..60.0),
            radius in 1f32..50.0,
        ) {
            let center = Vec2::from(center);
            let mut grid = RelevanceGrid::default();
            grid.rebuild(places.iter().enumerate().map(|(i, p)| (i as u16, Some(Vec2::from(*p)))));
            let expected: Vec<u16> = (0..places.len() as u16)
                .filter(|i| Vec2::from(places[usize::from(*i)]).distance(center) <= radius)
                .collect();
            prop_assert_eq!(relevant(&grid, center, radius, &[]), expected);
        }
    }

    #[test]
    fn leaving_takes_further_than_entering() {
        let mut grid = RelevanceGrid::default();
        grid.rebuild([(3, Some(Vec2::new(22.0, 0.0))), (5, None)].into_iter());
        assert_eq!(relevant(&grid, Vec2::ZERO, 20.0, &[]), [5]);
        assert_eq!(relevant(&grid, Vec2::ZERO, 20.0, &[3]), [3, 5]);
        grid.rebuild([(3, Some(Vec2::new(27.0, 0.0))), (5, None)].into_iter());
        assert_eq!(relevant(&grid, Vec2::ZERO, 20.0, &[3]), [5]);
    }
}
