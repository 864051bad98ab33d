//! Chooses what is sent where not everything fits: a priority accumulator (Fiedler, "State
//! Synchronization", 2015). An entity's priority is its weight (1 or more)
//! times the number of ticks since it was last sent; an entity that the client does not hold counts
//! as waiting for at least 8 ticks. The client's own entity is always sent, and so is the entity or
//! block delta that comes first, even beyond the budget.
//!
//! The priority grows in every tick, so no entity starves: one with a weight of 1 waits about 16
//! times as long as one with a weight of 16.
//!
//! Where all clients see the same, whole block deltas are chosen, and clients with short budgets
//! omit the same blocks. A choice of single entities could share no block delta with other clients,
//! neither now nor later, when the client has acknowledged what no other client holds.

use std::cmp::Reverse;

use super::block_acks::BlockAcks;
use super::block_delta::{Place, bit_of, block_of, slots_of};
use super::client_view::{DueDelta, Interest, Shared};
use super::delta_cache::IndividualItem;
use crate::mutant::{Mutant, is_planted};
use crate::schema::Audience;

/// Approximate size of a block delta's header, in bytes.
const DELTA_HEADER: usize = 3;

/// Least number of block deltas that fit a budget where all clients see the same; longer ones are
/// split.
pub(super) const MIN_DELTAS_OF_BUDGET: usize = 2;

/// Number of rounds, of one tick per block, that a block delta may be omitted. After that it comes
/// before those whose turn it is.
const MAX_ROUNDS: u64 = 2;

/// What is due to a client in a tick.
pub(super) struct Due<'a> {
    /// Encoded block deltas.
    pub block_deltas: &'a mut Vec<DueDelta>,
    /// Entities for the client's individual stream.
    pub individual_items: &'a mut Vec<IndividualItem>,
}

/// Chooses what is sent within a client's budget; see the module's documentation.
#[derive(Debug)]
pub(super) struct SendScheduler {
    /// Mean size of an entity in individual streams, in bits.
    individual_bits: usize,
    deferred: Vec<u16>,
    ranked: Vec<(Reverse<u64>, usize)>,
}

impl Default for SendScheduler {
    fn default() -> Self {
        Self {
            individual_bits: 80,
            deferred: Vec::new(),
            ranked: Vec::new(),
        }
    }
}

impl SendScheduler {
    /// Approximate size of everything that is due, in bytes.
    pub fn need(
        &self,
        block_deltas: &[DueDelta],
        individual_items: &[IndividualItem],
        shared: &Shared<'_>,
    ) -> usize {
        let block_deltas: usize = block_deltas
            .iter()
            .map(|due| due.block_delta.len as usize + DELTA_HEADER)
            .sum();
        block_deltas
            + individual_items
                .iter()
                .map(|item| self.cost(&item.place, shared))
                .sum::<usize>()
                / 8
    }

    /// Updates the mean size of an entity with an individual stream of `entities` entities (1 or
    /// more).
    pub fn learn(&mut self, bytes: usize, entities: usize) {
        let bits = bytes * 8 / entities;
        self.individual_bits = (self.individual_bits * 15 + bits).div_ceil(16);
    }

    /// The slots that are deferred.
    pub fn deferred(&self) -> impl Iterator<Item = u16> {
        self.deferred.iter().copied()
    }

    /// Reduces what is due to what fits into `budget` bytes.
    pub fn choose(
        &mut self,
        due: Due<'_>,
        views: &mut [BlockAcks],
        shared: &Shared<'_>,
        interest: &Interest<'_>,
        budget: usize,
    ) {
        let Due {
            block_deltas,
            individual_items,
        } = due;
        self.deferred.clear();
        if interest.weights.is_some() {
            individual_items.extend(block_deltas.drain(..).flat_map(|due| due.key.items()));
            self.choose_entities(individual_items, views, shared, interest, budget);
        } else {
            self.choose_deltas(block_deltas, individual_items, views, shared, budget);
        }
        self.deferred.sort_unstable();
    }

    fn choose_deltas(
        &mut self,
        block_deltas: &mut Vec<DueDelta>,
        individual_items: &[IndividualItem],
        views: &mut [BlockAcks],
        shared: &Shared<'_>,
        budget: usize,
    ) {
        let (now, blocks) = (shared.ring.tick(), shared.ring.blocks().len().max(1));
        let mut left = budget.saturating_sub(self.need(&[], individual_items, shared));
        // In each tick another block is first, and it is the same one for all clients.
        let first = now.first_of_round(blocks);
        let turn = |due: &DueDelta| blocks - (usize::from(due.key.block) + blocks - first) % blocks;
        // A block delta has waited as long as the entity in it that has waited longest.
        let mut waited = |due: &DueDelta| {
            let (block, view) = (
                usize::from(due.key.block),
                &mut views[usize::from(due.key.block)],
            );
            let each =
                slots_of(block, due.key.mask).map(|slot| now.distance(view.slot_sent(slot)).max(0));
            each.max().unwrap_or(0) as u64
        };
        self.ranked.clear();
        self.ranked
            .extend(block_deltas.iter().enumerate().map(|(at, due)| {
                let long = waited(due).saturating_sub(MAX_ROUNDS * blocks as u64);
                (
                    Reverse(if long > 0 {
                        long + blocks as u64
                    } else {
                        turn(due) as u64
                    }),
                    at,
                )
            }));
        self.ranked.sort_unstable();
        for (rank, (_, at)) in self.ranked.iter().enumerate() {
            let due = &mut block_deltas[*at];
            let cost = due.block_delta.len as usize + DELTA_HEADER;
            // The most urgent one is sent even if it alone exceeds the budget.
            if rank == 0 || cost <= left {
                left = left.saturating_sub(cost);
            } else {
                self.deferred
                    .extend(slots_of(usize::from(due.key.block), due.key.mask));
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
        self.rank_entities(individual_items, views, shared, interest);
        self.keep_fitting(individual_items, budget);
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

    /// Ranks entities by priority; the client's own entity comes first.
    fn rank_entities(
        &mut self,
        individual_items: &[IndividualItem],
        views: &mut [BlockAcks],
        shared: &Shared<'_>,
        interest: &Interest<'_>,
    ) {
        let now = shared.ring.tick();
        self.ranked.clear();
        for (at, IndividualItem { place, audience }) in individual_items.iter().enumerate() {
            let weight = interest
                .weights
                .and_then(|weights| weights.get(usize::from(place.slot)));
            let view = &mut views[block_of(place.slot)];
            let waited = match view.known & bit_of(place.slot) {
                0 => now.distance(view.slot_sent(place.slot)).max(8),
                _ => now.distance(view.slot_sent(place.slot)).max(1),
            };
            let waited = if is_planted(Mutant::NeverUrgent) {
                1
            } else {
                waited
            };
            let priority = u64::from(weight.copied().unwrap_or(1)) * waited as u64;
            let rank = if *audience == Audience::Owner {
                u64::MAX
            } else {
                priority
            };
            self.ranked.push((Reverse(rank), at));
        }
    }

    /// Sorts the ranked entities, and defers those of which it is certain that they do not fit.
    fn keep_fitting(&mut self, individual_items: &[IndividualItem], budget: usize) {
        // No more than this many can fit, so the order of the others does not matter.
        let fitting = (budget * 8).div_ceil(self.individual_bits.max(1)) + 2;
        let mut beyond = self.ranked.len();
        if fitting < beyond {
            self.ranked.select_nth_unstable(fitting);
            beyond = fitting;
        }
        self.ranked[..beyond].sort_unstable();
        self.deferred.extend(
            self.ranked[beyond..]
                .iter()
                .map(|(_, at)| individual_items[*at].place.slot),
        );
        self.ranked.truncate(beyond);
    }

    /// Approximate size of an entity, in bits.
    fn cost(&self, place: &Place, shared: &Shared<'_>) -> usize {
        match (place.base, shared.ring.entry(place.slot)) {
            (None, Some(entry)) => {
                let fields = &shared.schema.kind(entry.kind).fields;
                let seen = fields
                    .iter()
                    .filter(|field| Audience::Others.sees(field.visibility));
                24 + seen.map(|field| field.bits as usize).sum::<usize>()
            }
            _ => self.individual_bits,
        }
    }
}
