//! Figures of a running server: counts, statistics and what failed.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_netcode::session::drops::Drops;
use truetick_netcode::transport::TransportKind;
use truetick_transport::quic::QuicStats;
use truetick_transport::udp::UdpStats;

use crate::metrics::RoomMetrics;

/// Figures of a running server.
#[derive(Clone, Debug, Default)]
pub struct HostReport {
    /// Figures of the first room.
    pub room: RoomMetrics,
    /// Figures of the other rooms, in the order of their numbers.
    pub other_rooms: Vec<RoomMetrics>,
    /// Ticks per second of the first room; 0 without rooms.
    pub tick_rate: u32,
    /// Datagrams dropped, by reason.
    pub drops: Drops,
    /// Number of sessions, including parked ones.
    pub sessions: usize,
    /// Statistics of the UDP socket.
    pub udp: UdpStats,
    /// Statistics of QUIC: what was dropped, and which connections were closed.
    pub quic: QuicStats,
    /// Bytes of UDP payload sent by each transport, including all overhead.
    pub wire: BTreeMap<TransportKind, u64>,
    /// Processor time of the server's threads since the start, including those of QUIC.
    pub cpu: Duration,
    /// Bytes that the kernel granted to the UDP socket for datagrams not yet read.
    pub receive_buffer: usize,
    /// Why the recording ended before the room; `None` if it did not.
    pub recording_lost: Option<String>,
    /// The rooms that ended by a panic: their numbers and the messages of the panics.
    pub failed_rooms: Vec<(usize, String)>,
    /// Mismatch reports that were counted but not explained, because too many arrived.
    pub unexplained_reports: u64,
}

impl HostReport {
    /// The figures of all rooms added up.
    pub fn all_rooms(&self) -> RoomMetrics {
        let mut all = self.room.clone();
        self.other_rooms.iter().for_each(|room| all.merge(room));
        all
    }
}
