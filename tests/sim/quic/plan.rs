//! What a run over QUIC is made of, and what goes wrong.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::link_sim::{Bursts, LinkConfig};
use truetick_netcode::transport::TransportKind;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QuicTrouble {
    /// A client's paths become like this.
    Links(usize, LinkConfig),
    /// Nothing passes between a client and the server for so long.
    Cut(usize, Duration),
    /// A client's datagrams come from another port from now on.
    Move(usize),
    /// A client's end of QUIC is gone and another one is there; its game goes on.
    NewEnd(usize),
    /// The server dies and starts again: its connections are unknown, its sessions gone.
    Restart,
}

/// A run.
#[derive(Clone, Debug)]
pub struct QuicPlan {
    /// Everything random follows from it, but for keys of TLS.
    pub seed: u64,
    /// What carries sessions: QUIC, or UDP to compare.
    pub kind: TransportKind,
    /// Bots.
    pub clients: usize,
    /// Every path at the start.
    pub link: LinkConfig,
    /// Bytes a second that the server tells everyone on a reliable stream, beside the game.
    pub bulk: u32,
    /// Tiny reliable messages that everyone is told in each tick.
    pub patter: u8,
    /// What goes wrong, and when.
    pub troubles: Vec<(Duration, QuicTrouble)>,
    /// When all is healed.
    pub trouble: Duration,
    /// How long everyone has from then on.
    pub settle: Duration,
}

impl QuicPlan {
    /// A run without trouble.
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

    /// The standard mix.
    pub fn standard(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let link = if rng.random_bool(0.2) { LinkConfig::default() } else { random_link(&mut rng) };
        let trouble = Duration::from_millis(4_500);
        let mut troubles: Vec<_> = (0..rng.random_range(2..8))
            .map(|_| {
                let at = Duration::from_millis(rng.random_range(600..3_500));
                (at, random_trouble(&mut rng))
            })
            .collect();
        troubles.sort_by_key(|(at, _)| *at);
        let restarts = troubles.iter().any(|(_, trouble)| *trouble == QuicTrouble::Restart);
        // Who lost its session joins anew, some only when the token's time-out tells them.
        let settle = Duration::from_secs(if restarts { 16 } else { 5 });
        let bulk = if rng.random_bool(0.3) { rng.random_range(2_000..15_000) } else { 0 };
        Self {
            bulk,
            troubles,
            trouble,
            settle,
            ..Self::quiet(seed, TransportKind::Quic, link, trouble)
        }
    }
}

/// Up to a tenth lost, some doubled or overtaken or damaged, in bursts.
fn random_link(rng: &mut Xoshiro256PlusPlus) -> LinkConfig {
    let mut some = |most: f64| {
        if rng.random_bool(0.5) { rng.random_range(0.0..most) } else { 0.0 }
    };
    let (loss, duplicate, reorder, corrupt) = (some(0.1), some(0.3), some(0.1), some(0.05));
    let enter = some(0.01);
    LinkConfig {
        latency: Duration::from_micros(rng.random_range(0..80_000)),
        jitter: Duration::from_micros(rng.random_range(0..20_000)),
        loss,
        bursts: (enter > 0.0).then_some(Bursts { enter, leave: 0.2, loss: 0.9 }),
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
