//! Checks a late server: it sends only the newest of several due ticks, and does not take packets
//! that arrived in time for a flood.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_netcode::limits::PACKETS_PER_TICK;
use truetick_netcode::session::ClientId;
use truetick_netcode::time::Timestamp;

/// Time after a late tick for which a server counts as late.
const LATE_FOR: Duration = Duration::from_millis(500);

/// Packets that a path may send at once beyond the average.
const BURST: f64 = 32.0 * PACKETS_PER_TICK as f64;

/// Packets by which the allowance must be exceeded, so that clock drift makes no difference.
const SPARE: f64 = 3.0;

/// Packets that a path may send, and the time of that allowance.
struct Allowed {
    packets: f64,
    at: Timestamp,
}

/// The server's work in one wake-up.
pub(crate) struct Ran {
    /// Number of ticks run.
    pub ticks: u32,
    /// Whether the ticks were late.
    pub is_late: bool,
    /// Snapshots made before, by client.
    pub before: Vec<(ClientId, u64)>,
    /// Snapshots made after, by client.
    pub after: Vec<(ClientId, u64)>,
}

/// A packet that the server counted against the packet limit of its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedPacket {
    /// Index of the path.
    pub path: usize,
    /// Time of arrival on the server's clock.
    pub arrived: Timestamp,
    /// Ticks per second of the server.
    pub rate: u32,
    /// Whether the server dropped the packet as part of a flood.
    pub dropped: bool,
}

/// Checks what a late server sends and drops.
#[derive(Default)]
pub(crate) struct LatenessCheck {
    /// First and last time at which the server was late.
    late: Option<(Timestamp, Timestamp)>,
    /// Time of the last run, and of the one before.
    ran_at: [Timestamp; 2],
    allowed: BTreeMap<usize, Allowed>,
}

impl LatenessCheck {
    /// Checks a run of the server.
    pub fn ran(&mut self, ran: &Ran, now: Timestamp, wrong: &mut Vec<String>) {
        self.ran_at = [now, self.ran_at[0]];
        if ran.is_late {
            self.late = Some((self.since(now).unwrap_or(now), now));
        }
        for (id, snapshots) in &ran.after {
            let known = ran
                .before
                .iter()
                .find(|(other, _)| other == id)
                .map(|(_, snapshots)| *snapshots);
            if known.is_some_and(|known| *snapshots > known + 1) {
                let ticks = ran.ticks;
                wrong.push(format!(
                    "client number {} was sent more than one of {ticks} ticks due at once",
                    id.0
                ));
            }
        }
    }

    /// Returns the time of the run before the last.
    pub(crate) fn ran_before(&self) -> Timestamp {
        self.ran_at[1]
    }

    /// Returns the time since which the server is late, if it is.
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        self.late
            .filter(|(_, last)| now.since(*last) < LATE_FOR)
            .map(|(first, _)| first)
    }

    /// Checks whether a packet was rightly taken or dropped as a flood.
    pub fn came(&mut self, packet: CountedPacket, wrong: &mut Vec<String>) {
        let CountedPacket {
            path,
            arrived,
            rate,
            dropped,
        } = packet;
        let allowed = self.allowed.entry(path).or_insert(Allowed {
            packets: BURST,
            at: arrived,
        });
        let per_second = f64::from(PACKETS_PER_TICK * rate);
        let earned = arrived.since(allowed.at).as_secs_f64() * per_second;
        *allowed = Allowed {
            packets: (allowed.packets + earned).min(BURST),
            at: arrived.max(allowed.at),
        };
        if dropped && allowed.packets > SPARE {
            wrong.push(format!(
                "path {path}: taken for a flood with {:.0} packets to spare",
                allowed.packets
            ));
        }
        allowed.packets = (allowed.packets - 1.0).max(0.0);
    }
}
