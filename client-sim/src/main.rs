//! `truetick-sim`: headless clients of a Truetick server.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use truetick_client_sim::auction::run::{self, AuctionOptions};
use truetick_client_sim::demo::{self, DemoOptions, LatencyOptions, RemoteOptions};
use truetick_client_sim::feel::{self, FeelOptions};
use truetick_client_sim::inspect::{self, InspectOptions};
use truetick_client_sim::replay::{self, ReplayOptions};

/// Headless clients of a Truetick server.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a server in this process and let bots play on it
    Demo(DemoOptions),
    /// Let bots play on a running server
    Bots(RemoteOptions),
    /// Measure a running server's latency by stages, or compare transports
    Latency(LatencyOptions),
    /// Start an auction house in this process and let a crowd visit it
    Auction(AuctionOptions),
    /// Measure what a player sees while the path changes, in virtual time
    Feel(FeelOptions),
    /// Run a recording again and check every tick, or compare two recordings
    Replay(ReplayOptions),
    /// Take captured packets apart: bits per packet, entity and field, and where the bytes go
    Inspect(InspectOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,web_transport_quinn=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match arguments.command {
        Command::Demo(options) => play(demo::demo(options)),
        Command::Bots(options) => play(demo::bots(options)),
        Command::Latency(options) => play(demo::latency(options)),
        Command::Auction(options) => play(run::auction(options)),
        Command::Feel(options) => play(async move { feel::run(&options) }),
        Command::Replay(options) => end_check(replay::run(&options)),
        Command::Inspect(options) => end_check(inspect::run(&options)),
    }
}

/// Plays until the end: 0 where all went well, 2 where a budget was missed, 1 where it could not be played.
fn play(game: impl Future<Output = demo::Outcome>) -> ExitCode {
    let control = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match control.block_on(game) {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            missed.iter().for_each(|missed| eprintln!("budget missed: {missed}"));
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// As diff(1): 0 where all is equal, 1 where something differs, 2 where that cannot be told.
fn end_check(outcome: replay::Outcome) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
