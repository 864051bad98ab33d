//! What a server counts and measures. All times come from the caller.

use std::time::Duration;

use hdrhistogram::Histogram;
use truetick_netcode::replication::client_view::ViewStats;
use truetick_netcode::time::Timestamp;

use super::command_queue::CommandCounts;

/// Times in microseconds, to 60 s, at two significant digits.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 2);
        Self(histogram.unwrap_or_else(|_| unreachable!("constant bounds are valid")))
    }
}

impl Times {
    /// Adds one time; what is out of range counts as the nearest end.
    pub fn add(&mut self, time: Duration) {
        self.0.saturating_record(time.as_micros().min(u128::from(u64::MAX)) as u64);
    }

    /// Adds all of another's times.
    pub fn merge(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// The time below which a share (0 to 1) of all lies, in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    /// The longest, in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

/// Figures of one room since its start.
#[derive(Clone, Debug, Default)]
pub struct RoomMetrics {
    /// Ticks simulated.
    pub ticks: u64,
    /// Ticks whose time line skipped or whose last snapshot left after the next deadline.
    pub missed_ticks: u64,
    /// From a tick's drain to the handing over of its last snapshot.
    pub tick_time: Times,
    /// From a command's arrival to the handing over of the first snapshot with its effect.
    pub arrival_to_sent: Times,
    /// Commands of all clients, gone ones included.
    pub commands: CommandCounts,
    /// Clients that joined.
    pub joined: u64,
    /// Times that a client came back to what it had left in silence.
    pub resumed: u64,
    /// Clients that are gone without having left: timed out, overflowed or misbehaved.
    pub lost: u64,
    /// Orders that were put down for a journal.
    pub orders: u64,
    /// Commands that were refused before they got into an order.
    pub refused: u64,
    /// From a tick to its being durable, and said.
    pub commit: Times,
    /// Snapshot packets sent.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Snapshots sent, one per client and tick.
    pub snapshots: u64,
    /// Relevant entities, summed over snapshots.
    pub relevant: u64,
    /// Entity updates sent.
    pub updates: u64,
    /// Entity updates put off for lack of budget.
    pub deferred: u64,
    /// Bits of state sent.
    pub state_bits: u64,
    /// Values that the game wrote out of their fields' ranges, and that were clamped.
    pub fields_clamped: u64,
    /// Events of the game that could not be sent: too large, or on a channel that does not exist.
    pub events_refused: u64,
    /// Encoded entities asked for, and those of them that had to be encoded.
    pub encode_sharing: (u64, u64),
    /// Entities that were encoded for one client each, beside those of [`Self::encode_sharing`].
    pub encoded_individually: u64,
}

impl RoomMetrics {
    /// A tick that was drained then has been sent; `missed` if it ended too late.
    pub fn tick_sent(&mut self, drained: Timestamp, now: Timestamp, missed: bool) {
        self.tick_time.add(now.since(drained));
        self.missed_ticks += u64::from(missed);
    }

    /// Adds what one client's view counted.
    pub fn add_view(&mut self, view: ViewStats) {
        self.relevant += view.relevant;
        self.updates += view.updates;
        self.deferred += view.deferred;
        self.state_bits += view.bits;
    }

    /// Adds another room's figures.
    pub fn merge(&mut self, other: &Self) {
        self.tick_time.merge(&other.tick_time);
        self.arrival_to_sent.merge(&other.arrival_to_sent);
        self.commit.merge(&other.commit);
        self.commands = self.commands + other.commands;
        self.encode_sharing.0 += other.encode_sharing.0;
        self.encode_sharing.1 += other.encode_sharing.1;
        for (to, from) in [
            (&mut self.ticks, other.ticks),
            (&mut self.missed_ticks, other.missed_ticks),
            (&mut self.joined, other.joined),
            (&mut self.resumed, other.resumed),
            (&mut self.lost, other.lost),
            (&mut self.orders, other.orders),
            (&mut self.refused, other.refused),
            (&mut self.packets_out, other.packets_out),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.snapshots, other.snapshots),
            (&mut self.relevant, other.relevant),
            (&mut self.updates, other.updates),
            (&mut self.deferred, other.deferred),
            (&mut self.state_bits, other.state_bits),
            (&mut self.encoded_individually, other.encoded_individually),
            (&mut self.fields_clamped, other.fields_clamped),
            (&mut self.events_refused, other.events_refused),
        ] {
            *to += from;
        }
    }
}
