//! An attack with spoofed requests on a server with 64 players, in process under virtual time and
//! over loopback.
//!
//! `cargo run --release -p truetick-benches --bin attack -- --json PATH`; the keys are described in
//! benches/README.md.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};
use truetick_arena::{ArenaSchema, arena_schema};
use truetick_benches::report::give;
use truetick_benches::{FullRoom, Kept, SERVER, WALL};
use truetick_client_sim::connect_options::ConnectOptions;
use truetick_client_sim::swarm::{Crew, Swarm, SwarmConfig};
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::client::SessionClient;
use truetick_netcode::session::packet::write_request;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::Transport;
use truetick_server::config::ServerConfig;
use truetick_server::files::resident_bytes;
use truetick_server::host::{Host, random_key};
use truetick_transport::clock;
use truetick_transport::udp::{UdpPath, UdpTransport};

/// Spoofed requests against a server with 64 players
#[derive(Parser)]
struct Arguments {
    /// Requests per second
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// Length of each attack in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Write the report as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let report = json!({
        "rate": arguments.rate,
        "seconds": arguments.seconds,
        "virtual_time": in_virtual_time(&arguments),
        "loopback": over_loopback(&arguments)?,
    });
    give(&report, arguments.json.as_deref())
}

/// The most expensive request without a key: everything is valid but the seal.
fn forged_request(expires: u64, rng: &mut StdRng) -> Vec<u8> {
    let (mut nonce, mut sealed) = ([0; 24], [0; 1_024]);
    rng.fill_bytes(&mut nonce);
    rng.fill_bytes(&mut sealed[..64]);
    rng.fill_bytes(&mut sealed[1_000..]);
    write_request(PROTOCOL, expires, &nonce, &sealed)
}

fn spoofed(rng: &mut StdRng) -> SocketAddr {
    let ip = IpAddr::from(Ipv4Addr::from(
        rng.random_range(0x0a00_0000..0x0aff_ffffu32),
    ));
    SocketAddr::new(ip, rng.random_range(1_024..60_000))
}

fn in_virtual_time(arguments: &Arguments) -> Value {
    const TICKS_PER_SECOND: u64 = 60;
    let mut room = FullRoom::new(64, 64, None);
    for _ in 0..120 {
        room.tick();
    }
    let mut rng = StdRng::seed_from_u64(1);
    let expires = WALL.as_secs() + 20;
    let replayed = room.token(1);
    let replayed = write_request(
        PROTOCOL,
        replayed.expires,
        &replayed.nonce,
        &replayed.sealed,
    );
    let before = resident_bytes().unwrap_or(0);
    let (mut flood_ms, mut tick_ms, mut joins_ms) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sent, mut answered) = (0u64, 0u64);
    for tick in 0..arguments.seconds * TICKS_PER_SECOND {
        let now = room.server_mut().next_deadline().expect("a room");
        let requests: Vec<(SocketAddr, Vec<u8>)> = (0..arguments.rate / TICKS_PER_SECOND)
            .map(|i| match i % 4 {
                0 => (spoofed(&mut rng), replayed.clone()),
                _ => (spoofed(&mut rng), forged_request(expires, &mut rng)),
            })
            .collect();
        let (mut kept, began) = (Kept::default(), clock::thread_cpu());
        for (from, bytes) in &requests {
            room.server_mut().receive(*from, bytes, now);
        }
        room.server_mut().send_replies(&mut kept);
        flood_ms.push((clock::thread_cpu() - began).as_secs_f64() * 1e3);
        sent += requests
            .iter()
            .map(|(_, bytes)| bytes.len() as u64)
            .sum::<u64>();
        answered += kept.bytes;
        if tick % TICKS_PER_SECOND == 30 {
            joins_ms.push(join(&mut room, 10_000 + tick, now));
        }
        let began = clock::thread_cpu();
        room.tick();
        tick_ms.push((clock::thread_cpu() - began).as_secs_f64() * 1e3);
    }
    json!({
        "requests": sent / 1_078,
        "flood_cpu_ms_per_tick": summary(&mut flood_ms),
        "tick_cpu_ms_with_clients": summary(&mut tick_ms),
        "honest_join_ms_max": joins_ms.iter().copied().fold(0.0, f64::max),
        "memory_growth_bytes": resident_bytes().unwrap_or(0).saturating_sub(before),
        "bytes_back_share": answered as f64 / sent as f64,
        "drops": drops(room.server_mut()),
    })
}

fn drops(server: &truetick_server::server::Server) -> Value {
    server
        .drops()
        .counts()
        .map(|(reason, count)| (reason.key().to_string(), Value::from(count)))
        .collect()
}

/// Opens a session during the flood; returns the time in milliseconds of virtual time.
fn join(room: &mut FullRoom, user: u64, now: Timestamp) -> f64 {
    let from = SocketAddr::from(([127, 0, 0, 1], 30_000 + (user % 1_000) as u16));
    let mut session = SessionClient::new(room.token(user), PROTOCOL, user, now);
    let mut at = now;
    while !session.is_connected() && at.since(now) < Duration::from_secs(5) {
        let mut kept = Kept::default();
        while let Some(bytes) = session.poll(at) {
            room.server_mut().receive(from, &bytes, at);
        }
        room.server_mut().send_replies(&mut kept);
        for (_, bytes) in kept.datagrams {
            let _ = session.receive(SocketAddr::from(SERVER), &bytes, at);
        }
        at += Duration::from_millis(1);
    }
    at.since(now).as_secs_f64() * 1e3
}

/// Starts bots that play over loopback. Their users follow from the seed.
fn start_bots(
    host: &Host,
    kinds: &Arc<ArenaSchema>,
    players: usize,
    seed: u64,
) -> Result<Swarm, Box<dyn Error>> {
    let tokens = TokenSource::new(host.issuer().clone(), *random_key()?.bytes());
    let config = SwarmConfig {
        connect_options: ConnectOptions::Udp,
        relay: None,
        crew: Crew {
            players,
            spectators: 0,
        },
        seed,
        first_user: seed * 1_000,
        trace: None,
        capture: None,
    };
    Ok(Swarm::start(&config, tokens, kinds)?)
}

fn over_loopback(arguments: &Arguments) -> Result<Value, Box<dyn Error>> {
    let config = ServerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        sessions_per_address: 200,
        joins_per_address_s: 1_000,
        ..ServerConfig::default()
    };
    let host = Host::start_configured(&config, random_key()?)?;
    let kinds = Arc::new(arena_schema()?);
    let start = |players, seed| start_bots(&host, &kinds, players, seed);
    let players = start(64, 1)?;
    clock::sleep(Duration::from_secs(3));
    let (calm, before) = (host.report(), resident_bytes().unwrap_or(0));
    let (stop, sent) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let attacker = {
        let (stop, sent, rate, to) = (stop.clone(), sent.clone(), arguments.rate, host.address());
        std::thread::spawn(move || attack(to, rate, &stop, &sent))
    };
    clock::sleep(Duration::from_secs(arguments.seconds / 2));
    let began = clock::now();
    let late = start(1, 99)?;
    while late.figures().joined < 1 && clock::now().since(began) < Duration::from_secs(10) {
        clock::sleep(Duration::from_millis(5));
    }
    // The bots' figures are at most half a second old.
    let joined_ms = clock::now().since(began).as_secs_f64() * 1e3;
    clock::sleep(Duration::from_secs(arguments.seconds / 2));
    let attacked = host.report();
    stop.store(true, Ordering::Relaxed);
    let back = attacker.join().map_err(|_| "the attacker panicked")??;
    let grown = resident_bytes().unwrap_or(0).saturating_sub(before);
    late.stop()?;
    let figures = players.stop()?;
    host.stop()?;
    let requests = sent.load(Ordering::Relaxed);
    let ticks = attacked.room.ticks - calm.room.ticks;
    Ok(json!({
        "requests": requests,
        "requests_per_s": requests as f64 / (ticks as f64 / 60.0),
        "ticks": ticks,
        "missed_ticks": attacked.room.missed_ticks - calm.room.missed_ticks,
        "cpu_ms_per_tick": (attacked.cpu - calm.cpu).as_secs_f64() * 1e3 / ticks as f64,
        "cpu_ms_per_tick_before": calm.cpu.as_secs_f64() * 1e3 / calm.room.ticks as f64,
        "honest_join_ms_at_most": joined_ms,
        "memory_growth_bytes": grown,
        "datagrams_back": back,
        "kernel_drops": attacked.udp.kernel_drops - calm.udp.kernel_drops,
        "players_lost": figures.lost,
        "players_silences": figures.counts.silences,
        "commands_missing": attacked.room.commands.missing - calm.room.commands.missing,
    }))
}

/// Sends forged requests from sixteen addresses of this host; returns the number of datagrams
/// received in return.
fn attack(to: SocketAddr, rate: u64, stop: &AtomicBool, sent: &AtomicU64) -> std::io::Result<u64> {
    let bind = |i: u8| UdpTransport::bind(SocketAddr::from(([127, 0, 1, i], 0)), UdpPath::Fastest);
    let mut sockets = (1..=16).map(bind).collect::<Result<Vec<_>, _>>()?;
    let mut rng = StdRng::seed_from_u64(7);
    let expires = clock::unix_now().as_secs() + 25;
    let requests: Vec<Vec<u8>> = (0..256)
        .map(|_| forged_request(expires, &mut rng))
        .collect();
    let (began, mut back) = (clock::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let now = clock::now();
        let due = now.since(began).as_micros() as u64 * rate / 1_000_000;
        let mut count = sent.load(Ordering::Relaxed);
        while count < due {
            let at = count as usize % sockets.len();
            for request in requests.iter().cycle().skip(count as usize % 256).take(32) {
                sockets[at].send(to.into(), request);
            }
            sockets[at].flush();
            count += 32;
        }
        sent.store(count, Ordering::Relaxed);
        for socket in &mut sockets {
            back += socket.receive(now, |_| {})? as u64;
        }
        clock::sleep_until(now + Duration::from_micros(500));
    }
    Ok(back)
}

fn summary(values: &mut [f64]) -> Value {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}
