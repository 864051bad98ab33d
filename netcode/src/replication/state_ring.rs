//! The recent quantised states of all entities, as versions.
//!
//! One store serves delta baselines, state hashes and keyframes. A *version* is an entity's state
//! from one change to the next, named by the tick of its change. It is kept while it is current,
//! whatever its age, and for [`RING_TICKS`] after it was superseded. Entities are grouped in blocks
//! of 64 slots, which record when each slot last changed for each audience.

use std::collections::VecDeque;

use xxhash_rust::xxh3::Xxh3;

use super::block_delta::{BLOCK, bit_of, block_of};
use super::{NetId, entity};
use crate::limits::{BASELINE_TICKS, ENTITIES, RING_TICKS};
use crate::schema::{Audience, KindId, KindInfo, Schema, Visibility};
use crate::session::ClientId;
use crate::tick::Tick;

/// An entity's state from one change to the next.
#[derive(Clone, Debug)]
pub struct Version {
    /// Tick of the change.
    pub tick: Tick,
    /// Grid values of the fields, in the order of the kind.
    pub fields: Box<[u32]>,
    /// Hashes of the fields that each [`Audience`] sees, by audience.
    pub hashes: [u64; 4],
}

/// Properties of a replicated entity besides its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaMeta {
    /// Identity of the entity.
    pub id: NetId,
    /// Kind of the entity.
    pub kind: KindId,
    /// Client that owns the entity; `None` if no client does.
    pub owner: Option<ClientId>,
    /// Team whose clients see the fields with [`Visibility::Team`]; 0 for none.
    pub team: u8,
}

/// A live entity and its versions.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Identity of the entity.
    pub id: NetId,
    /// Kind of the entity.
    pub kind: KindId,
    /// Client that owns the entity; `None` if no client does.
    pub owner: Option<ClientId>,
    /// Versions, oldest first; never empty once the entity is recorded.
    state_history: VecDeque<Version>,
}

impl Entry {
    /// The newest version.
    pub fn current(&self) -> &Version {
        &self.state_history[self.state_history.len() - 1]
    }

    /// The version in force at a tick, if it is still kept.
    pub fn at(&self, tick: Tick) -> Option<&Version> {
        // From the newest back, because a client's baseline is usually only a few versions old.
        self.state_history
            .iter()
            .rev()
            .find(|v| !v.tick.is_after(tick))
    }

    /// The version in force at a tick, if a client may still build on it: it is current, or was
    /// superseded at most [`RING_TICKS`] before `now`. Clients keep no older ones.
    pub fn baseline(&self, tick: Tick, now: Tick) -> Option<&Version> {
        let at = self
            .state_history
            .iter()
            .rposition(|version| !version.tick.is_after(tick))?;
        let is_recent = |next: &Version| now.distance(next.tick) <= RING_TICKS as i32;
        self.state_history
            .get(at + 1)
            .is_none_or(is_recent)
            .then(|| &self.state_history[at])
    }

    /// Number of versions that are kept.
    pub fn state_history(&self) -> usize {
        self.state_history.len()
    }
}

/// Largest age of a version or change in ticks. Older ones are renewed to this age, which is more
/// than that of any client's baseline.
const OLDEST: u32 = 4 * BASELINE_TICKS;

/// Number of audiences that clients belong to: all but the server's.
const CLIENTS: usize = 3;

/// Records of 64 slots.
#[derive(Clone, Debug)]
pub struct Block {
    /// Bit mask of the slots with an entity of which clients may see any field.
    pub live: u64,
    /// By audience and slot, the tick of the last change of any field that the audience sees.
    changed: [[Tick; BLOCK]; CLIENTS],
    /// By slot, the tick in which the entity was first recorded.
    born: [Tick; BLOCK],
    /// Latest tick of `born`.
    last_born: Tick,
    teams: [u8; BLOCK],
}

impl Block {
    fn new() -> Self {
        Self {
            live: 0,
            changed: [[Tick(0); BLOCK]; CLIENTS],
            born: [Tick(0); BLOCK],
            last_born: Tick(0),
            teams: [0; BLOCK],
        }
    }

    /// Bit mask of the slots that changed after a tick in what an audience of clients sees. Bits of
    /// slots that are not live are meaningless.
    pub fn changed_after(&self, tick: Tick, audience: Audience) -> u64 {
        let changed = &self.changed[audience as usize];
        (0..BLOCK).fold(0, |mask, i| {
            mask | u64::from(changed[i].is_after(tick)) << i
        })
    }

    /// Bit mask of the slots whose entity was first recorded after a tick, so that no client holds
    /// it at that tick. Bits of slots that are not live are meaningless.
    pub fn born_after(&self, tick: Tick) -> u64 {
        if !self.last_born.is_after(tick) {
            return 0;
        }
        (0..BLOCK).fold(0, |mask, i| {
            mask | u64::from(self.born[i].is_after(tick)) << i
        })
    }

    /// Tick in which a slot last changed in what an audience of clients sees.
    pub fn changed(&self, slot: u16, audience: Audience) -> Tick {
        self.changed[audience as usize][usize::from(slot) % BLOCK]
    }

    /// Bit mask of the live slots with an entity of a team; 0 for team 0.
    pub fn of_team(&self, team: u8) -> u64 {
        (0..BLOCK).fold(0, |mask, i| {
            mask | u64::from(team != 0 && self.teams[i] == team) << i
        }) & self.live
    }
}

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
        let before = (self.tick, passed);
        let renew = |tick: &mut Tick| *tick = tick.renewed(before, now, OLDEST);
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
    pub fn prefetch_baselines(
        &self,
        slots: impl Iterator<Item = u16>,
        (tick, older): (Tick, Option<Tick>),
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

impl Entry {
    /// Makes a new version if something changed; returns the visibility of the most visible changed
    /// field.
    fn change(&mut self, info: &KindInfo, fields: &[u32], tick: Tick) -> Option<Visibility> {
        let least = match self.state_history.back() {
            None => Visibility::Everyone,
            Some(before) => {
                let pairs = before.fields.iter().zip(fields).zip(&info.fields);
                pairs
                    .filter(|((a, b), _)| a != b)
                    .map(|(_, field)| field.visibility)
                    .min()?
            }
        };
        let hashes = self.hashes(info, fields, least);
        let mut version = self.retire(tick).unwrap_or_else(|| Version {
            tick,
            fields: fields.into(),
            hashes,
        });
        version.tick = tick;
        version.fields.copy_from_slice(fields);
        version.hashes = hashes;
        self.state_history.push_back(version);
        Some(least)
    }

    /// Computes the hashes of a new version, of which `least` is the most visible changed field.
    /// Audiences that do not see it keep their hash, and those that see no more than the audience
    /// before share its hash.
    fn hashes(&self, info: &KindInfo, fields: &[u32], least: Visibility) -> [u64; 4] {
        let mut hashes = self
            .state_history
            .back()
            .map_or([0; 4], |before| before.hashes);
        let least = least as usize;
        for audience in &Audience::ALL[least..] {
            let at = *audience as usize;
            let sees_more = info
                .fields
                .iter()
                .any(|field| field.visibility as usize == at);
            hashes[at] = if at == least || sees_more {
                entity::hash(info, *audience, fields)
            } else {
                hashes[at - 1]
            };
        }
        hashes
    }

    /// Drops versions that were superseded more than [`RING_TICKS`] ago; returns one for its
    /// memory.
    fn retire(&mut self, now: Tick) -> Option<Version> {
        let mut retired = None;
        while self.state_history.len() > 1
            && now.distance(self.state_history[1].tick) > RING_TICKS as i32
        {
            retired = self.state_history.pop_front();
        }
        retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: NetId = NetId {
        slot: 3,
        generation: 1,
    };

    fn meta(id: NetId) -> ReplicaMeta {
        ReplicaMeta {
            id,
            kind: KindId(0),
            owner: None,
            team: 0,
        }
    }

    fn state(x: u32, dice: u32) -> Vec<u32> {
        let mut numbers = [0; entity::tests::FIELDS];
        (numbers[0], numbers[4]) = (x, dice);
        entity::tests::fitted(&numbers)
    }

    fn record(ring: &mut StateRing, schema: &Schema, tick: u32, x: u32) {
        ring.begin_tick(Tick(tick));
        ring.record(schema, meta(ID), &state(x, 0));
    }

    fn in_force(ring: &StateRing, tick: u32) -> Option<u32> {
        Some(ring.entry(3)?.at(Tick(tick))?.tick.0)
    }

    #[test]
    fn a_version_is_named_by_its_change_and_kept_while_current() {
        let (schema, mut ring) = (entity::tests::schema(), StateRing::new());
        record(&mut ring, &schema, 10, 1);
        for tick in 11..5_000 {
            record(&mut ring, &schema, tick, 1);
        }
        assert_eq!(ring.entry(3).unwrap().current().tick, Tick(10));
        assert_eq!(
            (in_force(&ring, 4_000), in_force(&ring, 9)),
            (Some(10), None)
        );
    }

    #[test]
    fn a_superseded_version_stays_for_the_ring_and_then_goes() {
        let (schema, mut ring) = (entity::tests::schema(), StateRing::new());
        record(&mut ring, &schema, 10, 1);
        for tick in 0..=RING_TICKS {
            record(&mut ring, &schema, 1_000 + tick, 2 + tick);
        }
        assert_eq!(in_force(&ring, 900), Some(10));
        record(&mut ring, &schema, 1_001 + RING_TICKS, 9_000);
        assert_eq!(
            (in_force(&ring, 900), in_force(&ring, 1_000)),
            (None, Some(1_000))
        );
    }

    #[test]
    fn the_hash_sees_server_fields_and_identity() {
        let (schema, mut ring) = (entity::tests::schema(), StateRing::new());
        record(&mut ring, &schema, 10, 1);
        let before = ring.world_hash();
        ring.begin_tick(Tick(11));
        ring.record(&schema, meta(ID), &state(1, 7));
        assert_ne!(ring.world_hash(), before);
        ring.remove(ID);
        ring.record(
            &schema,
            meta(NetId {
                generation: 2,
                ..ID
            }),
            &state(1, 0),
        );
        assert_ne!(ring.world_hash(), before);
        assert_eq!(ring.gone(), [ID]);
    }

    #[test]
    fn what_only_the_server_sees_changes_nothing_for_clients() {
        let (schema, mut ring) = (entity::tests::schema(), StateRing::new());
        record(&mut ring, &schema, 10, 1);
        ring.begin_tick(Tick(11));
        ring.record(&schema, meta(ID), &state(1, 7));
        assert_eq!(ring.entry(3).unwrap().current().tick, Tick(11));
        for audience in [Audience::Others, Audience::Team, Audience::Owner] {
            assert_eq!(ring.blocks()[0].changed(ID.slot, audience), Tick(10));
        }
        assert_eq!(
            ring.blocks()[0].changed_after(Tick(10), Audience::Others) & ring.blocks()[0].live,
            0
        );
    }
}
