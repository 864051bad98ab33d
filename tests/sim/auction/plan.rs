//! The plan of a run, drawn from a seed.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::link_sim::LinkConfig;

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server's process dies and restarts after a while.
    Crash,
    /// The server's machine loses power: data that was not synced may be lost or torn. It restarts
    /// after a while.
    PowerCut,
    /// Commits take very long for a while.
    Stall,
    /// No new file fits on the disk for a while.
    Full,
    /// A sync fails; the server restarts after a while.
    Failing,
    /// No datagram passes between clients and server for a while.
    Outage,
}

impl Trouble {
    /// All kinds, in declaration order.
    pub const ALL: [Self; 6] = [
        Self::Crash,
        Self::PowerCut,
        Self::Stall,
        Self::Full,
        Self::Failing,
        Self::Outage,
    ];
}

/// The parameters and failures of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct AuctionPlan {
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of bidders; they take the strategies in turn.
    pub bidders: usize,
    /// Number of clients that only watch.
    pub watchers: usize,
    /// Number of lots open at once.
    pub lots: usize,
    /// Factor on the speed of the bidders' decisions.
    pub pace: f64,
    /// Both directions of each client's link.
    pub link: LinkConfig,
    /// Failures with their times in milliseconds.
    pub troubles: Vec<(u64, Trouble)>,
    /// Time span of the failures.
    pub length: Duration,
    /// Size of a journal segment in bytes.
    pub segment_bytes: usize,
}

impl AuctionPlan {
    /// Returns a plan without failures.
    pub fn quiet(seed: u64) -> Self {
        Self {
            seed,
            bidders: 8,
            watchers: 3,
            lots: 3,
            pace: 3.0,
            link: LinkConfig {
                latency: Duration::from_millis(15),
                ..LinkConfig::default()
            },
            troubles: Vec::new(),
            length: Duration::from_secs(10),
            segment_bytes: 32 << 10,
        }
    }

    /// Returns the standard mix's plan for a seed.
    pub fn standard(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0xa0c7_1053);
        let mut troubles: Vec<_> = (0..rng.random_range(1..5))
            .map(|_| {
                let trouble = match rng.random_range(0..10) {
                    0..2 => Trouble::Crash,
                    2..6 => Trouble::PowerCut,
                    6 => Trouble::Stall,
                    7 => Trouble::Full,
                    8 => Trouble::Failing,
                    _ => Trouble::Outage,
                };
                (rng.random_range(1_500..10_000), trouble)
            })
            .collect();
        troubles.sort_by_key(|(at, _)| *at);
        let link = LinkConfig {
            latency: Duration::from_millis(rng.random_range(1..60)),
            jitter: Duration::from_millis(rng.random_range(0..20)),
            loss: rng.random_range(0.0..0.08),
            duplicate: rng.random_range(0.0..0.03),
            reorder: rng.random_range(0.0..0.03),
            ..LinkConfig::default()
        };
        let (bidders, lots) = (rng.random_range(4..12), rng.random_range(1..6));
        let (pace, segment_bytes) = (rng.random_range(2.0..8.0), rng.random_range(15..60) << 10);
        Self {
            bidders,
            lots,
            pace,
            link,
            troubles,
            segment_bytes,
            ..Self::quiet(seed)
        }
    }
}
