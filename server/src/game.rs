//! What a game gives the server's core.

use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;
use glam::Vec2;
use truetick_netcode::channel::{Channel, ORDERED_STREAMS};
use truetick_netcode::command::Command;
use truetick_netcode::limits::{EVENT_BYTES, UNRELIABLE_EVENT_BYTES};
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{KindId, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;

use super::game_fault::EventError;
use super::registry::Registry;
use super::systems::Systems;

/// A game: its schema, its commands, its systems.
///
/// Everything that affects the future must stand in registered components (server-only fields where
/// clients have no business): a world restored from them goes on as the original would. Resources
/// hold only what [`Game::insert_resources`] can make again.
pub trait Game: Send + Sync + 'static {
    /// A player's input for one tick.
    type Command: Command;

    /// Registers components and kinds.
    fn registry(&self) -> Result<Registry, SchemaError>;

    /// Inserts constant resources: into new worlds and restored ones.
    fn insert_resources(&self, world: &mut World);

    /// Spawns the first entities; `seed` is the room's.
    fn populate(&self, world: &mut World, seed: u64);

    /// Adds the systems of one tick in their order. They find the tick in [`CurrentTick`], its
    /// commands in [`Inputs`], visit entities through [`super::entity_table::EntityTable`] in the
    /// order of their slots, and may tell clients something through [`Outbox`].
    fn add_systems(&self, systems: &mut Systems);

    /// A client joins: spawns the entity that it owns.
    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId>;

    /// A client is gone: removes what it owned.
    fn leave(&self, world: &mut World, client: ClientId);

    /// Where an entity is, in metres, for relevance; `None` for what concerns everyone.
    fn place(&self, kind: KindId, fields: &[u32]) -> Option<Vec2>;

    /// The team whose clients see an entity's team fields, 1 to 255; 0 for none. A client is of its
    /// entity's team.
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

impl GameEvent {
    /// Whether the event can be sent.
    ///
    /// # Errors
    /// If its data is larger than its channel carries ([`EVENT_BYTES`],
    /// [`UNRELIABLE_EVENT_BYTES`]), or if there is no such channel.
    pub fn check(&self) -> Result<(), EventError> {
        let max = match self.channel {
            Channel::Ordered(stream) if stream >= ORDERED_STREAMS => {
                return Err(EventError::NoSuchStream(stream));
            }
            Channel::Unreliable => UNRELIABLE_EVENT_BYTES,
            Channel::Reliable | Channel::Ordered(_) => EVENT_BYTES,
        };
        match self.data.len() {
            bytes if bytes > max => Err(EventError::TooLarge { channel: self.channel, bytes, max }),
            _ => Ok(()),
        }
    }
}

/// What the game tells clients in this tick. An event that is put in without [`Outbox::send`] and
/// cannot be sent is left out, counted and reported by the room.
#[derive(Resource, Debug, Default)]
pub struct Outbox(pub Vec<GameEvent>);

impl Outbox {
    /// Sends an event with this tick.
    ///
    /// # Errors
    /// Those of [`GameEvent::check`]; then nobody receives the event, and nothing else changes.
    pub fn send(&mut self, event: GameEvent) -> Result<(), EventError> {
        event.check()?;
        self.0.push(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use truetick_netcode::limits::{MESSAGE_BYTES, SLICE_BYTES};
    use truetick_netcode::messages::{ServerMessage, encode};

    fn event(channel: Channel, bytes: usize) -> GameEvent {
        GameEvent { to: None, channel, data: vec![0xa5; bytes] }
    }

    #[test]
    fn the_largest_event_that_may_be_sent_fits_its_channel_and_the_next_is_the_callers_error() {
        for (channel, max, carried) in [
            (Channel::Unreliable, UNRELIABLE_EVENT_BYTES, SLICE_BYTES),
            (Channel::Reliable, EVENT_BYTES, MESSAGE_BYTES),
            (Channel::Ordered(3), EVENT_BYTES, MESSAGE_BYTES),
        ] {
            let mut outbox = Outbox::default();
            outbox.send(event(channel, max)).unwrap();
            let refused = outbox.send(event(channel, max + 1));
            assert_eq!(refused, Err(EventError::TooLarge { channel, bytes: max + 1, max }));
            assert_eq!(outbox.0.len(), 1);
            let message = ServerMessage::Event { tick: u32::MAX, data: event(channel, max).data };
            assert!(encode(&message).len() <= carried, "{}", encode(&message).len());
        }
        assert_eq!(
            Outbox::default().send(event(Channel::Ordered(4), 1)),
            Err(EventError::NoSuchStream(4))
        );
    }
}
