//! What a server that is late must not do: send what newer ticks say anyway, or take for a flood
//! what came in time.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_netcode::limits::PACKETS_PER_TICK;
use truetick_netcode::session::ClientId;
use truetick_netcode::time::Timestamp;

/// A server is late for so long after a late tick.
const LATE_FOR: Duration = Duration::from_millis(500);

/// Packets that may come on a path at once beyond the average.
const BURST: f64 = 32.0 * PACKETS_PER_TICK as f64;

/// A packet is no flood's if so many more were allowed: clocks that run apart make no difference.
const SPARE: f64 = 3.0;

/// Packets that a path may send at present, and when that was so.
struct Allowed {
    packets: f64,
    at: Timestamp,
}

/// What the server did when it woke.
pub struct Ran {
    /// Ticks that it ran.
    pub ticks: u32,
    /// Whether they were late.
    pub is_late: bool,
    /// Snapshots made before, by client.
    pub before: Vec<(ClientId, u64)>,
    /// Snapshots made after, by client.
    pub after: Vec<(ClientId, u64)>,
}

/// See the module.
#[derive(Default)]
pub struct LatenessCheck {
    /// When the server was late first and last.
    late: Option<(Timestamp, Timestamp)>,
    /// When it ran last, and the time before.
    ran_at: [Timestamp; 2],
    allowed: BTreeMap<usize, Allowed>,
}

impl LatenessCheck {
    /// The server ran.
    pub fn ran(&mut self, ran: &Ran, now: Timestamp, wrong: &mut Vec<String>) {
        self.ran_at = [now, self.ran_at[0]];
        if ran.is_late {
            self.late = Some((self.since(now).unwrap_or(now), now));
        }
        for (id, snapshots) in &ran.after {
            let known =
                ran.before.iter().find(|(other, _)| other == id).map(|(_, snapshots)| *snapshots);
            if known.is_some_and(|known| *snapshots > known + 1) {
                let ticks = ran.ticks;
                wrong.push(format!(
                    "client number {} was sent more than one of {ticks} ticks due at once",
                    id.0
                ));
            }
        }
    }

    /// When the server ran the time before the last.
    pub fn ran_before(&self) -> Timestamp {
        self.ran_at[1]
    }

    /// Since when the server is late, if it is.
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        self.late.filter(|(_, last)| now.since(*last) < LATE_FOR).map(|(first, _)| first)
    }

    /// A packet came on a path, and was taken for a flood's or not.
    pub fn came(
        &mut self,
        path: usize,
        (rate, arrived): (u32, Timestamp),
        dropped: bool,
        wrong: &mut Vec<String>,
    ) {
        let allowed = self.allowed.entry(path).or_insert(Allowed { packets: BURST, at: arrived });
        let per_second = f64::from(PACKETS_PER_TICK * rate);
        let earned = arrived.since(allowed.at).as_secs_f64() * per_second;
        *allowed =
            Allowed { packets: (allowed.packets + earned).min(BURST), at: arrived.max(allowed.at) };
        if dropped && allowed.packets > SPARE {
            wrong.push(format!(
                "path {path}: taken for a flood with {:.0} packets to spare",
                allowed.packets
            ));
        }
        allowed.packets = (allowed.packets - 1.0).max(0.0);
    }
}
