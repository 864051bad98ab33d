//! Prepares the snapshots of a tick: each client's own entity, removals, and where entities are.

use truetick_netcode::replication::NetId;
use truetick_netcode::replication::state_ring::Entry;
use truetick_netcode::session::Role;
use truetick_netcode::tick::Tick;

use super::WorldRoom;
use crate::game::Game;
use crate::relevance::Placed;

impl<G: Game> WorldRoom<G> {
    /// Updates what the snapshots of this tick are planned from: each client's own entity, the
    /// removals in each view, and the positions of all entities.
    pub(super) fn update_interest(&mut self) {
        let ring = self.simulation.ring();
        for (id, client) in self.clients.iter_mut() {
            let lives = |own: &NetId| ring.entry(own.slot).is_some_and(|entry| entry.id == *own);
            if client.role == Role::Player {
                client.entity = client
                    .entity
                    .filter(lives)
                    .or_else(|| self.simulation.owned_by(id));
            }
            if !ring.gone().is_empty() {
                client.view.note_gone(ring.gone(), ring.tick());
            }
        }
        self.cache.begin_tick(ring);
        self.all.clear();
        self.all
            .extend(ring.blocks().iter().map(|block| block.live));
        if self.config.relevance_radius_m.is_some() {
            let (game, schema, rate) = (
                &*self.game,
                self.simulation.registry().schema(),
                self.config.tick_rate,
            );
            let visible = ring
                .entries()
                .filter(|entry| schema.kind(entry.kind).is_visible());
            let placed = visible.map(|entry| placed(game, entry, ring.tick(), rate));
            self.grid.rebuild(ring.blocks().len(), placed);
        }
    }
}

/// Position of an entity and its speed since the previous tick.
fn placed<G: Game>(game: &G, entry: &Entry, now: Tick, rate: u32) -> Placed {
    let place = game.place(entry.kind, &entry.current().fields);
    let before = entry
        .at(now.back(1))
        .and_then(|version| game.place(entry.kind, &version.fields));
    let speed = place
        .zip(before)
        .map_or(0.0, |(now, before)| now.distance(before) * rate as f32);
    Placed {
        slot: entry.id.slot,
        place,
        speed,
        importance: game.importance(entry.kind).clamp(1, 16),
    }
}
