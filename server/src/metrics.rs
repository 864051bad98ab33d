//! Counts and measurements of a server. All times come from the caller.

use std::time::Duration;

use hdrhistogram::Histogram;
use truetick_netcode::replication::client_view::ViewStats;
use truetick_netcode::time::Timestamp;

use super::command_queue::CommandCounts;

/// Histogram of durations, 1 us to 60 s, with two significant digits.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 2);
        Self(histogram.unwrap_or_else(|_| unreachable!("constant bounds are valid")))
    }
}

impl Times {
    /// Adds a duration. A duration out of range counts as the nearest bound.
    pub fn add(&mut self, time: Duration) {
        self.0
            .saturating_record(time.as_micros().min(u128::from(u64::MAX)) as u64);
    }

    /// Adds all durations of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// The quantile `share` (0 to 1) in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    /// The longest duration in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

/// Figures of one room since its start.
#[derive(Clone, Debug, Default)]
pub struct RoomMetrics {
    /// Number of ticks simulated.
    pub ticks: u64,
    /// Ticks before which slots were skipped, or whose last snapshot left after the next deadline.
    pub missed_ticks: u64,
    /// Time from a tick's drain to the handing over of its last snapshot.
    pub tick_time: Times,
    /// Time from a command's arrival to the handing over of the first snapshot with its effect.
    pub arrival_to_sent: Times,
    /// Commands of all clients, including those that have left.
    pub commands: CommandCounts,
    /// Number of clients that joined.
    pub joined: u64,
    /// Number of times that a silent client resumed.
    pub resumed: u64,
    /// Number of clients that did not leave by themselves: timed out, overflowed or misbehaved.
    pub lost: u64,
    /// Number of orders that were submitted to a journal.
    pub orders: u64,
    /// Number of commands that were refused before they became orders.
    pub refused: u64,
    /// Time from the submission of an entry to the journal until its release after it became
    /// durable.
    pub commit: Times,
    /// Number of snapshot packets sent.
    pub packets_out: u64,
    /// Bytes of the snapshot packets sent.
    pub bytes_out: u64,
    /// Number of snapshots sent, one per client and tick.
    pub snapshots: u64,
    /// Relevant entities, summed over snapshots.
    pub relevant: u64,
    /// Number of entity updates sent.
    pub updates: u64,
    /// Number of entity updates deferred for lack of budget.
    pub deferred: u64,
    /// Bits of state sent.
    pub state_bits: u64,
    /// Number of values that the game wrote out of their fields' ranges and that were clamped.
    pub fields_clamped: u64,
    /// Number of events of the game that could not be sent: too large, or on a channel that does
    /// not exist.
    pub events_refused: u64,
    /// Number of encoded entities that were requested, and number of those that had to be encoded.
    pub encode_sharing: (u64, u64),
    /// Number of entities that were encoded for one client each, apart from
    /// [`Self::encode_sharing`].
    pub encoded_individually: u64,
}

impl RoomMetrics {
    /// Records that a tick, drained at `drained`, was sent; `missed` if it ended too late.
    pub fn tick_sent(&mut self, drained: Timestamp, now: Timestamp, missed: bool) {
        self.tick_time.add(now.since(drained));
        self.missed_ticks += u64::from(missed);
    }

    /// Adds the counts of one client's view.
    pub(crate) fn add_view(&mut self, view: ViewStats) {
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
