//! What a server asks of a room, whatever happens in it.

use std::time::Duration;

use truetick_netcode::bits::BitReader;
use truetick_netcode::channel::Channel;
use truetick_netcode::error::WireError;
use truetick_netcode::limits::{LONGEST_REPEAT, REPEAT};
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::time::Timestamp;

use super::game_fault::GameFault;
use super::metrics::RoomMetrics;
use super::timeline::{Due, Timeline};
use super::world_access::WorldAccess;

/// How a room runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoomConfig {
    /// Ticks per second, 10 to 128.
    pub tick_rate: u32,
    /// Players at once.
    pub max_clients: usize,
    /// Spectators at once beside them.
    pub max_spectators: usize,
    /// Most bytes of state per client and tick; what does not fit waits by priority.
    pub snapshot_bytes: usize,
    /// As many are sent over a path that is full, too.
    pub snapshot_floor_bytes: usize,
    /// Entities further away than this are not sent; `None` for no limit.
    pub relevance_radius_m: Option<f32>,
    /// A missing command is replaced by the last one for a round trip, but for at least and at most
    /// so long; then by the neutral one (`Command::default()`).
    pub shortest_repeat: Duration,
    /// See [`RoomConfig::shortest_repeat`].
    pub longest_repeat: Duration,
    /// Seed of the world's rng.
    pub seed: u64,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            tick_rate: 60,
            max_clients: 256,
            max_spectators: 256,
            snapshot_bytes: 2_400,
            snapshot_floor_bytes: 400,
            relevance_radius_m: Some(45.0),
            shortest_repeat: REPEAT,
            longest_repeat: LONGEST_REPEAT,
            seed: 1,
        }
    }
}

/// The way of a client's messages.
pub trait Outbox {
    /// Bytes of messages that still wait to be sent or acknowledged.
    fn waiting_bytes(&self) -> usize;
    /// Queues a message.
    fn send(&mut self, channel: Channel, message: Vec<u8>);
}

/// A room, whatever happens in it.
pub trait Room: Send {
    /// How it runs.
    fn config(&self) -> &RoomConfig;
    /// Hash of what clients must be built with to understand it.
    fn schema_hash(&self) -> u64;
    /// Its deadlines.
    fn timeline(&self) -> &Timeline;
    /// Which ticks are due; see [`Timeline::due`].
    fn due(&mut self, now: Timestamp) -> Due;
    /// Clients in the room, those that will join at the next tick included.
    fn population(&self) -> usize;
    /// Of them, those that watch.
    fn spectators(&self) -> usize {
        0
    }
    /// Whether no place is left for a role.
    fn is_full(&self, role: Role) -> bool {
        match role {
            Role::Player => self.population() - self.spectators() >= self.config().max_clients,
            Role::Spectator => self.spectators() >= self.config().max_spectators,
        }
    }
    /// Whether a client is in the room, or will be at the next tick.
    fn has(&self, client: ClientId) -> bool;
    /// A client has fallen silent: what it owns stays, and stands still.
    fn suspend(&mut self, client: ClientId);
    /// A client is back. `anew` if it holds nothing of what it was told before and begins its
    /// commands anew.
    fn resume(&mut self, client: ClientId, resume: Resume);
    /// Whether clients may come to watch.
    fn takes_spectators(&self) -> bool {
        false
    }
    /// A client will join at the next tick.
    fn join(&mut self, client: ClientId, user: UserId, role: Role);
    /// A client will be gone at the next tick; `lost` if it did not leave by itself.
    fn leave(&mut self, client: ClientId, lost: bool);
    /// Takes in a packet's commands, the last that it holds.
    fn receive_commands(
        &mut self,
        _client: ClientId,
        _reader: BitReader<'_>,
        _arrived: Timestamp,
    ) -> Result<(), WireError> {
        Err(WireError::Misbehaving("commands to a room that takes none"))
    }
    /// Takes in a message on a channel that is not the session's own.
    fn receive_message(
        &mut self,
        _client: ClientId,
        _channel: Channel,
        _message: &[u8],
        _arrived: Timestamp,
    ) -> Result<(), WireError> {
        Err(WireError::Misbehaving("a message to a room that takes none"))
    }
    /// Runs the next tick; `now` is when its commands were drained.
    fn simulate(&mut self, now: Timestamp);
    /// Between two ticks: whether there is something to tell that need not wait for the next.
    fn has_pending_output(&mut self, _now: Timestamp) -> bool {
        false
    }
    /// Whether there will be such soon.
    fn awaits_news(&self) -> bool {
        false
    }
    /// Hands out what a client is to be told now.
    fn messages(&mut self, client: ClientId, now: Timestamp, outbox: &mut dyn Outbox);
    /// All of a tick's packets were handed over; `drained` is when its commands were taken.
    fn tick_sent(&mut self, drained: Timestamp, skipped: bool, now: Timestamp);
    /// Whether a client must be sent away because it takes too little of what it is told.
    fn is_overwhelmed(&self, client: ClientId) -> bool;
    /// The first fault of the game's own code since the last call that returned one, and how many
    /// there were; for the log.
    fn poll_fault(&mut self, _now: Timestamp) -> Option<(GameFault, u64)> {
        None
    }
    /// Figures so far.
    fn metrics(&self) -> RoomMetrics;
    /// Why the room has ended: the message of the panic that ended it. `None` while it runs. Only
    /// [`GuardedRoom`](super::guarded_room::GuardedRoom), which the server puts around every room,
    /// knows of an end.
    fn failure(&self) -> Option<&str> {
        None
    }
    /// Closes what the room writes to, after one of its methods has panicked. It is the last call
    /// before figures and recording are taken; it must not wait.
    fn abandon(&mut self) {}
    /// The world in it, if there is one.
    fn world(&self) -> Option<&dyn WorldAccess> {
        None
    }
    /// The world in it, if there is one.
    fn world_mut(&mut self) -> Option<&mut dyn WorldAccess> {
        None
    }
}
