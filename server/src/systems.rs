//! A tick's systems, by name and in their order.

use bevy_ecs::system::{BoxedSystem, IntoSystem, RunSystemError};
use bevy_ecs::world::World;

/// The systems of one tick. They run one after the other, on one thread; what one of them spawns or
/// despawns the next one sees.
#[derive(Default)]
pub struct Systems(Vec<NamedSystem>);

pub(super) struct NamedSystem {
    pub name: &'static str,
    system: BoxedSystem,
}

impl Systems {
    /// Adds a system behind those added before. Its name is what desync reports call it.
    pub fn add<M>(&mut self, name: &'static str, system: impl IntoSystem<(), (), M>) -> &mut Self {
        self.0.push(NamedSystem { name, system: Box::new(IntoSystem::into_system(system)) });
        self
    }

    /// The systems' names in their order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|system| system.name)
    }

    pub(super) fn initialize(&mut self, world: &mut World) {
        self.0.iter_mut().for_each(|named| drop(named.system.initialize(world)));
    }

    /// Keeps change detection right over weeks: the ECS counts its runs in 32 bits.
    pub(super) fn check_age(&mut self, world: &mut World) {
        if let Some(check) = world.check_change_ticks() {
            self.0.iter_mut().for_each(|named| named.system.check_change_tick(check));
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut NamedSystem> {
        self.0.iter_mut()
    }
}

impl NamedSystem {
    /// Runs it, then what it deferred. It panics where the game's author gave it parameters that
    /// the world lacks.
    pub fn run(&mut self, world: &mut World) {
        if let Err(RunSystemError::Failed(error)) = self.system.run((), world) {
            panic!("system `{}` failed: {error}", self.name);
        }
    }
}
