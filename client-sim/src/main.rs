//! `truetick-sim`: headless clients of a Truetick server.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use truetick_client_sim::demo::{self, DemoOptions, RemoteOptions};
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
    /// Measure a running server's latency by stages
    Latency(RemoteOptions),
    /// Run a recording again and check every tick, or compare two recordings
    Replay(ReplayOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let control = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = control.block_on(async {
        match arguments.command {
            Command::Demo(options) => demo::demo(options).await,
            Command::Bots(options) => demo::bots(options).await,
            Command::Latency(options) => demo::latency(options).await,
            Command::Replay(options) => match replay::run(&options) {
                Ok(true) => Ok(Vec::new()),
                Ok(false) => Err("not equal".into()),
                Err(error) => Err(error),
            },
        }
    });
    match outcome {
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
