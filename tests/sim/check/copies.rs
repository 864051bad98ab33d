//! Checks the clients' copies of entities against the server's ring.

use std::collections::BTreeSet;

use glam::Vec2;
use truetick_arena::{ArenaSchema, arena_schema};
use truetick_netcode::client::remote_entity::RemoteEntity;
use truetick_netcode::limits::RING_TICKS;
use truetick_netcode::replication::NetId;
use truetick_netcode::replication::state_ring::{Entry, StateRing};
use truetick_netcode::schema::{KindInfo, Visibility};
use truetick_netcode::session::Role;
use truetick_netcode::tick::Tick;
use truetick_server::arena::ArenaGame;
use truetick_server::game::Game;
use truetick_server::relevance::HYSTERESIS_M;
use truetick_server::world_access::WorldAccess;

use super::Pair;
use crate::mark::{Mark, Marks};
use crate::plan::SimConfig;

/// Copy of an entity at the last check: generation, version, and the tick until which it is valid.
type Seen = Option<(u16, Tick, Tick)>;

/// Checks the clients' copies of all entities.
pub(crate) struct CopyCheck {
    game: ArenaGame,
    kinds: ArenaSchema,
    /// The largest interest radius so far: a snapshot that arrives now may have been sent under it.
    radius_m: Option<f32>,
    /// Per client its life, and per slot the last copy.
    seen: Vec<(u64, Vec<Seen>)>,
    /// Entities that left a client's interest, as client, slot and generation.
    left: BTreeSet<(usize, u16, u16)>,
}

impl CopyCheck {
    /// Creates a checker for a run.
    pub fn new(config: &SimConfig) -> Self {
        Self {
            game: ArenaGame::new(config.arena).expect("the arena's schema is valid"),
            kinds: arena_schema().expect("the arena's schema is valid"),
            radius_m: config.room.relevance_radius_m,
            seen: Vec::new(),
            left: BTreeSet::new(),
        }
    }

    /// Sets the interest radius of the next ticks.
    pub(crate) fn sight_changes(&mut self, radius_m: Option<f32>) {
        self.radius_m = self
            .radius_m
            .zip(radius_m)
            .map(|(before, now)| before.max(now));
    }

    /// Resets the checker after a restart of the server, which assigns ids from the start.
    pub fn forget(&mut self) {
        self.seen.clear();
        self.left.clear();
    }

    /// Checks one client.
    pub fn check(
        &mut self,
        pair: &Pair<'_>,
        room: &dyn WorldAccess,
        marks: &mut Marks,
        wrong: &mut Vec<String>,
    ) {
        self.check_baselines(pair, room, wrong);
        let (ring, buffer) = (room.ring(), pair.client.bot.runtime().buffer());
        let mut seen = self.take_seen(pair, ring.slots());
        for (slot, seen) in seen.iter_mut().enumerate() {
            let entry = ring.entry(slot as u16);
            let Some(remote) = buffer.entity(slot as u16) else {
                let was = seen.take().map(|(generation, ..)| generation);
                if was.is_some() && was == entry.map(|entry| entry.id.generation) {
                    marks.hit(Mark::LeftInterest);
                    self.left
                        .extend(was.map(|generation| (pair.at, slot as u16, generation)));
                }
                continue;
            };
            let newest = remote.newest();
            let now = Some((remote.id.generation, newest.tick, newest.until));
            if *seen == now {
                continue;
            }
            let is_new = seen.is_none_or(|(generation, ..)| generation != remote.id.generation);
            *seen = now;
            let came = is_new
                && self
                    .left
                    .remove(&(pair.at, slot as u16, remote.id.generation));
            marks.add(Mark::BackInInterest, u64::from(came));
            let watches = pair.client.role() == Role::Spectator;
            marks.add(Mark::Watched, u64::from(is_new && watches));
            let Some(entry) = entry.filter(|entry| entry.id == remote.id) else {
                continue;
            };
            let complaint = self
                .hidden(remote, entry.owner == Some(pair.id))
                .or_else(|| self.differs(remote, entry, ring))
                .or_else(|| {
                    if is_new {
                        self.out_of_sight(pair, remote, entry, room)
                    } else {
                        None
                    }
                });
            wrong.extend(complaint.map(|what| format!("client {}: {} {what}", pair.at, remote.id)));
        }
        self.seen[pair.at].1 = seen;
    }

    fn take_seen(&mut self, pair: &Pair<'_>, slots: usize) -> Vec<Seen> {
        let life = pair.client.life;
        self.seen
            .resize_with(self.seen.len().max(pair.at + 1), Default::default);
        let (of, seen) = &mut self.seen[pair.at];
        if *of != life {
            seen.clear();
        }
        *of = life;
        let mut seen = std::mem::take(seen);
        seen.resize(seen.len().max(slots), None);
        seen
    }

    /// The client must hold every baseline that the server may use.
    fn check_baselines(&self, pair: &Pair<'_>, room: &dyn WorldAccess, wrong: &mut Vec<String>) {
        let Some(view) = room.view(pair.id) else {
            return;
        };
        let buffer = pair.client.bot.runtime().buffer();
        let lacks = |copy: Option<&RemoteEntity>, entry: &Entry, acked: Option<Tick>| {
            // The server cannot use a state that the ring has dropped.
            let (acked, kept) = acked.and_then(|acked| Some((acked, entry.at(acked)?)))?;
            let held = copy
                .filter(|remote| remote.id == entry.id)
                .and_then(|remote| {
                    let fields = self
                        .kind(remote)
                        .fields
                        .iter()
                        .zip(remote.at(acked)?.fields)
                        .zip(&kept.fields);
                    let mut seen = fields
                        .filter(|((field, _), _)| Self::may_see(remote.is_own(), field.visibility));
                    Some(seen.all(|((_, here), there)| here == there))
                });
            (held != Some(true))
                .then(|| format!("client {} lacks baseline {acked} of {}", pair.at, entry.id))
        };
        for entry in room.ring().entries() {
            wrong.extend(lacks(
                buffer.public(entry.id.slot),
                entry,
                view.acked(entry.id),
            ));
            if view.own() == Some(entry.id) {
                wrong.extend(lacks(buffer.own(), entry, view.own_acked()));
            }
        }
    }

    fn kind(&self, remote: &RemoteEntity) -> &KindInfo {
        self.kinds.schema.kind(remote.kind)
    }

    /// Returns whether a client may see a field. It is written out here, independent of the code
    /// under test.
    fn may_see(own: bool, visibility: Visibility) -> bool {
        match visibility {
            Visibility::Everyone => true,
            // The arena has no teams.
            Visibility::Owner => own,
            Visibility::Team | Visibility::Server => false,
        }
    }

    fn hidden(&self, remote: &RemoteEntity, own: bool) -> Option<String> {
        let fields = &self.kind(remote).fields;
        if remote.is_own() && !own {
            return Some("is taken for another's".into());
        }
        if fields
            .iter()
            .all(|field| field.visibility == Visibility::Server)
        {
            return Some("is nobody's to see".into());
        }
        let mut shown = fields.iter().zip(remote.newest().fields);
        let leak =
            shown.find(|(field, value)| !Self::may_see(own, field.visibility) && **value != 0);
        leak.map(|(field, _)| format!("shows its {}", field.name))
    }

    fn differs(&self, remote: &RemoteEntity, entry: &Entry, ring: &StateRing) -> Option<String> {
        let held = remote.newest();
        if remote.kind != entry.kind {
            return Some("is of another kind".into());
        }
        let Some(version) = entry.at(held.tick) else {
            let kept = ring.tick().distance(held.tick) < RING_TICKS as i32;
            return kept.then(|| format!("has a version {} that never was", held.tick));
        };
        let fields = self.kind(remote).fields.iter().enumerate();
        let seen = fields.filter(|(_, field)| Self::may_see(remote.is_own(), field.visibility));
        let until = entry.at(held.until)?;
        for (i, field) in seen {
            let here = held.fields[i];
            for (tick, there) in [
                (held.tick, version.fields[i]),
                (held.until, until.fields[i]),
            ] {
                if here != there {
                    let name = field.name;
                    return Some(format!(
                        "of {} as of {tick} has {name} {here}, not {there}",
                        held.tick
                    ));
                }
            }
        }
        None
    }

    /// A new copy must have been within the interest radius when it was sent.
    fn out_of_sight(
        &self,
        pair: &Pair<'_>,
        remote: &RemoteEntity,
        entry: &Entry,
        room: &dyn WorldAccess,
    ) -> Option<String> {
        let sent = remote.newest().until;
        let own = room.view(pair.id)?.own()?;
        let from = self.place(room.ring(), own, sent)?;
        let place = self.place(room.ring(), entry.id, sent)?;
        let distance = from.distance(place);
        let connect_options = self.radius_m? + HYSTERESIS_M;
        (distance > connect_options).then(|| format!("came at {sent} from {distance:.1} m away"))
    }

    fn place(&self, ring: &StateRing, id: NetId, tick: Tick) -> Option<Vec2> {
        let entry = ring.entry(id.slot).filter(|entry| entry.id == id)?;
        self.game.place(entry.kind, &entry.at(tick)?.fields)
    }
}
