//! The client's copy of the world: versions of each entity, as far as the server may refer to them.
//!
//! A packet is decoded and verified whole before anything of it is kept; only then may it be acknowledged.

use std::collections::VecDeque;

use thiserror::Error;

use crate::bits::BitReader;
use crate::error::WireError;
use crate::limits::{CLIENT_VERSIONS, ENTITIES, INTERPOLATION_TICKS, REPORTED_ENTITIES, RING_TICKS};
use crate::messages::{MismatchReport, ReportedEntity};
use crate::mutant::{Mutant, is_planted};
use crate::replication::NetId;
use crate::replication::delta;
use crate::replication::encode_cache::KIND_BITS;
use crate::replication::snapshot::{Base, Deferred, Feedback, SLOT_BITS, SnapshotHeader, combine, hash_part};
use crate::schema::{Audience, KindId, Schema};
use crate::tick::Tick;

/// Why a snapshot packet was not taken over (and must not be acknowledged).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// The bytes are not what the format says.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It builds on a version that is not held any more: an old packet overtaken by newer ones.
    #[error("builds on a version that is not held")]
    Baseline,
    /// What was decoded is not what the server has: ask for everything whole.
    #[error("decoded state differs from the server's")]
    HashMismatch(MismatchReport),
}

/// An entity's state over a span of ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Tick of the change that made it.
    pub tick: Tick,
    /// Last tick at which it is known to have been in force.
    pub until: Tick,
    /// Quantised fields; invisible ones are 0.
    pub fields: Box<[u32]>,
}

/// An entity as the client holds it.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its identity.
    pub id: NetId,
    /// Its kind.
    pub kind: KindId,
    /// Whether the client owns it.
    pub own: bool,
    /// Newest tick of a packet that held it.
    seen: Tick,
    /// Oldest first, never empty.
    versions: VecDeque<Held>,
}

impl Remote {
    /// The newest state.
    pub fn newest(&self) -> &Held {
        &self.versions[self.versions.len() - 1]
    }

    /// States from oldest to newest.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Held> + ExactSizeIterator {
        self.versions.iter()
    }

    fn version(&self, tick: Tick) -> Option<&Held> {
        self.versions.iter().rev().find(|held| held.tick == tick)
    }
}

struct Update {
    slot: u16,
    generation: u16,
    kind: KindId,
    version: Tick,
    baseline: Option<Tick>,
    own: bool,
    fields: Vec<u32>,
}

/// What a packet brought, beyond the state itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Tick of the state.
    pub tick: Tick,
    /// On the client's commands; in the first packet of a tick.
    pub feedback: Option<Feedback>,
    /// Whether this is the newest tick so far.
    pub newest: bool,
    /// The client's own entity at that tick, as far as this packet tells.
    pub own: Option<NetId>,
}

/// Which packets of a tick came.
#[derive(Clone, Debug, Default)]
struct Arrival {
    tick: Tick,
    got: u16,
    last: Option<u8>,
    deferred: Deferred,
}

impl Arrival {
    fn is_complete(&self) -> bool {
        self.last.is_some_and(|last| self.got == u16::MAX >> (15 - last))
    }
}

/// Ticks whose completeness is tracked at once.
const ARRIVALS: usize = 16;

/// The client's copy of the world.
#[derive(Debug, Default)]
pub struct SnapshotBuffer {
    slots: Vec<Option<Remote>>,
    /// Per slot the generation that was removed last and the newest tick that said so: what overtaken packets
    /// tell of it does not bring it back.
    removed: Vec<Option<(u16, Tick)>>,
    newest: Option<Tick>,
    arrivals: VecDeque<Arrival>,
    complete: Option<Tick>,
    own: Option<NetId>,
}

impl SnapshotBuffer {
    /// An empty copy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tick of the newest packet taken over.
    pub fn newest(&self) -> Option<Tick> {
        self.newest
    }

    /// The entities held, by slot.
    pub fn entities(&self) -> impl Iterator<Item = &Remote> {
        self.slots.iter().flatten()
    }

    /// The entity in a slot.
    pub fn entity(&self, slot: u16) -> Option<&Remote> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// The client's own entity.
    pub fn own(&self) -> Option<&Remote> {
        self.entity(self.own?.slot).filter(|remote| Some(remote.id) == self.own)
    }

    /// Decodes a packet's state, verifies it and takes it over.
    pub fn take(&mut self, schema: &Schema, mut reader: BitReader<'_>) -> Result<Taken, SnapshotError> {
        let header = SnapshotHeader::read(&mut reader)?;
        let mut updates = Vec::new();
        if header.has_own {
            let slot = reader.read(SLOT_BITS)? as u16;
            updates.push(self.read_update(schema, &header, (slot, true), &mut reader)?);
        }
        let mut next_slot = 0u32;
        for _ in 0..header.others {
            let slot = next_slot.saturating_add(reader.read_golomb(0)?);
            if slot as usize >= ENTITIES {
                return Err(WireError::Malformed("entity slot out of range").into());
            }
            next_slot = slot + 1;
            updates.push(self.read_update(schema, &header, (slot as u16, false), &mut reader)?);
        }
        let hash = reader.read(16)?;
        reader.finish()?;
        if combine(updates.iter().map(|update| update.hash_part(schema))) != hash {
            return Err(SnapshotError::HashMismatch(report(header.tick, updates)));
        }
        Ok(self.apply(header, updates))
    }

    fn read_update(
        &self,
        schema: &Schema,
        header: &SnapshotHeader,
        (slot, own): (u16, bool),
        reader: &mut BitReader<'_>,
    ) -> Result<Update, SnapshotError> {
        let audience = if own { Audience::Owner } else { Audience::Others };
        match Base::read(reader, (header.tick, header.common_baseline))? {
            Base::Whole => {
                let generation = reader.read(16)? as u16;
                let (kind, info) = schema
                    .find_kind(reader.read(KIND_BITS)?)
                    .ok_or(WireError::Malformed("unknown entity kind"))?;
                let version = header.tick.back(reader.read_golomb(0)?);
                let fields = delta::read_whole(info, audience, reader)?;
                Ok(Update { slot, generation, kind, version, baseline: None, own, fields })
            }
            Base::Version(baseline) => {
                let remote =
                    self.entity(slot).filter(|remote| remote.own == own).ok_or(SnapshotError::Baseline)?;
                let base = remote.version(baseline).ok_or(SnapshotError::Baseline)?;
                let version = header.tick.back(reader.read_golomb(0)?);
                let kind = schema.kind(remote.kind);
                let mut fields = delta::read_delta((schema, kind), audience, &base.fields, reader)?;
                if is_planted(Mutant::RotCopy) && !own {
                    fields[0] ^= 1;
                }
                let (generation, kind) = (remote.id.generation, remote.kind);
                Ok(Update { slot, generation, kind, version, baseline: Some(baseline), own, fields })
            }
        }
    }

    fn apply(&mut self, header: SnapshotHeader, updates: Vec<Update>) -> Taken {
        let tick = header.tick;
        let newest = self.newest.is_none_or(|newest| tick.is_after(newest));
        if newest {
            self.newest = Some(tick);
        }
        for id in &header.removals {
            self.remove(*id, tick);
        }
        for update in updates {
            self.put(update, tick, self.newest == Some(tick));
        }
        self.note_arrival(&header);
        let first = header.index == 0;
        let own_known = first && self.own_holds_at(&header);
        Taken {
            tick,
            feedback: first.then_some(header.feedback),
            newest,
            own: self.own.filter(|_| own_known),
        }
    }

    /// Whether the first packet of a tick told the own entity's state: it was in there, or it was absent, not
    /// deferred and hence unchanged.
    fn own_holds_at(&self, header: &SnapshotHeader) -> bool {
        self.own().is_some_and(|own| header.has_own || !header.deferred.contains(own.id.slot))
    }

    fn remove(&mut self, id: NetId, tick: Tick) {
        let at = self.make_room(id.slot);
        let removed = &mut self.removed[at];
        let newer = |(generation, before): (u16, Tick)| {
            is_newer(id.generation, generation) || (id.generation == generation && tick.is_after(before))
        };
        if removed.is_none_or(newer) {
            *removed = Some((id.generation, tick));
        }
        self.slots[at].take_if(|remote| remote.id == id && tick.is_after(remote.seen));
    }

    fn make_room(&mut self, slot: u16) -> usize {
        let at = usize::from(slot);
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
            self.removed.resize(at + 1, None);
        }
        at
    }

    /// Whether what a packet of `tick` says of an entity is overtaken: its slot has a later one, or a removal
    /// that came after. The server expects no later state to build on what is dropped for that.
    fn is_overtaken(&self, id: NetId, tick: Tick) -> bool {
        let at = usize::from(id.slot);
        let recent = |removed: &(u16, Tick)| tick.distance(removed.1) < 2 * RING_TICKS as i32;
        let gone = self.removed[at].filter(recent).is_some_and(|(generation, removed)| {
            is_newer(generation, id.generation) || (generation == id.generation && !tick.is_after(removed))
        });
        gone || self.slots[at].as_ref().is_some_and(|remote| is_newer(remote.id.generation, id.generation))
    }

    fn put(&mut self, update: Update, tick: Tick, newest: bool) {
        let at = self.make_room(update.slot);
        let id = NetId { slot: update.slot, generation: update.generation };
        if self.is_overtaken(id, tick) {
            return;
        }
        let slot = &mut self.slots[at];
        if update.own {
            self.own = Some(id);
        }
        if slot.as_ref().is_none_or(|remote| remote.id != id || remote.own != update.own) {
            let (kind, own) = (update.kind, update.own);
            *slot = Some(Remote { id, kind, own, seen: tick, versions: VecDeque::new() });
        }
        if let Some(remote) = slot {
            remote.put(update, tick, newest);
        }
    }

    fn note_arrival(&mut self, header: &SnapshotHeader) {
        if self.arrivals.iter().all(|arrival| arrival.tick != header.tick) {
            if self.arrivals.len() == ARRIVALS {
                self.arrivals.pop_front();
            }
            self.arrivals.push_back(Arrival { tick: header.tick, ..Arrival::default() });
        }
        let Some(arrival) = self.arrivals.iter_mut().find(|arrival| arrival.tick == header.tick) else {
            return;
        };
        arrival.got |= 1 << header.index;
        if header.last {
            arrival.last = Some(header.index);
        }
        if header.index == 0 {
            arrival.deferred = header.deferred.clone();
        }
        if arrival.is_complete() && self.complete.is_none_or(|complete| header.tick.is_after(complete)) {
            self.complete = Some(header.tick);
            let deferred = std::mem::take(&mut arrival.deferred);
            self.confirm(header.tick, &deferred);
        }
    }

    /// All of a tick's packets came: what was in none of them is unchanged.
    fn confirm(&mut self, tick: Tick, deferred: &Deferred) {
        for remote in self.slots.iter_mut().flatten() {
            if !deferred.contains(remote.id.slot)
                && let Some(newest) = remote.versions.back_mut()
                && !newest.tick.is_after(tick)
            {
                newest.until = newest.until.later(tick);
            }
        }
    }
}

/// What was decoded of a packet whose hash does not fit.
fn report(tick: Tick, updates: Vec<Update>) -> MismatchReport {
    let entities = updates.into_iter().take(REPORTED_ENTITIES).map(|update| ReportedEntity {
        slot: update.slot,
        generation: update.generation,
        version: update.version.0,
        fields: update.fields,
    });
    MismatchReport { tick: tick.0, entities: entities.collect() }
}

/// Whether a slot's generation comes after another, right across the wrap.
fn is_newer(generation: u16, other: u16) -> bool {
    generation.wrapping_sub(other) as i16 > 0
}

impl Update {
    fn hash_part(&self, schema: &Schema) -> u32 {
        let audience = if self.own { Audience::Owner } else { Audience::Others };
        let fields = delta::hash(schema.kind(self.kind), audience, &self.fields);
        hash_part(fields, self.slot, self.version)
    }
}

impl Remote {
    /// Takes over a version told by a packet of `tick`; forgets what the server cannot refer to any more.
    fn put(&mut self, update: Update, tick: Tick, newest: bool) {
        if !self.seen.is_after(tick) {
            self.seen = tick;
        }
        if newest && let Some(baseline) = update.baseline {
            let shown = tick.back(INTERPOLATION_TICKS);
            while self
                .versions
                .get(1)
                .is_some_and(|next| !next.tick.is_after(baseline) && shown.is_after(next.tick))
            {
                self.versions.pop_front();
            }
        }
        let place = self.versions.iter().rposition(|held| !held.tick.is_after(update.version));
        let place = place.map_or(0, |at| at + 1);
        match place.checked_sub(1).map(|at| &mut self.versions[at]).filter(|held| held.tick == update.version)
        {
            Some(held) => {
                held.until = held.until.later(tick);
                // Verified anew, which mends a copy that was wrong and not noticed.
                held.fields = update.fields.into();
            }
            None => {
                let held = Held { tick: update.version, until: tick, fields: update.fields.into() };
                self.versions.insert(place, held);
            }
        }
        if self.versions.len() > CLIENT_VERSIONS {
            self.versions.pop_front();
        }
    }
}
