//! The game of the measurement: one player who runs left and right, and movers on known courses.

use std::sync::{Arc, Mutex, PoisonError};

use bevy_ecs::change_detection::{Mut, Res};
use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;
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
use truetick_netcode::tick::Tick;
use truetick_server::entity_table::EntityTable;
use truetick_server::game::{CurrentTick, Game, Inputs};
use truetick_server::registry::Registry;
use truetick_server::systems::Systems;

use super::courses::{Course, Motion, SPEED};

/// The player's kind.
pub(crate) const PLAYER: KindId = KindId(0);

/// The kind of movers.
pub(crate) const MOVER: KindId = KindId(1);

/// Index of x among the fields of either kind.
pub const X: usize = 0;
/// Index of y among the fields of either kind.
pub const Y: usize = 1;

/// Place of the index among a mover's fields.
pub(crate) const INDEX: usize = 4;

/// The player's input for one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// -1 for left, 1 for right, 0 for neither.
    pub direction: i8,
    /// Serial number of the command, by which the server's log shows the commands that had an
    /// effect.
    pub serial: u16,
}

impl Command for Run {
    fn write(&self, writer: &mut BitWriter) {
        writer.write((self.direction + 1) as u32, 2);
        writer.write(u32::from(self.serial), 16);
    }

    fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        match reader.read(2)? {
            direction @ 0..=2 => Ok(Self {
                direction: direction as i8 - 1,
                serial: reader.read(16)? as u16,
            }),
            _ => Err(WireError::Malformed("direction out of range")),
        }
    }
}

const POSITION_X: Field = Field::linear("x", -4_096.0, 4_096.0, 1.0 / 256.0).moved_by(2);
const POSITION_Y: Field = Field {
    name: "y",
    ..POSITION_X
}
.moved_by(3);
const VELOCITY_X: Field = Field::linear("vx", -16.0, 16.0, 1.0 / 128.0).extrapolated();
const VELOCITY_Y: Field = Field {
    name: "vy",
    ..VELOCITY_X
};

fn quantise(motion: &Motion, out: &mut [u32]) {
    out[X] = POSITION_X.quantise(motion.position.x);
    out[Y] = POSITION_Y.quantise(motion.position.y);
    out[2] = VELOCITY_X.quantise(motion.velocity.x);
    out[3] = VELOCITY_Y.quantise(motion.velocity.y);
}

fn restore(fields: &[u32]) -> Motion {
    Motion {
        position: Vec2::new(POSITION_X.value(fields[X]), POSITION_Y.value(fields[Y])),
        velocity: Vec2::new(VELOCITY_X.value(fields[2]), VELOCITY_Y.value(fields[3])),
    }
}

/// The player's entity.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
struct Player(Motion);

impl Player {
    /// Runs one tick of `dt` seconds: full speed at once in the direction of the input.
    fn step(&mut self, input: &Run, dt: f32) {
        self.0.velocity = Vec2::new(f32::from(input.direction) * SPEED as f32, 0.0);
        self.0.position += self.0.velocity * dt;
    }
}

impl Replicate for Player {
    const NAME: &'static str = "player";
    const FIELDS: &'static [Field] = &[
        POSITION_X.predicted(),
        POSITION_Y.predicted(),
        VELOCITY_X.predicted(),
        VELOCITY_Y.predicted(),
    ];

    fn quantise(&self, out: &mut [u32]) {
        quantise(&self.0, out);
    }

    fn restore(fields: &[u32]) -> Self {
        Self(restore(fields))
    }
}

/// An entity on a course.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
struct Mover {
    motion: Motion,
    index: u16,
}

impl Replicate for Mover {
    const NAME: &'static str = "mover";
    const FIELDS: &'static [Field] = &[
        POSITION_X,
        POSITION_Y,
        VELOCITY_X,
        VELOCITY_Y,
        Field::count("index", 16),
    ];

    fn quantise(&self, out: &mut [u32]) {
        quantise(&self.motion, out);
        out[INDEX] = u32::from(self.index);
    }

    fn restore(fields: &[u32]) -> Self {
        Self {
            motion: restore(fields),
            index: fields[INDEX] as u16,
        }
    }
}

/// What the server did in one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TickLog {
    /// Number of the tick.
    pub tick: Tick,
    /// Serial number of the command that the player's entity ran, if any.
    pub serial: Option<u16>,
}

/// The game; clones share their log.
#[derive(Clone)]
pub(crate) struct FeelGame {
    dt: f32,
    courses: Arc<Vec<Course>>,
    log: Arc<Mutex<Vec<TickLog>>>,
}

impl FeelGame {
    /// A game with `tick_rate` ticks per second and one mover per course.
    pub fn new(tick_rate: u32, courses: Arc<Vec<Course>>) -> Self {
        Self {
            dt: 1.0 / tick_rate as f32,
            courses,
            log: Arc::default(),
        }
    }

    /// Takes what the server logged since the last call.
    pub(crate) fn take_log(&self) -> Vec<TickLog> {
        std::mem::take(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Resource, Clone)]
struct Shared(FeelGame);

fn run_players(
    tick: Res<'_, CurrentTick>,
    inputs: Res<'_, Inputs<Run>>,
    shared: Res<'_, Shared>,
    mut players: Query<'_, '_, &mut Player>,
) {
    let input = inputs.0.first().map(|(_, input)| input.clone());
    for mut player in &mut players {
        player.step(&input.clone().unwrap_or_default(), shared.0.dt);
    }
    let entry = TickLog {
        tick: tick.0,
        serial: input.map(|input| input.serial),
    };
    shared
        .0
        .log
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(entry);
}

fn run_movers(
    tick: Res<'_, CurrentTick>,
    shared: Res<'_, Shared>,
    mut movers: Query<'_, '_, &mut Mover>,
) {
    let seconds = f64::from(tick.0.0) * f64::from(shared.0.dt);
    for mut mover in &mut movers {
        let index = usize::from(mover.index);
        mover.motion = shared.0.courses[index].at(seconds);
    }
}

impl Game for FeelGame {
    type Command = Run;

    fn registry(&self) -> Result<Registry, SchemaError> {
        let mut registry = Registry::new();
        let player = registry.add_component::<Player>()?;
        let mover = registry.add_component::<Mover>()?;
        registry.add_kind("player", &[player])?;
        registry.add_kind("mover", &[mover])?;
        Ok(registry)
    }

    fn insert_resources(&self, world: &mut World) {
        world.insert_resource(Shared(self.clone()));
    }

    fn populate(&self, world: &mut World, _seed: u64) {
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            for (index, course) in self.courses.iter().enumerate() {
                let mover = Mover {
                    motion: course.at(0.0),
                    index: index as u16,
                };
                table.spawn(&mut world.commands(), MOVER, None, mover);
            }
        });
    }

    fn add_systems(&self, systems: &mut Systems) {
        systems
            .add("run_players", run_players)
            .add("run_movers", run_movers);
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            table.spawn(
                &mut world.commands(),
                PLAYER,
                Some(client),
                Player::default(),
            )
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

impl Predict for FeelGame {
    type Command = Run;

    fn welcomed(&mut self, _: u32) {}

    fn predict(&self, _: KindId, fields: &mut [u32], command: &Run) {
        let mut player = Player::restore(fields);
        player.step(command, self.dt);
        player.quantise(fields);
    }

    fn interactions(&self, _: &[u32]) -> u32 {
        0
    }

    fn distance_m(&self, a: &[u32], b: &[u32]) -> f32 {
        restore(a).position.distance(restore(b).position)
    }
}
