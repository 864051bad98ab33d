//! Checks ids: a slot's generation rises, a removed entity stays removed, kind and owner stay.

use std::collections::BTreeSet;
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::schema::KindId;

use truetick_netcode::session::ClientId;

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    generation: u16,
    kind: KindId,
    owner: Option<ClientId>,
    lives: bool,
    used: bool,
}

/// Checks the ids of entities and clients.
#[derive(Debug, Default)]
pub(crate) struct IdentityCheck {
    slots: Vec<Known>,
    clients: BTreeSet<ClientId>,
}

impl IdentityCheck {
    /// Checks the world after a tick.
    pub fn check(&mut self, ring: &StateRing, wrong: &mut Vec<String>) {
        self.slots
            .resize(self.slots.len().max(ring.slots()), Known::default());
        for (slot, known) in self.slots.iter_mut().enumerate() {
            let Some(entry) = ring.entry(slot as u16) else {
                known.lives = false;
                continue;
            };
            let (generation, kind, owner) = (entry.id.generation, entry.kind, entry.owner);
            let newer = generation.wrapping_sub(known.generation) as i16 > 0;
            let same = known.lives && generation == known.generation;
            if same && (kind, owner) != (known.kind, known.owner) {
                wrong.push(format!("{} became another while it lived", entry.id));
            } else if !same && known.used && !newer {
                wrong.push(format!("{} was used again", entry.id));
            }
            *known = Known {
                generation,
                kind,
                owner,
                lives: true,
                used: true,
            };
        }
    }

    /// Records the id of a new client, which must not have been used.
    pub(crate) fn client_joined(&mut self, id: ClientId, wrong: &mut Vec<String>) {
        if !self.clients.insert(id) {
            wrong.push(format!("client number {} was given twice", id.0));
        }
    }
}
