//! Interest management: entities within a radius of the client's own, found through a uniform grid,
//! with hysteresis.

use std::collections::BTreeMap;

use glam::{IVec2, Vec2};
use truetick_netcode::replication::block_delta::{bit_of, block_of};

/// Side of a cell of the grid in metres.
const CELL_M: f32 = 16.0;

/// An entity stays relevant until it is this much beyond the radius, in metres.
pub const HYSTERESIS_M: f32 = 6.0;

/// Priority per tick that closeness adds, at distance 0; at the border it adds none.
const NEAR_WEIGHT: f32 = 16.0;

/// Priority per tick that each metre per second of an entity's speed adds, up to [`FAST_WEIGHT`].
const SPEED_WEIGHT: f32 = 0.5;

/// Maximum priority per tick that speed adds.
const FAST_WEIGHT: f32 = 8.0;

/// Position of an entity in a tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// Slot of the entity.
    pub slot: u16,
    /// Position in metres; `None` for an entity that is relevant to everyone.
    pub place: Option<Vec2>,
    /// Speed in metres per second.
    pub speed: f32,
    /// Factor of the entity's priority, 1 or more.
    pub importance: u32,
}

/// Positions of the entities of one tick, in a uniform grid.
#[derive(Debug, Default)]
pub(crate) struct RelevanceGrid {
    cells: BTreeMap<(i32, i32), Vec<Placed>>,
    /// Entities that are relevant to everyone: a mask of slots per block.
    everywhere: Vec<u64>,
    importances: Vec<u32>,
}

/// The entities that are relevant to one client, and how fast their priorities grow.
#[derive(Debug, Default)]
pub(crate) struct InterestSet {
    /// Mask of relevant slots, per block.
    pub masks: Vec<u64>,
    /// Priority per tick, by slot. Only the slots in the masks are meaningful.
    pub weights: Vec<u32>,
}

impl RelevanceGrid {
    /// Replaces the grid's content by a tick's entities, which lie in `blocks` blocks.
    pub(crate) fn rebuild(&mut self, blocks: usize, entities: impl Iterator<Item = Placed>) {
        self.cells.values_mut().for_each(Vec::clear);
        self.everywhere.clear();
        self.everywhere.resize(blocks, 0);
        self.importances.resize(blocks * 64, 1);
        for placed in entities {
            self.importances[usize::from(placed.slot)] = placed.importance;
            match placed.place {
                Some(place) => self.cells.entry(cell(place)).or_default().push(placed),
                None => self.everywhere[block_of(placed.slot)] |= bit_of(placed.slot),
            }
        }
    }

    /// Finds what is relevant within `radius` metres of `center`, or only what is relevant to
    /// everyone if there is no center. `was_relevant` gives the result of the previous tick, for
    /// the hysteresis.
    pub fn see(
        &self,
        center: Option<Vec2>,
        radius: f32,
        was_relevant: impl Fn(u16) -> bool,
        seen: &mut InterestSet,
    ) {
        seen.masks.clone_from(&self.everywhere);
        seen.weights.clone_from(&self.importances);
        let Some(center) = center else { return };
        let reach = radius + HYSTERESIS_M;
        let (low, high) = (cell(center - reach), cell(center + reach));
        for x in low.0..=high.0 {
            let row = self.cells.range((x, low.1)..=(x, high.1));
            for Placed {
                slot,
                place,
                speed,
                importance,
            } in row.flat_map(|(_, entities)| entities)
            {
                let distance = place.map_or(0.0, |place| place.distance(center));
                if distance <= radius || (distance <= reach && was_relevant(*slot)) {
                    let near = (1.0 - distance / reach) * NEAR_WEIGHT;
                    let fast = (speed * SPEED_WEIGHT).min(FAST_WEIGHT);
                    seen.masks[block_of(*slot)] |= bit_of(*slot);
                    seen.weights[usize::from(*slot)] = importance * (1 + (near + fast) as u32);
                }
            }
        }
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
    use truetick_netcode::replication::block_delta::slots_of;

    fn relevant(grid: &RelevanceGrid, center: Vec2, radius: f32, was: &[u16]) -> Vec<u16> {
        let mut seen = InterestSet::default();
        grid.see(Some(center), radius, |slot| was.contains(&slot), &mut seen);
        seen.masks
            .iter()
            .enumerate()
            .flat_map(|(block, mask)| slots_of(block, *mask))
            .collect()
    }

    fn placed(slot: u16, place: Option<Vec2>) -> Placed {
        Placed {
            slot,
            place,
            speed: 0.0,
            importance: 1,
        }
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
            grid.rebuild(2, places.iter().enumerate().map(|(i, p)| placed(i as u16, Some(Vec2::from(*p)))));
            let expected: Vec<u16> = (0..places.len() as u16)
                .filter(|i| Vec2::from(places[usize::from(*i)]).distance(center) <= radius)
                .collect();
            prop_assert_eq!(relevant(&grid, center, radius, &[]), expected);
        }
    }

    #[test]
    fn leaving_takes_further_than_entering() {
        let mut grid = RelevanceGrid::default();
        grid.rebuild(
            1,
            [placed(3, Some(Vec2::new(22.0, 0.0))), placed(5, None)].into_iter(),
        );
        assert_eq!(relevant(&grid, Vec2::ZERO, 20.0, &[]), [5]);
        assert_eq!(relevant(&grid, Vec2::ZERO, 20.0, &[3]), [3, 5]);
        grid.rebuild(
            1,
            [placed(3, Some(Vec2::new(27.0, 0.0))), placed(5, None)].into_iter(),
        );
        assert_eq!(relevant(&grid, Vec2::ZERO, 20.0, &[3]), [5]);
    }
}
