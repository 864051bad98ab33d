//! An artificial game with every kind of field that a client in another language must decode:
//! positions moved by velocities, directions, counts of 32 bits, fields for teams and owners; and
//! entities that are spawned and removed.

use bevy_ecs::change_detection::{Mut, Res, ResMut};
use bevy_ecs::component::Component;
use bevy_ecs::system::{Commands, Query};
use bevy_ecs::world::World;
use glam::Vec2;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::command::Command;
use truetick_netcode::error::WireError;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{Field, KindId, Replicate, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_server::entity_table::EntityTable;
use truetick_server::game::{CurrentTick, Game};
use truetick_server::registry::Registry;
use truetick_server::systems::Systems;

/// A command without contents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nothing;

impl Command for Nothing {
    fn write(&self, _: &mut BitWriter) {}

    fn read(_: &mut BitReader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }
}

const PARTS: usize = 8;

/// Grid values in the order of the fields.
#[derive(Component, Clone, Copy, Debug, PartialEq)]
pub struct SchemaZoo([u32; PARTS]);

const TEAM: usize = 4;

impl Replicate for SchemaZoo {
    const NAME: &'static str = "medley";
    const FIELDS: &'static [Field] = &[
        Field::linear("x", -64.0, 64.0, 1.0 / 256.0).moved_by(1),
        Field::linear("vx", -16.0, 16.0, 1.0 / 128.0).extrapolated(),
        Field::turn("heading", 12).extrapolated(),
        Field::count("wide", 32),
        Field::count("team", 2),
        Field::count("purse", 16).owner(),
        Field::up_to("mood", 4).team(),
        Field::count("plan", 32).server(),
    ];

    fn quantise(&self, out: &mut [u32]) {
        out.copy_from_slice(&self.0);
    }

    fn restore(fields: &[u32]) -> Self {
        let mut parts = [0; PARTS];
        parts.copy_from_slice(fields);
        Self(parts)
    }
}

impl SchemaZoo {
    fn any(rng: &mut impl Rng) -> Self {
        let mut parts = [0; PARTS];
        for (part, field) in parts.iter_mut().zip(Self::FIELDS) {
            *part = rng.random_range(0..=field.max);
        }
        Self(parts)
    }

    /// Advances the values, mostly along their previous course.
    fn step(&mut self, rng: &mut impl Rng) {
        let [x, vx, heading, wide, _, purse, mood, plan] = &mut self.0;
        let moved = x.saturating_add_signed((*vx as i32 - 2_048) / 30);
        *x = moved.min(Self::FIELDS[0].max);
        *vx = vx
            .saturating_add_signed(rng.random_range(-9..=9))
            .min(Self::FIELDS[1].max);
        *heading = (*heading + 37) & Self::FIELDS[2].max;
        match rng.random_range(0..40) {
            0 => *wide = rng.random(),
            1 => *heading = rng.random_range(0..=Self::FIELDS[2].max),
            2 => *purse ^= 1 << rng.random_range(0..16),
            3 => *mood = rng.random_range(0..=4),
            4 => *vx = 2_048,
            5 => *x = Self::FIELDS[0].max,
            _ => *plan = rng.random(),
        }
    }
}

/// The game with the component.
pub struct Melee;

/// Number of entities without an owner.
const LOOSE: u32 = 70;

fn rng(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

fn drift(
    tick: Res<'_, CurrentTick>,
    table: Res<'_, EntityTable>,
    mut medleys: Query<'_, '_, &mut SchemaZoo>,
) {
    for row in table.rows() {
        let Ok(mut schema_zoo) = medleys.get_mut(row.entity) else {
            continue;
        };
        let mut rng = rng(u64::from(tick.0.0) << 16 | u64::from(row.id.slot));
        // Some entities rest, so that not all block deltas contain all entities.
        if rng.random_bool(0.6) {
            schema_zoo.step(&mut rng);
        }
    }
}

fn come_and_go(
    tick: Res<'_, CurrentTick>,
    mut table: ResMut<'_, EntityTable>,
    mut commands: Commands<'_, '_>,
) {
    let mut rng = rng(u64::from(tick.0.0) ^ 0xfade);
    if rng.random_bool(0.3) {
        let at = rng.random_range(0..LOOSE as u16);
        let gone = table
            .row(at)
            .filter(|row| row.owner.is_none())
            .map(|row| row.id);
        gone.into_iter()
            .for_each(|id| table.despawn(&mut commands, id));
        table.spawn(&mut commands, KindId(0), None, SchemaZoo::any(&mut rng));
    }
}

impl Game for Melee {
    type Command = Nothing;

    fn registry(&self) -> Result<Registry, SchemaError> {
        let mut registry = Registry::new();
        let schema_zoo = registry.add_component::<SchemaZoo>()?;
        registry.add_kind("medley", &[schema_zoo])?;
        Ok(registry)
    }

    fn insert_resources(&self, _: &mut World) {}

    fn populate(&self, world: &mut World, seed: u64) {
        let mut rng = rng(seed);
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            for _ in 0..LOOSE {
                table.spawn(
                    &mut world.commands(),
                    KindId(0),
                    None,
                    SchemaZoo::any(&mut rng),
                );
            }
        });
    }

    fn add_systems(&self, systems: &mut Systems) {
        systems.add("drift", drift).add("come_and_go", come_and_go);
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        let schema_zoo = SchemaZoo::any(&mut rng(client.0.into()));
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            table.spawn(&mut world.commands(), KindId(0), Some(client), schema_zoo)
        })
    }

    fn leave(&self, _: &mut World, _: ClientId) {}

    fn place(&self, _: KindId, fields: &[u32]) -> Option<Vec2> {
        Some(Vec2::new(SchemaZoo::FIELDS[0].value(fields[0]), 0.0))
    }

    fn team(&self, _: KindId, fields: &[u32]) -> u8 {
        fields[TEAM] as u8
    }
}
