//! The replication workload W(N, M): N clients that own one moving entity each, M further entities,
//! and everything within everyone's interest.
//!
//! Position on 1/256 m within 512 m, velocity on 1/128 m/s (12 bits), yaw of 12 bits, health of 8
//! bits. Position, velocity and yaw of everything change in every tick, health of one in a hundred.

use std::f32::consts::TAU;

use bevy_ecs::change_detection::{Mut, Res, ResMut};
use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::Query;
use bevy_ecs::world::World;
use glam::Vec2;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::command::Command;
use truetick_netcode::error::WireError;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{Field, KindId, Replicate, Schema, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_server::entity_table::EntityTable;
use truetick_server::game::Game;
use truetick_server::registry::Registry;
use truetick_server::systems::Systems;

use crate::walker_priors::PRIORS;

/// A command without contents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nothing;

impl Command for Nothing {
    fn write(&self, writer: &mut BitWriter) {
        writer.write_flag(false);
    }

    fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        reader.read_flag().map(|_| Self)
    }
}

/// The motion of all entities.
#[derive(Resource, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// An acceleration and a turning rate that change at random (4 % of the ticks), with a little
    /// noise.
    Random,
    /// Motion on circles.
    Circles,
}

/// The replicated component.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
pub struct Walker {
    position: Vec2,
    velocity: Vec2,
    yaw: f32,
    health: u8,
}

const X: Field = Field::linear("x", -512.0, 512.0, 1.0 / 256.0).moved_by(2);
const Y: Field = Field { name: "y", ..X }.moved_by(3);
const VX: Field = Field::linear("vx", -16.0, 16.0, 1.0 / 128.0).extrapolated();
const VY: Field = Field { name: "vy", ..VX };
const YAW: Field = Field::turn("yaw", 12).extrapolated();

impl Replicate for Walker {
    const NAME: &'static str = "walker";
    const FIELDS: &'static [Field] = &[X, Y, VX, VY, YAW, Field::count("health", 8)];

    fn quantise(&self, out: &mut [u32]) {
        out[0] = X.quantise(self.position.x);
        out[1] = Y.quantise(self.position.y);
        out[2] = VX.quantise(self.velocity.x);
        out[3] = VY.quantise(self.velocity.y);
        out[4] = YAW.quantise(self.yaw);
        out[5] = u32::from(self.health);
    }

    fn restore(fields: &[u32]) -> Self {
        Self {
            position: Vec2::new(X.value(fields[0]), Y.value(fields[1])),
            velocity: Vec2::new(VX.value(fields[2]), VY.value(fields[3])),
            yaw: YAW.value(fields[4]),
            health: fields[5] as u8,
        }
    }
}

/// The motion itself, finer than the grid and not replicated.
#[derive(Component, Clone, Copy, Debug)]
pub struct Course {
    position: Vec2,
    velocity: Vec2,
    acceleration: Vec2,
    yaw: f32,
    turning: f32,
}

#[derive(Resource)]
struct GameRng(Xoshiro256PlusPlus);

/// The game of the workload.
#[derive(Clone, Copy, Debug)]
pub struct Walkers {
    /// Number of entities without an owner.
    pub drones: u32,
    /// Motion of all entities.
    pub motion: Motion,
}

const DT: f32 = 1.0 / 60.0;
const HALF_SIZE: f32 = 500.0;
const TOP_SPEED: f32 = 8.0;

impl Course {
    fn new(rng: &mut Xoshiro256PlusPlus) -> Self {
        let mut place = || rng.random_range(-HALF_SIZE..HALF_SIZE);
        let position = Vec2::new(place(), place());
        let velocity =
            Vec2::from_angle(rng.random_range(0.0..TAU)) * rng.random_range(3.0..TOP_SPEED);
        let (yaw, turning) = (rng.random_range(0.0..TAU), rng.random_range(-1.6..1.6));
        Self {
            position,
            velocity,
            acceleration: Vec2::ZERO,
            yaw,
            turning,
        }
    }

    fn step(&mut self, motion: Motion, rng: &mut Xoshiro256PlusPlus) {
        match motion {
            Motion::Circles => {
                self.velocity = Vec2::from_angle(self.turning * DT).rotate(self.velocity)
            }
            Motion::Random => self.accelerate(rng),
        }
        self.yaw += self.turning * DT;
        self.position += self.velocity * DT;
        for axis in 0..2 {
            if self.position[axis].abs() > HALF_SIZE {
                self.velocity[axis] = self.velocity[axis].abs() * -self.position[axis].signum();
            }
        }
    }

    fn accelerate(&mut self, rng: &mut Xoshiro256PlusPlus) {
        if rng.random_bool(0.04) {
            let strength = rng.random_range(0.0..12.0);
            self.acceleration = Vec2::from_angle(rng.random_range(0.0..TAU)) * strength;
            self.turning = rng.random_range(-1.6..1.6);
        }
        let noise = Vec2::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)) * 0.02;
        self.velocity =
            (self.velocity + self.acceleration * DT).clamp_length_max(TOP_SPEED) + noise;
    }

    fn seen(&self, health: u8) -> Walker {
        Walker {
            position: self.position,
            velocity: self.velocity,
            yaw: self.yaw,
            health,
        }
    }
}

fn walk(
    table: Res<'_, EntityTable>,
    motion: Res<'_, Motion>,
    mut rng: ResMut<'_, GameRng>,
    mut workload: Query<'_, '_, (&mut Walker, &mut Course)>,
) {
    for row in table.rows() {
        let Ok((mut walker, mut course)) = workload.get_mut(row.entity) else {
            continue;
        };
        course.step(*motion, &mut rng.0);
        let hurt = rng.0.random_bool(0.01);
        *walker = course.seen(if hurt {
            walker.health.wrapping_add(13)
        } else {
            walker.health
        });
    }
}

/// Returns the workload's schema.
///
/// # Errors
///
/// The schema is constant, so no error occurs in practice.
pub fn walker_schema() -> Result<Schema, SchemaError> {
    Ok(walker_registry()?.schema().clone())
}

fn walker_registry() -> Result<Registry, SchemaError> {
    let mut registry = Registry::new();
    let walker = registry.add_component::<Walker>()?;
    registry.add_kind("walker", &[walker])?;
    Ok(registry.with_priors(PRIORS))
}

impl Game for Walkers {
    type Command = Nothing;

    fn registry(&self) -> Result<Registry, SchemaError> {
        walker_registry()
    }

    fn insert_resources(&self, world: &mut World) {
        world.insert_resource(self.motion);
        world.insert_resource(GameRng(Xoshiro256PlusPlus::seed_from_u64(1)));
    }

    fn populate(&self, world: &mut World, seed: u64) {
        world.insert_resource(GameRng(Xoshiro256PlusPlus::seed_from_u64(seed)));
        for _ in 0..self.drones {
            spawn(world, None);
        }
    }

    fn add_systems(&self, systems: &mut Systems) {
        systems.add("walk", walk);
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        spawn(world, Some(client))
    }

    fn leave(&self, world: &mut World, client: ClientId) {
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            if let Some(id) = table.owned_by(client).map(|row| row.id) {
                table.despawn(&mut world.commands(), id);
            }
        });
        world.flush();
    }

    fn place(&self, _: KindId, fields: &[u32]) -> Option<Vec2> {
        Some(Walker::restore(fields).position)
    }
}

fn spawn(world: &mut World, owner: Option<ClientId>) -> Option<NetId> {
    let course = Course::new(&mut world.resource_mut::<GameRng>().0);
    let id = world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
        table.spawn(
            &mut world.commands(),
            KindId(0),
            owner,
            (course.seen(100), course),
        )
    });
    world.flush();
    id
}
