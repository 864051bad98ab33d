//! `truetick-server` runs one arena over UDP and, if configured, over QUIC, WebTransport and
//! laminar, with an optional auction house.
//!
//! SIGTERM drains the server, and a second SIGTERM stops it. SIGINT stops it at once. SIGHUP is
//! logged and has no other effect.

#![allow(clippy::disallowed_types, reason = "opens the listeners of HTTP")]

mod arguments;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;
use truetick_netcode::session::token::Purpose;
use truetick_netcode::session::{Role, UserId};
use truetick_server::auction::offline;
use truetick_server::config::ServerConfig;
use truetick_server::host::{Host, random_key};
use truetick_server::listeners::Listeners;
use truetick_server::log::{self, BackgroundWriter};
use truetick_server::page::PageListener;
use truetick_server::{descriptors, keys, token_service};
use truetick_transport::clock;

use self::arguments::{Arguments, AuctionCommand, Command, TokenArguments};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,web_transport_quinn=error"));
    // Standard output carries only the command's result; the log goes to standard error.
    let quiet = arguments.command.is_some();
    let writer = if quiet {
        BackgroundWriter::stderr()
    } else {
        BackgroundWriter::stdout()
    };
    let Ok(writer) = writer else {
        return ExitCode::FAILURE;
    };
    log::install(&writer, filter, std::io::stdout().is_terminal());
    let done = match &arguments.command {
        None => serve(&arguments, &writer),
        Some(Command::Key) => print_key(),
        Some(Command::Token(token)) => print_token(token),
        Some(Command::Auction(command)) => read_auction(command),
    };
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            error!("{message}");
            ExitCode::FAILURE
        }
    };
    writer.finish();
    code
}

/// Prints a command's result to standard output. A closed pipe is an error.
fn print(text: &str) -> Done {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(std::io::stdout().flush()?)
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn print_key() -> Done {
    print(&format!("{}\n", random_key()?.to_hex()))
}

fn print_token(arguments: &TokenArguments) -> Done {
    let key = keys::load(arguments.key_file.as_deref())?;
    let config = ServerConfig {
        token_lifetime_s: arguments.lifetime,
        timeout_s: arguments.timeout,
        ..ServerConfig::default()
    };
    let issuer = config.issuer(key, arguments.server.clone());
    let role = if arguments.spectator {
        Role::Spectator
    } else {
        Role::Player
    };
    let purpose = Purpose {
        room: arguments.room,
        role,
        ..Purpose::default()
    };
    let mut rng = StdRng::from_seed(*random_key()?.bytes());
    let token = issuer.issue(UserId(arguments.user), purpose, clock::unix_now(), &mut rng);
    print(&format!("{}\n", BASE64_STANDARD.encode(*token.to_bytes())))
}

fn read_auction(command: &AuctionCommand) -> Done {
    match command {
        AuctionCommand::Lots(at) => print(&offline::lots(&at.data)?),
        AuctionCommand::Accounts { data, user } => print(&offline::accounts(&data.data, *user)?),
        AuctionCommand::Audit(at) => {
            let (text, good) = offline::audit(&at.data)?;
            print(&text)?;
            if good {
                Ok(())
            } else {
                Err("the audit found something wrong".into())
            }
        }
    }
}

fn serve(arguments: &Arguments, log: &BackgroundWriter) -> Done {
    let mut config = arguments.server_config()?;
    let key = keys::load(config.key_file.as_deref())?;
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    control.block_on(async {
        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        let mut hangup = signal(SignalKind::hangup())?;
        // With a handler for SIGXFSZ, a write beyond the file size limit fails instead of killing
        // the process.
        let _too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
        descriptors::raise_limit();
        let page = PageListener::of(&mut config).await?;
        let host = Host::start_configured(&config, key)?;
        if let Some(page) = page {
            info!("watch the arena at http://{}/", page.address());
            page.serve(host.listeners(), config.tick_rate, *random_key()?.bytes())?;
        }
        if let Some(address) = config.token_service {
            serve_tokens(address, &config, host.listeners()).await?;
        }
        let mut every = tokio::time::interval(Duration::from_millis(100));
        let (mut looks, mut draining) = (0, false);
        while host.is_running() {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => match std::mem::replace(&mut draining, true) {
                    false => host.drain(),
                    true => break,
                },
                // A closing terminal must not end the server, and there is no configuration to
                // reload.
                _ = hangup.recv() => info!("hangup: it goes on"),
                _ = every.tick() => looks += 1,
            }
            if looks == LOG_EVERY {
                looks = 0;
                log_figures(&host, log);
            }
        }
        let report = host.stop()?;
        let rooms = report.all_rooms();
        info!(
            ticks = rooms.ticks,
            missed = rooms.missed_ticks,
            "final figures"
        );
        Ok(())
    })
}

/// Starts the token service on the control thread, apart from the rooms' thread.
async fn serve_tokens(address: SocketAddr, config: &ServerConfig, listeners: &Listeners) -> Done {
    let secret = keys::load_secret(config.token_secret_file.as_deref())?;
    if !address.ip().is_loopback() {
        warn!(%address, "tokens travel unencrypted: put a proxy with TLS before the token service");
    }
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot serve tokens on {address}: {error}"))?;
    info!(address = %listener.local_addr()?, "making tokens: POST /v1/connect");
    let routes = token_service::routes(listeners, secret, *random_key()?.bytes());
    tokio::spawn(async move {
        if let Err(error) = token_service::serve(listener, routes).await {
            error!("the token service ended: {error}");
        }
    });
    Ok(())
}

/// Iterations of the control loop, ten per second, between two log lines with figures.
const LOG_EVERY: u32 = 100;

fn log_figures(host: &Host, log: &BackgroundWriter) {
    let report = host.report();
    let rooms = report.all_rooms();
    info!(
        clients = report.sessions,
        ticks = rooms.ticks,
        missed = rooms.missed_ticks,
        tick_p99_ms = rooms.tick_time.quantile_ms(0.99),
        kernel_drops = report.udp.kernel_drops,
        socket_errors = report.udp.receive_errors + report.udp.send_errors,
        quic_batches_dropped = report.quic.batches_dropped,
        dropped = ?report.drops,
        unexplained_reports = report.unexplained_reports,
        log_lines_lost = log.lost_lines(),
        "running"
    );
}
