//! The plan of a run over QUIC: its configuration and its failures.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::link_sim::{Bursts, LinkConfig};
use truetick_netcode::transport::TransportKind;

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QuicTrouble {
    /// Sets the properties of a client's links.
    Links(usize, LinkConfig),
    /// Nothing passes between a client and the server for this time.
    Cut(usize, Duration),
    /// A client's datagrams come from another port from now on.
    Move(usize),
    /// A client's QUIC end is replaced by a new one; its game continues.
    NewEnd(usize),
    /// The server dies and restarts without its connections and sessions.
    Restart,
}

/// The configuration and failures of a run.
#[derive(Clone, Debug)]
pub struct QuicPlan {
    /// Seed of all random numbers but the keys of TLS.
    pub seed: u64,
    /// Transport of the sessions: QUIC, or UDP for comparison.
    pub kind: TransportKind,
    /// Number of bots.
    pub clients: usize,
    /// Properties of every link at the start.
    pub link: LinkConfig,
    /// Bytes per second that the server sends to everyone on a reliable channel, beside the game.
    pub bulk: u32,
    /// Small reliable messages sent to everyone in each tick.
    pub patter: u8,
    /// Failures with their times.
    pub troubles: Vec<(Duration, QuicTrouble)>,
    /// Time of the heal, at which all failures end.
    pub trouble: Duration,
    /// Time after the heal until the checks.
    pub settle: Duration,
}

impl QuicPlan {
    /// Returns a plan without failures.
    pub fn quiet(seed: u64, kind: TransportKind, link: LinkConfig, length: Duration) -> Self {
        Self {
            seed,
            kind,
            clients: 4,
            link,
            bulk: 0,
            patter: 0,
            troubles: Vec::new(),
            trouble: length,
            settle: Duration::ZERO,
        }
    }

    /// Returns the standard mix's plan for a seed.
    pub fn standard(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let link = if rng.random_bool(0.2) {
            LinkConfig::default()
        } else {
            random_link(&mut rng)
        };
        let trouble = Duration::from_millis(4_500);
        let mut troubles: Vec<_> = (0..rng.random_range(2..8))
            .map(|_| {
                let at = Duration::from_millis(rng.random_range(600..3_500));
                (at, random_trouble(&mut rng))
            })
            .collect();
        troubles.sort_by_key(|(at, _)| *at);
        let restarts = troubles
            .iter()
            .any(|(_, trouble)| *trouble == QuicTrouble::Restart);
        // A client that lost its session joins again, some only after the token's timeout.
        let settle = Duration::from_secs(if restarts { 16 } else { 5 });
        let bulk = if rng.random_bool(0.3) {
            rng.random_range(2_000..15_000)
        } else {
            0
        };
        Self {
            bulk,
            troubles,
            trouble,
            settle,
            ..Self::quiet(seed, TransportKind::Quic, link, trouble)
        }
    }
}

/// A random link: up to a tenth lost, some duplicates, reordering and corruption, in bursts.
fn random_link(rng: &mut Xoshiro256PlusPlus) -> LinkConfig {
    let mut some = |most: f64| {
        if rng.random_bool(0.5) {
            rng.random_range(0.0..most)
        } else {
            0.0
        }
    };
    let (loss, duplicate, reorder, corrupt) = (some(0.1), some(0.3), some(0.1), some(0.05));
    let enter = some(0.01);
    LinkConfig {
        latency: Duration::from_micros(rng.random_range(0..80_000)),
        jitter: Duration::from_micros(rng.random_range(0..20_000)),
        loss,
        bursts: (enter > 0.0).then_some(Bursts {
            enter,
            leave: 0.2,
            loss: 0.9,
        }),
        duplicate,
        reorder,
        corrupt,
        rate: None,
        queue: Duration::from_millis(150),
        holds: None,
        outages: None,
        steps: None,
    }
}

fn random_trouble(rng: &mut Xoshiro256PlusPlus) -> QuicTrouble {
    let client = rng.random_range(0..4);
    match rng.random_range(0..100) {
        0..35 => QuicTrouble::Links(client, random_link(rng)),
        35..60 => QuicTrouble::Cut(client, Duration::from_millis(rng.random_range(50..900))),
        60..80 => QuicTrouble::Move(client),
        80..95 => QuicTrouble::NewEnd(client),
        _ => QuicTrouble::Restart,
    }
}
