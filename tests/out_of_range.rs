//! Clients decode whatever a game writes into its components: values out of range are clamped and
//! reported.

use std::time::Duration;

use bevy_ecs::change_detection::{Mut, Res};
use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::Query;
use bevy_ecs::world::World;
use glam::Vec2;
use proptest::prelude::*;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::client::snapshot_buffer::SnapshotError;
use truetick_netcode::command::Command;
use truetick_netcode::error::WireError;
use truetick_netcode::replication::{NetId, quaternion};
use truetick_netcode::schema::{Field, KindId, Replicate, SchemaError};
use truetick_netcode::session::{ClientId, Role};
use truetick_netcode::time::Timestamp;
use truetick_server::entity_table::EntityTable;
use truetick_server::game::{CurrentTick, Game};
use truetick_server::game_fault::GameFault;
use truetick_server::registry::{OutOfRange, RangePolicy, Registry};
use truetick_server::room::{Room, RoomConfig};
use truetick_server::systems::Systems;
use truetick_server::world_access::WorldAccess;
use truetick_server::world_room::WorldRoom;
use truetick_tests::loopback_client::LoopbackClient;

/// A command without contents.
#[derive(Clone, Debug, Default, PartialEq)]
struct Nothing;

impl Command for Nothing {
    fn write(&self, _: &mut BitWriter) {}

    fn read(_: &mut BitReader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }
}

const NUMBERS: usize = 15;
const TURNED: [Field; 4] = Field::quaternion(["largest", "a", "b", "c"], 9);

/// Numbers that the game writes as grid values.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
struct Wild([u32; NUMBERS]);

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

const FLOATS: usize = 8;
const SPUN: [Field; 4] = Field::quaternion(["spun", "d", "e", "f"], 16);

/// Floats that the fields quantise.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
struct Adrift([f32; FLOATS]);

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

type Written = (Wild, Adrift);

/// The values written at each tick to each entity.
#[derive(Resource, Clone, Debug, Default)]
struct Script(Vec<Vec<Written>>);

struct Writer {
    script: Script,
    policy: RangePolicy,
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
        (*wild, *adrift) = *written;
    }
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
                table.spawn(&mut world.commands(), KindId(0), None, Written::default());
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
                Written::default(),
            )
        })
    }

    fn leave(&self, _: &mut World, _: ClientId) {}

    fn place(&self, _: KindId, _: &[u32]) -> Option<Vec2> {
        None
    }
}

fn room(script: Vec<Vec<Written>>, policy: RangePolicy) -> WorldRoom<Writer> {
    let game = Writer {
        script: Script(script),
        policy,
    };
    WorldRoom::new(game, RoomConfig::default(), Timestamp::from_millis(1_000)).unwrap()
}

fn number() -> impl Strategy<Value = u32> {
    let near = (0u32..=32, -2i32..=2)
        .prop_map(|(bits, by)| (1u64 << bits).wrapping_add_signed(by.into()) as u32);
    let limits =
        (0..NUMBERS, 0u32..3).prop_map(|(at, by)| (Wild::FIELDS[at].max - 1).wrapping_add(by));
    prop_oneof![
        any::<u32>(),
        near,
        limits,
        0u32..200,
        Just(u32::MAX),
        (1i32..200).prop_map(|n| -n as u32)
    ]
}

fn float() -> impl Strategy<Value = f32> {
    let special = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-45,
        -0.0,
    ];
    prop_oneof![
        any::<f32>(),
        proptest::sample::select(special.to_vec()),
        -1_200f32..1_200.0
    ]
}

fn written() -> impl Strategy<Value = Written> {
    let numbers = proptest::array::uniform15(number()).prop_map(Wild);
    (numbers, proptest::array::uniform8(float()).prop_map(Adrift))
}

/// A player and a spectator follow a room; some packets are lost. Every received packet must
/// decode, and the copies must equal the server's state.
fn follow(script: &[Vec<Written>], lost: &[bool]) -> Result<(), TestCaseError> {
    let mut room = room(script.to_vec(), RangePolicy::Clamp);
    let schema = room.simulation().registry().schema().clone();
    let mut now = Timestamp::from_millis(1_000);
    let roles = [Role::Player, Role::Spectator];
    let mut clients =
        [1, 2].map(|client| LoopbackClient::join(&mut room, client, roles[client as usize - 1]));
    let mut lost = lost.iter().copied().chain(std::iter::repeat(false));
    for tick in 0..script.len() + 2 {
        room.simulate(now);
        for client in &mut clients {
            let mut all_came = true;
            for payload in client.payloads(&mut room, now) {
                if tick > 1 && lost.next() == Some(true) {
                    all_came = false;
                    continue;
                }
                match client.take(&schema, &payload, now) {
                    Ok(_) => {}
                    Err(SnapshotError::Baseline) => all_came = false,
                    Err(error) => {
                        return Err(TestCaseError::fail(format!("{error} at tick {tick}")));
                    }
                }
            }
            client.answer(&mut room, now);
            if !all_came {
                continue;
            }
            for entry in room.ring().entries() {
                let held = client.held().public(entry.id.slot);
                prop_assert!(held.is_some(), "{} is not held", entry.id);
                let state = held.unwrap().newest();
                let kind = schema.kind(entry.kind);
                for ((field, own), theirs) in kind
                    .fields
                    .iter()
                    .zip(&*entry.current().fields)
                    .zip(state.fields)
                {
                    prop_assert!(*own <= field.max);
                    let sees = held.unwrap().audience.sees(field.visibility);
                    prop_assert_eq!(if sees { *own } else { 0 }, *theirs, "{}", field.name);
                }
            }
        }
        now += Duration::from_micros(16_667);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_client_decodes_whatever_a_game_writes(
        script in proptest::collection::vec(proptest::collection::vec(written(), 3), 1..12),
        lost in proptest::collection::vec(proptest::bool::weighted(0.2), 0..30),
    ) {
        follow(&script, &lost)?;
    }
}

/// One entity's numbers with one of them changed.
fn one(at: usize, value: u32) -> Vec<Vec<Written>> {
    let mut wild = Wild::default();
    wild.0[at] = value;
    vec![vec![(wild, Adrift::default())]]
}

const HEALTH: usize = 5;

#[test]
fn a_value_out_of_range_is_clamped_counted_and_named() {
    let mut room = room(one(HEALTH, 120), RangePolicy::Clamp);
    let now = Timestamp::from_millis(1_000);
    let mut client = LoopbackClient::join(&mut room, 1, Role::Player);
    let schema = room.simulation().registry().schema().clone();
    room.simulate(now);
    let payloads = client.payloads(&mut room, now);
    assert!(
        !payloads.is_empty()
            && payloads
                .iter()
                .all(|payload| client.take(&schema, payload, now).is_ok())
    );
    assert_eq!(
        client.held().public(0).unwrap().newest().fields[HEALTH],
        100
    );
    let report = OutOfRange {
        component: "wild",
        field: "health",
        value: 120,
        max: 100,
    };
    assert_eq!(
        room.poll_fault(now),
        Some((GameFault::OutOfRange(report), 1))
    );
    assert_eq!(room.metrics().fields_clamped, 1);
    let text = GameFault::OutOfRange(report).to_string();
    assert!(
        ["wild", "health", "120", "100"]
            .iter()
            .all(|word| text.contains(word)),
        "{text}"
    );
    // The clamped value is the component's from then on, so it is reported once.
    room.simulate(now + Duration::from_secs(2));
    assert_eq!(room.poll_fault(now + Duration::from_secs(2)), None);
}

#[test]
fn every_kind_of_field_goes_to_its_nearest_value() {
    for (at, field) in Wild::FIELDS
        .iter()
        .enumerate()
        .filter(|(_, field)| field.max < u32::MAX)
    {
        for value in [field.max + 1, u32::MAX] {
            let mut room = room(one(at, value), RangePolicy::Clamp);
            room.simulate(Timestamp::from_millis(1_000));
            let kept = room.ring().entry(0).unwrap().current().fields[at];
            // A direction wraps round the turn.
            let nearest = if field.name == "heading" {
                value & field.max
            } else {
                field.max
            };
            assert_eq!(kept, nearest, "{}", field.name);
            assert_eq!(room.metrics().fields_clamped, 1, "{}", field.name);
        }
    }
}

#[test]
#[should_panic(expected = "component `wild`, field `health`: 120")]
fn a_value_out_of_range_panics_where_that_is_asked_for() {
    room(one(HEALTH, 120), RangePolicy::Panic).simulate(Timestamp::from_millis(1_000));
}

#[test]
fn builds_with_debug_assertions_panic_by_default() {
    let expected = if cfg!(debug_assertions) {
        RangePolicy::Panic
    } else {
        RangePolicy::Clamp
    };
    assert_eq!(RangePolicy::default(), expected);
}

#[cfg(truetick_mutants)]
#[test]
fn a_capture_that_keeps_values_out_of_range_is_caught() {
    use truetick_netcode::mutant::{Mutant, plant};

    plant(Some(Mutant::KeepOutOfRange));
    let wrong = follow(&one(HEALTH, 120), &[]);
    plant(None);
    assert!(wrong.is_err());
}
