//! The quality of play as the clients measure it.

use std::time::Duration;

use hdrhistogram::Histogram;
use truetick_netcode::client::latency::Latency;
use truetick_netcode::client::prediction::{Cause, Misprediction};
use truetick_netcode::client::runtime::ClientEvent;
use truetick_netcode::client::stats::ClientStats;
use truetick_server::metrics::Times;

use crate::bot_client::BotClient;
use crate::play::PlayFigures;

/// Figures of many clients together.
#[derive(Clone, Debug, Default)]
pub struct ClientFigures {
    /// Time from sending a command to the first snapshot with its effect.
    pub command_to_snapshot: Times,
    /// Stages of that time: to the server, wait for the tick, simulate and encode, to the client.
    pub stages: [Times; 4],
    /// Distances of wrong predictions.
    pub errors: Distances,
    /// Wrong predictions by cause: command late or missing, interaction, unexplained.
    pub causes: [u64; 3],
    /// Samples of the interpolation delay.
    pub interpolation_delay: Times,
    /// Counters summed over clients, lost sessions included; longest times are the longest of all.
    pub counts: ClientStats,
    /// Counters of the sessions that clients have lost.
    pub past: ClientStats,
    /// Time without newer states to show, summed over clients.
    pub starved: Duration,
    /// Whether clients play properly.
    pub play: PlayFigures,
    /// Number of clients in their room.
    pub joined: usize,
    /// Number of sessions that were lost.
    pub lost: usize,
    /// CPU time of the clients' thread.
    pub cpu: Duration,
    /// The server's ticks per second; 0 before a client knows it.
    pub tick_rate: u32,
}

/// A histogram of distances in millimetres, up to 1 km, with two significant digits.
#[derive(Clone, Debug)]
pub struct Distances(Histogram<u64>);

impl Default for Distances {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, 1_000_000, 2);
        Self(histogram.unwrap_or_else(|_| unreachable!("constant bounds are valid")))
    }
}

impl Distances {
    /// Adds a distance in metres.
    pub fn add(&mut self, metres: f32) {
        self.0.saturating_record((metres * 1e3) as u64);
    }

    /// The distance in metres below which a share (0 to 1) of all lies; 0 without any.
    pub(crate) fn quantile_m(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }
}

impl ClientFigures {
    /// Counts a client's event.
    pub fn event(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Latency(latency) => self.latency(latency),
            ClientEvent::Mispredicted(wrong) => self.wrong(wrong),
            ClientEvent::Game(..) => {}
        }
    }

    /// Restarts the measurement of times.
    pub(crate) fn forget_times(&mut self) {
        self.command_to_snapshot = Times::default();
        self.stages = Default::default();
        self.interpolation_delay = Times::default();
    }

    fn latency(&mut self, latency: &Latency) {
        let time = |us: i64| Duration::from_micros(us.max(0) as u64);
        self.command_to_snapshot.add(time(latency.total_us));
        let Some(stages) = latency.stages else { return };
        let parts = [
            stages.client_to_server_us,
            stages.wait_for_tick_us,
            stages.simulate_and_encode_us,
            stages.server_to_client_us,
        ];
        self.stages
            .iter_mut()
            .zip(parts)
            .for_each(|(times, us)| times.add(time(us)));
    }

    fn wrong(&mut self, wrong: &Misprediction) {
        self.errors.add(wrong.error_m);
        self.causes[match wrong.cause {
            Cause::Command => 0,
            Cause::Interaction => 1,
            Cause::Unexplained => 2,
        }] += 1;
    }

    /// Replaces the counters by the clients' present ones.
    pub fn count<'a>(&mut self, clients: impl Iterator<Item = &'a BotClient>) {
        self.counts = self.past;
        self.starved = Duration::ZERO;
        for client in clients {
            self.counts = self.counts + client.runtime().stats();
            self.tick_rate = client.runtime().tick_rate().unwrap_or(self.tick_rate);
            if let Some(interpolation) = client.runtime().interpolation() {
                self.starved += interpolation.starved();
                self.interpolation_delay.add(interpolation.delay());
            }
        }
    }
}
