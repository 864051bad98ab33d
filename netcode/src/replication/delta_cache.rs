//! A cache that encodes each block delta once per tick: its bytes are equal for all clients that
//! hold its entities at the same ticks.

use super::agreement::{Group, MAX_GROUPS};
use super::block_delta::{
    BaselineRef, Identity, Item, Place, begin, bit_of, code_identity, code_mask, code_place,
    code_state, slots_of,
};
use super::entity::Baselines;
use super::snapshot::hash_part;
use super::state_ring::{BlockAt, Entry, StateRing};
use crate::coding::range::{Contexts, RangeEncoder};
use crate::coding::{Coder, Encoder};
use crate::limits::FIELDS_PER_ENTITY;
use crate::schema::{Audience, Schema, class_of};
use crate::tick::Tick;

/// Contents of a block delta, by which the cache finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaKey {
    /// Index of the block.
    pub block: u16,
    /// Bit mask of the slots that it holds.
    pub mask: u64,
    /// Bit mask of the slots that it holds as the team's copy.
    pub team: u64,
    /// Baseline of the entities; `None` where they are whole.
    pub base: Option<BaselineRef>,
}

impl DeltaKey {
    /// Audience of the copy of a slot.
    pub fn audience(&self, slot: u16) -> Audience {
        if self.team & bit_of(slot) != 0 {
            Audience::Team
        } else {
            Audience::Others
        }
    }

    /// The entities of the block delta as items of an individual stream.
    pub fn items(self) -> impl Iterator<Item = IndividualItem> {
        slots_of(usize::from(self.block), self.mask).map(move |slot| IndividualItem {
            place: Place {
                slot,
                base: self.base,
            },
            audience: self.audience(slot),
        })
    }
}

/// Location of a block delta's bytes in the cache, valid for this tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockDelta {
    start: u32,
    /// Length in bytes.
    pub len: u32,
    /// Sum of its entities' parts of a packet's hash.
    pub hash: u32,
}

/// Most block deltas of a block that are searched for a known one, newest first. There are more
/// only where each client sees different slots.
const LOOKED_THROUGH: usize = 32;

/// Most block deltas of a block that are searched where clients see the same slots: each group of
/// clients has few.
const LOOKED_THROUGH_ALIKE: usize = 512;

/// The slots of a block that changed after a tick, for clients that neither own nor share a team
/// with the entity, and for the team.
type Changed = (Tick, u64, u64);

/// The block deltas encoded so far in this tick.
#[derive(Debug, Default)]
pub struct DeltaCache {
    bytes: Vec<u8>,
    block_deltas: Vec<Vec<(DeltaKey, BlockDelta)>>,
    changed: Vec<Vec<Changed>>,
    contexts: Contexts,
    /// By block, the groups of clients that agree on baselines.
    groups: Vec<Vec<Group>>,
    lookups: u64,
    encodes: u64,
    individual: u64,
}

/// An entity of an individual stream.
#[derive(Clone, Copy, Debug)]
pub struct IndividualItem {
    /// Slot and baseline of the entity.
    pub place: Place,
    /// Audience of the copy.
    pub audience: Audience,
}

impl DeltaCache {
    /// Discards the encodings of the tick before.
    pub fn begin_tick(&mut self, ring: &StateRing) {
        self.bytes.clear();
        self.block_deltas.iter_mut().for_each(Vec::clear);
        self.changed.iter_mut().for_each(Vec::clear);
        self.groups.iter_mut().for_each(Vec::clear);
        let blocks = ring.blocks().len();
        if self.block_deltas.len() < blocks {
            self.block_deltas.resize_with(blocks, Vec::new);
            self.changed.resize_with(blocks, Vec::new);
            self.groups.resize_with(blocks, Vec::new);
        }
    }

    /// Returns the slots of a block that changed after a tick: those of `team` in the team's copy,
    /// others in the copy for everyone.
    pub fn changed_after(&mut self, block: BlockAt<'_>, tick: Tick, team: u64) -> u64 {
        let known = &mut self.changed[block.at];
        let found = known.iter().find(|(after, ..)| *after == tick).copied();
        let (_, others, teams) = found.unwrap_or_else(|| {
            let others = block.block.changed_after(tick, Audience::Others);
            let made = (
                tick,
                others,
                block.block.changed_after(tick, Audience::Team),
            );
            if known.len() < LOOKED_THROUGH {
                known.push(made);
            }
            made
        });
        others & !team | teams & team
    }

    /// Returns the index, within a block, of the group of clients that see the slots `relevant`,
    /// those of `team` as their team's copy. `None` if there are too many groups.
    pub(super) fn group(&mut self, block: usize, relevant: u64, team: u64) -> Option<usize> {
        let groups = &mut self.groups[block];
        groups
            .iter()
            .position(|group| group.is_of(relevant, team))
            .or_else(|| {
                (groups.len() < MAX_GROUPS).then(|| {
                    groups.push(Group::new(relevant, team));
                    groups.len() - 1
                })
            })
    }

    /// Returns the group with an index that [`Self::group`] returned.
    pub(super) fn group_mut(&mut self, block: usize, group: usize) -> &mut Group {
        &mut self.groups[block][group]
    }

    /// Whether a block delta is encoded already for clients that see the same slots.
    pub(super) fn is_known(&self, key: &DeltaKey) -> bool {
        self.known(key, LOOKED_THROUGH_ALIKE).is_some()
    }

    /// Counts block deltas that were taken from a group as lookups.
    pub(super) fn note_taken(&mut self, block_deltas: usize) {
        self.lookups += block_deltas as u64;
    }

    fn known(&self, key: &DeltaKey, looked_through: usize) -> Option<BlockDelta> {
        let recent = self.block_deltas[usize::from(key.block)]
            .iter()
            .rev()
            .take(looked_through);
        recent
            .into_iter()
            .find(|(other, _)| other == key)
            .map(|(_, block_delta)| *block_delta)
    }

    /// Returns a block delta, encoding it if necessary. `seen_alike` is whether other clients see
    /// the same slots. The ring must hold the baselines.
    pub fn block_delta(
        &mut self,
        schema: &Schema,
        ring: &StateRing,
        key: &DeltaKey,
        seen_alike: bool,
    ) -> BlockDelta {
        self.lookups += 1;
        self.known_or_encoded(schema, ring, key, seen_alike)
    }

    /// Returns a block delta without counting a lookup: a group's clients count what they take with
    /// [`Self::note_taken`].
    pub(super) fn known_or_encoded(
        &mut self,
        schema: &Schema,
        ring: &StateRing,
        key: &DeltaKey,
        seen_alike: bool,
    ) -> BlockDelta {
        let looked_through = if seen_alike {
            LOOKED_THROUGH_ALIKE
        } else {
            LOOKED_THROUGH
        };
        if let Some(block_delta) = self.known(key, looked_through) {
            return block_delta;
        }
        self.encodes += 1;
        let block_delta = self.encode(schema, ring, key);
        self.block_deltas[usize::from(key.block)].push((*key, block_delta));
        block_delta
    }

    fn encode(&mut self, schema: &Schema, ring: &StateRing, key: &DeltaKey) -> BlockDelta {
        let start = self.bytes.len();
        if let Some(base) = key.base {
            ring.prefetch_baselines(
                slots_of(usize::from(key.block), key.mask),
                base.tick,
                base.older(),
            );
        }
        let tables = schema.tables(class_of_base(ring.tick(), key.base));
        let mut encoder = RangeEncoder::new(&mut self.bytes, &mut self.contexts, tables);
        let hash = encode_block(&mut encoder, schema, ring, key);
        encoder.finish();
        BlockDelta {
            start: start as u32,
            len: (self.bytes.len() - start) as u32,
            hash,
        }
    }

    /// Encodes entities for one client into `out`, in their order, while the stream is sure to stay
    /// within `space` bytes. Returns the number of entities, and the sum of their parts of a
    /// packet's hash.
    pub(crate) fn encode_individual(
        &mut self,
        schema: &Schema,
        ring: &StateRing,
        items: &[IndividualItem],
        space: usize,
        out: &mut Vec<u8>,
    ) -> (usize, u32) {
        out.clear();
        let tables = schema.tables(INDIVIDUAL_CLASS);
        let mut encoder = RangeEncoder::new(out, &mut self.contexts, tables);
        let coded = encode_individual(&mut encoder, schema, ring, items, space);
        encoder.finish();
        self.individual += coded.0 as u64;
        coded
    }

    /// Returns the bytes of a block delta of this tick.
    pub fn bytes(&self, block_delta: BlockDelta) -> &[u8] {
        &self.bytes[block_delta.start as usize..(block_delta.start + block_delta.len) as usize]
    }

    /// Numbers of block deltas that were requested and that had to be encoded, since the start.
    pub fn sharing(&self) -> (u64, u64) {
        (self.lookups, self.encodes)
    }

    /// Length of the longest block delta of this tick, in bytes.
    #[cfg(test)]
    pub(super) fn longest_delta(&self) -> usize {
        self.block_deltas
            .iter()
            .flatten()
            .map(|(_, block_delta)| block_delta.len as usize)
            .max()
            .unwrap_or(0)
    }

    /// Number of entities that were encoded for one client each, since the start.
    pub fn individual(&self) -> u64 {
        self.individual
    }
}

/// Class of the initial contexts of an individual stream: most of its entities build on two states,
/// the newer of them three ticks old.
pub(crate) const INDIVIDUAL_CLASS: usize = 7;

/// Class of the initial contexts of a block delta.
pub(crate) fn class_of_base(now: Tick, base: Option<BaselineRef>) -> usize {
    base.map_or(0, |base| class_of(base.age(now), base.gap > 0))
}

fn identity(entry: &Entry, audience: Audience) -> Identity {
    Identity {
        audience,
        generation: entry.id.generation,
        kind: entry.kind,
    }
}

fn encode_block<C: Coder>(coder: &mut C, schema: &Schema, ring: &StateRing, key: &DeltaKey) -> u32 {
    begin(coder);
    let mut hash = 0u32;
    let _ = code_mask(coder, key.mask);
    for slot in slots_of(usize::from(key.block), key.mask) {
        let Some(entry) = ring.entry(slot) else {
            continue;
        };
        let audience = key.audience(slot);
        if key.base.is_none() {
            let _ = code_identity(coder, schema, identity(entry, audience));
        }
        hash = hash.wrapping_add(encode_state(
            coder,
            schema,
            ring.tick(),
            entry,
            key.base,
            audience,
        ));
    }
    hash
}

fn encode_individual<C: Encoder>(
    coder: &mut C,
    schema: &Schema,
    ring: &StateRing,
    items: &[IndividualItem],
    space: usize,
) -> (usize, u32) {
    begin(coder);
    let (mut next, mut was_whole, mut hash) = (0u16, false, 0u32);
    for (coded, IndividualItem { place, audience }) in items.iter().enumerate() {
        let Some(entry) = ring.entry(place.slot) else {
            continue;
        };
        if coder.bytes() + 4 + schema.kind(entry.kind).max_bytes() > space {
            return (coded, hash);
        }
        let _ = code_place(coder, ring.tick(), next, was_whole, *place);
        (next, was_whole) = (place.slot + 1, place.base.is_none());
        if was_whole {
            let _ = code_identity(coder, schema, identity(entry, *audience));
        }
        hash = hash.wrapping_add(encode_state(
            coder,
            schema,
            ring.tick(),
            entry,
            place.base,
            *audience,
        ));
    }
    (items.len(), hash)
}

/// Encodes an entity's state and returns its part of the packet's hash. The results of the coder
/// are ignored, because an encoder cannot fail.
fn encode_state<C: Coder>(
    coder: &mut C,
    schema: &Schema,
    now: Tick,
    entry: &Entry,
    base: Option<BaselineRef>,
    audience: Audience,
) -> u32 {
    let current = entry.current();
    let mut scratch = [0u32; FIELDS_PER_ENTITY];
    let fields = &mut scratch[..current.fields.len()];
    fields.copy_from_slice(&current.fields);
    let past = base.and_then(|base| {
        let older = base
            .older()
            .and_then(|tick| entry.at(tick))
            .map(|version| (&*version.fields, base.gap));
        Some(Baselines {
            age: base.age(now),
            base: &entry.at(base.tick)?.fields,
            older,
        })
    });
    let _ = code_state(
        coder,
        schema,
        &Item {
            kind: entry.kind,
            audience,
            past,
        },
        fields,
    );
    hash_part(current.hashes[audience as usize], entry.id)
}
