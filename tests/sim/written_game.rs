//! A game that writes arbitrary values into its components, in their fields' ranges or not.

use bevy_ecs::change_detection::{Mut, Res};
use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::Query;
use bevy_ecs::world::World;
use glam::Vec2;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::command::Command;
use truetick_netcode::error::WireError;
use truetick_netcode::replication::{NetId, quaternion};
use truetick_netcode::schema::{Field, KindId, Replicate, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_server::entity_table::EntityTable;
use truetick_server::game::{CurrentTick, Game};
use truetick_server::registry::{RangePolicy, Registry};
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

/// Number of fields of [`Wild`].
pub const NUMBERS: usize = 15;

const TURNED: [Field; 4] = Field::quaternion(["largest", "a", "b", "c"], 9);

/// Numbers that the game writes as grid values.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
pub struct Wild(pub [u32; NUMBERS]);

impl Replicate for Wild {
    const NAME: &'static str = "wild";
    const FIELDS: &'static [Field] = &[
        Field::linear("x", -64.0, 64.0, 1.0 / 256.0).moved_by(1),
        Field::linear("vx", -16.0, 16.0, 1.0 / 128.0).extrapolated(),
        Field::turn("heading", 12).extrapolated(),
        Field::count("wide", 32),
        Field::count("ammo", 7).extrapolated(),
        Field::up_to("health", 100),
        Field::flag("alive"),
        Field::up_to("mood", 4).team(),
        Field::reference("target"),
        Field::count("purse", 16).owner(),
        Field::up_to("plan", 1_000).server(),
        TURNED[0],
        TURNED[1],
        TURNED[2],
        TURNED[3],
    ];

    fn quantise(&self, out: &mut [u32]) {
        out.copy_from_slice(&self.0);
    }

    fn restore(fields: &[u32]) -> Self {
        let mut numbers = [0; NUMBERS];
        numbers.copy_from_slice(fields);
        Self(numbers)
    }
}

/// Number of fields of [`Adrift`].
pub(crate) const FLOATS: usize = 8;

const SPUN: [Field; 4] = Field::quaternion(["spun", "d", "e", "f"], 16);

/// Floats that the fields quantise.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
pub struct Adrift(pub [f32; FLOATS]);

impl Replicate for Adrift {
    const NAME: &'static str = "adrift";
    const FIELDS: &'static [Field] = &[
        Field::linear("y", 0.0, 1_000.0, 0.125).moved_by(1),
        Field::linear("vy", -16.0, 16.0, 0.25),
        Field::turn("aim", 16),
        Field::up_to("heat", 77),
        SPUN[0],
        SPUN[1],
        SPUN[2],
        SPUN[3],
    ];

    fn quantise(&self, out: &mut [u32]) {
        for (to, (field, value)) in out.iter_mut().zip(Self::FIELDS.iter().zip(self.0)).take(4) {
            *to = field.quantise(value);
        }
        let spun = [self.0[4], self.0[5], self.0[6], self.0[7]];
        out[4..].copy_from_slice(&quaternion::quantise(spun, SPUN[1].max));
    }

    fn restore(fields: &[u32]) -> Self {
        let mut floats = [0.0; FLOATS];
        (0..4).for_each(|at| floats[at] = Self::FIELDS[at].value(fields[at]));
        let spun = quaternion::restore([fields[4], fields[5], fields[6], fields[7]], SPUN[1].max);
        floats[4..].copy_from_slice(&spun);
        Self(floats)
    }
}

/// The values that the game writes to one entity at one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Written {
    /// Grid values, in range or not.
    pub wild: Wild,
    /// Floats, in range or not.
    pub adrift: Adrift,
}

/// The values written at each tick to each entity.
#[derive(Resource, Clone, Debug, Default)]
pub struct Script(pub Vec<Vec<Written>>);

/// A game that writes what its script says.
pub struct Writer {
    /// The values to write.
    pub script: Script,
    /// What happens to values out of range.
    pub policy: RangePolicy,
}

impl Game for Writer {
    type Command = Nothing;

    fn registry(&self) -> Result<Registry, SchemaError> {
        let mut registry = Registry::new().with_range_policy(self.policy);
        let parts = [
            registry.add_component::<Wild>()?,
            registry.add_component::<Adrift>()?,
        ];
        registry.add_kind("thing", &parts)?;
        Ok(registry)
    }

    fn insert_resources(&self, world: &mut World) {
        world.insert_resource(self.script.clone());
    }

    fn populate(&self, world: &mut World, _: u64) {
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            for _ in 0..2 {
                table.spawn(
                    &mut world.commands(),
                    KindId(0),
                    None,
                    <(Wild, Adrift)>::default(),
                );
            }
        });
    }

    fn add_systems(&self, systems: &mut Systems) {
        systems.add("write", write);
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            table.spawn(
                &mut world.commands(),
                KindId(0),
                Some(client),
                <(Wild, Adrift)>::default(),
            )
        })
    }

    fn leave(&self, _: &mut World, _: ClientId) {}

    fn place(&self, _: KindId, _: &[u32]) -> Option<Vec2> {
        None
    }
}

fn write(
    tick: Res<'_, CurrentTick>,
    script: Res<'_, Script>,
    table: Res<'_, EntityTable>,
    mut entities: Query<'_, '_, (&mut Wild, &mut Adrift)>,
) {
    let Some(now) = script.0.get(tick.0.0 as usize - 1) else {
        return;
    };
    for (row, written) in table.rows().zip(now) {
        let Ok((mut wild, mut adrift)) = entities.get_mut(row.entity) else {
            continue;
        };
        (*wild, *adrift) = (written.wild, written.adrift);
    }
}
