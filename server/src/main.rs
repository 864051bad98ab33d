//! `truetick-server`: one arena on a UDP socket, until SIGINT or SIGTERM.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;
use truetick_server::config::ServerConfig;
use truetick_server::host::Host;

/// An authoritative game-state server: one arena over UDP.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file (TOML); flags override its keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to serve on (loopback only until sessions are encrypted)
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Ticks per second, 10 to 128
    #[arg(long, value_name = "HZ")]
    tick_rate: Option<u32>,
    /// Clients at once
    #[arg(long, value_name = "N")]
    max_clients: Option<usize>,
    /// Drones in the arena
    #[arg(long, value_name = "N")]
    drones: Option<u32>,
    /// Seed of the world's chances
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Record the room to this file, for `truetick-sim replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Hold the state that each tick changed in the recording, too
    #[arg(long)]
    record_state: bool,
}

impl Arguments {
    fn server_config(&self) -> Result<ServerConfig, truetick_server::config::ConfigError> {
        let mut config = match &self.config {
            Some(path) => {
                let config = ServerConfig::read(path)?;
                config.check(&path.display().to_string())?;
                config
            }
            None => ServerConfig::default(),
        };
        config.listen = self.listen.unwrap_or(config.listen);
        config.tick_rate = self.tick_rate.unwrap_or(config.tick_rate);
        config.max_clients = self.max_clients.unwrap_or(config.max_clients);
        config.drones = self.drones.unwrap_or(config.drones);
        config.seed = self.seed.unwrap_or(config.seed);
        config.record = self.record.clone().or(config.record);
        config.record_state |= self.record_state;
        config.check("command line")?;
        Ok(config)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stdout().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            error!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let config = arguments.server_config()?;
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    control.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let host = Host::start_arena(&config)?;
        let mut every = tokio::time::interval(Duration::from_secs(10));
        every.tick().await;
        while host.is_running() {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = every.tick() => log_figures(&host),
            }
        }
        let report = host.stop()?;
        info!(ticks = report.rooms.ticks, missed = report.rooms.missed_ticks, "final figures");
        Ok(())
    })
}

fn log_figures(host: &Host) {
    let report = host.report();
    info!(
        clients = report.sessions,
        ticks = report.rooms.ticks,
        missed = report.rooms.missed_ticks,
        tick_p99_ms = report.rooms.tick_time.quantile_ms(0.99),
        kernel_drops = report.udp.kernel_drops,
        dropped = report.drops.total(),
        "running"
    );
}
