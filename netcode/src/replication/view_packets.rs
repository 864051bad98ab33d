//! Packets of a client's snapshot, written from its plan, and their acknowledgement.

use super::block_delta::{bit_of, block_of};
use super::client_view::{ClientView, DueDelta, SentState, Shared};
use super::delta_cache::IndividualItem;
use super::snapshot::{Deferred, DeltaHeader, Feedback, SnapshotHeader, fold};
use crate::bits::BitWriter;
use crate::limits::{ACK_WINDOW, REMOVALS_PER_PACKET, SNAPSHOT_PACKETS};
use crate::mutant::{Mutant, is_planted};
use crate::schema::Audience;
use crate::sequence::Sequence;
use crate::tick::Tick;

/// Number of ticks for which acknowledgements of the owner's copy are kept.
const OWN_ACKED: usize = 8;

impl ClientView {
    /// Writes the next packet of the planned snapshot after the contents of `writer`, up to `space`
    /// bytes in all. Returns whether another packet must follow.
    pub fn write_packet(
        &mut self,
        shared: &mut Shared<'_>,
        sequence: Sequence,
        space: usize,
        feedback: Feedback,
        writer: &mut BitWriter,
    ) -> bool {
        let start = writer.bit_len();
        let mut sent = self.recycle(sequence, shared.ring.tick());
        let mut header = self.header(shared, feedback);
        sent.removals.extend_from_slice(&header.removals);
        let spare = (space * 8).saturating_sub(start + header_bits(&header));
        let first = self.written;
        let mut hash = self.take_individual(shared, &mut header, &mut sent, spare / 8);
        if self.next_index == 0 && !header.has_own {
            self.defer_own(&mut header);
        }
        hash = hash.wrapping_add(self.take_deltas(
            shared.ring.tick(),
            &mut header,
            &mut sent,
            spare - self.stream.len() * 8,
        ));
        self.next_index += 1;
        header.last = self.written == (self.block_deltas.len(), self.individual_items.len())
            && !self.has_more_removals();
        header.write(writer);
        writer.pad_to_byte();
        writer.write_bytes(&self.stream);
        for due in &self.block_deltas[first.0..self.written.0] {
            writer.write_bytes(shared.cache.bytes(due.block_delta));
        }
        writer.write(fold(hash), 16);
        self.stats.bits += (writer.bit_len() - start) as u64;
        if is_planted(Mutant::TrustUnacknowledged) {
            sent.parts
                .iter()
                .for_each(|(at, mask)| self.blocks[usize::from(*at)].ack(sent.tick, *mask));
        }
        self.in_flight.push_back(sent);
        self.headers = header.block_deltas;
        !header.last && usize::from(self.next_index) < SNAPSHOT_PACKETS
    }

    /// Returns a record for the next packet, with the memory of an earlier one.
    fn recycle(&mut self, sequence: Sequence, tick: Tick) -> SentState {
        while self
            .in_flight
            .front()
            .is_some_and(|old| old.sequence + 4 * ACK_WINDOW <= sequence)
        {
            self.spare.extend(self.in_flight.pop_front());
        }
        let mut sent = self.spare.pop().unwrap_or_default();
        sent.parts.clear();
        sent.removals.clear();
        SentState {
            sequence,
            tick,
            own: false,
            ..sent
        }
    }

    fn header(&mut self, shared: &Shared<'_>, feedback: Feedback) -> SnapshotHeader {
        let first = self.next_index == 0;
        let untold = if self.has_more_removals() {
            self.removals.len() - self.removals_told
        } else {
            0
        };
        let told = untold.min(REMOVALS_PER_PACKET);
        let removals = self.removals.iter().take(told).map(|(id, _)| *id).collect();
        self.removals.rotate_left(told);
        self.removals_told += told;
        if first {
            self.defer_untold(told);
        }
        let mut block_deltas = std::mem::take(&mut self.headers);
        block_deltas.clear();
        SnapshotHeader {
            tick: shared.ring.tick(),
            index: self.next_index,
            last: false,
            feedback,
            removals,
            deferred: if first {
                std::mem::take(&mut self.deferred)
            } else {
                Deferred::None
            },
            individual_items: 0,
            has_own: false,
            individual_bytes: 0,
            block_deltas,
        }
    }

    /// Whether the next packet names removals.
    fn has_more_removals(&self) -> bool {
        self.removals_told < self.removals.len() && self.next_index < self.removal_packets
    }

    /// Defers the entities that left the client's interest until a packet names their removal. The
    /// removals of this packet are the last ones of the queue.
    fn defer_untold(&mut self, told: usize) {
        let untold = self.removals.len() - told;
        if untold > 0 {
            let slots = self.removals.iter().take(untold).map(|(id, _)| id.slot);
            self.deferred = std::mem::take(&mut self.deferred).and(slots);
        }
    }

    /// Defers the own entity, which did not fit into the tick's first packet, so that its absence
    /// does not mean "unchanged".
    fn defer_own(&self, header: &mut SnapshotHeader) {
        let own = self
            .individual_items
            .first()
            .filter(|item| item.audience == Audience::Owner);
        let slot = own.map(|item| item.place.slot);
        header.deferred = std::mem::take(&mut header.deferred).and(slot.into_iter());
    }

    /// Encodes the packet's individual stream with as many entities as fit into `space` bytes.
    /// Returns the sum of their hash parts.
    fn take_individual(
        &mut self,
        shared: &mut Shared<'_>,
        header: &mut SnapshotHeader,
        sent: &mut SentState,
        space: usize,
    ) -> u32 {
        self.stream.clear();
        let items = &self.individual_items[self.written.1..];
        if items.is_empty() {
            return 0;
        }
        let (count, hash) = shared.cache.encode_individual(
            shared.schema,
            shared.ring,
            items,
            space,
            &mut self.stream,
        );
        self.written.1 += count;
        if count == 0 {
            self.stream.clear();
            return 0;
        }
        let items = &items[..count];
        header.has_own = items[0].audience == Audience::Owner;
        (header.individual_items, header.individual_bytes) =
            (count as u32, self.stream.len() as u32);
        self.scheduler.learn(self.stream.len(), count);
        sent.own = header.has_own;
        self.stats.updates += count as u64;
        for IndividualItem { place, audience } in items {
            let block = block_of(place.slot);
            if *audience == Audience::Owner {
                self.blocks[block].known |= bit_of(place.slot);
                continue;
            }
            match sent
                .parts
                .last_mut()
                .filter(|part| usize::from(part.0) == block)
            {
                Some(part) => part.1 |= bit_of(place.slot),
                None => sent.parts.push((block as u16, bit_of(place.slot))),
            }
            self.blocks[block].note_sent(sent.tick, bit_of(place.slot));
        }
        hash
    }

    /// Adds as many block deltas to the packet as fit into `space` bits. Returns the sum of their
    /// hash parts.
    fn take_deltas(
        &mut self,
        now: Tick,
        header: &mut SnapshotHeader,
        sent: &mut SentState,
        space: usize,
    ) -> u32 {
        let (mut hash, mut left, mut before) = (0u32, space, 0);
        while let Some(DueDelta { key, block_delta }) = self.block_deltas.get(self.written.0) {
            let next = DeltaHeader {
                block: key.block,
                base: key.base,
                bytes: block_delta.len,
            };
            let need = next.bits(now, before) + block_delta.len as usize * 8;
            if need > left {
                break;
            }
            (left, before) = (left - need, key.block);
            header.block_deltas.push(next);
            sent.parts.push((key.block, key.mask));
            self.blocks[usize::from(key.block)].note_sent(sent.tick, key.mask);
            self.stats.updates += u64::from(key.mask.count_ones());
            hash = hash.wrapping_add(block_delta.hash);
            self.written.0 += 1;
        }
        hash
    }

    /// Records that the client received and accepted a packet. It has no effect if the packet is
    /// not in flight.
    pub fn packet_acked(&mut self, sequence: Sequence) {
        let Ok(at) = self
            .in_flight
            .binary_search_by_key(&sequence, |sent| sent.sequence)
        else {
            return;
        };
        let Some(sent) = self.in_flight.remove(at) else {
            return;
        };
        for (block, mask) in &sent.parts {
            self.blocks[usize::from(*block)].ack(sent.tick, *mask);
        }
        if sent.own {
            let place = self
                .own
                .acked
                .iter()
                .position(|tick| !tick.is_after(sent.tick));
            self.own
                .acked
                .insert(place.unwrap_or(self.own.acked.len()), sent.tick);
            self.own.acked.truncate(OWN_ACKED);
        }
        if !sent.removals.is_empty() {
            self.removals
                .retain(|(id, since)| since.is_after(sent.tick) || !sent.removals.contains(id));
        }
        self.spare.push(sent);
    }
}

/// Number of bits of a header without block deltas, and of what surrounds the streams: counts,
/// padding, hash.
fn header_bits(header: &SnapshotHeader) -> usize {
    const LATER: usize = 17 + 20 + 17 + 7 + 16 + OWN_DEFERRED;
    // The own entity's slot among the deferred ones.
    const OWN_DEFERRED: usize = 7 + 14;
    header.bits() + LATER
}
