//! What a game gives the server's core.

use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;
use glam::Vec2;
use truetick_netcode::channel::Channel;
use truetick_netcode::command::Command;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{KindId, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;

use super::registry::Registry;
use super::systems::Systems;

/// A game: its schema, its commands, its systems.
///
/// Everything that affects the future must stand in registered components (server-only fields where clients
/// have no business): a world restored from them goes on as the original would. Resources hold only what
/// [`Game::insert_resources`] can make again.
pub trait Game: Send + Sync + 'static {
    /// A player's input for one tick.
    type Command: Command;

    /// Registers components and kinds.
    fn registry(&self) -> Result<Registry, SchemaError>;

    /// Inserts constant resources: into new worlds and restored ones.
    fn insert_resources(&self, world: &mut World);

    /// Spawns the first entities; `seed` is the room's.
    fn populate(&self, world: &mut World, seed: u64);

    /// Adds the systems of one tick in their order. They find the tick in [`CurrentTick`], its commands in
    /// [`Inputs`], visit entities through [`super::entity_table::EntityTable`] in the order of their slots, and may tell
    /// clients something through [`Outbox`].
    fn add_systems(&self, systems: &mut Systems);

    /// A client joins: spawns the entity that it owns.
    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId>;

    /// A client is gone: removes what it owned.
    fn leave(&self, world: &mut World, client: ClientId);

    /// Where an entity is, in metres, for relevance; `None` for what concerns everyone.
    fn place(&self, kind: KindId, fields: &[u32]) -> Option<Vec2>;

    /// The team whose clients see an entity's team fields, 1 to 255; 0 for none. A client is of its entity's team.
    fn team(&self, _kind: KindId, _fields: &[u32]) -> u8 {
        0
    }

    /// How much an entity matters where not everything fits, 1 to 16.
    fn importance(&self, _kind: KindId) -> u32 {
        1
    }
}

/// The tick that is being simulated.
#[derive(Resource, Clone, Copy, Debug)]
pub struct CurrentTick(pub Tick);

/// The commands of a tick, by rising client number.
#[derive(Resource, Debug)]
pub struct Inputs<C: Command>(pub Vec<(ClientId, C)>);

/// A message from the game to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameEvent {
    /// To whom; `None` for everyone in the room.
    pub to: Option<ClientId>,
    /// How.
    pub channel: Channel,
    /// The game's own encoding.
    pub data: Vec<u8>,
}

/// What the game tells clients in this tick.
#[derive(Resource, Debug, Default)]
pub struct Outbox(pub Vec<GameEvent>);
