//! What a server asks of a room with a world in it, of which clients get snapshots.

use std::time::Duration;

use truetick_netcode::bits::BitWriter;
use truetick_netcode::messages::MismatchReport;
use truetick_netcode::replication::client_view::ClientView;
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::sequence::Sequence;
use truetick_netcode::session::ClientId;
use truetick_netcode::time::Timestamp;

use super::command_queue::CommandCounts;
use super::room::Room;
use crate::recording::difference::Divergence;
use crate::recording::recorder::{Chunk, RecorderConfig};

/// A room with a world in it.
pub trait WorldAccess: Room {
    /// The client took over what this packet carried.
    fn packet_acked(&mut self, client: ClientId, sequence: Sequence);
    /// The client's copy is in doubt: send everything whole.
    fn resync(&mut self, client: ClientId);
    /// Decides what a client's snapshot of up to `budget` bytes holds. False if the client is not
    /// in the world yet.
    fn plan_snapshot(&mut self, client: ClientId, budget: usize, round_trip: Duration) -> bool;
    /// Writes the next packet of the planned snapshot, numbered and of so many bytes at most; true
    /// if another must follow.
    fn write_snapshot(
        &mut self,
        client: ClientId,
        packet: (Sequence, usize),
        now: Timestamp,
        writer: &mut BitWriter,
    ) -> bool;
    /// All of a client's snapshot was handed to the network.
    fn snapshot_sent(&mut self, client: ClientId, packets: u64, bytes: u64, now: Timestamp);
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
