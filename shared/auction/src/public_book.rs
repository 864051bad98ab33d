//! The public state of all lots and their recent events: all that a server sends about lots.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::event::LotEvent;
use super::house::House;
use super::limits::EVENTS;
use super::public_lot::PublicLot;
use super::terms::LotId;

#[derive(Clone, Debug)]
struct Shown {
    lot: PublicLot,
    /// The last events, up to the lot's newest, at most [`EVENTS`].
    events: VecDeque<LotEvent>,
}

/// The public state of all lots and their recent events.
#[derive(Clone, Debug, Default)]
pub struct PublicBook {
    lots: BTreeMap<LotId, Shown>,
}

impl PublicBook {
    /// Creates the book of a house whose state is durable. It has no past events.
    pub fn of(house: &House) -> Self {
        let shown = |lot| Shown {
            lot,
            events: VecDeque::new(),
        };
        let lots = house
            .lots()
            .keys()
            .filter_map(|id| Some((*id, shown(house.public(*id)?))))
            .collect();
        Self { lots }
    }

    /// Returns all lots by ascending number.
    pub fn lots(&self) -> impl Iterator<Item = &PublicLot> {
        self.lots.values().map(|shown| &shown.lot)
    }

    /// Returns the numbers of the lots above `after`, or of all lots.
    pub fn lots_after(&self, after: Option<LotId>) -> impl Iterator<Item = LotId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.lots.range((from, Bound::Unbounded)).map(|(id, _)| *id)
    }

    /// Returns a lot.
    pub fn lot(&self, id: LotId) -> Option<&PublicLot> {
        self.lots.get(&id).map(|shown| &shown.lot)
    }

    /// Returns the events of a lot after number `after`, or `None` if the lot is unknown or some of
    /// them are not kept any more.
    pub fn events_after(&self, id: LotId, after: u64) -> Option<impl Iterator<Item = &LotEvent>> {
        let shown = self.lots.get(&id)?;
        let missing = shown.lot.sequence.checked_sub(after)? as usize;
        let skip = shown.events.len().checked_sub(missing)?;
        Some(shown.events.iter().skip(skip))
    }

    /// Applies an event that has become durable.
    pub fn apply(&mut self, event: LotEvent) {
        match self.lots.get_mut(&event.lot) {
            None => {
                let Some(lot) = PublicLot::opened(&event) else {
                    return;
                };
                self.lots.insert(
                    event.lot,
                    Shown {
                        lot,
                        events: VecDeque::from([event]),
                    },
                );
            }
            Some(shown) => {
                let follows = shown.lot.apply(&event);
                debug_assert!(follows, "events of a lot follow each other");
                if shown.events.len() == EVENTS {
                    shown.events.pop_front();
                }
                shown.events.push_back(event);
            }
        }
    }

    /// Removes a lot.
    pub fn forget(&mut self, id: LotId) {
        self.lots.remove(&id);
    }
}
