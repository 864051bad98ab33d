//! Selects what of a block is due to a client, and the baselines to send it on.
//!
//! On its own, a client would get each slot on the newest tick at which it holds it. Where clients
//! see the same slots, that is usually one baseline for the whole block; otherwise they agree on
//! one, see [`super::agreement`].

use super::agreement::{EncodedSlots, MAX_WAIT_TICKS, SharedDelta};
use super::block_acks::{ACKED_SETS, BlockAcks};
use super::block_delta::{BaselineRef, bit_of, slots_of};
use super::client_view::{ClientView, DueDelta, Interest, Shared, forget_in_flight};
use super::delta_cache::{BlockDelta, DeltaKey};
use super::state_ring::{Block, BlockAt};
use crate::limits::RING_TICKS;
use crate::mutant::{Mutant, is_planted};
use crate::tick::Tick;

/// Least number of due slots of a block that are sent as a block delta where clients see different
/// slots. Fewer go into the individual stream.
const SHARED_FROM: u32 = 8;

/// Due slots of a block on the same baseline.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Part {
    /// The baseline; `None` where the entities are sent whole.
    base: Option<BaselineRef>,
    /// Bit mask of the slots.
    slots: u64,
}

/// Due slots of a block, grouped by baseline.
#[derive(Default)]
struct Parts {
    parts: [Part; ACKED_SETS + 1],
    count: usize,
}

impl Parts {
    fn push(&mut self, base: Option<BaselineRef>, slots: u64) {
        if slots != 0 {
            self.parts[self.count] = Part { base, slots };
            self.count += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = Part> {
        self.parts[..self.count].iter().copied()
    }

    fn slots(&self) -> u64 {
        self.iter().fold(0, |all, part| all | part.slots)
    }
}

impl Shared<'_> {
    /// Returns a block delta for the clients of a group.
    fn group_delta(&mut self, key: &DeltaKey) -> BlockDelta {
        self.cache
            .known_or_encoded(self.schema, self.ring, key, true)
    }
}

impl ClientView {
    /// Adds the due slots of a block to the plan.
    pub(super) fn consider(
        &mut self,
        shared: &mut Shared<'_>,
        block: BlockAt<'_>,
        interest: &Interest<'_>,
    ) {
        let at = block.at;
        let view = &mut self.blocks[at];
        self.stats.relevant += u64::from(view.relevant.count_ones());
        let team = if shared.schema.has_teams() {
            block.block.of_team(interest.team)
        } else {
            0
        };
        let turned = (view.team ^ team) & view.relevant;
        if turned != 0 {
            // A copy for others is no baseline for the team's copy, nor the reverse.
            view.unacknowledge(turned);
            forget_in_flight(&mut self.in_flight, at, turned);
        }
        view.team = team;
        let (relevant, of_team) = (view.relevant, team & view.relevant);
        let agrees = self.shares && !is_planted(Mutant::EncodeForEach);
        let group = agrees
            .then(|| shared.cache.group(at, relevant, of_team))
            .flatten();
        let Some(group) = group else {
            let parts = parts(view, shared, block);
            return self.add_parts(shared, at, &parts);
        };
        // Usually another client took an equal delta before.
        if let Some(delta) = shared
            .cache
            .group_mut(at, group)
            .same_for(view, self.longest_delta)
        {
            return self.add_delta(shared, at, &delta);
        }
        let own = own_acked_set(view, block.block, shared.ring.tick());
        let newest = view.acked_sets().first().map(|acked_set| acked_set.tick);
        let is_due = newest
            .is_some_and(|tick| relevant & shared.cache.changed_after(block, tick, team) != 0);
        if is_due && let Some(delta) = self.agreed_delta(shared, at, group, own) {
            return self.add_delta(shared, at, &delta);
        }
        let parts = parts(&mut self.blocks[at], shared, block);
        if parts.count == 0 {
            return;
        }
        // An agreed delta was looked for already where the block is due.
        let agreed = if is_due {
            None
        } else {
            self.agreed_delta(shared, at, group, own)
        };
        match agreed {
            Some(delta) => self.add_delta(shared, at, &delta),
            None => self.add_unagreed(shared, block, group, own, &parts),
        }
    }

    /// Takes one of the deltas that were encoded for other clients, if this client can use it.
    fn agreed_delta(
        &self,
        shared: &mut Shared<'_>,
        at: usize,
        group: usize,
        own: Option<usize>,
    ) -> Option<SharedDelta> {
        let (view, group) = (&self.blocks[at], shared.cache.group_mut(at, group));
        let place = group.newest_for(view, view.acked_sets()[own?].tick, self.longest_delta)?;
        group.take(place, self.longest_delta)
    }

    fn add_parts(&mut self, shared: &mut Shared<'_>, at: usize, parts: &Parts) {
        let team = self.blocks[at].team;
        for Part { base, slots } in parts.iter() {
            self.add(
                shared,
                DeltaKey {
                    block: at as u16,
                    mask: slots,
                    team: team & slots,
                    base,
                },
            );
        }
    }

    /// Adds the due slots of a block that a group sees alike, where the client can use none of the
    /// deltas encoded for others.
    fn add_unagreed(
        &mut self,
        shared: &mut Shared<'_>,
        block: BlockAt<'_>,
        group: usize,
        own: Option<usize>,
        parts: &Parts,
    ) {
        let (at, now) = (block.at, shared.ring.tick());
        let whole = Part {
            base: None,
            slots: self.blocks[at].relevant,
        };
        let holds_nothing = parts.count == 1 && parts.parts[0] == whole;
        if own != Some(0) && !holds_nothing && self.may_add_parts(shared, at, group, parts) {
            let before = shared.cache.sharing().1;
            self.add_parts(shared, at, parts);
            let encoded = shared.cache.sharing().1 - before;
            return shared
                .cache
                .group_mut(at, group)
                .add_parts(encoded as usize);
        }
        let own = own.filter(|_| shared.cache.group_mut(at, group).has_room_for(1));
        let delta = own.and_then(|acked_set| {
            let delta = delta_on(&self.blocks[at], acked_set, shared, block);
            let agreed = shared.cache.group_mut(at, group);
            let place = agreed.add(delta);
            agreed.take(place, self.longest_delta)
        });
        if let Some(delta) = delta {
            self.add_delta(shared, at, &delta);
        } else if holds_nothing || now.distance(self.blocks[at].sent) >= MAX_WAIT_TICKS {
            self.add_whole(shared, at, group);
        } else {
            self.waiting.push((at, parts.slots()));
        }
    }

    /// Whether all parts of a block are encoded already, or the others may be.
    fn may_add_parts(
        &self,
        shared: &mut Shared<'_>,
        at: usize,
        group: usize,
        parts: &Parts,
    ) -> bool {
        let team = self.blocks[at].team;
        let key = |part: Part| DeltaKey {
            block: at as u16,
            mask: part.slots,
            team: team & part.slots,
            base: part.base,
        };
        let new = parts
            .iter()
            .filter(|part| !shared.cache.is_known(&key(*part)))
            .count();
        shared.cache.group_mut(at, group).has_room_for(new)
    }

    fn add_delta(&mut self, shared: &mut Shared<'_>, at: usize, delta: &SharedDelta) {
        self.add_due(shared, at, Some(delta.base), delta.changed);
        self.add_due(shared, at, None, delta.born);
    }

    fn add_whole(&mut self, shared: &mut Shared<'_>, at: usize, group: usize) {
        let view = &self.blocks[at];
        let (block, mask, team) = (at as u16, view.relevant, view.team & view.relevant);
        let block_delta = shared.cache.group_mut(at, group).whole;
        let block_delta = block_delta.unwrap_or_else(|| {
            shared.group_delta(&DeltaKey {
                block,
                mask,
                team,
                base: None,
            })
        });
        shared.cache.group_mut(at, group).whole = Some(block_delta);
        let encoded = EncodedSlots {
            slots: mask,
            block_delta,
        };
        self.add_due(shared, at, None, Some(encoded));
    }

    /// Adds an encoded block delta, or parts of it where it is too long for this client's budget.
    fn add_due(
        &mut self,
        shared: &mut Shared<'_>,
        at: usize,
        base: Option<BaselineRef>,
        encoded: Option<EncodedSlots>,
    ) {
        let Some(EncodedSlots { slots, block_delta }) = encoded else {
            return;
        };
        let key = DeltaKey {
            block: at as u16,
            mask: slots,
            team: self.blocks[at].team & slots,
            base,
        };
        match block_delta.len as usize > self.longest_delta {
            true => self.add(shared, key),
            false => {
                shared.cache.note_taken(1);
                self.block_deltas.push(DueDelta { key, block_delta });
            }
        }
    }

    fn add(&mut self, shared: &mut Shared<'_>, key: DeltaKey) {
        if !self.shares && key.mask.count_ones() < SHARED_FROM {
            return self.individual_items.extend(key.items());
        }
        let block_delta = shared
            .cache
            .block_delta(shared.schema, shared.ring, &key, self.shares);
        if block_delta.len as usize > self.longest_delta && key.mask.count_ones() > 1 {
            let half = lower_half(key.mask);
            for mask in [half, key.mask & !half] {
                self.add(
                    shared,
                    DeltaKey {
                        mask,
                        team: key.team & mask,
                        ..key
                    },
                );
            }
            return;
        }
        self.block_deltas.push(DueDelta { key, block_delta });
    }
}

/// Index of the newest acked set at whose tick a client holds the whole block, if it may serve as a
/// baseline.
fn own_acked_set(view: &BlockAcks, block: &Block, now: Tick) -> Option<usize> {
    let acked_set = view.whole_acked_set(|tick| block.born_after(tick))?;
    (now.distance(view.acked_sets()[acked_set].tick) < RING_TICKS as i32).then_some(acked_set)
}

/// Groups the due slots by the newest tick at which the client holds them.
fn parts(view: &mut BlockAcks, shared: &mut Shared<'_>, block: BlockAt<'_>) -> Parts {
    let (now, team, mut parts) = (shared.ring.tick(), view.team, Parts::default());
    // Usually all of it is held at one tick.
    if let Some(acked_set) = view
        .acked_sets()
        .first()
        .filter(|acked_set| view.relevant & !acked_set.mask == 0)
        && now.distance(acked_set.tick) < RING_TICKS as i32
    {
        let mask = view.relevant & shared.cache.changed_after(block, acked_set.tick, team);
        parts.push(Some(view.base(0, mask, now)), mask);
        return parts;
    }
    let (mut left, mut unchanged) = (view.relevant, 0);
    for (acked_set, held) in view.acked_sets().iter().enumerate() {
        let taken = left & held.mask;
        if taken == 0 {
            continue;
        }
        left &= !taken;
        let mut changed = taken & shared.cache.changed_after(block, held.tick, team);
        unchanged |= taken & !changed;
        if now.distance(held.tick) > RING_TICKS as i32 {
            let baseline = |slot| shared.ring.entry(slot)?.baseline(held.tick, now);
            let kept = |slot: &u16| baseline(*slot).is_some();
            let lost = slots_of(block.at, changed)
                .filter(|slot| !kept(slot))
                .fold(0, |m, s| m | bit_of(s));
            changed &= !lost;
            left |= lost;
        }
        parts.push(Some(view.base(acked_set, changed, now)), changed);
    }
    if unchanged != 0 {
        view.promote(unchanged);
    }
    parts.push(None, left);
    parts
}

/// Encodes the slots that changed after an acked set's tick, and as whole those whose entities did
/// not exist at that tick.
fn delta_on(
    view: &BlockAcks,
    acked_set: usize,
    shared: &mut Shared<'_>,
    block: BlockAt<'_>,
) -> SharedDelta {
    let (now, tick) = (shared.ring.tick(), view.acked_sets()[acked_set].tick);
    let born = view.relevant & block.block.born_after(tick);
    let changed = view.relevant & !born & shared.cache.changed_after(block, tick, view.team);
    let base = view.base(acked_set, changed, now);
    let mut block_delta = |base, mask: u64| {
        let key = DeltaKey {
            block: block.at as u16,
            mask,
            team: view.team & mask,
            base,
        };
        (mask != 0).then(|| EncodedSlots {
            slots: mask,
            block_delta: shared.group_delta(&key),
        })
    };
    SharedDelta {
        base,
        changed: block_delta(Some(base), changed),
        born: block_delta(None, born),
        is_cut: false,
    }
}

/// The lower half of the set bits.
fn lower_half(mask: u64) -> u64 {
    let (mut half, mut left) = (0, mask);
    for _ in 0..mask.count_ones() / 2 {
        half |= left & left.wrapping_neg();
        left &= left - 1;
    }
    half
}
