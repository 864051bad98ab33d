//! Games and rooms that panic on request.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bevy_ecs::system::Res;
use bevy_ecs::world::World;
use glam::Vec2;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::channel::Channel;
use truetick_netcode::command::Command;
use truetick_netcode::error::WireError;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{KindId, SchemaError};
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::game::{CurrentTick, Game};
use truetick_server::metrics::RoomMetrics;
use truetick_server::registry::Registry;
use truetick_server::room::{Outbox, Room, RoomConfig};
use truetick_server::systems::Systems;
use truetick_server::timeline::{Due, Timeline};

use crate::second_game::{Push, Race};

/// Where a game panics once it is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Where {
    /// The game panics nowhere.
    Nowhere,
    /// In a system of a tick.
    System,
    /// When a client joins.
    Join,
    /// When a client leaves.
    Leave,
    /// When the position of an entity is requested.
    Place,
    /// When the team of an entity is requested.
    Team,
    /// When a command is decoded.
    Command,
}

thread_local! {
    static COMMANDS_BREAK: Cell<bool> = const { Cell::new(false) };
}

/// A command of [`Race`]'s clients whose decoding may panic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FragilePush(Push);

impl Command for FragilePush {
    fn write(&self, writer: &mut BitWriter) {
        self.0.write(writer);
    }

    fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        assert!(!COMMANDS_BREAK.get(), "a planted panic in Command");
        Push::read(reader).map(Self)
    }
}

/// A game for [`Race`]'s clients without runners that panics on request.
#[derive(Clone)]
pub struct Fragile(Arc<AtomicU8>);

impl Default for Fragile {
    fn default() -> Self {
        COMMANDS_BREAK.set(false);
        Self(Arc::new(AtomicU8::new(0)))
    }
}

impl Fragile {
    /// Sets the place of the panic; [`Where::Command`] affects this thread only.
    pub fn set(&self, place: Where) {
        self.0.store(place as u8, Ordering::Relaxed);
        COMMANDS_BREAK.set(place == Where::Command);
    }

    fn pass(&self, place: Where) {
        assert!(
            self.0.load(Ordering::Relaxed) != place as u8,
            "a planted panic in {place:?}"
        );
    }
}

impl Game for Fragile {
    type Command = FragilePush;

    fn registry(&self) -> Result<Registry, SchemaError> {
        Race.registry()
    }

    fn insert_resources(&self, world: &mut World) {
        Race.insert_resources(world);
    }

    fn populate(&self, world: &mut World, seed: u64) {
        Race.populate(world, seed);
    }

    fn add_systems(&self, systems: &mut Systems) {
        let own = self.clone();
        systems.add("break", move |_: Res<'_, CurrentTick>| {
            own.pass(Where::System)
        });
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        self.pass(Where::Join);
        Race.join(world, client)
    }

    fn leave(&self, world: &mut World, client: ClientId) {
        self.pass(Where::Leave);
        Race.leave(world, client);
    }

    fn place(&self, _: KindId, _: &[u32]) -> Option<Vec2> {
        self.pass(Where::Place);
        Some(Vec2::ZERO)
    }

    fn team(&self, _: KindId, _: &[u32]) -> u8 {
        self.pass(Where::Team);
        0
    }
}

/// A room without a world that panics in one of its methods.
pub struct Brittle {
    config: RoomConfig,
    timeline: Timeline,
    clients: Vec<ClientId>,
    schema: u64,
    breaks: &'static str,
}

impl Brittle {
    /// Creates a room at 20 Hz for clients of `schema`. It panics in the method named `breaks`
    /// after its fourth tick.
    pub fn new(breaks: &'static str, schema: u64, now: Timestamp) -> Self {
        let config = RoomConfig {
            tick_rate: 20,
            ..RoomConfig::default()
        };
        Self {
            config,
            timeline: Timeline::new(20, Tick(1), now),
            clients: Vec::new(),
            schema,
            breaks,
        }
    }

    fn pass(&self, method: &str) {
        assert!(
            self.breaks != method || self.timeline.next().0 < 5,
            "a planted panic in {method}"
        );
    }
}

impl Room for Brittle {
    fn config(&self) -> &RoomConfig {
        &self.config
    }

    fn schema_hash(&self) -> u64 {
        self.schema
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn due(&mut self, now: Timestamp) -> Due {
        self.pass("due");
        self.timeline.due(now)
    }

    fn population(&self) -> usize {
        self.pass("population");
        self.clients.len()
    }

    fn has(&self, client: ClientId) -> bool {
        self.pass("has");
        self.clients.contains(&client)
    }

    fn suspend(&mut self, _: ClientId) {
        self.pass("suspend");
    }

    fn resume(&mut self, _: ClientId, _: Resume) {
        self.pass("resume");
    }

    fn join(&mut self, client: ClientId, _: UserId, _: Role) {
        self.pass("join");
        self.clients.push(client);
    }

    fn leave(&mut self, client: ClientId, _: bool) {
        self.pass("leave");
        self.clients.retain(|other| *other != client);
    }

    fn receive_commands(
        &mut self,
        _: ClientId,
        _: BitReader<'_>,
        _: Timestamp,
    ) -> Result<(), WireError> {
        self.pass("receive_commands");
        Ok(())
    }

    fn receive_message(
        &mut self,
        _: ClientId,
        _: Channel,
        _: &[u8],
        _: Timestamp,
    ) -> Result<(), WireError> {
        self.pass("receive_message");
        Ok(())
    }

    fn simulate(&mut self, _: Timestamp) {
        self.pass("simulate");
        self.timeline.advance();
    }

    fn has_pending_output(&mut self, _: Timestamp) -> bool {
        self.pass("has_news");
        false
    }

    fn awaits_news(&self) -> bool {
        self.pass("awaits_news");
        false
    }

    fn messages(&mut self, _: ClientId, _: Timestamp, _: &mut dyn Outbox) {
        self.pass("messages");
    }

    fn tick_sent(&mut self, _: Timestamp, _: bool, _: Timestamp) {
        self.pass("tick_sent");
    }

    fn is_overwhelmed(&self, _: ClientId) -> bool {
        self.pass("is_overwhelmed");
        false
    }

    fn metrics(&self) -> RoomMetrics {
        self.pass("metrics");
        RoomMetrics {
            ticks: u64::from(self.timeline.next().0) - 1,
            ..RoomMetrics::default()
        }
    }

    fn abandon(&mut self) {
        panic!("and once more at the end");
    }
}
