//! The replicated entities and their ids, in the order in which systems visit them.

use std::collections::BTreeSet;

use bevy_ecs::bundle::Bundle;
use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::Commands;
use truetick_netcode::limits::ENTITIES;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::KindId;
use truetick_netcode::session::ClientId;

/// A replicated entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Id of the entity on the wire.
    pub id: NetId,
    /// Kind of the entity.
    pub kind: KindId,
    /// Client that owns the entity, if any.
    pub owner: Option<ClientId>,
    /// The entity in the ECS.
    pub entity: Entity,
}

/// All replicated entities by slot. The lowest free slot is used first, and a slot's generation
/// rises each time it is freed, so the same history gives the same ids.
#[derive(Resource, Debug, Default)]
pub struct EntityTable {
    generations: Vec<u16>,
    rows: Vec<Option<Row>>,
    free: BTreeSet<u16>,
}

impl EntityTable {
    /// Creates a table with these generations and no rows, to restore a world.
    pub(crate) fn with_generations(generations: Vec<u16>) -> Self {
        let free = (0..generations.len() as u16).collect();
        Self {
            rows: vec![None; generations.len()],
            generations,
            free,
        }
    }

    /// The generation of each slot's present or next entity.
    pub fn generations(&self) -> &[u16] {
        &self.generations
    }

    /// Spawns a replicated entity and returns its id; `None` if the room holds [`ENTITIES`]
    /// already.
    pub fn spawn(
        &mut self,
        commands: &mut Commands<'_, '_>,
        kind: KindId,
        owner: Option<ClientId>,
        parts: impl Bundle,
    ) -> Option<NetId> {
        let id = self.allocate()?;
        let entity = commands.spawn(parts).id();
        self.put(Row {
            id,
            kind,
            owner,
            entity,
        });
        Some(id)
    }

    /// Despawns an entity. Has no effect if the entity is gone already.
    pub fn despawn(&mut self, commands: &mut Commands<'_, '_>, id: NetId) {
        if let Some(row) = self.take(id) {
            commands.entity(row.entity).despawn();
        }
    }

    /// Puts a row into the free slot that it names.
    ///
    /// # Panics
    /// If the table has no such slot; with debug assertions also if the slot is not free or has
    /// another generation.
    pub fn put(&mut self, row: Row) {
        let at = usize::from(row.id.slot);
        debug_assert!(self.rows[at].is_none() && self.generations[at] == row.id.generation);
        self.free.remove(&row.id.slot);
        self.rows[at] = Some(row);
    }

    /// The lowest free slot and its generation, which stays free until [`Self::put`]; `None` if the
    /// table is full.
    pub fn allocate(&mut self) -> Option<NetId> {
        if self.free.is_empty() {
            let slot = self.rows.len();
            if slot == ENTITIES {
                return None;
            }
            self.rows.push(None);
            self.generations.push(0);
            self.free.insert(slot as u16);
        }
        let slot = self.free.first().copied()?;
        Some(NetId {
            slot,
            generation: self.generations[usize::from(slot)],
        })
    }

    /// Removes a row and frees its slot for the next generation; `None` if there is no such row.
    pub fn take(&mut self, id: NetId) -> Option<Row> {
        let at = usize::from(id.slot);
        let row = self.rows.get_mut(at)?.take_if(|row| row.id == id)?;
        self.generations[at] = self.generations[at].wrapping_add(1);
        self.free.insert(id.slot);
        Some(row)
    }

    /// All rows in the order of their slots.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flatten()
    }

    /// The rows from a slot on, in the order of their slots.
    pub(crate) fn rows_from(&self, slot: u16) -> impl Iterator<Item = &Row> {
        self.rows[usize::from(slot).min(self.rows.len())..]
            .iter()
            .flatten()
    }

    /// The rows of one kind in the order of their slots.
    pub(crate) fn of_kind(&self, kind: KindId) -> impl Iterator<Item = &Row> {
        self.rows().filter(move |row| row.kind == kind)
    }

    /// The row of a slot; `None` if the slot is free.
    pub fn row(&self, slot: u16) -> Option<&Row> {
        self.rows.get(usize::from(slot))?.as_ref()
    }

    /// The first row that a client owns, in the order of slots.
    pub fn owned_by(&self, client: ClientId) -> Option<&Row> {
        self.rows().find(|row| row.owner == Some(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_used_again_has_a_new_generation() {
        let mut table = EntityTable::default();
        let entity = Entity::PLACEHOLDER;
        let spawn = |table: &mut EntityTable| {
            let id = table.allocate().unwrap();
            table.put(Row {
                id,
                kind: KindId(0),
                owner: None,
                entity,
            });
            id
        };
        let (a, b) = (spawn(&mut table), spawn(&mut table));
        assert_eq!((a.slot, b.slot), (0, 1));
        table.take(a).unwrap();
        assert!(table.take(a).is_none());
        let again = spawn(&mut table);
        assert_eq!(
            again,
            NetId {
                slot: 0,
                generation: 1
            }
        );
        assert!(table.take(a).is_none());
        assert_eq!(table.rows().count(), 2);
    }
}
