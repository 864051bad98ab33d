//! Random trouble for a run: a bad network for everyone, and clients cut off one way or both.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::link_sim::{Bursts, LinkConfig};

use crate::sim::{Sim, SimConfig};

/// Longest that a client is cut off: well under the time-out.
const LONGEST_CUT: Duration = Duration::from_millis(2_500);

/// A random path: up to 30 % lost, 50 % doubled, some overtaken, damaged, in bursts or at a narrow rate.
pub fn random_link(chances: &mut Xoshiro256PlusPlus) -> LinkConfig {
    let mut some = |most: f64| if chances.random_bool(0.5) { chances.random_range(0.0..most) } else { 0.0 };
    let (loss, duplicate, reorder, corrupt) = (some(0.3), some(0.5), some(0.2), some(0.05));
    let enter = some(0.02);
    LinkConfig {
        latency: Duration::from_micros(chances.random_range(0..120_000)),
        jitter: Duration::from_micros(chances.random_range(0..40_000)),
        loss,
        bursts: (enter > 0.0).then_some(Bursts { enter, leave: 0.2, loss: 0.9 }),
        duplicate,
        reorder,
        corrupt,
        rate: chances.random_bool(0.2).then(|| chances.random_range(20_000..60_000)),
        queue: Duration::from_millis(150),
    }
}

/// Runs `seed`'s trouble for four seconds, heals everything, and gives it time to converge. Returns the run
/// and what is wrong with it.
pub fn troubled_run(seed: u64, clients: u16) -> (Sim, Vec<String>) {
    let mut chances = Xoshiro256PlusPlus::seed_from_u64(seed);
    let link = random_link(&mut chances);
    let mut sim = Sim::new(SimConfig { seed, clients, link, ..SimConfig::default() });
    for _ in 0..4 {
        let client = chances.random_range(0..usize::from(clients));
        let (up, down) = match chances.random_range(0..4) {
            0 => (LinkConfig::cut(), link),
            1 => (link, LinkConfig::cut()),
            2 => (LinkConfig::cut(), LinkConfig::cut()),
            _ => (random_link(&mut chances), random_link(&mut chances)),
        };
        sim.set_client_links(client, up, down);
        sim.run(Duration::from_millis(chances.random_range(200..LONGEST_CUT.as_millis() as u64) / 2));
        sim.set_client_links(client, link, link);
        sim.run(Duration::from_millis(300));
    }
    sim.set_links(LinkConfig::default());
    let healed = sim.room().ring().tick();
    sim.run(Duration::from_secs(3));
    let wrong = complaints(&sim, healed);
    (sim, wrong)
}

fn complaints(sim: &Sim, healed: truetick_netcode::tick::Tick) -> Vec<String> {
    let mut wrong = sim.unconverged(healed);
    if sim.playing() != sim.clients.len() {
        wrong.push(format!("{} of {} play", sim.playing(), sim.clients.len()));
    }
    if sim.stats().hash_mismatches > 0 {
        wrong.push(format!("{} hash mismatches", sim.stats().hash_mismatches));
    }
    for (i, client) in sim.clients.iter().enumerate() {
        let unexplained = client
            .wrong
            .iter()
            .filter(|w| w.cause == truetick_netcode::client::prediction::Cause::Unexplained);
        wrong.extend(unexplained.map(|w| format!("client {i}: unexplained misprediction at {}", w.tick)));
    }
    wrong
}
