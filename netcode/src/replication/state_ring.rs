//! One quantised copy of everything that changed, per entity and tick.
//!
//! One store for delta baselines, state hashes and keyframes. A *version* is an entity's
//! state named by the tick of its last change. It stays while it is current, whatever its age, and for
//! [`RING_TICKS`] after it was superseded.

use std::collections::VecDeque;

use xxhash_rust::xxh3::Xxh3;

use super::{NetId, delta};
use crate::limits::{ENTITIES, RING_TICKS};
use crate::schema::{Audience, KindId, Schema};
use crate::session::ClientId;
use crate::tick::Tick;

/// An entity's state from one change to the next.
#[derive(Clone, Debug)]
pub struct Version {
    /// Tick of the change.
    pub tick: Tick,
    /// Quantised fields in the order of the kind.
    pub fields: Box<[u32]>,
    /// Hash of the fields that each [`Audience`] sees.
    pub hashes: [u64; 3],
}

/// A live entity and its versions.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its identity.
    pub id: NetId,
    /// Its kind.
    pub kind: KindId,
    /// Who owns it.
    pub owner: Option<ClientId>,
    /// Oldest first, never empty.
    versions: VecDeque<Version>,
}

impl Entry {
    /// The newest version.
    pub fn current(&self) -> &Version {
        &self.versions[self.versions.len() - 1]
    }

    /// The version in force at a tick, if it is still kept.
    pub fn at(&self, tick: Tick) -> Option<&Version> {
        // Mostly a client's baseline is a handful of versions back.
        self.versions.iter().rev().find(|v| !v.tick.is_after(tick))
    }

    /// How many versions are kept.
    pub fn versions(&self) -> usize {
        self.versions.len()
    }

    /// The version of exactly that tick, if it is still kept.
    pub fn version(&self, tick: Tick) -> Option<&Version> {
        self.at(tick).filter(|v| v.tick == tick)
    }
}

/// All live entities of a room with their recent versions.
#[derive(Debug)]
pub struct StateRing {
    slots: Vec<Option<Entry>>,
    tick: Tick,
}

impl StateRing {
    /// An empty ring.
    pub fn new() -> Self {
        Self { slots: Vec::new(), tick: Tick(0) }
    }

    /// The tick recorded last.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// One past the highest slot ever used.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Starts recording `tick`.
    pub fn begin_tick(&mut self, tick: Tick) {
        self.tick = tick;
    }

    /// Records an entity's state at the current tick; a new version only if something changed.
    pub fn record(
        &mut self,
        schema: &Schema,
        (id, kind, owner): (NetId, KindId, Option<ClientId>),
        fields: &[u32],
    ) {
        let at = usize::from(id.slot);
        assert!(at < ENTITIES, "entity slot {at} of {ENTITIES}");
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        let tick = self.tick;
        let slot = &mut self.slots[at];
        if slot.as_ref().is_none_or(|entry| entry.id != id) {
            *slot = Some(Entry { id, kind, owner, versions: VecDeque::new() });
        }
        let Some(entry) = slot else { return };
        entry.owner = owner;
        if entry.versions.back().is_some_and(|v| *v.fields == *fields) {
            return;
        }
        let info = schema.kind(kind);
        let hash = |audience| delta::hash(info, audience, fields);
        let hashes = [hash(Audience::Others), hash(Audience::Owner), hash(Audience::Server)];
        let mut version = entry.retire(tick).unwrap_or(Version { tick, fields: fields.into(), hashes });
        version.tick = tick;
        version.fields.copy_from_slice(fields);
        version.hashes = hashes;
        entry.versions.push_back(version);
    }

    /// Forgets an entity.
    pub fn remove(&mut self, id: NetId) {
        if let Some(slot) = self.slots.get_mut(usize::from(id.slot))
            && slot.as_ref().is_some_and(|entry| entry.id == id)
        {
            *slot = None;
        }
    }

    /// The entity in a slot.
    pub fn entry(&self, slot: u16) -> Option<&Entry> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// All live entities in the order of their slots.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flatten()
    }

    /// Hash of the whole world as recorded last: every entity's identity, kind, owner and all its fields.
    pub fn world_hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for entry in self.entries() {
            let identity =
                [u32::from(entry.id.slot), u32::from(entry.id.generation), u32::from(entry.kind.0)];
            identity.iter().for_each(|n| hasher.update(&n.to_le_bytes()));
            hasher.update(&entry.owner.map_or(u64::MAX, |owner| u64::from(owner.0)).to_le_bytes());
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
    /// Drops versions that were superseded more than [`RING_TICKS`] ago; returns one for its memory.
    fn retire(&mut self, now: Tick) -> Option<Version> {
        let mut retired = None;
        while self.versions.len() > 1 && now.distance(self.versions[1].tick) > RING_TICKS as i32 {
            retired = self.versions.pop_front();
        }
        retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: NetId = NetId { slot: 3, generation: 1 };

    fn record(ring: &mut StateRing, schema: &Schema, tick: u32, x: u32) {
        ring.begin_tick(Tick(tick));
        ring.record(schema, (ID, KindId(0), None), &[x, 0, 0, 0, 0]);
    }

    #[test]
    fn a_version_is_named_by_its_change_and_kept_while_current() {
        let (schema, mut ring) = (delta::tests::schema(), StateRing::new());
        record(&mut ring, &schema, 10, 1);
        for tick in 11..5_000 {
            record(&mut ring, &schema, tick, 1);
        }
        let entry = ring.entry(3).unwrap();
        assert_eq!(entry.current().tick, Tick(10));
        assert!(entry.version(Tick(4_000)).is_none());
    }

    #[test]
    fn a_superseded_version_stays_for_the_ring_and_then_goes() {
        let (schema, mut ring) = (delta::tests::schema(), StateRing::new());
        record(&mut ring, &schema, 10, 1);
        for tick in 0..=RING_TICKS {
            record(&mut ring, &schema, 1_000 + tick, 2 + tick);
        }
        assert!(ring.entry(3).unwrap().version(Tick(10)).is_some());
        record(&mut ring, &schema, 1_001 + RING_TICKS, 9_000);
        assert!(ring.entry(3).unwrap().version(Tick(10)).is_none());
        assert!(ring.entry(3).unwrap().version(Tick(1_000)).is_some());
    }

    #[test]
    fn the_hash_sees_server_fields_and_identity() {
        let (schema, mut ring) = (delta::tests::schema(), StateRing::new());
        record(&mut ring, &schema, 10, 1);
        let before = ring.world_hash();
        ring.begin_tick(Tick(11));
        ring.record(&schema, (ID, KindId(0), None), &[1, 0, 0, 7, 0]);
        assert_ne!(ring.world_hash(), before);
        ring.remove(ID);
        ring.record(&schema, (NetId { generation: 2, ..ID }, KindId(0), None), &[1, 0, 0, 0, 0]);
        assert_ne!(ring.world_hash(), before);
    }
}
