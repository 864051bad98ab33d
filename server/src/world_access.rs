//! The contract between a server and a room with a world, whose clients get snapshots.

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

/// A room with a world.
pub trait WorldAccess: Room {
    /// Records that the client has acknowledged a packet.
    fn packet_acked(&mut self, client: ClientId, sequence: Sequence);
    /// Resends everything whole, because the client's copy is in doubt.
    fn resync(&mut self, client: ClientId);
    /// Decides the content of a client's snapshot of up to `budget` bytes. Returns `false` if the
    /// client is not in the world yet.
    fn plan_snapshot(&mut self, client: ClientId, budget: usize, round_trip: Duration) -> bool;
    /// Writes the next packet of the planned snapshot. `packet` is its sequence and its maximum
    /// size in bytes. Returns `true` if another packet must follow.
    fn write_snapshot(
        &mut self,
        client: ClientId,
        packet: (Sequence, usize),
        now: Timestamp,
        writer: &mut BitWriter,
    ) -> bool;
    /// Records that a client's whole snapshot was handed to the transport.
    fn snapshot_sent(&mut self, client: ClientId, packets: u64, bytes: u64, now: Timestamp);
    /// Counts of one client's commands; `None` if the client is not in the world.
    fn command_counts(&self, client: ClientId) -> Option<CommandCounts>;
    /// Hash of all that the world's future depends on, apart from its input.
    fn world_hash(&self) -> u64;
    /// Sets the radius of relevance in metres, from the next tick on; `None` for no limit.
    fn set_relevance_radius(&mut self, radius_m: Option<f32>);
    /// The quantised states of the world's entities.
    fn ring(&self) -> &StateRing;
    /// What differs between the state that a client decoded and that of the server.
    fn explain(&self, client: ClientId, report: &MismatchReport) -> Divergence;
    /// Begins a recording with the world as it is now.
    fn start_recording(&mut self, config: RecorderConfig);
    /// Takes the next chunk of the recording, to be stored.
    fn poll_recording(&mut self) -> Option<Chunk>;
    /// Ends the recording. The chunks that are left must still be polled.
    fn finish_recording(&mut self);
    /// Stops the recording and discards the chunks that were not polled.
    fn stop_recording(&mut self);
    /// What a client holds of the world, as far as the server knows.
    fn view(&self, client: ClientId) -> Option<&ClientView>;
}
