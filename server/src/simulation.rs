//! A room's world and one step of it: a pure function of the world and the tick's input.

use std::sync::Arc;

use bevy_ecs::change_detection::Mut;
use bevy_ecs::world::World;
use bitcode::{Decode, Encode};
use truetick_netcode::limits::{ENTITIES, FIELDS_PER_ENTITY};
use truetick_netcode::replication::NetId;
use truetick_netcode::replication::state_ring::{ReplicaMeta, StateRing};
use truetick_netcode::schema::{KindId, Schema, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::entity_table::{EntityTable, Row};
use super::game::{CurrentTick, Game, GameEvent, Inputs, Outbox};
use super::registry::{OutOfRange, Registry};
use super::systems::Systems;

/// Everything that can change the world in one tick, in the order of its application.
#[derive(Clone, Debug, PartialEq)]
pub struct TickInput<C> {
    /// Clients that have left, by rising number.
    pub leaves: Vec<ClientId>,
    /// Clients that join, by rising number.
    pub joins: Vec<ClientId>,
    /// One command of each player in the room, by rising client number.
    pub commands: Vec<(ClientId, C)>,
}

impl<C> Default for TickInput<C> {
    fn default() -> Self {
        Self {
            leaves: Vec::new(),
            joins: Vec::new(),
            commands: Vec::new(),
        }
    }
}

/// A complete world at one tick, from which a simulation can continue.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Keyframe {
    /// The tick after which the keyframe was taken.
    pub tick: u32,
    /// Generation of each slot ever used.
    pub generations: Vec<u16>,
    /// The entities, by rising slot.
    pub entities: Vec<KeyframeEntity>,
}

/// One entity of a [`Keyframe`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeyframeEntity {
    /// Slot of the entity.
    pub slot: u16,
    /// Number of its kind.
    pub kind: u8,
    /// Number of the client that owns it, if any.
    pub owner: Option<u32>,
    /// Values of all fields, including those that only the server knows.
    pub fields: Vec<u32>,
}

impl Keyframe {
    /// Whether the keyframe can be restored: its kinds, slots and values conform to the schema.
    pub fn is_valid(&self, schema: &Schema) -> bool {
        self.generations.len() <= ENTITIES
            && self.entities.is_sorted_by(|a, b| a.slot < b.slot)
            && self.entities.iter().all(|entity| {
                schema
                    .find_kind(entity.kind.into())
                    .is_some_and(|(_, kind)| {
                        let pairs = kind.fields.iter().zip(&entity.fields);
                        usize::from(entity.slot) < self.generations.len()
                            && entity.fields.len() == kind.fields.len()
                            && pairs
                                .into_iter()
                                .all(|(field, value)| *value <= field.max())
                    })
            })
    }
}

/// Number of entities whose recorded states are prefetched together.
const AHEAD: usize = 32;

/// Name of the stage before the systems: leaves and joins.
pub const ADMIT: &str = "admit";

/// Name of the stage after the systems: the snap to the grid.
pub const CAPTURE: &str = "capture";

/// A world and the rules of its game.
pub struct Simulation<G: Game> {
    game: Arc<G>,
    registry: Registry,
    world: World,
    systems: Systems,
    ring: StateRing,
    tick: Tick,
    fields: Vec<u32>,
    gone: Vec<NetId>,
    /// The first value that the last step wrote out of its field's range, and the number of such
    /// values.
    out_of_range: (Option<OutOfRange>, u64),
}

impl<G: Game> Simulation<G> {
    /// Creates a world before its first tick.
    ///
    /// # Errors
    /// If the game's schema is not valid.
    pub fn new(game: Arc<G>, seed: u64) -> Result<Self, SchemaError> {
        Self::starting_after(Tick(0), game, seed)
    }

    /// Creates a world whose first tick follows `tick`.
    ///
    /// # Errors
    /// If the game's schema is not valid.
    pub fn starting_after(tick: Tick, game: Arc<G>, seed: u64) -> Result<Self, SchemaError> {
        let mut simulation = Self::empty(game, EntityTable::default(), tick)?;
        simulation.game.populate(&mut simulation.world, seed);
        simulation.world.flush();
        simulation.capture();
        Ok(simulation)
    }

    /// Restores the world of a keyframe, which must be valid ([`Keyframe::is_valid`]).
    ///
    /// # Errors
    /// If the game's schema is not valid.
    ///
    /// # Panics
    /// If the keyframe is not valid.
    pub fn restore(game: Arc<G>, keyframe: &Keyframe) -> Result<Self, SchemaError> {
        let table = EntityTable::with_generations(keyframe.generations.clone());
        let mut simulation = Self::empty(game, table, Tick(keyframe.tick))?;
        for stored in &keyframe.entities {
            let kind = KindId(stored.kind);
            let entity = simulation.world.spawn_empty().id();
            simulation
                .registry
                .restore(&mut simulation.world, entity, kind, &stored.fields);
            let generation = keyframe.generations[usize::from(stored.slot)];
            let id = NetId {
                slot: stored.slot,
                generation,
            };
            let row = Row {
                id,
                kind,
                owner: stored.owner.map(ClientId),
                entity,
            };
            simulation.world.resource_mut::<EntityTable>().put(row);
        }
        simulation.capture();
        Ok(simulation)
    }

    fn empty(game: Arc<G>, table: EntityTable, tick: Tick) -> Result<Self, SchemaError> {
        let registry = game.registry()?;
        let mut world = World::new();
        world.insert_resource(table);
        world.insert_resource(Inputs::<G::Command>(Vec::new()));
        world.insert_resource(Outbox::default());
        game.insert_resources(&mut world);
        world.insert_resource(CurrentTick(tick));
        let mut systems = Systems::default();
        game.add_systems(&mut systems);
        systems.initialize(&mut world);
        let (ring, fields, gone, out_of_range) =
            (StateRing::new(), Vec::new(), Vec::new(), (None, 0));
        Ok(Self {
            game,
            registry,
            world,
            systems,
            ring,
            tick,
            fields,
            gone,
            out_of_range,
        })
    }

    /// The last tick that was simulated.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// The components and kinds of the game.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The quantised states of the world's entities.
    pub fn ring(&self) -> &StateRing {
        &self.ring
    }

    /// Hash of all that the world's future depends on, apart from its input: the entities with all
    /// their fields, and the generation of each slot.
    pub fn world_hash(&self) -> u64 {
        let generations = self.world.resource::<EntityTable>().generations();
        let bytes: Vec<u8> = generations
            .iter()
            .flat_map(|generation| generation.to_le_bytes())
            .collect();
        xxh3_64_with_seed(&bytes, self.ring.world_hash())
    }

    /// Hash of each component over all entities, in the order of the schema. It shows in which
    /// components two worlds differ.
    pub(crate) fn component_hashes(&self) -> Vec<u32> {
        let schema = self.registry.schema();
        let mut sums = vec![0u64; schema.components().len()];
        let mut bytes = [0u8; FIELDS_PER_ENTITY * 4];
        for entry in self.ring.entries() {
            for (id, start) in &schema.kind(entry.kind).components {
                let len = schema.component(*id).fields.len();
                let fields = &entry.current().fields[*start..start + len];
                fields
                    .iter()
                    .zip(bytes.chunks_exact_mut(4))
                    .for_each(|(n, to)| to.copy_from_slice(&n.to_le_bytes()));
                let identity = u64::from(entry.id.slot) << 16 | u64::from(entry.id.generation);
                let sum = &mut sums[usize::from(id.0)];
                *sum = sum.wrapping_add(xxh3_64_with_seed(&bytes[..len * 4], identity));
            }
        }
        sums.into_iter()
            .map(|sum| (sum ^ sum >> 32) as u32)
            .collect()
    }

    /// The entity that a client owns; the one in the lowest slot if there are several.
    pub fn owned_by(&self, client: ClientId) -> Option<NetId> {
        self.world
            .resource::<EntityTable>()
            .owned_by(client)
            .map(|row| row.id)
    }

    /// Runs one tick: leaves, joins, systems and capture.
    pub fn step(&mut self, input: TickInput<G::Command>) {
        self.step_by_stages(input, |_, _| {});
    }

    /// Runs one tick and calls `after` after each stage: the leaves and joins ([`ADMIT`]), each
    /// system by its name, and the snap to the grid ([`CAPTURE`]).
    pub(crate) fn step_by_stages(
        &mut self,
        input: TickInput<G::Command>,
        mut after: impl FnMut(&'static str, &Self),
    ) {
        self.tick = self.tick.next();
        self.admit(&input);
        after(ADMIT, self);
        self.world.resource_mut::<CurrentTick>().0 = self.tick;
        self.world.resource_mut::<Inputs<G::Command>>().0 = input.commands;
        let mut systems = std::mem::take(&mut self.systems);
        systems.check_age(&mut self.world);
        for system in systems.iter_mut() {
            system.run(&mut self.world);
            after(system.name, self);
        }
        self.systems = systems;
        self.capture();
        self.world.clear_trackers();
        after(CAPTURE, self);
    }

    fn admit(&mut self, input: &TickInput<G::Command>) {
        for client in &input.leaves {
            self.game.leave(&mut self.world, *client);
        }
        for client in &input.joins {
            self.game.join(&mut self.world, *client);
        }
        self.world.flush();
    }

    /// Takes the emptied buffer of the last step's commands, to be reused for the next ones.
    pub(crate) fn take_input_memory(&mut self) -> Vec<(ClientId, G::Command)> {
        let mut commands = std::mem::take(&mut self.world.resource_mut::<Inputs<G::Command>>().0);
        commands.clear();
        commands
    }

    /// Takes the events that the game sent in the last step.
    pub fn take_events(&mut self) -> Vec<GameEvent> {
        std::mem::take(&mut self.world.resource_mut::<Outbox>().0)
    }

    /// The first value that the last step wrote out of its field's range and that was clamped, and
    /// the number of such values.
    pub(crate) fn out_of_range(&self) -> (Option<OutOfRange>, u64) {
        self.out_of_range
    }

    /// Snaps what this step wrote to its grid and records what changed.
    fn capture(&mut self) {
        let Self {
            game,
            registry,
            world,
            ring,
            fields,
            gone,
            tick,
            out_of_range,
            ..
        } = self;
        ring.begin_tick(*tick);
        *out_of_range = (None, 0);
        world.resource_scope(|world, table: Mut<'_, EntityTable>| {
            let is_gone = |id: &NetId| table.row(id.slot).is_none_or(|row| row.id != *id);
            gone.extend(ring.entries().map(|entry| entry.id).filter(is_gone));
            gone.drain(..).for_each(|id| ring.remove(id));
            for (
                at,
                Row {
                    id,
                    kind,
                    owner,
                    entity,
                },
            ) in table.rows().copied().enumerate()
            {
                if at.is_multiple_of(AHEAD) {
                    ring.prefetch_next(table.rows_from(id.slot).take(AHEAD).map(|row| row.id.slot));
                }
                let same_owner = ring
                    .entry(id.slot)
                    .is_some_and(|entry| entry.owner == owner);
                if same_owner && ring.is_known(id) && !registry.is_changed(world, entity, kind) {
                    continue;
                }
                for report in registry.capture(world, entity, kind, fields) {
                    out_of_range.0.get_or_insert(report);
                    out_of_range.1 += 1;
                }
                let meta = ReplicaMeta {
                    id,
                    kind,
                    owner,
                    team: game.team(kind, fields),
                };
                ring.record(registry.schema(), meta, fields);
            }
        });
    }

    /// A keyframe of the current world. Between the stages of a tick its values are as they would
    /// be on the grid.
    pub fn keyframe(&self) -> Keyframe {
        let table = self.world.resource::<EntityTable>();
        let entities = table.rows().map(|row| {
            let mut fields = Vec::new();
            self.registry
                .read(&self.world, row.entity, row.kind, &mut fields);
            let owner = row.owner.map(|owner| owner.0);
            KeyframeEntity {
                slot: row.id.slot,
                kind: row.kind.0,
                owner,
                fields,
            }
        });
        Keyframe {
            tick: self.tick.0,
            entities: entities.collect(),
            generations: table.generations().to_vec(),
        }
    }
}
