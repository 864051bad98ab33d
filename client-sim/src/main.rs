//! `truetick-sim`: headless clients of a Truetick server.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use truetick_client_sim::auction::run::{self, AuctionOptions};
use truetick_client_sim::demo::{self, DemoOptions, LatencyOptions, RemoteOptions};
use truetick_client_sim::feel::{self, FeelOptions};
use truetick_client_sim::inspect::{self, InspectOptions};
use truetick_client_sim::replay::{self, ReplayOptions};
use truetick_client_sim::say;
use truetick_server::descriptors;
use truetick_server::log::{self, BackgroundWriter};

/// The exit codes in `--help`.
const EXIT_CODES: &str = "\
Exit codes of demo, bots, latency, auction and feel:
  0  everyone played, and every budget was kept
  1  it could not be played: no server, no key, wrong options
  2  a budget or a bound was missed: clients lost, states that differ, ticks missed, a recording that is not whole,
     clients that got snapshots of fewer than one tick in ten, or of whose commands fewer than one in ten were in time,
     an auction that does not answer
Of replay and inspect, as of diff(1): 0 all is equal, 1 something differs, 2 that cannot be told.";

/// Headless clients of a Truetick server.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
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
    /// Start an auction house in this process with a crowd of bidders and watchers
    Auction(AuctionOptions),
    /// Measure what a player sees while the path changes, in virtual time
    Feel(FeelOptions),
    /// Run a recording again and check every tick, or compare two recordings
    Replay(ReplayOptions),
    /// Break down captured packets: bits per packet, entity and field, and what the bytes encode
    Inspect(InspectOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,web_transport_quinn=error"));
    let Ok(errors) = BackgroundWriter::stderr() else {
        return ExitCode::FAILURE;
    };
    log::install(&errors, filter, std::io::stderr().is_terminal());
    descriptors::raise_limit();
    let complain = |text: String| {
        // Writing to this writer never fails.
        let _ = errors.clone().write_all(format!("{text}\n").as_bytes());
    };
    let code = match arguments.command {
        Command::Demo(options) => play(demo::demo(options), complain),
        Command::Bots(options) => play(demo::bots(options), complain),
        Command::Latency(options) => play(demo::latency(options), complain),
        Command::Auction(options) => play(run::auction(options), complain),
        Command::Feel(options) => play(async move { feel::run(&options) }, complain),
        Command::Replay(options) => end_check(replay::run(&options), complain),
        Command::Inspect(options) => end_check(inspect::run(&options), complain),
    };
    say::finish();
    errors.finish();
    code
}

/// Runs a game to its end. Exit codes: 0 if all went well, 2 if a budget was missed or a client did
/// not play properly, 1 if the game could not be played.
fn play(game: impl Future<Output = demo::Outcome>, complain: impl Fn(String)) -> ExitCode {
    let control = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(control) => control,
        Err(error) => {
            complain(format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match control.block_on(game) {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            missed
                .iter()
                .for_each(|missed| complain(format!("budget missed: {missed}")));
            ExitCode::from(2)
        }
        Err(error) => {
            complain(error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Exit codes as of diff(1): 0 if all is equal, 1 if something differs, 2 if that cannot be
/// decided.
fn end_check(outcome: replay::Outcome, complain: impl Fn(String)) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(error.to_string());
            ExitCode::from(2)
        }
    }
}
