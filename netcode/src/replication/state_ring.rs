//! The recent quantised states of all entities, as versions.
//!
//! One store serves delta baselines, state hashes and keyframes. A *version* is an entity's state
//! from one change to the next, named by the tick of its change. It is kept while it is current,
//! whatever its age, and for [`RING_TICKS`](crate::limits::RING_TICKS) after it was superseded.
//! Entities are grouped in blocks of 64 slots, which record when each slot last changed for each
//! audience.

mod block;
mod entry;

use std::collections::VecDeque;

use xxhash_rust::xxh3::Xxh3;

use super::NetId;
use super::block_delta::{BLOCK, bit_of, block_of};
use crate::limits::{BASELINE_TICKS, ENTITIES};
use crate::schema::{Audience, KindId, Schema};
use crate::session::ClientId;
use crate::tick::Tick;

use block::CLIENTS;
pub use block::{Block, BlockAt};
pub use entry::{Entry, Version};

/// Properties of a replicated entity besides its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaMeta {
    /// Identity of the entity.
    pub id: NetId,
    /// Kind of the entity.
    pub kind: KindId,
    /// Client that owns the entity; `None` if no client does.
    pub owner: Option<ClientId>,
    /// Team whose clients see the fields with
    /// [`Visibility::Team`](crate::schema::Visibility::Team); 0 for none.
    pub team: u8,
}

/// Largest age of a version or change in ticks. Older ones are renewed to this age, which is more
/// than that of any client's baseline.
const OLDEST: u32 = 4 * BASELINE_TICKS;

/// All live entities of a room with their recent versions.
#[derive(Debug)]
pub struct StateRing {
    slots: Vec<Option<Entry>>,
    blocks: Vec<Block>,
    gone: Vec<NetId>,
    tick: Tick,
}

impl StateRing {
    /// Creates an empty ring.
    pub fn new() -> Self {
        Self {
            slots: Vec::new(),
            blocks: Vec::new(),
            gone: Vec::new(),
            tick: Tick(0),
        }
    }

    /// The tick recorded last.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// One past the highest slot ever used.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Records of the slots, 64 at a time.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Entities that were removed since the tick began.
    pub fn gone(&self) -> &[NetId] {
        &self.gone
    }

    /// Begins to record `tick`, which is later than the last one. Ticks of resting entities are
    /// renewed: one block in each tick, or all of them if ticks were skipped.
    pub fn begin_tick(&mut self, tick: Tick) {
        let passed = tick.since(self.tick);
        let blocks = match passed {
            0 => 0..0,
            1 => {
                let due = (tick.0 % BASELINE_TICKS) as usize;
                due..(due + 1).min(self.blocks.len()).max(due)
            }
            _ => 0..self.blocks.len(),
        };
        blocks.for_each(|block| self.renew(block, passed, tick));
        self.tick = tick;
        self.gone.clear();
    }

    /// Limits the age of all ticks in a block to [`OLDEST`] at `now`, which is `passed` ticks after
    /// the last tick.
    fn renew(&mut self, block: usize, passed: u32, now: Tick) {
        let before = self.tick;
        let renew = |tick: &mut Tick| *tick = tick.renewed(before, passed, now, OLDEST);
        self.blocks[block]
            .changed
            .iter_mut()
            .flatten()
            .for_each(renew);
        let slots = self.slots.iter_mut().skip(block * BLOCK).take(BLOCK);
        for entry in slots.flatten() {
            entry
                .state_history
                .iter_mut()
                .for_each(|version| renew(&mut version.tick));
            entry.retire(now);
        }
    }

    /// Whether an entity is recorded and was not removed.
    pub fn is_known(&self, id: NetId) -> bool {
        self.entry(id.slot).is_some_and(|entry| entry.id == id)
    }

    /// Prefetches the memory that [`Self::record`] reads first of these entities. The loads of all
    /// entities overlap here; recording one after the other would wait for each.
    pub fn prefetch_next(&self, slots: impl Iterator<Item = u16>) {
        let first = |slot| {
            let state_history = &self.entry(slot)?.state_history;
            let newest = state_history.back()?;
            let read = newest.fields.first()? ^ newest.hashes[Audience::Server as usize] as u32;
            Some(read ^ state_history.get(1)?.tick.0)
        };
        std::hint::black_box(slots.filter_map(first).fold(0, |all, read| all ^ read));
    }

    /// Prefetches the states of these entities at one tick or two, before they are encoded.
    pub(crate) fn prefetch_baselines(
        &self,
        slots: impl Iterator<Item = u16>,
        tick: Tick,
        older: Option<Tick>,
    ) {
        let first = |slot| {
            let entry = self.entry(slot)?;
            let read = |tick| {
                entry
                    .at(tick)
                    .and_then(|version| version.fields.first().copied())
            };
            Some(read(tick)? ^ older.and_then(read).unwrap_or(0))
        };
        std::hint::black_box(slots.filter_map(first).fold(0, |all, read| all ^ read));
    }

    /// Records an entity's state at the current tick; a new version is made only if something
    /// changed. An entity of another identity in the same slot is removed.
    ///
    /// # Panics
    /// If the slot is not below [`ENTITIES`], or the kind is not of this schema.
    pub fn record(&mut self, schema: &Schema, meta: ReplicaMeta, fields: &[u32]) {
        let ReplicaMeta {
            id,
            kind,
            owner,
            team,
        } = meta;
        let at = usize::from(id.slot);
        assert!(at < ENTITIES, "entity slot {at} of {ENTITIES}");
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
            self.blocks.resize_with(block_of(id.slot) + 1, Block::new);
        }
        let info = schema.kind(kind);
        if !self.is_known(id) {
            if let Some(before) = &self.slots[at] {
                let before = before.id;
                self.remove(before);
            }
            self.slots[at] = Some(Entry {
                id,
                kind,
                owner,
                state_history: VecDeque::new(),
            });
            let block = &mut self.blocks[block_of(id.slot)];
            (block.born[at % BLOCK], block.last_born) = (self.tick, self.tick);
            if info.is_visible() {
                block.live |= bit_of(id.slot);
            }
        }
        let (tick, block) = (self.tick, &mut self.blocks[block_of(id.slot)]);
        block.teams[at % BLOCK] = team;
        let Some(entry) = &mut self.slots[at] else {
            return;
        };
        entry.owner = owner;
        if let Some(least) = entry.change(info, fields, tick) {
            for audience in (0..CLIENTS).filter(|audience| least as usize <= *audience) {
                block.changed[audience][at % BLOCK] = tick;
            }
        }
    }

    /// Removes an entity and its versions. It has no effect if the entity is not recorded.
    pub fn remove(&mut self, id: NetId) {
        if let Some(slot) = self.slots.get_mut(usize::from(id.slot))
            && slot.as_ref().is_some_and(|entry| entry.id == id)
        {
            *slot = None;
            self.blocks[block_of(id.slot)].live &= !bit_of(id.slot);
            self.gone.push(id);
        }
    }

    /// The entity in a slot; `None` if there is none.
    pub fn entry(&self, slot: u16) -> Option<&Entry> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// All live entities in the order of their slots.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flatten()
    }

    /// Hash of the world as recorded last: identity, kind, owner and all fields of every entity.
    pub fn world_hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for entry in self.entries() {
            let identity = [
                u32::from(entry.id.slot),
                u32::from(entry.id.generation),
                u32::from(entry.kind.0),
            ];
            identity
                .iter()
                .for_each(|n| hasher.update(&n.to_le_bytes()));
            hasher.update(
                &entry
                    .owner
                    .map_or(u64::MAX, |owner| u64::from(owner.0))
                    .to_le_bytes(),
            );
            hasher.update(&entry.current().hashes[Audience::Server as usize].to_le_bytes());
        }
        hasher.digest()
    }
}

impl Default for StateRing {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
