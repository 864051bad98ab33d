//! The workload W(N, M) over real UDP with sealed sessions: the server's cost of a tick, and the
//! traffic to each client.
//!
//! `cargo run --release -p truetick-benches --bin replication -- --clients 64 --json PATH`; the
//! keys are described in benches/README.md. The clients run in a process of their own.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use truetick_benches::load_clients::{self, Floor};
use truetick_benches::report::give;
use truetick_benches::workload::{Motion, Walkers};
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::Transport;
use truetick_server::config::ServerConfig;
use truetick_server::files::resident_bytes;
use truetick_server::host::{Host, HostReport, random_key};
use truetick_server::room::RoomConfig;
use truetick_server::world_room::WorldRoom;
use truetick_transport::clock;
use truetick_transport::udp::{UdpPath, UdpTransport};

/// W(N, M): N clients and M drones, all within everyone's interest
#[derive(Parser)]
struct Arguments {
    /// Number of clients
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Number of entities without an owner
    #[arg(long, default_value_t = 0)]
    drones: u32,
    /// Number of measured ticks
    #[arg(long, default_value_t = 600)]
    ticks: u64,
    /// Motion of all entities
    #[arg(long, value_enum, default_value = "random")]
    motion: MotionArgument,
    /// Coder of snapshots; there is one
    #[arg(long = "coding", hide = true, default_value = "range", value_parser = ["range"])]
    _coding: String,
    /// Maximum bytes of state per client and tick
    #[arg(long, default_value_t = 8_000)]
    budget: usize,
    /// Write the report as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Print one line for each half second to standard error
    #[arg(long)]
    series: bool,
    /// Starve the server with busy threads, this many seconds after the clients play
    #[arg(long)]
    starve_at: Option<f64>,
    /// Length of the starvation in seconds
    #[arg(long, default_value_t = 3.0)]
    starve_for: f64,
    /// Number of busy threads
    #[arg(long, default_value_t = 3)]
    starve_by: usize,
    /// Run the clients of the server at this address, with the key on standard input
    #[arg(long, hide = true)]
    sinks_of: Option<SocketAddr>,
    /// Run clients that only send to this address and read the answers
    #[arg(long, hide = true)]
    floor_of: Option<SocketAddr>,
}

#[derive(Clone, Copy, ValueEnum)]
enum MotionArgument {
    Random,
    Circles,
}

impl Arguments {
    fn workload(&self) -> Walkers {
        let motion = match self.motion {
            MotionArgument::Random => Motion::Random,
            MotionArgument::Circles => Motion::Circles,
        };
        Walkers {
            drones: self.drones,
            motion,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let Some(server) = arguments.sinks_of {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        return load_clients::run(server, Key::from_hex(&line)?, arguments.clients);
    }
    if let Some(server) = arguments.floor_of {
        return load_clients::run_floor(server, arguments.clients);
    }
    let report = measure(&arguments)?;
    give(&report, arguments.json.as_deref())
}

/// A process that runs the clients until its standard input ends.
struct Clients {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Clients {
    fn start(
        role: &str,
        server: SocketAddr,
        arguments: &Arguments,
        first_line: &str,
    ) -> std::io::Result<Self> {
        let clients = arguments.clients.to_string();
        let mut child = Command::new(std::env::current_exe()?)
            .args([role, &server.to_string(), "--clients", &clients])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(stdin) = &mut child.stdin {
            writeln!(stdin, "{first_line}")?;
        }
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| std::io::Error::other("no standard output"))?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout),
        })
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim().to_string())
    }

    /// Ends the process and returns its report, which is its last line.
    fn end(mut self) -> Result<Value, Box<dyn Error>> {
        drop(self.child.stdin.take());
        let line = self.line()?;
        self.child.wait()?;
        Ok(serde_json::from_str(&line)?)
    }
}

fn measure(arguments: &Arguments) -> Result<Value, Box<dyn Error>> {
    let key = random_key()?;
    let config = ServerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        max_clients: arguments.clients,
        sessions_per_address: arguments.clients + 16,
        joins_per_address_s: 10_000,
        ..ServerConfig::default()
    };
    let room = RoomConfig {
        max_clients: arguments.clients,
        snapshot_bytes: arguments.budget,
        relevance_radius_m: None,
        ..RoomConfig::default()
    };
    let room = WorldRoom::new(arguments.workload(), room, clock::now())?;
    let before = resident_bytes().unwrap_or(0);
    let host = Host::start_rooms(&config, key.clone(), vec![Box::new(room)], Vec::new())?;
    let mut clients = Clients::start("--sinks-of", host.address(), arguments, &key.to_hex())?;
    let playing = clients.line()?;
    if playing != "playing" {
        return Err(format!("the clients could not join: {playing}").into());
    }
    let busy = starve(arguments);
    let began = clock::now();
    watch(&host, arguments, began, Duration::from_secs(4));
    let from = host.report();
    watch(
        &host,
        arguments,
        began,
        Duration::from_secs_f64(arguments.ticks as f64 / 60.0),
    );
    let to = host.report();
    busy.into_iter()
        .for_each(|thread| thread.join().unwrap_or(()));
    let grown = resident_bytes().unwrap_or(0).saturating_sub(before);
    let verified = clients.end()?;
    host.stop()?;
    let floor = measure_floor(arguments, &from, &to)?;
    let span = Span {
        from: &from,
        to: &to,
    };
    Ok(report(arguments, span, floor, verified, grown))
}

/// Starts the threads that take processor time from the server, if requested. They end by
/// themselves.
fn starve(arguments: &Arguments) -> Vec<JoinHandle<()>> {
    let Some(at) = arguments.starve_at else {
        return Vec::new();
    };
    let from = clock::now() + Duration::from_secs_f64(at);
    let until = from + Duration::from_secs_f64(arguments.starve_for);
    let busy = move || {
        clock::sleep_until(from);
        let mut number = 1u64;
        while clock::now() < until {
            (0..10_000).for_each(|_| number = std::hint::black_box(number.wrapping_mul(3)));
        }
    };
    (0..arguments.starve_by)
        .map(|_| std::thread::spawn(busy))
        .collect()
}

/// Waits for `span`, and prints a line for each half second if requested.
fn watch(host: &Host, arguments: &Arguments, began: Timestamp, span: Duration) {
    let end = clock::now() + span;
    let mut last = host.report();
    while clock::now() < end {
        clock::sleep_until((clock::now() + Duration::from_millis(500)).min(end));
        let report = host.report();
        if arguments.series && report.room.ticks > last.room.ticks {
            eprintln!(
                "{}",
                series_line(&last, &report, arguments.clients, clock::now().since(began))
            );
            last = report;
        }
    }
}

/// A line with the costs of the ticks between two reports.
fn series_line(from: &HostReport, to: &HostReport, clients: usize, at: Duration) -> String {
    let ticks = (to.room.ticks - from.room.ticks) as f64;
    let per_tick = |a: u64, b: u64| (b - a) as f64 / ticks;
    let (a, b) = (&from.room, &to.room);
    format!(
        "{:5.1} s: {ticks:3} ticks, {:6.2} ms cpu, {:7.1} units encoded, {:7.0} asked for, {:8.0} entities \
         individually, {:5.0} packets, {:6.1} deferred a client, {:3} missed, {} floods, {} kernel drops, {:.0} \
         commands missing",
        at.as_secs_f64(),
        (to.cpu - from.cpu).as_secs_f64() * 1e3 / ticks,
        per_tick(a.encode_sharing.1, b.encode_sharing.1),
        per_tick(a.encode_sharing.0, b.encode_sharing.0),
        per_tick(a.encoded_individually, b.encoded_individually),
        per_tick(a.packets_out, b.packets_out),
        per_tick(a.deferred, b.deferred) / clients as f64,
        b.missed_ticks - a.missed_ticks,
        to.drops.count(DropReason::Flood) - from.drops.count(DropReason::Flood),
        to.udp.kernel_drops - from.udp.kernel_drops,
        per_tick(a.commands.missing, b.commands.missing),
    )
}

/// The host's reports at both ends of the measurement.
#[derive(Clone, Copy)]
struct Span<'a> {
    from: &'a HostReport,
    to: &'a HostReport,
}

fn report(
    arguments: &Arguments,
    span: Span<'_>,
    floor: Floor,
    verified: Value,
    grown: u64,
) -> Value {
    let Span { from, to } = span;
    let ticks = (to.room.ticks - from.room.ticks) as f64;
    let per_tick = |a: u64, b: u64| (b - a) as f64 / ticks;
    let bytes = per_tick(from.room.bytes_out, to.room.bytes_out);
    let updates = per_tick(from.room.updates, to.room.updates);
    let cpu = (to.cpu - from.cpu).as_secs_f64() * 1e3 / ticks;
    let (lookups, encodes) = (to.room.encode_sharing, from.room.encode_sharing);
    json!({
        "clients": arguments.clients,
        "drones": arguments.drones,
        "ticks": ticks,
        "missed_ticks": to.room.missed_ticks - from.room.missed_ticks,
        "server_cpu_ms_per_tick": cpu,
        "floor_cpu_ms_per_tick": floor.cpu_ms_per_tick,
        "ratio_to_floor": cpu / floor.cpu_ms_per_tick,
        "bytes_per_client_s": bytes * 60.0 / arguments.clients as f64,
        "bytes_per_entity_update": bytes / updates,
        "state_bytes_per_entity_update": per_tick(from.room.state_bits, to.room.state_bits) / 8.0 / updates,
        "updates_per_client_tick": updates / arguments.clients as f64,
        "deferred_per_client_tick": per_tick(from.room.deferred, to.room.deferred) / arguments.clients as f64,
        "packets_out_per_tick": per_tick(from.room.packets_out, to.room.packets_out),
        "units_asked_for_per_tick": per_tick(encodes.0, lookups.0),
        "units_encoded_per_tick": per_tick(encodes.1, lookups.1),
        "entities_encoded_individually_per_tick":
            per_tick(from.room.encoded_individually, to.room.encoded_individually),
        "dropped_as_flood": to.drops.count(DropReason::Flood) - from.drops.count(DropReason::Flood),
        "commands_missing_per_tick": per_tick(from.room.commands.missing, to.room.commands.missing),
        "tick_ms_p50": to.room.tick_time.quantile_ms(0.5),
        "tick_ms_p99": to.room.tick_time.quantile_ms(0.99),
        "rss_bytes": grown,
        "verified": verified,
    })
}

/// Measures the cost of sending and receiving equal packets without sessions and state.
fn measure_floor(
    arguments: &Arguments,
    from: &HostReport,
    to: &HostReport,
) -> Result<Floor, Box<dyn Error>> {
    let sent = (to.room.packets_out - from.room.packets_out) as f64;
    let per_client = sent / (to.room.ticks - from.room.ticks) as f64 / arguments.clients as f64;
    let size = ((to.room.bytes_out - from.room.bytes_out) as f64 / sent) as usize;
    let mut socket = UdpTransport::bind(SocketAddr::from(([127, 0, 0, 1], 0)), UdpPath::Fastest)?;
    let clients = Clients::start("--floor-of", socket.local_address()?, arguments, "")?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let (mut next, mut spent, mut ticks, mut owed) = (clock::now(), Duration::ZERO, 0u64, 0.0);
    let packet = vec![7u8; size];
    let last = 120 + arguments.ticks.min(600);
    for tick in 0..last {
        next += Duration::from_micros(16_667);
        clock::sleep_until(next);
        let began = clock::thread_cpu();
        receive(&mut socket, clock::now(), &mut addresses, tick < 120)?;
        if tick < 120 {
            continue;
        }
        for to in &addresses {
            owed += per_client;
            while owed >= 1.0 {
                socket.send((*to).into(), &packet);
                owed -= 1.0;
            }
        }
        socket.flush();
        spent += clock::thread_cpu() - began;
        ticks += 1;
    }
    clients.end()?;
    Ok(Floor {
        cpu_ms_per_tick: spent.as_secs_f64() * 1e3 / ticks as f64,
    })
}

fn receive(
    socket: &mut UdpTransport,
    now: Timestamp,
    addresses: &mut Vec<SocketAddr>,
    new: bool,
) -> std::io::Result<()> {
    let mut came = 1;
    while came > 0 {
        came = socket.receive(now, |datagram| {
            if new && !addresses.contains(&datagram.from) {
                addresses.push(datagram.from);
            }
        })?;
    }
    Ok(())
}
