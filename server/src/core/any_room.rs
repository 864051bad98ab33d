//! What a server asks of a room, whatever its game.

use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::error::WireError;
use truetick_netcode::messages::MismatchReport;
use truetick_netcode::replication::client_view::ClientView;
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::sequence::Sequence;
use truetick_netcode::session::ClientId;
use truetick_netcode::time::Timestamp;

use super::command_queue::CommandCounts;
use super::game::GameEvent;
use super::metrics::RoomMetrics;
use super::timeline::{Due, Timeline};
use crate::recording::difference::Divergence;
use crate::recording::recorder::{Chunk, RecorderConfig};

/// How a room runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoomConfig {
    /// Ticks per second, 10 to 128.
    pub tick_rate: u32,
    /// Clients at once.
    pub max_clients: usize,
    /// Most bytes of state per client and tick; what does not fit waits by priority.
    pub snapshot_bytes: usize,
    /// As many are sent over a path that is full, too.
    pub snapshot_floor_bytes: usize,
    /// Entities further away than this are not sent; `None` for no limit.
    pub relevance_radius_m: Option<f32>,
    /// Seed of the world's own chances.
    pub seed: u64,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            tick_rate: 60,
            max_clients: 256,
            snapshot_bytes: 2_400,
            snapshot_floor_bytes: 400,
            relevance_radius_m: Some(45.0),
            seed: 1,
        }
    }
}

/// A room, whatever its game.
pub trait AnyRoom: Send {
    /// How it runs.
    fn config(&self) -> &RoomConfig;
    /// Hash of its schema.
    fn schema_hash(&self) -> u64;
    /// Its deadlines.
    fn timeline(&self) -> &Timeline;
    /// Which ticks are due; see [`Timeline::due`].
    fn due(&mut self, now: Timestamp) -> Due;
    /// Clients in the room, those that will join at the next tick included.
    fn population(&self) -> usize;
    /// Whether a client is in the room, or will be at the next tick.
    fn has(&self, client: ClientId) -> bool;
    /// A client has fallen silent: what it owns stays, and stands still.
    fn suspend(&mut self, client: ClientId);
    /// A client is back. `anew` if it holds nothing of what it was told before and begins its commands anew.
    fn resume(&mut self, client: ClientId, anew: bool);
    /// A client will join at the next tick.
    fn join(&mut self, client: ClientId);
    /// A client will be gone at the next tick; `lost` if it did not leave by itself.
    fn leave(&mut self, client: ClientId, lost: bool);
    /// Takes in a packet's commands, the last that it holds.
    fn receive_commands(
        &mut self,
        client: ClientId,
        reader: BitReader<'_>,
        arrived: Timestamp,
    ) -> Result<(), WireError>;
    /// The client took over what this packet carried.
    fn packet_acked(&mut self, client: ClientId, sequence: Sequence);
    /// The client's copy is in doubt: send everything whole.
    fn resync(&mut self, client: ClientId);
    /// Runs the next tick.
    fn simulate(&mut self);
    /// What the game tells clients since the last call, encoded.
    fn take_events(&mut self) -> Vec<(GameEvent, Vec<u8>)>;
    /// Decides what a client's snapshot of up to `budget` bytes holds. False if the client is not in the world yet.
    fn plan_snapshot(&mut self, client: ClientId, budget: usize) -> bool;
    /// Whether the client acknowledges so little that its session must end.
    fn is_overwhelmed(&self, client: ClientId) -> bool;
    /// Writes the next packet of the planned snapshot; true if another must follow.
    fn write_snapshot(
        &mut self,
        client: ClientId,
        sequence: Sequence,
        now: Timestamp,
        writer: &mut BitWriter,
    ) -> bool;
    /// All of a client's snapshot was handed to the network.
    fn snapshot_sent(&mut self, client: ClientId, packets: u64, bytes: u64, now: Timestamp);
    /// All snapshots of a tick were handed over; `drained` is when its commands were taken.
    fn tick_sent(&mut self, drained: Timestamp, slipped: bool, now: Timestamp);
    /// Figures so far.
    fn metrics(&self) -> RoomMetrics;
    /// Counts of one client's commands.
    fn command_counts(&self, client: ClientId) -> Option<CommandCounts>;
    /// Hash of everything that the world's future follows from, but for its input.
    fn world_hash(&self) -> u64;
    /// From the next tick on clients see so far, in metres; `None` for no limit.
    fn set_relevance_radius(&mut self, radius_m: Option<f32>);
    /// The world's quantised copies.
    fn ring(&self) -> &StateRing;
    /// What differs between what a client decoded and what the server has.
    fn explain(&self, client: ClientId, report: &MismatchReport) -> Divergence;
    /// Records from now on, beginning with the world as it is.
    fn start_recording(&mut self, config: RecorderConfig);
    /// The next bytes of the recording to be kept.
    fn poll_recording(&mut self) -> Option<Chunk>;
    /// Ends the recording; what is left of it is still to be polled.
    fn finish_recording(&mut self);
    /// Records no more, and forgets what was not polled.
    fn stop_recording(&mut self);
    /// What a client holds of the world, as far as the server knows.
    fn view(&self, client: ClientId) -> Option<&ClientView>;
}
