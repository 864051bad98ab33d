//! What playing feels like, measured by the clients.

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
    /// From a command's sending to the first snapshot with its effect.
    pub command_to_snapshot: Times,
    /// Its stages: to the server, wait for the tick, simulate and encode, to the client.
    pub stages: [Times; 4],
    /// Sizes of wrong predictions.
    pub errors: Distances,
    /// Wrong predictions by cause: command late or missing, touched by something, unexplained.
    pub causes: [u64; 3],
    /// Interpolation delays, sampled.
    pub interpolation_delay: Times,
    /// Counts, summed over clients; the gap is the longest of all.
    pub counts: ClientStats,
    /// The same of sessions that clients have lost.
    pub past: ClientStats,
    /// Time without anything newer to show, summed over clients.
    pub starved: Duration,
    /// Whether they truly play.
    pub play: PlayFigures,
    /// Clients that play.
    pub joined: usize,
    /// Sessions that were lost, or never came about.
    pub lost: usize,
    /// Processor time of the clients' thread.
    pub cpu: Duration,
    /// The server's ticks per second, as it told the clients; 0 before.
    pub tick_rate: u32,
}

/// Distances in millimetres, to 1 km, at two significant digits.
#[derive(Clone, Debug)]
pub struct Distances(Histogram<u64>);

impl Default for Distances {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, 1_000_000, 2);
        Self(histogram.unwrap_or_else(|_| unreachable!("constant bounds are valid")))
    }
}

impl Distances {
    /// Adds one, in metres.
    pub fn add(&mut self, metres: f32) {
        self.0.saturating_record((metres * 1e3) as u64);
    }

    /// The distance below which a share (0 to 1) of all lies, in metres; 0 without any.
    pub fn quantile_m(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }
}

impl ClientFigures {
    /// Takes in a client's event.
    pub fn event(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Latency(latency) => self.latency(latency),
            ClientEvent::Mispredicted(wrong) => self.wrong(wrong),
            ClientEvent::Game(..) => {}
        }
    }

    /// Begins to measure times anew.
    pub fn forget_times(&mut self) {
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
        self.stages.iter_mut().zip(parts).for_each(|(times, us)| times.add(time(us)));
    }

    fn wrong(&mut self, wrong: &Misprediction) {
        self.errors.add(wrong.error_m);
        self.causes[match wrong.cause {
            Cause::Command => 0,
            Cause::Interaction => 1,
            Cause::Unexplained => 2,
        }] += 1;
    }

    /// Takes the clients' present counts in place of earlier ones.
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
