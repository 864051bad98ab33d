//! A second game in about a hundred lines, which proves that the server is independent of the
//! arena: runners on a closed track that accelerate forwards or backwards, and a lap counter that
//! clients receive but do not predict.

use bevy_ecs::change_detection::{Mut, Res};
use bevy_ecs::component::Component;
use bevy_ecs::system::Query;
use bevy_ecs::world::World;
use glam::Vec2;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::client::prediction::Predict;
use truetick_netcode::command::Command;
use truetick_netcode::error::WireError;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{Field, KindId, Replicate, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_server::entity_table::EntityTable;
use truetick_server::game::{Game, Inputs};
use truetick_server::registry::Registry;
use truetick_server::systems::Systems;

/// A command: left (-1), right (1) or neither (0).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Push(pub i8);

impl Command for Push {
    fn write(&self, writer: &mut BitWriter) {
        writer.write((self.0 + 1) as u32, 2);
    }

    fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        match reader.read(2)? {
            push @ 0..=2 => Ok(Self(push as i8 - 1)),
            _ => Err(WireError::Malformed("push out of range")),
        }
    }
}

/// A runner on a closed track of 4,096 places.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Runner {
    place: u32,
    speed: u32,
    laps: u32,
}

const TRACK: u32 = 4_096;
const STILL: u32 = 64;

impl Replicate for Runner {
    const NAME: &'static str = "runner";
    const FIELDS: &'static [Field] = &[
        Field::count("place", 12).predicted(),
        Field::count("speed", 7).predicted(),
        Field::count("laps", 16),
    ];

    fn quantise(&self, out: &mut [u32]) {
        out.copy_from_slice(&[self.place, self.speed, self.laps & 0xffff]);
    }

    fn restore(fields: &[u32]) -> Self {
        Self {
            place: fields[0],
            speed: fields[1],
            laps: fields[2],
        }
    }
}

impl Runner {
    fn step(&mut self, push: &Push) {
        self.speed = self
            .speed
            .saturating_add_signed(i32::from(push.0))
            .min(2 * STILL - 1);
        self.place = (self.place + self.speed + TRACK - STILL) % TRACK;
    }
}

/// The race game.
pub struct Race;

fn run(
    inputs: Res<'_, Inputs<Push>>,
    table: Res<'_, EntityTable>,
    mut runners: Query<'_, '_, &mut Runner>,
) {
    for row in table.rows() {
        let Ok(mut runner) = runners.get_mut(row.entity) else {
            continue;
        };
        let push = inputs
            .0
            .iter()
            .find(|(client, _)| Some(*client) == row.owner);
        let before = runner.place;
        runner.step(&push.map_or(Push(0), |(_, push)| push.clone()));
        runner.laps += u32::from(before.abs_diff(runner.place) > TRACK / 2);
    }
}

impl Game for Race {
    type Command = Push;

    fn registry(&self) -> Result<Registry, SchemaError> {
        let mut registry = Registry::new();
        let runner = registry.add_component::<Runner>()?;
        registry.add_kind("runner", &[runner])?;
        Ok(registry)
    }

    fn insert_resources(&self, _: &mut World) {}

    fn populate(&self, _: &mut World, _: u64) {}

    fn add_systems(&self, systems: &mut Systems) {
        systems.add("run", run);
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        let runner = Runner {
            speed: STILL,
            ..Runner::default()
        };
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            table.spawn(&mut world.commands(), KindId(0), Some(client), runner)
        })
    }

    fn leave(&self, world: &mut World, client: ClientId) {
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            if let Some(id) = table.owned_by(client).map(|row| row.id) {
                table.despawn(&mut world.commands(), id);
            }
        });
    }

    fn place(&self, _: KindId, _: &[u32]) -> Option<Vec2> {
        None
    }
}

impl Predict for Race {
    type Command = Push;

    fn welcomed(&mut self, _: u32) {}

    fn predict(&self, _: KindId, fields: &mut [u32], command: &Push) {
        let mut runner = Runner::restore(fields);
        runner.step(command);
        runner.quantise(fields);
    }

    fn interactions(&self, _: &[u32]) -> u32 {
        0
    }

    fn distance_m(&self, a: &[u32], b: &[u32]) -> f32 {
        a[0].abs_diff(b[0]) as f32
    }
}
