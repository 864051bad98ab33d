//! The server side of the arena, the example game. [`ArenaGame`] adds its systems in the order of
//! their execution.

pub mod systems;

use bevy_ecs::change_detection::Mut;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::Commands;
use bevy_ecs::world::World;
use bitcode::{Decode, Encode};
use glam::Vec2;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::components::{
    Abilities, Body, Dice, Drone, Pickup, Place, PlayerBody, Projectile, Vitals,
};
use truetick_arena::map::{HALF_SIZE, PILLARS, is_solid};
use truetick_arena::priors::PRIORS;
use truetick_arena::{ArenaCommand, ArenaSchema, StepConfig, arena_schema};
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{KindId, Replicate, SchemaError};
use truetick_netcode::session::ClientId;

use crate::entity_table::EntityTable;
use crate::game::Game;
use crate::registry::Registry;
use crate::systems::Systems;

/// Settings of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ArenaConfig {
    /// Ticks per second; 60 by default.
    pub tick_rate: u32,
    /// Number of drones; 64 by default.
    pub drones: u32,
    /// Number of pick-ups; 12 by default.
    pub pickups: u32,
    /// Whether players collide with walls and pillars only: no hits, no pushes, no pick-ups.
    /// `false` by default.
    pub ghosts: bool,
}

impl Default for ArenaConfig {
    fn default() -> Self {
        Self {
            tick_rate: 60,
            drones: 64,
            pickups: 12,
            ghosts: false,
        }
    }
}

/// Name of the arena in recordings.
pub const NAME: &str = "arena";

/// What the systems need to know of the arena.
#[derive(Resource, Clone, Debug)]
pub struct ArenaRules {
    /// The schema, with the entity kinds.
    pub kinds: ArenaSchema,
    /// Configuration of the shared player step.
    pub step: StepConfig,
    /// Whether players collide with walls and pillars only; see [`ArenaConfig::ghosts`].
    pub ghosts: bool,
}

/// The arena as a [`Game`].
#[derive(Clone, Debug)]
pub struct ArenaGame {
    config: ArenaConfig,
    kinds: ArenaSchema,
}

impl ArenaGame {
    /// Creates an arena.
    ///
    /// # Errors
    /// If the arena's schema is not valid.
    pub fn new(config: ArenaConfig) -> Result<Self, SchemaError> {
        Ok(Self {
            config,
            kinds: arena_schema()?,
        })
    }
}

impl Game for ArenaGame {
    type Command = ArenaCommand;

    fn registry(&self) -> Result<Registry, SchemaError> {
        let mut registry = Registry::new();
        let player_body = registry.add_component::<PlayerBody>()?;
        let abilities = registry.add_component::<Abilities>()?;
        let vitals = registry.add_component::<Vitals>()?;
        let body = registry.add_component::<Body>()?;
        let drone = registry.add_component::<Drone>()?;
        let projectile = registry.add_component::<Projectile>()?;
        let place = registry.add_component::<Place>()?;
        let pickup = registry.add_component::<Pickup>()?;
        let dice = registry.add_component::<Dice>()?;
        registry.add_kind("player", &[player_body, abilities, vitals])?;
        registry.add_kind("drone", &[body, drone])?;
        registry.add_kind("projectile", &[body, projectile])?;
        registry.add_kind("pickup", &[place, pickup])?;
        registry.add_kind("room", &[dice])?;
        let registry = registry.with_priors(PRIORS);
        debug_assert_eq!(registry.schema().hash(), self.kinds.schema.hash());
        Ok(registry)
    }

    fn insert_resources(&self, world: &mut World) {
        let step = StepConfig {
            tick_rate: self.config.tick_rate,
        };
        world.insert_resource(ArenaRules {
            kinds: self.kinds.clone(),
            step,
            ghosts: self.config.ghosts,
        });
    }

    fn populate(&self, world: &mut World, seed: u64) {
        let mut dice = Dice {
            seed: seed as u32 ^ (seed >> 32) as u32,
            rolls: 0,
        };
        let kinds = &self.kinds;
        with_table(world, |table, commands| {
            for _ in 0..self.config.drones {
                let body = Body {
                    position: free_place(&mut dice),
                    velocity: Vec2::ZERO,
                };
                let drone = Drone {
                    heading: 0,
                    ticks_left: 0,
                    health: 100,
                };
                table.spawn(commands, kinds.drone, None, (body, drone));
            }
            for _ in 0..self.config.pickups {
                let place = Place {
                    position: free_place(&mut dice),
                };
                table.spawn(
                    commands,
                    kinds.pickup,
                    None,
                    (
                        place,
                        Pickup {
                            present: 1,
                            ticks_left: 0,
                        },
                    ),
                );
            }
            table.spawn(commands, kinds.room, None, dice);
        });
    }

    fn add_systems(&self, systems: &mut Systems) {
        systems
            .add("move_players", systems::players::move_players)
            .add("steer_drones", systems::drones::steer_drones)
            .add("fly_projectiles", systems::projectiles::fly_projectiles)
            .add("hit_bodies", systems::projectiles::hit_bodies)
            .add("push_apart", systems::contact::push_apart)
            .add("take_pickups", systems::contact::take_pickups)
            .add("bring_back", systems::players::bring_back);
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        let position = roll(world, free_place);
        let body = PlayerBody {
            position,
            velocity: Vec2::ZERO,
        };
        let vitals = Vitals {
            health: 100,
            ..Vitals::default()
        };
        let parts = (body, Abilities::default(), vitals);
        with_table(world, |table, commands| {
            table.spawn(commands, self.kinds.player, Some(client), parts)
        })
    }

    fn leave(&self, world: &mut World, client: ClientId) {
        with_table(world, |table, commands| {
            while let Some(id) = table.owned_by(client).map(|row| row.id) {
                table.despawn(commands, id);
            }
        });
    }

    fn place(&self, kind: KindId, fields: &[u32]) -> Option<Vec2> {
        let kinds = &self.kinds;
        match kind {
            _ if kind == kinds.player => Some(PlayerBody::restore(fields).position),
            _ if kind == kinds.drone || kind == kinds.projectile => {
                Some(Body::restore(fields).position)
            }
            _ if kind == kinds.pickup => Some(Place::restore(fields).position),
            _ => None,
        }
    }
}

/// Runs `change` with the entity table and with commands, which take effect before it returns.
fn with_table<T>(
    world: &mut World,
    change: impl FnOnce(&mut EntityTable, &mut Commands<'_, '_>) -> T,
) -> T {
    let result = world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
        change(&mut table, &mut world.commands())
    });
    world.flush();
    result
}

/// Rolls the room's dice outside of a system.
fn roll<T>(world: &mut World, with: impl FnOnce(&mut Dice) -> T) -> T {
    match world.query::<&mut Dice>().single_mut(world) {
        Ok(mut dice) => with(&mut dice),
        Err(_) => with(&mut Dice::default()),
    }
}

/// Random numbers for one roll of the dice. The generator is seeded by seed and roll count, so that
/// the two numbers of the dice are all of the room's random state.
pub fn rng(dice: &mut Dice) -> Xoshiro256PlusPlus {
    dice.rolls = dice.rolls.wrapping_add(1);
    Xoshiro256PlusPlus::seed_from_u64(u64::from(dice.seed) << 32 | u64::from(dice.rolls))
}

/// A random position that is not in a pillar. After 16 attempts it is a fixed position beside the
/// first pillar.
pub(crate) fn free_place(dice: &mut Dice) -> Vec2 {
    let mut rng = rng(dice);
    let reach = HALF_SIZE - 2.0;
    for _ in 0..16 {
        let place = Vec2::new(
            rng.random_range(-reach..reach),
            rng.random_range(-reach..reach),
        );
        if !is_solid(place) {
            return place;
        }
    }
    PILLARS[0].0 + Vec2::new(10.0, 10.0)
}
