//! What happens in a run, by seed.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::link_sim::LinkConfig;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server's process dies, and is started again after a while.
    Crash,
    /// The same with the machine: what was not synced may be lost or torn.
    PowerCut,
    /// Commits take very long for a while.
    Stall,
    /// No new file fits for a while.
    Full,
    /// A sync fails; the server is started again after a while.
    Failing,
    /// Nothing passes between clients and server for a while.
    Outage,
}

impl Trouble {
    /// All there are, in their order.
    pub const ALL: [Self; 6] =
        [Self::Crash, Self::PowerCut, Self::Stall, Self::Full, Self::Failing, Self::Outage];
}

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub struct AuctionPlan {
    /// Everything by chance follows from it.
    pub seed: u64,
    /// Bidders, of all manners in turn.
    pub bidders: usize,
    /// Visitors who only watch.
    pub watchers: usize,
    /// Lots open at once.
    pub lots: usize,
    /// How many times faster than usual bidders think.
    pub pace: f64,
    /// Each visitor's way, both directions.
    pub link: LinkConfig,
    /// What goes wrong, and when, in milliseconds.
    pub troubles: Vec<(u64, Trouble)>,
    /// How long trouble may last.
    pub length: Duration,
    /// Bytes of a segment of the journal.
    pub segment_bytes: usize,
}

impl AuctionPlan {
    /// Nothing goes wrong.
    pub fn quiet(seed: u64) -> Self {
        Self {
            seed,
            bidders: 8,
            watchers: 3,
            lots: 3,
            pace: 3.0,
            link: LinkConfig { latency: Duration::from_millis(15), ..LinkConfig::default() },
            troubles: Vec::new(),
            length: Duration::from_secs(10),
            segment_bytes: 32 << 10,
        }
    }

    /// The standard mix.
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
        Self { bidders, lots, pace, link, troubles, segment_bytes, ..Self::quiet(seed) }
    }
}
