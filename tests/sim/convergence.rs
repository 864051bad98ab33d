//! Liveness: after the heal every client plays and holds the same world.

use std::collections::BTreeSet;

use truetick_netcode::client::remote_entity::RemoteEntity;
use truetick_netcode::replication::block_delta::block_of;
use truetick_netcode::replication::state_ring::Entry;
use truetick_netcode::replication::{NetId, entity};
use truetick_netcode::session::{ClientId, Role};
use truetick_netcode::tick::Tick;
use truetick_server::game::Game;
use truetick_server::world_access::WorldAccess;

use crate::client_process::ClientProcess;
use crate::server_process::world_of;
use crate::world::Sim;

/// Ticks within which a newly relevant entity must have reached a client over a healed path.
const ARRIVES_IN: i32 = 10;

/// Returns the violations of convergence. Each relevant entity must equal the server's ring at the
/// tick at which the client holds it, and be newer than `healed` or still current; no removed
/// entity is held.
pub fn unconverged(sim: &Sim, healed: Tick) -> Vec<String> {
    let mut wrong = Vec::new();
    if sim.playing() != sim.clients.len() {
        wrong.push(format!(
            "{} of {} clients play",
            sim.playing(),
            sim.clients.len()
        ));
    }
    let Some(core) = sim.server.core() else {
        return vec!["the server is down".into()];
    };
    let room = world_of(core);
    let sessions: BTreeSet<ClientId> = (0..sim.clients.len())
        .filter_map(|i| Some(core.session(sim.address(i))?.0))
        .collect();
    if core.sessions() != sessions.len() {
        wrong.push(format!(
            "{} sessions for {} clients",
            core.sessions(),
            sessions.len()
        ));
    }
    let owners = room.ring().entries().filter_map(|entry| entry.owner);
    wrong.extend(
        owners
            .filter(|owner| !sessions.contains(owner))
            .map(|owner| format!("{owner:?} is gone, what it owned is not")),
    );
    let clients = sim.clients.iter().enumerate();
    for (i, client) in clients.filter(|(_, client)| client.is_playing()) {
        wrong.extend(unconverged_client(sim, i, client, room, healed));
    }
    wrong
}

/// Violations of convergence of one client that plays.
fn unconverged_client(
    sim: &Sim,
    i: usize,
    client: &ClientProcess,
    room: &dyn WorldAccess,
    healed: Tick,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let runtime = client.bot.runtime();
    if runtime.id().and_then(|id| room.view(id)).is_none() {
        return vec![format!(
            "client {i} plays in a session that the server lacks"
        )];
    }
    let buffer = runtime.buffer();
    for entry in room.ring().entries() {
        let copies = [buffer.entity(entry.id.slot), buffer.public(entry.id.slot)];
        for remote in copies.into_iter().flatten() {
            if remote.id == entry.id {
                wrong.extend(difference(sim, i, remote, healed));
            }
        }
    }
    wrong.extend(unseen(sim, i, room));
    let lives = |id: NetId| {
        room.ring()
            .entry(id.slot)
            .is_some_and(|entry| entry.id == id)
    };
    let gone = buffer.entities().filter(|remote| !lives(remote.id));
    wrong.extend(gone.map(|remote| format!("client {i} holds {}, which is gone", remote.id)));
    wrong
}

/// Entities well within a client's interest for a while, measured here, that it does not hold.
fn unseen(sim: &Sim, i: usize, room: &dyn WorldAccess) -> Vec<String> {
    let (runtime, ring) = (sim.clients[i].bot.runtime(), room.ring());
    let own = ring
        .entries()
        .find(|entry| entry.owner.is_some() && entry.owner == runtime.id());
    let own = match (own, runtime.role()) {
        (Some(own), Role::Player) => own,
        (None, Role::Spectator) => return unseen_by_spectator(sim, i, room),
        (Some(_), Role::Spectator) => {
            return vec![format!("client {i} watches and owns something")];
        }
        (None, Role::Player) => return vec![format!("client {i} owns nothing")],
    };
    let radius = room.config().relevance_radius_m.unwrap_or(f32::MAX);
    let within = |entry: &Entry, tick: Tick| {
        let place = |entry: &Entry| sim.game.place(entry.kind, &entry.at(tick)?.fields);
        place(own)
            .zip(place(entry))
            .is_some_and(|(a, b)| a.distance(b) <= radius)
    };
    let ticks = || (0..=ARRIVES_IN as u32).map(|back| ring.tick().back(back));
    let missing = ring.entries().filter(|entry| {
        ticks().all(|tick| within(entry, tick))
            && runtime
                .buffer()
                .entity(entry.id.slot)
                .is_none_or(|remote| remote.id != entry.id)
    });
    missing
        .map(|entry| format!("client {i} does not see {}", entry.id))
        .collect()
}

/// Visible entities that a spectator of everything has not received after a while.
fn unseen_by_spectator(sim: &Sim, i: usize, room: &dyn WorldAccess) -> Vec<String> {
    let (buffer, ring) = (sim.clients[i].bot.runtime().buffer(), room.ring());
    let since = ring.tick().back(ARRIVES_IN as u32);
    let missing = ring.entries().filter(|entry| {
        sim.kinds.schema.kind(entry.kind).is_visible()
            && entry.at(since).is_some()
            && buffer
                .entity(entry.id.slot)
                .is_none_or(|remote| remote.id != entry.id)
    });
    missing
        .map(|entry| format!("client {i} watches and does not see {}", entry.id))
        .collect()
}

fn difference(sim: &Sim, client: usize, remote: &RemoteEntity, healed: Tick) -> Option<String> {
    let entry = sim.room().ring().entry(remote.id.slot)?;
    let held = remote.newest();
    let audience = remote.audience;
    let changed =
        sim.room().ring().blocks()[block_of(entry.id.slot)].changed(entry.id.slot, audience);
    // The part that a client may see can be unchanged for longer than the ring keeps the rest.
    let current = (!changed.is_after(held.tick)).then(|| entry.current());
    let Some(server) = current.or_else(|| entry.at(held.tick)) else {
        return Some(format!(
            "client {client} holds {} at {}, which the ring lacks",
            remote.id, held.tick
        ));
    };
    let kind = sim.kinds.schema.kind(remote.kind);
    if entity::hash(kind, audience, held.fields) != server.hashes[audience as usize] {
        return Some(format!(
            "client {client} holds another {} at {}",
            remote.id, held.tick
        ));
    }
    let fresh = held.tick.is_after(healed) || current.is_some();
    (!fresh).then(|| {
        format!(
            "client {client} holds {} only as of {}",
            remote.id, held.tick
        )
    })
}
