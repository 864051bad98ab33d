//! A run's whole course: what it is made of and what goes wrong when. The standard mix draws it
//! from a seed.

use std::fmt;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::link_sim::{Bursts, LinkConfig};
use truetick_netcode::tick::Tick;
use truetick_server::arena::ArenaConfig;
use truetick_server::room::RoomConfig;

use crate::fault::{Fault, Scheduled, Step, describe};
use crate::network::Ways;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct SimConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Bots.
    pub clients: u16,
    /// So many of them, the last ones, watch and do not play.
    pub spectators: u16,
    /// The server's first tick comes after this one.
    pub start_tick: Tick,
    /// The arena.
    pub arena: ArenaConfig,
    /// The room.
    pub room: RoomConfig,
    /// Every path at the start.
    pub link: LinkConfig,
    /// Each process's clock runs too fast or too slow by a random part of this, in millionths.
    pub drift_ppm: i32,
    /// Receive buffer of each client's socket.
    pub socket_bytes: usize,
    /// Whether the server records its room.
    pub record: bool,
    /// Silence after which client and server give up, in whole seconds.
    pub timeout: Duration,
    /// How long the place of a silent client is kept.
    pub grace: Duration,
    /// Sessions that the server can hold.
    pub sessions: usize,
    /// Tiny reliable messages that everyone is told in each tick.
    pub patter: u8,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            clients: 8,
            spectators: 0,
            start_tick: Tick(0),
            arena: ArenaConfig { drones: 12, ..ArenaConfig::default() },
            room: RoomConfig::default(),
            link: LinkConfig::default(),
            drift_ppm: 0,
            // The default of most systems.
            socket_bytes: 208 * 1_024,
            record: false,
            timeout: Duration::from_secs(10),
            grace: Duration::from_secs(30),
            sessions: 300,
            patter: 0,
        }
    }
}

/// What a run is made of, and what goes wrong.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is made of.
    pub config: SimConfig,
    /// What goes wrong.
    pub faults: Vec<Scheduled>,
    /// When all is healed.
    pub trouble: Duration,
    /// How long everyone has from then on to play and to hold the same world.
    pub settle: Duration,
}

/// What a healed run needs until everyone holds the same world, where no session ended.
pub const SETTLE: Duration = Duration::from_secs(3);

/// The same where sessions ended: their clients may have to wait for ten seconds before they join
/// anew.
pub const SETTLE_REJOIN: Duration = Duration::from_secs(15);

/// Of so many seeds one has a crowd in sight.
const CROWD_EVERY: u64 = 64;

/// Of so many seeds one has a spectator among its clients.
const SPECTATOR_EVERY: u64 = 4;

/// How long the standard mix makes trouble.
const TROUBLE: Duration = Duration::from_millis(4_500);

/// Longest that a client is cut off in the standard mix: well under the time-out.
const LONGEST_MS: u64 = 1_500;

impl Plan {
    /// A plan without trouble.
    pub fn quiet(config: SimConfig) -> Self {
        Self { config, faults: Vec::new(), trouble: Duration::ZERO, settle: SETTLE }
    }

    /// The standard mix's plan for a seed.
    pub fn standard(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let config = random_config(&mut rng, seed);
        let count = rng.random_range(3..9);
        let mut faults: Vec<Scheduled> = Vec::new();
        for _ in 0..count {
            let fault = random_fault(&mut rng, &config);
            if !faults.iter().any(|other| other.meets(&fault)) {
                faults.push(fault);
            }
        }
        let mut trouble = TROUBLE;
        if let Some(extra) = handshake_fault(seed, &config) {
            faults.retain(|other| !other.meets(&extra));
            trouble = trouble.max(extra.at + extra.lasting + Duration::from_millis(1));
            faults.push(extra);
        }
        faults.sort_by_key(|scheduled| scheduled.at);
        Self::quiet(config).with(faults, trouble)
    }

    /// The same with other faults, healed after `trouble`.
    pub fn with(self, faults: Vec<Scheduled>, trouble: Duration) -> Self {
        let rejoin = faults.iter().any(|scheduled| scheduled.fault.ends_sessions());
        Self { faults, trouble, settle: if rejoin { SETTLE_REJOIN } else { SETTLE }, ..self }
    }

    /// How long the run is.
    pub fn length(&self) -> Duration {
        self.trouble + self.settle
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SimConfig {
            seed,
            clients,
            spectators,
            arena,
            room,
            link,
            drift_ppm,
            socket_bytes,
            record,
            ..
        } = &self.config;
        let (timeout, grace) = (self.config.timeout.as_secs(), self.config.grace.as_millis());
        let (rate, ghosts) = (arena.tick_rate, arena.ghosts);
        writeln!(
            out,
            "seed {seed}: {clients} clients ({spectators} watch) at {rate} Hz, ghosts: {ghosts}"
        )?;
        let radius =
            room.relevance_radius_m.map_or("all".into(), |radius| format!("{radius:.0} m"));
        writeln!(
            out,
            "  {} bytes a tick, sight {radius}, clocks ±{drift_ppm} ppm, {socket_bytes} bytes a socket",
            room.snapshot_bytes
        )?;
        writeln!(
            out,
            "  paths: {}, recorded: {record}, silent after {timeout} s, kept {grace} ms",
            describe(link)
        )?;
        for (i, scheduled) in self.faults.iter().enumerate() {
            writeln!(out, "  {i}: {scheduled}")?;
        }
        write!(
            out,
            "  healed after {:.1} s, then {:.1} s",
            self.trouble.as_secs_f64(),
            self.settle.as_secs_f64()
        )
    }
}

fn random_config(rng: &mut Xoshiro256PlusPlus, seed: u64) -> SimConfig {
    let tick_rate = if rng.random_bool(0.1) { [30, 128][rng.random_range(0..2)] } else { 60 };
    let ghosts = rng.random_bool(0.4);
    // A budget that is too small for its world, one that is ample, or (seldom, for it costs) a
    // crowd in sight.
    let starved = rng.random_bool(0.2);
    let (snapshot_bytes, drones, interest) = match () {
        () if seed % CROWD_EVERY == CROWD_EVERY - 1 => (8_000, 150, 50..60),
        () if starved => (300, 90, 30..60),
        () => (RoomConfig::default().snapshot_bytes, 12, 12..46),
    };
    let arena = ArenaConfig { drones, ghosts, tick_rate, ..ArenaConfig::default() };
    let radius = rng.random_range(interest) as f32;
    let room =
        RoomConfig { snapshot_bytes, relevance_radius_m: Some(radius), ..RoomConfig::default() };
    let link = if rng.random_bool(0.2) { LinkConfig::default() } else { random_link(rng) };
    let drift_ppm = if rng.random_bool(0.5) { rng.random_range(1..400) } else { 0 };
    let socket_bytes =
        if rng.random_bool(0.2) { 8 * 1_024 } else { SimConfig::default().socket_bytes };
    let record = rng.random_bool(0.3);
    let timeout = Duration::from_secs(if rng.random_bool(0.3) { 2 } else { 10 });
    let grace_ms = if rng.random_bool(0.3) { rng.random_range(100..2_000) } else { 30_000 };
    let grace = Duration::from_millis(grace_ms);
    // Not drawn, so that what is drawn for a seed stays as it was.
    let spectators = u16::from(seed.is_multiple_of(SPECTATOR_EVERY));
    SimConfig {
        seed,
        spectators,
        arena,
        room,
        link,
        drift_ppm,
        socket_bytes,
        record,
        timeout,
        grace,
        ..SimConfig::default()
    }
}

/// A random path: up to 30 % lost, 50 % doubled, some overtaken, damaged, in bursts or at a narrow
/// rate.
pub fn random_link(rng: &mut Xoshiro256PlusPlus) -> LinkConfig {
    let mut some = |most: f64| {
        if rng.random_bool(0.5) { rng.random_range(0.0..most) } else { 0.0 }
    };
    let (loss, duplicate, reorder, corrupt) = (some(0.3), some(0.5), some(0.2), some(0.05));
    let enter = some(0.02);
    LinkConfig {
        latency: Duration::from_micros(rng.random_range(0..120_000)),
        jitter: Duration::from_micros(rng.random_range(0..40_000)),
        loss,
        bursts: (enter > 0.0).then_some(Bursts { enter, leave: 0.2, loss: 0.9 }),
        duplicate,
        reorder,
        corrupt,
        rate: rng.random_bool(0.2).then(|| rng.random_range(20_000..60_000)),
        queue: Duration::from_millis(150),
        holds: None,
        outages: None,
        steps: None,
    }
}

/// What befalls a client while it opens or resumes its session, or its address, in three of sixteen
/// seeds. Not drawn, so that what is drawn for a seed stays as it was.
fn handshake_fault(seed: u64, config: &SimConfig) -> Option<Scheduled> {
    let (turn, clients) = (seed / 16, usize::from(config.clients));
    let client = (turn / 8) as usize % clients;
    let other = (client + 1 + turn as usize % (clients - 1)) % clients;
    let later = Duration::from_millis(800 + turn * 37 % 1_000);
    let (at, lasting, fault) = match seed % 16 {
        5 => {
            // Every other time it has not joined yet.
            let at = if turn / 4 % 2 == 0 { later } else { Duration::from_millis(1) };
            let after = Step::ALL[turn as usize % 4];
            (at, config.timeout + Duration::from_millis(1_500), Fault::Outage { client, after })
        }
        9 => (later, Duration::ZERO, Fault::Swap(client, other)),
        13 => (later, Duration::ZERO, Fault::HandOn { from: other, to: client }),
        _ => return None,
    };
    Some(Scheduled { at, lasting, fault })
}

/// By how much a clock is set: mostly up to 100 s, now and then an hour or ten years.
fn random_step_ms(rng: &mut Xoshiro256PlusPlus) -> i64 {
    let most = [100_000, 100_000, 3_600_000, 315_576_000_000][rng.random_range(0..4)];
    rng.random_range(-most..most)
}

fn random_fault(rng: &mut Xoshiro256PlusPlus, config: &SimConfig) -> Scheduled {
    let client = rng.random_range(0..usize::from(config.clients));
    let ways = [Ways::Up, Ways::Down, Ways::Both][rng.random_range(0..3)];
    let mut longest = LONGEST_MS;
    let fault = match rng.random_range(0..1_000) {
        0..190 => Fault::Links { client, up: random_link(rng), down: random_link(rng) },
        190..230 => Fault::Narrow { client, bytes_per_s: rng.random_range(6_000..30_000) },
        230..250 => Fault::Interest(rng.random_range(4..60)),
        250..500 => Fault::Cut { client, ways },
        500..700 => Fault::Clog { client, ways },
        700..800 => Fault::PauseClient(client),
        800..850 => {
            longest = 700;
            Fault::PauseServer
        }
        850..870 => Fault::StarveServer { stolen_ms: rng.random_range(20..200) },
        870..920 => Fault::CrashClient(client),
        920..925 => Fault::CrashServer,
        925..935 => Fault::PowerCut,
        935..940 => Fault::FillDisk,
        940..945 => Fault::FailRead,
        945..960 => Fault::ChangeAddress(client),
        960..965 => Fault::ChangeAllAddresses,
        965..975 => Fault::MoveClient(client),
        975..980 => {
            longest = 1_500;
            Fault::Drain
        }
        980..990 => Fault::Flood,
        _ => Fault::JumpWall { by_ms: random_step_ms(rng) },
    };
    let shortest = if fault == Fault::Drain { 600 } else { 30 };
    let lasting = Duration::from_millis(rng.random_range(shortest..longest));
    let at = Duration::from_millis(rng.random_range(0..(TROUBLE - lasting).as_millis() as u64));
    Scheduled { at, lasting, fault }
}
