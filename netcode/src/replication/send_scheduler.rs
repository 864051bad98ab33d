//! Who goes first where not everything fits: by weight times the ticks since it was sent.
//!
//! A priority grows with every tick in which its entity is due and not sent, so that nothing waits
//! for ever: what weighs least goes when it has waited so many times longer as others weigh more.
//!
//! Where all see the same, whole units are chosen, and clients with short budgets leave out the
//! same blocks. A choice of entities would share no unit with other clients, neither now nor later,
//! when the client has acknowledged what no other client holds.

use std::cmp::Reverse;

use super::block_acks::BlockAcks;
use super::block_delta::{Place, bit_of, block_of, slots_of};
use super::client_view::{DueDelta, Interest, Shared};
use super::delta_cache::IndividualItem;
use crate::mutant::{Mutant, is_planted};
use crate::schema::Audience;

/// Bytes of a unit's header.
const UNIT_HEADER: usize = 3;

/// Units that a budget has room for at least, where all see the same: longer units are cut.
pub(super) const MIN_UNITS_OF_BUDGET: usize = 2;

/// Rounds over all blocks after which a unit that was left out goes before those that have their
/// turn.
const MAX_ROUNDS: u64 = 2;

/// Chooses what is sent; see the module.
#[derive(Debug)]
pub(super) struct SendScheduler {
    /// Mean bits of an entity in loose streams.
    individual_bits: usize,
    deferred: Vec<u16>,
    ranked: Vec<(Reverse<u64>, usize)>,
}

impl Default for SendScheduler {
    fn default() -> Self {
        Self { individual_bits: 80, deferred: Vec::new(), ranked: Vec::new() }
    }
}

impl SendScheduler {
    /// Bytes that all that is due takes, about.
    pub fn need(
        &self,
        block_deltas: &[DueDelta],
        individual_items: &[IndividualItem],
        shared: &Shared<'_>,
    ) -> usize {
        let block_deltas: usize =
            block_deltas.iter().map(|due| due.block_delta.len as usize + UNIT_HEADER).sum();
        block_deltas
            + individual_items.iter().map(|item| self.cost(&item.place, shared)).sum::<usize>() / 8
    }

    /// Takes note of how long a loose stream became.
    pub fn learn(&mut self, bytes: usize, entities: usize) {
        let bits = bytes * 8 / entities;
        self.individual_bits = (self.individual_bits * 15 + bits).div_ceil(16);
    }

    /// The slots that must wait.
    pub fn deferred(&self) -> impl Iterator<Item = u16> {
        self.deferred.iter().copied()
    }

    /// Leaves of what is due as much as fits into `budget` bytes.
    pub fn choose(
        &mut self,
        (block_deltas, individual_items): (&mut Vec<DueDelta>, &mut Vec<IndividualItem>),
        views: &mut [BlockAcks],
        shared: &Shared<'_>,
        interest: &Interest<'_>,
        budget: usize,
    ) {
        self.deferred.clear();
        if interest.weights.is_some() {
            individual_items.extend(block_deltas.drain(..).flat_map(|due| due.key.items()));
            self.choose_entities(individual_items, views, shared, interest, budget);
        } else {
            self.choose_units((block_deltas, individual_items), views, shared, budget);
        }
        self.deferred.sort_unstable();
    }

    fn choose_units(
        &mut self,
        (block_deltas, individual_items): (&mut Vec<DueDelta>, &[IndividualItem]),
        views: &mut [BlockAcks],
        shared: &Shared<'_>,
        budget: usize,
    ) {
        let (now, blocks) = (shared.ring.tick(), shared.ring.blocks().len().max(1));
        let mut left = budget.saturating_sub(self.need(&[], individual_items, shared));
        // In each tick another block goes first, the same for all clients.
        let first = now.first_of_round(blocks);
        let turn = |due: &DueDelta| blocks - (usize::from(due.key.block) + blocks - first) % blocks;
        // A unit has waited as long as that of its entities which has waited longest.
        let mut waited = |due: &DueDelta| {
            let (block, view) =
                (usize::from(due.key.block), &mut views[usize::from(due.key.block)]);
            let each =
                slots_of(block, due.key.mask).map(|slot| now.distance(view.slot_sent(slot)).max(0));
            each.max().unwrap_or(0) as u64
        };
        self.ranked.clear();
        self.ranked.extend(block_deltas.iter().enumerate().map(|(at, due)| {
            let long = waited(due).saturating_sub(MAX_ROUNDS * blocks as u64);
            (Reverse(if long > 0 { long + blocks as u64 } else { turn(due) as u64 }), at)
        }));
        self.ranked.sort_unstable();
        for (rank, (_, at)) in self.ranked.iter().enumerate() {
            let due = &mut block_deltas[*at];
            let cost = due.block_delta.len as usize + UNIT_HEADER;
            // The most urgent goes even where it alone is more than the budget.
            if rank == 0 || cost <= left {
                left = left.saturating_sub(cost);
            } else {
                self.deferred.extend(slots_of(usize::from(due.key.block), due.key.mask));
                due.key.mask = 0;
            }
        }
        block_deltas.retain(|due| due.key.mask != 0);
    }

    fn choose_entities(
        &mut self,
        individual_items: &mut Vec<IndividualItem>,
        views: &mut [BlockAcks],
        shared: &Shared<'_>,
        interest: &Interest<'_>,
        budget: usize,
    ) {
        let now = shared.ring.tick();
        self.ranked.clear();
        for (at, IndividualItem { place, audience }) in individual_items.iter().enumerate() {
            let weight = interest.weights.and_then(|weights| weights.get(usize::from(place.slot)));
            let view = &mut views[block_of(place.slot)];
            let waited = match view.known & bit_of(place.slot) {
                0 => now.distance(view.slot_sent(place.slot)).max(8),
                _ => now.distance(view.slot_sent(place.slot)).max(1),
            };
            let waited = if is_planted(Mutant::NeverUrgent) { 1 } else { waited };
            let priority = u64::from(weight.copied().unwrap_or(1)) * waited as u64;
            let rank = if *audience == Audience::Owner { u64::MAX } else { priority };
            self.ranked.push((Reverse(rank), at));
        }
        // No more than so many can fit: the order of the others does not matter.
        let fitting = (budget * 8).div_ceil(self.individual_bits.max(1)) + 2;
        let mut beyond = self.ranked.len();
        if fitting < beyond {
            self.ranked.select_nth_unstable(fitting);
            beyond = fitting;
        }
        self.ranked[..beyond].sort_unstable();
        self.deferred
            .extend(self.ranked[beyond..].iter().map(|(_, at)| individual_items[*at].place.slot));
        self.ranked.truncate(beyond);
        let (mut left, mut others) = (budget * 8, 0);
        for (rank, at) in &self.ranked {
            let place = &individual_items[*at].place;
            let cost = self.cost(place, shared);
            let own = rank.0 == u64::MAX;
            others += usize::from(!own);
            if own || others == 1 || cost <= left {
                left = left.saturating_sub(cost);
            } else {
                self.deferred.push(place.slot);
            }
        }
        self.deferred.sort_unstable();
        individual_items.retain(|item| {
            item.audience == Audience::Owner
                || self.deferred.binary_search(&item.place.slot).is_err()
        });
    }

    /// Bits of an entity, about.
    fn cost(&self, place: &Place, shared: &Shared<'_>) -> usize {
        match (place.base, shared.ring.entry(place.slot)) {
            (None, Some(entry)) => {
                let fields = &shared.schema.kind(entry.kind).fields;
                let seen = fields.iter().filter(|field| Audience::Others.sees(field.visibility));
                24 + seen.map(|field| field.bits as usize).sum::<usize>()
            }
            _ => self.individual_bits,
        }
    }
}
