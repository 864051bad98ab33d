//! The arena with messages on every channel, whose order and number a checker knows.
//!
//! The messages follow from the tick alone, so the world's state is that of the wrapped game.

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

/// The channels that carry the messages.
pub const CHANNELS: [Channel; 5] = [
    Channel::Unreliable,
    Channel::Reliable,
    Channel::Ordered(1),
    Channel::Ordered(2),
    Channel::Ordered(3),
];

/// Ticks between two messages on one channel.
pub(crate) const PERIOD: u32 = 15;

/// Prefix that distinguishes the messages from the game's own, which are shorter.
const HEAD: &[u8; 16] = b"the-simulator-01";

/// Every how many messages one is large enough to be split into slices.
const LARGE_EVERY: u32 = 5;

/// Returns the message that a channel carries at a tick, if one is due.
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

/// Returns the channel and tick of a message, or `None` if the bytes are no such message.
pub fn parse(data: &[u8]) -> Option<(usize, Tick)> {
    let (channel, tick) = data.strip_prefix(HEAD)?.split_first()?;
    Some((
        usize::from(*channel),
        Tick(u32::from_le_bytes(tick.get(..4)?.try_into().ok()?)),
    ))
}

/// The channel of small messages, of which each tick carries several.
pub(crate) const PATTER: Channel = Channel::Ordered(2);

/// The `place`th of the `each_tick` small messages of a tick.
fn patter(tick: Tick, each_tick: u8, place: u8) -> Vec<u8> {
    [&[b'p', b't', each_tick, place][..], &tick.0.to_le_bytes()].concat()
}

/// Returns the number of small messages per tick and this one's number since tick 0, or `None` if
/// the bytes are no small message.
pub(crate) fn parse_patter(data: &[u8]) -> Option<(u64, u64)> {
    let [b'p', b't', each_tick, place, tick @ ..] = data else {
        return None;
    };
    let tick = u64::from(u32::from_le_bytes(tick.try_into().ok()?));
    Some((
        u64::from(*each_tick),
        tick * u64::from(*each_tick) + u64::from(*place),
    ))
}

/// Checks that small messages arrive in order and once each.
#[derive(Clone, Copy, Debug, Default)]
pub struct PatterCheck {
    /// Number of the next small message, once one has arrived.
    pub next: Option<u64>,
    /// Number of small messages that arrived.
    pub came: u64,
}

impl PatterCheck {
    /// Records small message number `at`, with `each_tick` per tick. Returns a violation of the
    /// order. Numbers restart at 0 where ticks wrap.
    pub fn take(&mut self, each_tick: u64, at: u64) -> Option<String> {
        let expected = self.next.replace((at + 1) % (each_tick.max(1) << 32));
        self.came += 1;
        let expected = expected.filter(|expected| *expected != at)?;
        Some(format!("tiny message {at} came when {expected} was next"))
    }
}

/// A game with added messages.
pub struct MessagingGame<G> {
    /// The wrapped game.
    pub game: G,
    /// Bytes sent to everyone each tick on a reliable channel, beside the other messages.
    pub bulk: u32,
    /// Small messages sent to everyone each tick on a reliable channel.
    pub patter: u8,
}

/// Number of small messages per tick, from [`MessagingGame::patter`].
#[derive(Resource)]
struct Patter(u8);

/// Bytes per tick, from [`MessagingGame::bulk`].
#[derive(Resource)]
struct Bulk(u32);

/// The channel of the bulk data.
pub(crate) const BULK: Channel = Channel::Ordered(3);

fn talk(
    tick: Res<'_, CurrentTick>,
    bulk: Res<'_, Bulk>,
    tiny: Res<'_, Patter>,
    mut outbox: ResMut<'_, Outbox>,
) {
    for place in 0..tiny.0 {
        let event = GameEvent {
            to: None,
            channel: PATTER,
            data: patter(tick.0, tiny.0, place),
        };
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
        outbox.0.extend(data.map(|data| GameEvent {
            to: None,
            channel,
            data,
        }));
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
