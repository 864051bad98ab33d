//! Checks that memory which grows with traffic stays within its limits.

use truetick_netcode::limits::{ACK_WINDOW, CHANNEL_QUEUE_BYTES, CLIENT_VERSIONS, RING_TICKS};
use truetick_netcode::replication::state_ring::StateRing;

use super::Pair;

/// Number of reliable channels, plus one for unreliable messages.
const CHANNELS: usize = 6;

/// Checks that the server's ring keeps a bounded number of versions.
pub(crate) fn check_ring(ring: &StateRing, wrong: &mut Vec<String>) {
    // The current version, the one that it superseded, and those of the ring's ticks.
    let most = RING_TICKS as usize + 2;
    let large = ring.entries().filter(|entry| entry.state_history() > most);
    wrong.extend(large.map(|entry| {
        format!(
            "{} has {} versions in the ring",
            entry.id,
            entry.state_history()
        )
    }));
}

/// Checks that both sides of a session keep bounded windows, queues and copies.
pub(crate) fn check_client(pair: &Pair<'_>, wrong: &mut Vec<String>) {
    let own = pair.client.bot.runtime().connection();
    for connection in own.into_iter().chain([pair.server]) {
        if connection.in_flight() as u64 > 4 * ACK_WINDOW {
            wrong.push(format!(
                "client {}: {} packets in flight",
                pair.at,
                connection.in_flight()
            ));
        }
        if connection.waiting_bytes() > CHANNELS * CHANNEL_QUEUE_BYTES {
            wrong.push(format!(
                "client {}: {} bytes wait",
                pair.at,
                connection.waiting_bytes()
            ));
        }
    }
    for remote in pair.client.bot.runtime().buffer().entities() {
        let held = remote.state_history().len();
        if held > CLIENT_VERSIONS {
            wrong.push(format!(
                "client {}: {held} versions of {}",
                pair.at, remote.id
            ));
        }
    }
}
