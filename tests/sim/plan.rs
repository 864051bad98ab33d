//! The plan of a run: its configuration and its faults. The standard mix draws it from a seed.

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

/// The configuration of a run.
#[derive(Clone, Copy, Debug)]
pub struct SimConfig {
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of bots.
    pub clients: u16,
    /// Number of bots that spectate: the last ones of `clients`.
    pub spectators: u16,
    /// Tick after which the server's first tick comes.
    pub start_tick: Tick,
    /// Configuration of the arena.
    pub arena: ArenaConfig,
    /// Configuration of the room.
    pub room: RoomConfig,
    /// Properties of every path at the start.
    pub link: LinkConfig,
    /// Maximum drift of each process's clock in either direction, in millionths; the drift is
    /// random.
    pub drift_ppm: i32,
    /// Size of each client's socket receive buffer in bytes.
    pub socket_bytes: usize,
    /// Whether the server records its room.
    pub record: bool,
    /// Silence after which client and server give up, in whole seconds.
    pub timeout: Duration,
    /// Time for which the place of a silent client is kept.
    pub grace: Duration,
    /// Maximum number of the server's sessions.
    pub sessions: usize,
    /// Small reliable messages sent to everyone in each tick.
    pub patter: u8,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            clients: 8,
            spectators: 0,
            start_tick: Tick(0),
            arena: ArenaConfig {
                drones: 12,
                ..ArenaConfig::default()
            },
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

/// The configuration and faults of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Configuration of the run.
    pub config: SimConfig,
    /// Faults of the run.
    pub faults: Vec<Scheduled>,
    /// Time of the heal, at which all faults end.
    pub trouble: Duration,
    /// Time after the heal within which everyone must play and hold the same world.
    pub settle: Duration,
}

/// Time from the heal until everyone holds the same world, if no session ended.
pub const SETTLE: Duration = Duration::from_secs(3);

/// Time from the heal until everyone holds the same world, if sessions ended: clients may wait for
/// ten seconds before they join again.
pub(crate) const SETTLE_REJOIN: Duration = Duration::from_secs(15);

/// One seed of this many has a crowd within interest.
const CROWD_EVERY: u64 = 64;

/// One seed of this many has a spectator among its clients.
const SPECTATOR_EVERY: u64 = 4;

/// Time span of the faults in the standard mix.
const TROUBLE: Duration = Duration::from_millis(4_500);

/// Maximum time for which a client is cut off in the standard mix, well under the timeout.
const LONGEST_MS: u64 = 1_500;

impl Plan {
    /// Returns a plan without faults.
    pub fn quiet(config: SimConfig) -> Self {
        Self {
            config,
            faults: Vec::new(),
            trouble: Duration::ZERO,
            settle: SETTLE,
        }
    }

    /// Returns the standard mix's plan for a seed.
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

    /// Returns the plan with other faults, healed after `trouble`.
    pub fn with(self, faults: Vec<Scheduled>, trouble: Duration) -> Self {
        let rejoin = faults
            .iter()
            .any(|scheduled| scheduled.fault.ends_sessions());
        Self {
            faults,
            trouble,
            settle: if rejoin { SETTLE_REJOIN } else { SETTLE },
            ..self
        }
    }

    /// Returns the length of the run.
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
        let radius = room
            .relevance_radius_m
            .map_or("all".into(), |radius| format!("{radius:.0} m"));
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

/// Returns a random arena and room; the rest is the default.
fn random_world(rng: &mut Xoshiro256PlusPlus, seed: u64) -> SimConfig {
    let tick_rate = if rng.random_bool(0.1) {
        [30, 128][rng.random_range(0..2)]
    } else {
        60
    };
    let ghosts = rng.random_bool(0.4);
    // A budget that is too small for its world, one that is ample, or (rarely, since it is
    // expensive) a crowd within interest.
    let starved = rng.random_bool(0.2);
    let (snapshot_bytes, drones, interest) = match () {
        () if seed % CROWD_EVERY == CROWD_EVERY - 1 => (8_000, 150, 50..60),
        () if starved => (300, 90, 30..60),
        () => (RoomConfig::default().snapshot_bytes, 12, 12..46),
    };
    let arena = ArenaConfig {
        drones,
        ghosts,
        tick_rate,
        ..ArenaConfig::default()
    };
    let radius = rng.random_range(interest) as f32;
    let room = RoomConfig {
        snapshot_bytes,
        relevance_radius_m: Some(radius),
        ..RoomConfig::default()
    };
    SimConfig {
        arena,
        room,
        ..SimConfig::default()
    }
}

fn random_config(rng: &mut Xoshiro256PlusPlus, seed: u64) -> SimConfig {
    let world = random_world(rng, seed);
    let link = if rng.random_bool(0.2) {
        LinkConfig::default()
    } else {
        random_link(rng)
    };
    let drifts = rng.random_bool(0.5);
    let drift_ppm = if drifts { rng.random_range(1..400) } else { 0 };
    let has_small_sockets = rng.random_bool(0.2);
    let socket_bytes = if has_small_sockets {
        8 * 1_024
    } else {
        world.socket_bytes
    };
    let record = rng.random_bool(0.3);
    let timeout = Duration::from_secs(if rng.random_bool(0.3) { 2 } else { 10 });
    let grace_ms = if rng.random_bool(0.3) {
        rng.random_range(100..2_000)
    } else {
        30_000
    };
    let grace = Duration::from_millis(grace_ms);
    // Not drawn, so that the random numbers of a seed stay the same.
    let spectators = u16::from(seed.is_multiple_of(SPECTATOR_EVERY));
    SimConfig {
        seed,
        spectators,
        link,
        drift_ppm,
        socket_bytes,
        record,
        timeout,
        grace,
        ..world
    }
}

/// Returns a random link: up to 30 % loss, 50 % duplicates, some reordering, corruption, bursts or
/// a narrow rate.
pub(crate) fn random_link(rng: &mut Xoshiro256PlusPlus) -> LinkConfig {
    let mut some = |most: f64| {
        if rng.random_bool(0.5) {
            rng.random_range(0.0..most)
        } else {
            0.0
        }
    };
    let (loss, duplicate, reorder, corrupt) = (some(0.3), some(0.5), some(0.2), some(0.05));
    let enter = some(0.02);
    LinkConfig {
        latency: Duration::from_micros(rng.random_range(0..120_000)),
        jitter: Duration::from_micros(rng.random_range(0..40_000)),
        loss,
        bursts: (enter > 0.0).then_some(Bursts {
            enter,
            leave: 0.2,
            loss: 0.9,
        }),
        duplicate,
        reorder,
        corrupt,
        rate: rng
            .random_bool(0.2)
            .then(|| rng.random_range(20_000..60_000)),
        queue: Duration::from_millis(150),
        holds: None,
        outages: None,
        steps: None,
    }
}

/// The fault of a client's handshake or address, in three of sixteen seeds. It is not drawn, so
/// that the random numbers of a seed stay the same.
fn handshake_fault(seed: u64, config: &SimConfig) -> Option<Scheduled> {
    let (turn, clients) = (seed / 16, usize::from(config.clients));
    let client = (turn / 8) as usize % clients;
    let other = (client + 1 + turn as usize % (clients - 1)) % clients;
    let later = Duration::from_millis(800 + turn * 37 % 1_000);
    let (at, lasting, fault) = match seed % 16 {
        5 => {
            // Every other time the client has not joined yet.
            let at = if turn / 4 % 2 == 0 {
                later
            } else {
                Duration::from_millis(1)
            };
            let after = Step::ALL[turn as usize % 4];
            (
                at,
                config.timeout + Duration::from_millis(1_500),
                Fault::Outage { client, after },
            )
        }
        9 => (later, Duration::ZERO, Fault::Swap(client, other)),
        13 => (
            later,
            Duration::ZERO,
            Fault::HandOn {
                from: other,
                to: client,
            },
        ),
        _ => return None,
    };
    Some(Scheduled { at, lasting, fault })
}

/// Change of a clock: mostly up to 100 s, sometimes up to an hour or ten years.
fn random_step_ms(rng: &mut Xoshiro256PlusPlus) -> i64 {
    let most = [100_000, 100_000, 3_600_000, 315_576_000_000][rng.random_range(0..4)];
    rng.random_range(-most..most)
}

fn random_fault(rng: &mut Xoshiro256PlusPlus, config: &SimConfig) -> Scheduled {
    let client = rng.random_range(0..usize::from(config.clients));
    let ways = [Ways::Up, Ways::Down, Ways::Both][rng.random_range(0..3)];
    let mut longest = LONGEST_MS;
    let fault = match rng.random_range(0..1_000) {
        0..190 => Fault::Links {
            client,
            up: random_link(rng),
            down: random_link(rng),
        },
        190..230 => Fault::Narrow {
            client,
            bytes_per_s: rng.random_range(6_000..30_000),
        },
        230..250 => Fault::Interest(rng.random_range(4..60)),
        250..500 => Fault::Cut { client, ways },
        500..700 => Fault::Clog { client, ways },
        700..800 => Fault::PauseClient(client),
        800..850 => {
            longest = 700;
            Fault::PauseServer
        }
        850..870 => Fault::StarveServer {
            stolen_ms: rng.random_range(20..200),
        },
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
        _ => Fault::JumpWall {
            by_ms: random_step_ms(rng),
        },
    };
    let shortest = if fault == Fault::Drain { 600 } else { 30 };
    let lasting = Duration::from_millis(rng.random_range(shortest..longest));
    let at = Duration::from_millis(rng.random_range(0..(TROUBLE - lasting).as_millis() as u64));
    Scheduled { at, lasting, fault }
}
