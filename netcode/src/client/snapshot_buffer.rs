//! The client's copy of the world: for each entity the states that the server may refer to.
//!
//! A packet is decoded and verified completely before any of it is applied; only then may it be
//! acknowledged.

mod arrivals;

use std::collections::VecDeque;

use thiserror::Error;

use self::arrivals::Arrival;
use super::bit_cost::BitLedger;
use super::decode::{PacketDecoder, Update};
use super::remote_entity::{PacketTicks, RemoteEntity, Removed};
pub use super::state_history::HeldState;
use super::state_history::StateHistory;
use crate::bits::BitReader;
use crate::error::WireError;
use crate::limits::{
    BASELINE_TICKS, INTERPOLATION_TICKS, LEAVING_ENTITIES, REPORTED_ENTITIES, RING_TICKS,
};
use crate::messages::{MismatchReport, ReportedEntity};
use crate::replication::NetId;
use crate::replication::snapshot::{Feedback, SnapshotHeader};
use crate::schema::{Audience, Schema};
use crate::tick::Tick;

/// Why a snapshot packet was not applied, and must not be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// The packet violates the format.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The packet's baseline is not held any more: an old packet was overtaken by newer ones.
    #[error("builds on a version that is not held")]
    Baseline,
    /// The decoded state differs from the server's: request a full resync.
    #[error("decoded state differs from the server's")]
    HashMismatch(MismatchReport),
}

/// What a packet held, beyond the entities' states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedSnapshot {
    /// Tick of the state.
    pub tick: Tick,
    /// The server's feedback on the client's commands; in the first packet of a tick.
    pub feedback: Option<Feedback>,
    /// Whether the tick is newer than all before.
    pub newest: bool,
    /// Whether this is the last of its tick's packets.
    pub last: bool,
    /// The client's own entity, if this packet determines its state at the tick.
    pub own: Option<NetId>,
}

/// Greatest age of a state in ticks. Older states are kept with this age: before every baseline of
/// the server.
const OLDEST: u32 = 8 * BASELINE_TICKS;

/// The client's copy of the world.
#[derive(Debug, Default)]
pub struct SnapshotBuffer {
    /// The entities as seen by others than their owner, the own entity included.
    slots: Vec<Option<RemoteEntity>>,
    /// The own entity as its owner sees it.
    own: Option<RemoteEntity>,
    decoder: PacketDecoder,
    /// Per slot the generation that was removed last and the newest tick of such a packet:
    /// overtaken packets must not bring it back.
    removed: Vec<Option<(u16, Tick)>>,
    newest: Option<Tick>,
    /// Number of the newest snapshot, counted from the first.
    snapshots: u32,
    /// States before this tick are not displayed any more.
    shown: Option<Tick>,
    /// Entities that were removed and are still to be handed to the display.
    gone: Vec<Removed>,
    arrivals: VecDeque<Arrival>,
    complete: Option<Tick>,
    /// When the ticks of unchanged states were last renewed.
    renewed: Option<Tick>,
}

impl SnapshotBuffer {
    /// An empty copy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tick of the newest packet applied.
    pub fn newest(&self) -> Option<Tick> {
        self.newest
    }

    /// Takes the entities that were removed since the last call.
    pub(super) fn take_gone(&mut self) -> impl Iterator<Item = Removed> {
        self.gone.drain(..)
    }

    /// Notes that states before `tick` are not displayed any more.
    pub(super) fn shown_from(&mut self, tick: Tick) {
        self.shown = Some(tick);
    }

    /// The entities held, by slot. The own entity is the owner's copy where that is known.
    pub fn entities(&self) -> impl Iterator<Item = &RemoteEntity> {
        let own = self.own.as_ref();
        let missing = own.filter(|own| self.public(own.id.slot).is_none());
        let shown = self
            .slots
            .iter()
            .flatten()
            .map(move |remote| own.filter(|o| o.id == remote.id).unwrap_or(remote));
        shown.chain(missing)
    }

    /// The entity in a slot. The own entity is the owner's copy where that is known.
    pub fn entity(&self, slot: u16) -> Option<&RemoteEntity> {
        self.own()
            .filter(|own| own.id.slot == slot)
            .or_else(|| self.public(slot))
    }

    /// The entity in a slot as clients that do not own it see it.
    pub fn public(&self, slot: u16) -> Option<&RemoteEntity> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// The owner's copy of the client's own entity.
    pub fn own(&self) -> Option<&RemoteEntity> {
        self.own.as_ref()
    }

    /// Decodes, verifies and applies a packet's state.
    ///
    /// # Errors
    /// The packet is malformed, its baseline is not held, or its hash does not fit; nothing is
    /// applied.
    pub fn take(
        &mut self,
        schema: &Schema,
        reader: BitReader<'_>,
    ) -> Result<AppliedSnapshot, SnapshotError> {
        self.take_metered(schema, reader, None)
    }

    /// Decodes, verifies and applies a packet's state, and records in the ledger what the bits of
    /// its streams encode.
    ///
    /// # Errors
    /// The packet is malformed, its baseline is not held, or its hash does not fit; nothing is
    /// applied.
    pub(crate) fn take_metered(
        &mut self,
        schema: &Schema,
        mut reader: BitReader<'_>,
        mut ledger: Option<&mut BitLedger>,
    ) -> Result<AppliedSnapshot, SnapshotError> {
        let header = SnapshotHeader::read(&mut reader)?;
        let mut decoder = std::mem::take(&mut self.decoder);
        let decoded = decoder.decode(self, schema, &header, reader, ledger.as_deref_mut());
        let taken = decoded.and_then(|verified| {
            if let Some(ledger) = ledger {
                ledger
                    .entities
                    .extend(decoder.updates().map(|(update, _)| update.metered()));
            }
            match verified {
                true => Ok(self.apply(header, &decoder)),
                false => Err(SnapshotError::HashMismatch(report(header.tick, &decoder))),
            }
        });
        self.decoder = decoder;
        taken
    }

    /// Renews the ticks of unchanged states at a verified packet: every [`BASELINE_TICKS`], and
    /// whenever more ticks have passed, so that no two ticks that are compared are far apart.
    fn renew(&mut self, tick: Tick) {
        let Some(newest) = self.newest else { return };
        let passed = tick.since(newest);
        // A tick at most this far back is of an overtaken packet; any other is later.
        if passed > u32::MAX - BASELINE_TICKS {
            return;
        }
        let jumped = passed > BASELINE_TICKS;
        if !jumped && tick.since(*self.renewed.get_or_insert(newest)) <= BASELINE_TICKS {
            return;
        }
        self.renewed = Some(tick);
        let renewed = |old: Tick| old.renewed(newest, passed, tick, OLDEST);
        for remote in self.slots.iter_mut().flatten().chain(&mut self.own) {
            remote.seen = renewed(remote.seen);
            remote.state_history.renew(renewed);
        }
        for removed in &mut self.removed {
            removed.take_if(|(_, at)| tick.distance(renewed(*at)) > 2 * RING_TICKS as i32);
        }
        if jumped {
            self.arrivals.clear();
            self.newest = Some(tick.back(1));
            self.complete = self.complete.map(|_| tick.back(1));
        }
    }

    fn apply(&mut self, header: SnapshotHeader, decoder: &PacketDecoder) -> AppliedSnapshot {
        let tick = header.tick;
        self.renew(tick);
        let newest = self.newest.is_none_or(|newest| tick.is_after(newest));
        if newest {
            self.newest = Some(tick);
            self.snapshots = self.snapshots.wrapping_add(1);
        }
        for id in &header.removals {
            self.remove(*id, tick);
        }
        for (update, fields) in decoder.updates() {
            self.put(update, fields, tick);
        }
        self.note_arrival(&header);
        let first = header.index == 0;
        let own_known = first && self.own_holds_at(&header);
        AppliedSnapshot {
            tick,
            feedback: first.then_some(header.feedback),
            newest,
            last: header.last,
            own: self.own().map(|own| own.id).filter(|_| own_known),
        }
    }

    /// Whether the first packet of a tick determines the own entity's state: the entity is in the
    /// packet, or it is absent and not deferred, hence unchanged.
    fn own_holds_at(&self, header: &SnapshotHeader) -> bool {
        self.own()
            .is_some_and(|own| header.has_own || !header.deferred.contains(own.id.slot))
    }

    fn remove(&mut self, id: NetId, tick: Tick) {
        let at = self.make_room(id.slot);
        let removed = &mut self.removed[at];
        let newer = |(generation, before): (u16, Tick)| {
            is_newer(id.generation, generation)
                || (id.generation == generation && tick.is_after(before))
        };
        if removed.is_none_or(newer) {
            *removed = Some((id.generation, tick));
        }
        if let Some(remote) =
            self.slots[at].take_if(|remote| remote.id == id && tick.is_after(remote.seen))
        {
            self.note_gone(remote, tick);
        }
        self.own
            .take_if(|remote| remote.id == id && tick.is_after(remote.seen));
    }

    fn note_gone(&mut self, remote: RemoteEntity, at: Tick) {
        if self.shown.is_some() && self.gone.len() < LEAVING_ENTITIES {
            self.gone.push(Removed { remote, at });
        }
    }

    fn make_room(&mut self, slot: u16) -> usize {
        let at = usize::from(slot);
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
            self.removed.resize(at + 1, None);
        }
        at
    }

    /// Whether an entity's update in a packet of `tick` is overtaken: by a later entity in its slot
    /// or by a later removal. The server builds no later state on an update that is dropped for
    /// this reason.
    fn is_overtaken(&self, id: NetId, tick: Tick) -> bool {
        let at = usize::from(id.slot);
        let recent = |removed: &(u16, Tick)| tick.distance(removed.1) < 2 * RING_TICKS as i32;
        let gone = self.removed[at]
            .filter(recent)
            .is_some_and(|(generation, removed)| {
                is_newer(generation, id.generation)
                    || (generation == id.generation && !tick.is_after(removed))
            });
        gone || self.slots[at]
            .as_ref()
            .is_some_and(|remote| is_newer(remote.id.generation, id.generation))
    }

    fn put(&mut self, update: &Update, fields: &[u32], tick: Tick) {
        let at = self.make_room(update.slot);
        let id = NetId {
            slot: update.slot,
            generation: update.generation,
        };
        if self.is_overtaken(id, tick) {
            return;
        }
        let own = update.audience == Audience::Owner;
        let place = if own {
            &mut self.own
        } else {
            &mut self.slots[at]
        };
        let whose = (id, update.kind, update.audience);
        let other = |remote: &RemoteEntity| (remote.id, remote.kind, remote.audience) != whose;
        if place
            .as_ref()
            .is_some_and(|remote| other(remote) && remote.seen.is_after(tick))
        {
            return;
        }
        let (newest, known) = (self.newest == Some(tick), self.snapshots);
        let shown = self.shown.unwrap_or(tick.back(INTERPOLATION_TICKS));
        match place.as_mut().filter(|remote| !other(remote)) {
            Some(remote) => remote.put(
                update.baseline,
                fields,
                &PacketTicks { tick, shown },
                newest.then_some(known),
            ),
            None => {
                let (kind, audience) = (update.kind, update.audience);
                let state_history = StateHistory::new(tick, fields);
                let remote = RemoteEntity {
                    id,
                    kind,
                    audience,
                    seen: tick,
                    since: tick,
                    known,
                    gap: 1.0,
                    state_history,
                };
                if let Some(before) = place
                    .replace(remote)
                    .filter(|before| !own && before.id != id)
                {
                    self.note_gone(before, tick);
                }
            }
        }
    }
}

/// The decoded state of a packet whose hash does not fit.
fn report(tick: Tick, decoder: &PacketDecoder) -> MismatchReport {
    let entities = decoder
        .updates()
        .take(REPORTED_ENTITIES)
        .map(|(update, fields)| ReportedEntity {
            slot: update.slot,
            generation: update.generation,
            own: update.audience == Audience::Owner,
            tick: tick.0,
            fields: fields.to_vec(),
        });
    MismatchReport {
        tick: tick.0,
        entities: entities.collect(),
    }
}

/// Whether a slot's generation is later than another, across the wrap.
fn is_newer(generation: u16, other: u16) -> bool {
    generation.wrapping_sub(other) as i16 > 0
}
