//! A game that talks: the arena, and in it messages on every channel whose order and number a
//! checker knows.
//!
//! What is said follows from the tick alone, so the world's state is that of the game below.

use bevy_ecs::change_detection::{Res, ResMut};
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;
use glam::Vec2;
use truetick_netcode::channel::Channel;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{KindId, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;
use truetick_server::game::{CurrentTick, Game, GameEvent, Outbox};
use truetick_server::registry::Registry;
use truetick_server::systems::Systems;

/// The channels that it talks on.
pub const CHANNELS: [Channel; 5] = [
    Channel::Unreliable,
    Channel::Reliable,
    Channel::Ordered(1),
    Channel::Ordered(2),
    Channel::Ordered(3),
];

/// Ticks between two messages on one channel.
pub const PERIOD: u32 = 15;

/// What tells its messages from the game's own, which are shorter.
const HEAD: &[u8; 16] = b"the-simulator-01";

/// Every so many messages one is large enough to be cut into slices.
const LARGE_EVERY: u32 = 5;

/// The message that a channel carries at a tick, if one is due then.
pub fn message(channel: usize, tick: Tick) -> Option<Vec<u8>> {
    if tick.0 % PERIOD != channel as u32 {
        return None;
    }
    let mut data = [HEAD.as_slice(), &[channel as u8], &tick.0.to_le_bytes()].concat();
    let large =
        CHANNELS[channel] != Channel::Unreliable && (tick.0 / PERIOD).is_multiple_of(LARGE_EVERY);
    data.resize(if large { 1_300 } else { 32 }, tick.0 as u8);
    Some(data)
}

/// The channel and the tick that a message of these bytes names, if it is one.
pub fn parse(data: &[u8]) -> Option<(usize, Tick)> {
    let (channel, tick) = data.strip_prefix(HEAD)?.split_first()?;
    Some((usize::from(*channel), Tick(u32::from_le_bytes(tick.get(..4)?.try_into().ok()?))))
}

/// The stream that patter goes on: tiny messages, many in each tick.
pub const PATTER: Channel = Channel::Ordered(2);

/// The `place`th tiny message of a tick of which there are `each_tick`.
fn patter(tick: Tick, each_tick: u8, place: u8) -> Vec<u8> {
    [&[b'p', b't', each_tick, place][..], &tick.0.to_le_bytes()].concat()
}

/// How many tiny messages there are in a tick, and this one's place among all since tick 0, if it
/// is one.
pub fn parse_patter(data: &[u8]) -> Option<(u64, u64)> {
    let [b'p', b't', each_tick, place, tick @ ..] = data else {
        return None;
    };
    let tick = u64::from(u32::from_le_bytes(tick.try_into().ok()?));
    Some((u64::from(*each_tick), tick * u64::from(*each_tick) + u64::from(*place)))
}

/// Holds that tiny messages come in their order, each once.
#[derive(Clone, Copy, Debug, Default)]
pub struct PatterCheck {
    /// The next by its place among all, once one came.
    pub next: Option<u64>,
    /// How many came.
    pub came: u64,
}

impl PatterCheck {
    /// One came, of so many in each tick. Returns what is wrong with that. Where ticks wrap, places
    /// begin again at 0.
    pub fn take(&mut self, each_tick: u64, at: u64) -> Option<String> {
        let expected = self.next.replace((at + 1) % (each_tick.max(1) << 32));
        self.came += 1;
        let expected = expected.filter(|expected| *expected != at)?;
        Some(format!("tiny message {at} came when {expected} was next"))
    }
}

/// A game with talk added.
pub struct MessagingGame<G> {
    /// The game.
    pub game: G,
    /// Bytes that everyone is told each tick on a reliable stream, beside the talk.
    pub bulk: u32,
    /// Tiny messages that everyone is told each tick on a reliable stream.
    pub patter: u8,
}

/// See [`MessagingGame::patter`].
#[derive(Resource)]
struct Patter(u8);

/// See [`MessagingGame::bulk`].
#[derive(Resource)]
struct Bulk(u32);

/// The stream that bulk goes on.
pub const BULK: Channel = Channel::Ordered(3);

fn talk(
    tick: Res<'_, CurrentTick>,
    bulk: Res<'_, Bulk>,
    tiny: Res<'_, Patter>,
    mut outbox: ResMut<'_, Outbox>,
) {
    for place in 0..tiny.0 {
        let event = GameEvent { to: None, channel: PATTER, data: patter(tick.0, tiny.0, place) };
        outbox.send(event).expect("a tiny message");
    }
    if bulk.0 > 0 {
        outbox.0.push(GameEvent {
            to: None,
            channel: BULK,
            data: vec![tick.0.0 as u8; bulk.0 as usize],
        });
    }
    for (i, channel) in CHANNELS.into_iter().enumerate() {
        let data = message(i, tick.0);
        outbox.0.extend(data.map(|data| GameEvent { to: None, channel, data }));
    }
}

impl<G: Game> Game for MessagingGame<G> {
    type Command = G::Command;

    fn registry(&self) -> Result<Registry, SchemaError> {
        self.game.registry()
    }

    fn insert_resources(&self, world: &mut World) {
        world.insert_resource(Bulk(self.bulk));
        world.insert_resource(Patter(self.patter));
        self.game.insert_resources(world);
    }

    fn populate(&self, world: &mut World, seed: u64) {
        self.game.populate(world, seed);
    }

    fn add_systems(&self, systems: &mut Systems) {
        self.game.add_systems(systems);
        systems.add("talk", talk);
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        self.game.join(world, client)
    }

    fn leave(&self, world: &mut World, client: ClientId) {
        self.game.leave(world, client);
    }

    fn place(&self, kind: KindId, fields: &[u32]) -> Option<Vec2> {
        self.game.place(kind, fields)
    }
}
