//! Fits a client's snapshot into its budget, and orders what is sent.

use super::super::block_delta::{bit_of, block_of, slots_of};
use super::super::send_scheduler::Due;
use super::super::snapshot::Deferred;
use super::{ClientView, Interest, Shared};
use crate::limits::{DEFERRED_PER_PACKET, SMALLEST_PAYLOAD, SNAPSHOT_BYTES, SNAPSHOT_PACKETS};
use crate::schema::Audience;

/// Approximate size in bytes of the header of a packet that names few entities.
const PACKET_HEADER: usize = 64;

/// Approximate size in bytes of a sealed packet that names removals only.
const REMOVAL_PACKET_BYTES: usize = 100;

/// Number of packets of a tick, beside the first, that name removals while there are too many.
const MORE_REMOVAL_PACKETS: usize = 3;

impl ClientView {
    /// Keeps what fits into the budget, by priority, and defers the rest.
    pub(super) fn fit(&mut self, shared: &Shared<'_>, interest: &Interest<'_>) {
        // This many bytes fit into the packets of a tick, although each may end early where the
        // next entity does not fit.
        let largest = shared
            .schema
            .kinds()
            .map(|(_, kind)| kind.max_bytes())
            .max()
            .unwrap_or(0);
        let most = SNAPSHOT_PACKETS * SMALLEST_PAYLOAD.saturating_sub(PACKET_HEADER + largest);
        let budget = interest.budget.min(SNAPSHOT_BYTES).min(most);
        self.deferred = Deferred::None;
        let need = self
            .scheduler
            .need(&self.block_deltas, &self.individual_items, shared);
        self.removal_packets = self.removal_packets(budget.saturating_sub(need));
        if need <= budget {
            self.defer_waiting();
            return self.order_individual();
        }
        let mut scheduler = std::mem::take(&mut self.scheduler);
        scheduler.choose(
            Due {
                block_deltas: &mut self.block_deltas,
                individual_items: &mut self.individual_items,
            },
            &mut self.blocks,
            shared,
            interest,
            budget,
        );
        let known = |slot: &u16| self.blocks[block_of(*slot)].known & bit_of(*slot) != 0;
        // One more than a packet can name is enough to know that there are too many.
        let slots: Vec<u16> = scheduler
            .deferred()
            .filter(known)
            .take(DEFERRED_PER_PACKET + 1)
            .collect();
        self.stats.deferred += scheduler.deferred().count() as u64;
        self.deferred = Deferred::of(slots);
        self.scheduler = scheduler;
        self.defer_waiting();
        self.order_individual();
    }

    /// Defers blocks that wait for a baseline, so that the client does not take their absence as
    /// "unchanged".
    fn defer_waiting(&mut self) {
        let count: usize = self
            .waiting
            .iter()
            .map(|(_, slots)| slots.count_ones() as usize)
            .sum();
        if count == 0 {
            return;
        }
        self.stats.deferred += count as u64;
        let slots = self
            .waiting
            .iter()
            .flat_map(|(at, slots)| slots_of(*at, *slots));
        self.deferred = match count > DEFERRED_PER_PACKET {
            true => Deferred::Any,
            false => std::mem::take(&mut self.deferred).and(slots),
        };
    }

    /// Number of packets that may name removals. Usually the removals of a tick's first packet are
    /// enough. Where more entities vanish per tick, several packets name some, as far as there is
    /// space; otherwise they would accumulate until the session ends.
    fn removal_packets(&self, spare: usize) -> u8 {
        match self.removals.len() > self.many_removals.0 {
            true => 1 + (spare / REMOVAL_PACKET_BYTES).min(MORE_REMOVAL_PACKETS) as u8,
            false => 1,
        }
    }

    /// Sorts individual items: the own entity, then the others by ascending slot.
    fn order_individual(&mut self) {
        let own = self
            .individual_items
            .first()
            .is_some_and(|item| item.audience == Audience::Owner);
        let others = &mut self.individual_items[usize::from(own)..];
        if !others.is_sorted_by_key(|item| item.place.slot) {
            others.sort_unstable_by_key(|item| item.place.slot);
        }
    }
}
