//! The contract between a server and a room, whatever the room contains.

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

/// Settings of a room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoomConfig {
    /// Ticks per second, 10 to 128.
    pub tick_rate: u32,
    /// Maximum number of players.
    pub max_clients: usize,
    /// Maximum number of spectators in addition to the players.
    pub max_spectators: usize,
    /// Maximum bytes of state per client and tick. Updates over budget are deferred by priority.
    pub snapshot_bytes: usize,
    /// Bytes of state that a snapshot may carry even over a congested path.
    pub snapshot_floor_bytes: usize,
    /// Distance in metres beyond which entities are not sent to a player; `None` for no limit.
    pub relevance_radius_m: Option<f32>,
    /// Minimum time for which the last command replaces a missing one. The time is a round trip,
    /// limited by this value and [`RoomConfig::longest_repeat`]. After it the neutral command
    /// (`Command::default()`) is used.
    pub shortest_repeat: Duration,
    /// Maximum time for which the last command replaces a missing one; see
    /// [`RoomConfig::shortest_repeat`].
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

/// Queue of the messages to one client.
pub trait Outbox {
    /// Bytes of messages that wait to be sent or acknowledged.
    fn waiting_bytes(&self) -> usize;
    /// Queues a message on a channel.
    fn send(&mut self, channel: Channel, message: Vec<u8>);
}

/// A room as the server drives it.
pub trait Room: Send {
    /// Settings of the room.
    fn config(&self) -> &RoomConfig;
    /// Hash of what clients must be built with to decode the room's output.
    fn schema_hash(&self) -> u64;
    /// Deadlines of the room's ticks.
    fn timeline(&self) -> &Timeline;
    /// Determines which ticks are due; see [`Timeline::due`].
    fn due(&mut self, now: Timestamp) -> Due;
    /// Number of clients in the room, including those that join at the next tick.
    fn population(&self) -> usize;
    /// Number of spectators among the clients in the room.
    fn spectators(&self) -> usize {
        0
    }
    /// Whether the room has no free place for a role.
    fn is_full(&self, role: Role) -> bool {
        match role {
            Role::Player => self.population() - self.spectators() >= self.config().max_clients,
            Role::Spectator => self.spectators() >= self.config().max_spectators,
        }
    }
    /// Whether a client is in the room or joins at the next tick.
    fn has(&self, client: ClientId) -> bool;
    /// Suspends a client that has fallen silent. Its entities are kept and stand still.
    fn suspend(&mut self, client: ClientId);
    /// Resumes a suspended client. With [`Resume::Restarted`] the client holds none of the earlier
    /// state, and its commands begin from the start.
    fn resume(&mut self, client: ClientId, resume: Resume);
    /// Whether the room admits spectators.
    fn takes_spectators(&self) -> bool {
        false
    }
    /// Adds a client at the next tick.
    fn join(&mut self, client: ClientId, user: UserId, role: Role);
    /// Removes a client at the next tick. `lost` if it did not leave by itself.
    fn leave(&mut self, client: ClientId, lost: bool);
    /// Processes the commands of a packet, which end the packet.
    ///
    /// # Errors
    /// If the commands are malformed, or the room takes none from this client.
    fn receive_commands(
        &mut self,
        _client: ClientId,
        _reader: BitReader<'_>,
        _arrived: Timestamp,
    ) -> Result<(), WireError> {
        Err(WireError::Misbehaving("commands to a room that takes none"))
    }
    /// Processes a message on a channel other than the session stream.
    ///
    /// # Errors
    /// If the message is malformed, or the room takes none.
    fn receive_message(
        &mut self,
        _client: ClientId,
        _channel: Channel,
        _message: &[u8],
        _arrived: Timestamp,
    ) -> Result<(), WireError> {
        Err(WireError::Misbehaving(
            "a message to a room that takes none",
        ))
    }
    /// Runs the next tick. `now` is the time at which its commands were drained.
    fn simulate(&mut self, now: Timestamp);
    /// Whether there is output, between two ticks, that need not wait for the next one.
    fn has_pending_output(&mut self, _now: Timestamp) -> bool {
        false
    }
    /// Whether the room expects such output soon, before its next tick.
    fn awaits_news(&self) -> bool {
        false
    }
    /// Queues the messages that are due to a client.
    fn messages(&mut self, client: ClientId, now: Timestamp, outbox: &mut dyn Outbox);
    /// Records that all packets of a tick were handed to the transports. `drained` is the time at
    /// which its commands were drained, `skipped` whether the timeline skipped slots.
    fn tick_sent(&mut self, drained: Timestamp, skipped: bool, now: Timestamp);
    /// Whether a client must be disconnected because it does not keep up with its output.
    fn is_overwhelmed(&self, client: ClientId) -> bool;
    /// The first fault of the game's own code since the last report and the number of faults; for
    /// the log.
    fn poll_fault(&mut self, _now: Timestamp) -> Option<(GameFault, u64)> {
        None
    }
    /// Figures of the room so far.
    fn metrics(&self) -> RoomMetrics;
    /// The message of the panic that ended the room; `None` while it runs. Only
    /// [`GuardedRoom`](super::guarded_room::GuardedRoom), which the server puts around every room,
    /// reports an end.
    fn failure(&self) -> Option<&str> {
        None
    }
    /// Closes what the room writes to, after one of its methods has panicked. It is the last call
    /// before figures and recording are taken, and must not wait.
    fn abandon(&mut self) {}
    /// The world of the room, if it has one.
    fn world(&self) -> Option<&dyn WorldAccess> {
        None
    }
    /// Mutable access to the world of the room, if it has one.
    fn world_mut(&mut self) -> Option<&mut dyn WorldAccess> {
        None
    }
}
