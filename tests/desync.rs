//! One flipped bit of state at any place and time: the divergence of two runs is located exactly,
//! in a hundred cases of a hundred.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bevy_ecs::change_detection::Mut;
use bevy_ecs::system::{In, IntoSystem};
use bevy_ecs::world::World;
use glam::Vec2;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::ArenaCommand;
use truetick_arena::arena_schema;
use truetick_netcode::client::client_connection::ClientConnection;
use truetick_netcode::connection::Messages;
use truetick_netcode::limits::REPORTS_EXPLAINED;
use truetick_netcode::messages::{ClientMessage, MismatchReport};
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{KindId, Schema, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::systems::{contact, drones, players, projectiles};
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::entity_table::EntityTable;
use truetick_server::game::{CurrentTick, Game};
use truetick_server::recording::difference::{Difference, DivergenceKind};
use truetick_server::recording::recorder::{Recorder, RecorderConfig};
use truetick_server::recording::replay::{bisect, replay};
use truetick_server::registry::Registry;
use truetick_server::room::RoomConfig;
use truetick_server::session_event::SessionEvent;
use truetick_server::simulation::{Keyframe, Simulation};
use truetick_server::systems::Systems;
use truetick_server::world_room::WorldRoom;
use truetick_tests::capture_transport::CaptureTransport;
use truetick_tests::script::script;
use truetick_tests::tokens;

const TICKS: usize = 300;

fn arena() -> ArenaGame {
    ArenaGame::new(ArenaConfig {
        drones: 10,
        ..ArenaConfig::default()
    })
    .unwrap()
}

/// A bit of an entity's state to flip at a tick.
#[derive(Clone, Copy, Debug)]
struct Plant {
    tick: Tick,
    slot: u16,
    field: usize,
    bit: u32,
}

impl Plant {
    /// A random bit of the world of a keyframe.
    fn random(rng: &mut Xoshiro256PlusPlus, world: &Keyframe, schema: &Schema) -> Self {
        let entity = &world.entities[rng.random_range(0..world.entities.len())];
        let field = rng.random_range(0..entity.fields.len());
        let bits = schema.kind(KindId(entity.kind)).fields[field].bits;
        Self {
            tick: Tick(world.tick),
            slot: entity.slot,
            field,
            bit: rng.random_range(0..bits),
        }
    }

    fn flip(&self, fields: &mut [u32]) {
        fields[self.field] ^= 1 << self.bit;
    }
}

/// The arena with a defect in one of its systems.
struct Planted {
    arena: ArenaGame,
    system: &'static str,
    plant: Plant,
}

impl Planted {
    /// The planted defect of a system; without effect in all but the chosen system.
    fn defect(&self, system: &'static str) -> impl FnMut(In<()>, &mut World) + use<> {
        let (plant, guilty) = (self.plant, self.system == system);
        let registry = self.registry().unwrap();
        move |_, world| {
            if guilty && world.resource::<CurrentTick>().0 == plant.tick {
                flip_in_world(world, &registry, plant);
            }
        }
    }
}

fn flip_in_world(world: &mut World, registry: &Registry, plant: Plant) {
    world.resource_scope(|world, table: Mut<'_, EntityTable>| {
        let Some(row) = table.row(plant.slot) else {
            return;
        };
        let mut fields = Vec::new();
        registry.read(world, row.entity, row.kind, &mut fields);
        if plant.field < fields.len() {
            plant.flip(&mut fields);
            registry.restore(world, row.entity, row.kind, &fields);
        }
    });
}

impl Game for Planted {
    type Command = ArenaCommand;

    fn registry(&self) -> Result<Registry, SchemaError> {
        self.arena.registry()
    }

    fn insert_resources(&self, world: &mut World) {
        self.arena.insert_resources(world);
    }

    fn populate(&self, world: &mut World, seed: u64) {
        self.arena.populate(world, seed);
    }

    fn add_systems(&self, systems: &mut Systems) {
        systems
            .add(
                "move_players",
                players::move_players.pipe(self.defect("move_players")),
            )
            .add(
                "steer_drones",
                drones::steer_drones.pipe(self.defect("steer_drones")),
            )
            .add(
                "fly_projectiles",
                projectiles::fly_projectiles.pipe(self.defect("fly_projectiles")),
            )
            .add(
                "hit_bodies",
                projectiles::hit_bodies.pipe(self.defect("hit_bodies")),
            )
            .add(
                "push_apart",
                contact::push_apart.pipe(self.defect("push_apart")),
            )
            .add(
                "take_pickups",
                contact::take_pickups.pipe(self.defect("take_pickups")),
            )
            .add(
                "bring_back",
                players::bring_back.pipe(self.defect("bring_back")),
            );
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        self.arena.join(world, client)
    }

    fn leave(&self, world: &mut World, client: ClientId) {
        self.arena.leave(world, client);
    }

    fn place(&self, kind: KindId, fields: &[u32]) -> Option<Vec2> {
        self.arena.place(kind, fields)
    }
}

const SYSTEMS: [&str; 7] = [
    "move_players",
    "steer_drones",
    "fly_projectiles",
    "hit_bodies",
    "push_apart",
    "take_pickups",
    "bring_back",
];

/// Runs a script and records it. `after` may replace the world after each tick.
fn record(
    seed: u64,
    with_state: bool,
    mut after: impl FnMut(&mut Simulation<ArenaGame>),
) -> Vec<Vec<u8>> {
    let mut simulation = Simulation::new(Arc::new(arena()), seed).unwrap();
    let config = RecorderConfig {
        recording: 1,
        game: "arena".into(),
        setup: Vec::new(),
        with_state,
        segment_bytes: usize::MAX,
    };
    let mut recorder = Recorder::begin(config, 60, seed, &simulation);
    for input in script(seed, TICKS) {
        recorder.input(simulation.tick().next(), &input);
        simulation.step(input);
        after(&mut simulation);
        recorder.outcome(&simulation);
    }
    recorder.finish();
    vec![
        std::iter::from_fn(|| recorder.poll())
            .flat_map(|chunk| chunk.bytes)
            .collect(),
    ]
}

/// The world after each tick of a script.
fn worlds(seed: u64) -> Vec<Keyframe> {
    let mut worlds = Vec::new();
    record(seed, false, |simulation| worlds.push(simulation.keyframe()));
    worlds
}

/// Whether the planted field is the only difference.
fn is_exactly(differences: &[Difference], plant: Plant, kind: KindId, schema: &Schema) -> bool {
    let info = schema.kind(kind);
    let (id, start) = info
        .components
        .iter()
        .rfind(|(_, start)| *start <= plant.field)
        .unwrap();
    let owner = schema.component(*id);
    let [
        Difference {
            id,
            what:
                DivergenceKind::Field {
                    component,
                    field,
                    left,
                    right,
                },
            ..
        },
    ] = differences
    else {
        return false;
    };
    id.slot == plant.slot
        && (*component, *field) == (owner.name, owner.fields[plant.field - start].name)
        && left ^ right == 1 << plant.bit
}

#[test]
fn fifty_flips_between_ticks_are_located_from_the_recording_alone() {
    let registry = arena().registry().unwrap();
    let schema = registry.schema();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let (mut located, mut seed) = (0, 0);
    while located < 50 {
        seed += 1;
        let world = worlds(seed).swap_remove(rng.random_range(0..TICKS));
        let plant = Plant::random(&mut rng, &world, schema);
        let mut flipped = world.clone();
        let entity = flipped
            .entities
            .iter_mut()
            .find(|entity| entity.slot == plant.slot)
            .unwrap();
        let kind = KindId(entity.kind);
        plant.flip(&mut entity.fields);
        // Some numbers are no valid state of a component; then there is nothing to locate.
        if Simulation::restore(Arc::new(arena()), &flipped)
            .unwrap()
            .keyframe()
            != flipped
        {
            continue;
        }
        let segments = record(seed, true, |simulation| {
            if simulation.tick() == plant.tick {
                *simulation = Simulation::restore(Arc::new(arena()), &flipped).unwrap();
            }
        });
        let found = replay(&Arc::new(arena()), &segments, None, |_| {})
            .unwrap()
            .divergence
            .unwrap();
        assert_eq!(found.tick, plant.tick, "{plant:?}\n{found}");
        assert!(
            is_exactly(&found.differences, plant, kind, schema),
            "{plant:?}\n{found}"
        );
        located += 1;
    }
}

#[test]
fn fifty_flips_inside_a_system_are_located_by_running_it_again_stage_by_stage() {
    let registry = arena().registry().unwrap();
    let schema = registry.schema();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let (mut located, mut named, mut seed) = (0, std::collections::BTreeSet::new(), 1_000);
    while located < 50 {
        seed += 1;
        let segments = record(seed, false, |_| {});
        let world = worlds(seed).swap_remove(rng.random_range(0..TICKS));
        let plant = Plant::random(&mut rng, &world, schema);
        let system = SYSTEMS[rng.random_range(0..SYSTEMS.len())];
        let planted = Arc::new(Planted {
            arena: arena(),
            system,
            plant,
        });
        // A flip that a later system of the same tick overwrites is no divergence.
        let Some(found) = bisect(&Arc::new(arena()), &planted, &segments).unwrap() else {
            continue;
        };
        let kind = world
            .entities
            .iter()
            .find(|entity| entity.slot == plant.slot)
            .unwrap()
            .kind;
        assert_eq!(
            (found.tick, found.stage.as_deref()),
            (plant.tick, Some(system)),
            "{plant:?}\n{found}"
        );
        assert!(
            is_exactly(&found.differences, plant, KindId(kind), schema),
            "{plant:?}\n{found}"
        );
        named.insert(system);
        located += 1;
    }
    assert_eq!(named.len(), SYSTEMS.len(), "{named:?}");
}

#[test]
fn however_many_clients_report_few_reports_are_looked_into_and_all_are_counted() {
    const CLIENTS: u64 = 100;
    let start = Timestamp::from_millis(1_000);
    let mut server = tokens::server(start);
    server.add_room(Box::new(
        WorldRoom::new(arena(), RoomConfig::default(), start).unwrap(),
    ));
    let schema = arena_schema().unwrap().schema.hash();
    let link = |user| ClientConnection::new(schema, tokens::token(user, 0, start), user, start);
    let mut links: Vec<_> = (0..CLIENTS).map(link).collect();
    let (mut explained, mut payload) = (0, Vec::new());
    for ms in 0..4_000 {
        let (now, mut capture_transport) = (
            start + Duration::from_millis(ms),
            CaptureTransport::default(),
        );
        if ms == 1_500 {
            let report = ClientMessage::Mismatch(MismatchReport {
                tick: 60,
                entities: Vec::new(),
            });
            links.iter_mut().for_each(|link| link.tell(&report));
        }
        server.send_replies(&mut capture_transport);
        server.tick(&mut || now, &mut capture_transport);
        for (to, bytes) in capture_transport.0 {
            let link = &mut links[usize::from(to.port()) - 100];
            let from = SocketAddr::from(tokens::SERVER).into();
            let _ = link.receive(from, bytes.as_slice().into(), &mut payload, now);
            let Ok((sequence, _)) = link.open(&payload, now) else {
                continue;
            };
            while let Ok(Some(_)) = link.next_event(now) {}
            link.accept(sequence);
        }
        for (place, link) in links.iter_mut().enumerate() {
            link.poll(now);
            link.send_due(Messages::BesideState, now);
            while let Some((_, bytes)) = link.poll_transmit() {
                server.receive(
                    SocketAddr::from(([127, 0, 0, 1], 100 + place as u16)),
                    &bytes,
                    now,
                );
            }
        }
        let events = std::iter::from_fn(|| server.poll_event());
        explained += events
            .filter(|event| matches!(event, SessionEvent::Mismatch(..)))
            .count() as u64;
    }
    let (per_second, burst) = REPORTS_EXPLAINED;
    assert!(
        (u64::from(burst)..=u64::from(burst + 3 * per_second)).contains(&explained),
        "{explained}"
    );
    assert_eq!(explained + server.unexplained_reports(), CLIENTS);
}
