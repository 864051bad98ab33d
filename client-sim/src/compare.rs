//! Runs the game over several transports in turn, in this process: how each affects the latency,
//! and what it costs.

use std::error::Error;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::sleep;
use truetick_server::config::ServerConfig;
use truetick_server::files::write_text;
use truetick_server::host::{Host, HostReport, random_key};

use crate::connect_options::{ConnectArguments, TransportChoice};
use crate::demo::{Common, Outcome, Players, serving};
use crate::profile::Profile;
use crate::report::Percentiles;
use crate::swarm::Crew;

/// Time in which all clients join and settle. Measurements start after it.
const SETTLE: Duration = Duration::from_secs(8);

/// Options of the comparison of transports.
#[derive(Args, Clone, Debug)]
pub struct CompareOptions {
    /// Without --server: transports to compare, each on a server in this process
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [TransportChoice::Udp, TransportChoice::Quic])]
    pub transports: Vec<TransportChoice>,
    /// Without --server: networks to compare them on
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Profile::Clean, Profile::Mobile])]
    pub profiles: Vec<Profile>,
}

/// Result of one transport on one network.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Name of the transport.
    pub transport: String,
    /// Name of the network profile.
    pub profile: String,
    /// Time from sending a command to the first snapshot with its effect, at the client.
    pub command_to_snapshot_ms: Percentiles,
    /// CPU time of the server's threads per client and tick, in microseconds.
    pub server_cpu_us: f64,
    /// Bytes of UDP payload that the server sent per client and second, everything included.
    pub bytes_per_client_s: f64,
    /// Number of sessions that were resumed after a silence.
    pub resumed: u64,
    /// Number of sessions that were lost.
    pub lost: usize,
    /// Reasons to distrust the row: lost clients, or clients that did not play properly.
    pub failures: Vec<String>,
}

/// Runs all combinations and prints a table. Returns the failures.
///
/// # Errors
/// A server or the bots cannot be started, or the report cannot be written.
pub async fn compare(crew: Crew, options: &CompareOptions, common: &Common) -> Outcome {
    crate::say!(
        "{} bots, {} of them watching, 64 drones, 60 Hz; {} s for each row after {} s of settling.\n",
        crew.all(),
        crew.spectators,
        seconds(common),
        SETTLE.as_secs()
    );
    crate::say!("network  transport       command to snapshot   server CPU     on the wire");
    crate::say!("                         p50       p99         a client, tick  a client, s");
    let (mut rows, mut missed) = (Vec::new(), Vec::new());
    for profile in &options.profiles {
        for transport in &options.transports {
            let row = one(crew, *transport, *profile, common).await?;
            crate::say!(
                "{:8} {:14} {:6.1} ms {:6.1} ms     {:6.1} us      {:5.1} kB{}",
                row.profile,
                row.transport,
                row.command_to_snapshot_ms.p50,
                row.command_to_snapshot_ms.p99,
                row.server_cpu_us,
                row.bytes_per_client_s / 1e3,
                match (row.resumed, row.lost) {
                    (0, 0) => String::new(),
                    (resumed, lost) => format!("   {resumed} sessions resumed, {lost} lost"),
                }
            );
            missed.extend(
                row.failures
                    .iter()
                    .map(|why| format!("{} {}: {why}", row.profile, row.transport)),
            );
            rows.push(row);
        }
    }
    if let Some(path) = &common.json {
        write_text(path, &serde_json::to_string_pretty(&rows)?)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(missed)
}

fn seconds(common: &Common) -> u64 {
    if common.seconds == 0 {
        20
    } else {
        common.seconds
    }
}

async fn one(
    crew: Crew,
    transport: TransportChoice,
    profile: Profile,
    common: &Common,
) -> Result<Compared, Box<dyn Error>> {
    let connect_options = ConnectArguments {
        transport,
        fingerprint: None,
    };
    let over = transport.transport();
    let config = ServerConfig {
        max_clients: crew.all() + 8,
        max_spectators: crew.all() + 8,
        sessions_per_address: crew.all() + 8,
        joins_per_address_s: 1_000,
        drones: 64,
        seed: common.seed,
        ..serving(&connect_options)
    };
    let host = Host::start_configured(&config, random_key()?)?;
    let issuer = host.listeners().issuers[&over].clone();
    let connect_options = connect_options.connect_options(host.listeners().fingerprint)?;
    let players = Players::start(issuer, crew, connect_options, profile, common)?;
    sleep(SETTLE).await;
    players.swarm.measure_from_now();
    let before = host.report();
    sleep(Duration::from_secs(seconds(common))).await;
    let after = host.report();
    let figures = players.stop()?;
    host.stop()?;
    let lost = figures.lost + crew.all().saturating_sub(figures.joined);
    let mut failures = figures
        .play
        .failures((SETTLE.as_secs() + seconds(common)) as f64);
    failures.extend((lost > 0).then(|| format!("{lost} clients lost, should be 0")));
    let per_client = |value: f64| value / crew.all() as f64;
    let ticks = (after.room.ticks - before.room.ticks).max(1);
    let bytes = |report: &HostReport| report.wire.get(&over).copied().unwrap_or_default();
    Ok(Compared {
        transport: transport.to_string(),
        profile: profile
            .describe()
            .split(':')
            .next()
            .unwrap_or_default()
            .into(),
        command_to_snapshot_ms: (&figures.command_to_snapshot).into(),
        server_cpu_us: per_client((after.cpu - before.cpu).as_secs_f64() * 1e6 / ticks as f64),
        bytes_per_client_s: per_client(
            (bytes(&after) - bytes(&before)) as f64 / ticks as f64 * f64::from(after.tick_rate),
        ),
        resumed: figures.counts.resumes,
        lost,
        failures,
    })
}
