//! Bots on a server that runs already, and the latency that they measure there.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use truetick_server::config::ServerConfig;
use truetick_server::keys;
use truetick_transport::clock;

use super::players::{Players, save, watch};
use super::{Common, Outcome};
use crate::compare::{CompareOptions, compare};
use crate::connect_options::ConnectArguments;
use crate::live_table::LiveTable;
use crate::measure::ClientFigures;
use crate::profile::Profile;
use crate::report::{Report, RunPart};
use crate::swarm::Crew;
use crate::table::{self, latency_table};

/// Options for bots on a running server.
#[derive(Args, Clone, Debug)]
pub struct RemoteOptions {
    /// Address of the running server
    #[arg(long, value_name = "ADDRESS")]
    pub server: SocketAddr,
    /// Options of the bots
    #[command(flatten)]
    pub bots: BotOptions,
}

/// Options of bots that connect to a running server.
#[derive(Args, Clone, Debug)]
pub struct BotOptions {
    /// File with the running server's key for the bots' tokens; or give the key in TRUETICK_KEY
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Number of bots that play, 1 to 1,000
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub clients: u64,
    /// Number of spectator bots, 0 to 1,000
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1_000))]
    pub spectators: u64,
    /// Network between bots and server
    #[arg(long, value_enum, default_value_t = Profile::Clean)]
    pub profile: Profile,
    /// How the bots connect to the server
    #[command(flatten)]
    pub connect_options: ConnectArguments,
    /// Options that several commands share
    #[command(flatten)]
    pub common: Common,
}

/// Plays against a running server. Returns the budgets that were missed.
///
/// # Errors
/// The key cannot be read, or the bots cannot be started.
pub async fn bots(options: RemoteOptions) -> Outcome {
    let mut live = LiveTable::default();
    let show = |report: &Report| live.show(&table::line(report), |rows| table::full(rows, report));
    let report = play_remote(&options, show).await?;
    live.finish(|rows| table::full(rows, &report))?;
    Ok(report.missed_budgets(100.0))
}

/// Options of the latency harness.
#[derive(Args, Clone, Debug)]
pub struct LatencyOptions {
    /// Address of a running server; without it transports are compared, each in this process
    #[arg(long, value_name = "ADDRESS")]
    pub server: Option<SocketAddr>,
    /// Options of the bots
    #[command(flatten)]
    pub bots: BotOptions,
    /// Options of the comparison
    #[command(flatten)]
    pub compared: CompareOptions,
}

/// Measures a running server's latency by stages, or compares transports. Returns the budgets that
/// were missed.
///
/// # Errors
/// The key cannot be read, or a server or the bots cannot be started.
pub async fn latency(options: LatencyOptions) -> Outcome {
    let LatencyOptions {
        server,
        bots,
        compared,
    } = options;
    let Some(server) = server else {
        if bots.key_file.is_some() {
            return Err("--key-file names a running server's key: say which with --server".into());
        }
        return compare(
            Crew::of(bots.clients, bots.spectators),
            &compared,
            &bots.common,
        )
        .await;
    };
    let options = RemoteOptions { server, bots };
    crate::say!("Measuring; the stages hold where this host is the server's.");
    let report = play_remote(&options, |_| Ok(())).await?;
    crate::say!("{}", latency_table(&report).trim_end());
    Ok(report.missed_budgets(100.0))
}

async fn play_remote(
    options: &RemoteOptions,
    mut show: impl FnMut(&Report) -> std::io::Result<()>,
) -> Result<Report, Box<dyn Error>> {
    let RemoteOptions { server, bots } = options;
    let key = keys::load(bots.key_file.as_deref())?;
    let issuer = ServerConfig::default().issuer(key, vec![*server]);
    let connect_options = bots.connect_options.connect_options(None)?;
    let crew = Crew::of(bots.clients, bots.spectators);
    let players = Players::start(issuer, crew, connect_options, bots.profile, &bots.common)?;
    let report = |seconds, figures: &ClientFigures| {
        let run = RunPart {
            clients: crew.players,
            spectators: crew.spectators,
            drones: None,
            tick_rate: figures.tick_rate,
            profile: bots.profile.describe().into(),
            seed: bots.common.seed,
            seconds,
        };
        Report::new(run, figures, None)
    };
    let started = clock::now();
    watch(&bots.common, started, |seconds| {
        show(&report(seconds, &players.swarm.figures()))?;
        Ok(true)
    })
    .await?;
    let seconds = clock::now().since(started).as_secs_f64();
    let report = report(seconds, &players.stop()?);
    save(&bots.common, &report)?;
    Ok(report)
}
