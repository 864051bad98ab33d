//! The systems of a tick, by name and in order.

use bevy_ecs::system::{BoxedSystem, IntoSystem, RunSystemError};
use bevy_ecs::world::World;

/// The systems of one tick. They run one after the other on one thread, and each sees what the
/// earlier ones spawned and despawned.
#[derive(Default)]
pub struct Systems(Vec<NamedSystem>);

pub(super) struct NamedSystem {
    pub name: &'static str,
    system: BoxedSystem,
}

impl Systems {
    /// Adds a system after those added before. Desync reports refer to it by its name.
    pub fn add<M>(&mut self, name: &'static str, system: impl IntoSystem<(), (), M>) -> &mut Self {
        self.0.push(NamedSystem {
            name,
            system: Box::new(IntoSystem::into_system(system)),
        });
        self
    }

    /// The names of the systems in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|system| system.name)
    }

    pub(super) fn initialize(&mut self, world: &mut World) {
        self.0
            .iter_mut()
            .for_each(|named| drop(named.system.initialize(world)));
    }

    /// Keeps change detection correct over weeks, because the ECS counts its runs in 32 bits.
    pub(super) fn check_age(&mut self, world: &mut World) {
        if let Some(check) = world.check_change_ticks() {
            self.0
                .iter_mut()
                .for_each(|named| named.system.check_change_tick(check));
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut NamedSystem> {
        self.0.iter_mut()
    }
}

impl NamedSystem {
    /// Runs the system, then what it deferred.
    ///
    /// # Panics
    /// If the system has parameters that the world lacks.
    pub fn run(&mut self, world: &mut World) {
        if let Err(RunSystemError::Failed(error)) = self.system.run((), world) {
            panic!("system `{}` failed: {error}", self.name);
        }
    }
}
