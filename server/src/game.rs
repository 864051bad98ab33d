//! The contract between a game and the server.

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

/// A game: its schema, its commands and its systems.
///
/// All state that affects the future must be in registered components (in server-only fields if
/// clients must not see it), so that a restored world continues exactly as the original. Resources
/// hold only what [`Game::insert_resources`] can recreate.
pub trait Game: Send + Sync + 'static {
    /// A player's input for one tick.
    type Command: Command;

    /// Registers components and kinds.
    ///
    /// # Errors
    /// If the schema does not accept a component or a kind.
    fn registry(&self) -> Result<Registry, SchemaError>;

    /// Inserts constant resources, both into new worlds and into restored ones.
    fn insert_resources(&self, world: &mut World);

    /// Spawns the initial entities. `seed` is the seed of the room.
    fn populate(&self, world: &mut World, seed: u64);

    /// Adds the systems of one tick in the order of their execution. They read the tick from
    /// [`CurrentTick`] and its commands from [`Inputs`], visit entities through
    /// [`super::entity_table::EntityTable`] in the order of their slots, and send events to clients
    /// through [`Outbox`].
    fn add_systems(&self, systems: &mut Systems);

    /// Spawns the entity of a client that joins and returns its id; `None` if there is no free
    /// slot. The client then stays in the room without an entity. With an interest radius it
    /// receives only what is relevant to everyone.
    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId>;

    /// Removes the entities of a client that has left.
    fn leave(&self, world: &mut World, client: ClientId);

    /// Position of an entity in metres, for interest management; `None` if it is relevant to
    /// everyone. `fields` are the quantised fields of the kind, in the order of its components. The
    /// position of a client's own entity is the centre of its interest; if that is `None`, the
    /// client receives only what is relevant to everyone.
    fn place(&self, kind: KindId, fields: &[u32]) -> Option<Vec2>;

    /// The team whose clients see an entity's team fields, 1 to 255; 0 for none. A client belongs
    /// to the team of its own entity.
    fn team(&self, _kind: KindId, _fields: &[u32]) -> u8 {
        0
    }

    /// Factor of an entity's priority if not everything fits a snapshot, 1 to 16; 1 by default.
    /// Other values are clamped. Used only with an interest radius.
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

/// An event that the game sends to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameEvent {
    /// The client that receives it; `None` for every client in the room.
    pub to: Option<ClientId>,
    /// The channel that carries it.
    pub channel: Channel,
    /// The content, in the game's own encoding.
    pub data: Vec<u8>,
}

impl GameEvent {
    /// Checks whether the event can be sent.
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
            bytes if bytes > max => Err(EventError::TooLarge {
                channel: self.channel,
                bytes,
                max,
            }),
            _ => Ok(()),
        }
    }
}

/// The events that the game sends in this tick. An event that was added without [`Outbox::send`]
/// and cannot be sent is dropped, counted and reported by the room.
#[derive(Resource, Debug, Default)]
pub struct Outbox(pub Vec<GameEvent>);

impl Outbox {
    /// Queues an event of this tick. The room sends it to the clients after the tick.
    ///
    /// # Errors
    /// Those of [`GameEvent::check`]. The event is then dropped, and nothing else changes.
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
        GameEvent {
            to: None,
            channel,
            data: vec![0xa5; bytes],
        }
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
            assert_eq!(
                refused,
                Err(EventError::TooLarge {
                    channel,
                    bytes: max + 1,
                    max
                })
            );
            assert_eq!(outbox.0.len(), 1);
            let message = ServerMessage::Event {
                tick: u32::MAX,
                data: event(channel, max).data,
            };
            assert!(
                encode(&message).len() <= carried,
                "{}",
                encode(&message).len()
            );
        }
        assert_eq!(
            Outbox::default().send(event(Channel::Ordered(4), 1)),
            Err(EventError::NoSuchStream(4))
        );
    }
}
