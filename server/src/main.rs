//! `truetick-server` runs one arena over UDP and, if configured, over QUIC, WebTransport and
//! laminar, with an optional auction house.
//!
//! SIGTERM drains the server, and a second SIGTERM stops it. SIGINT stops it at once. SIGHUP is
//! logged and has no other effect.

#![allow(clippy::disallowed_types, reason = "opens the listeners of HTTP")]

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Parser, Subcommand};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;
use truetick_netcode::clock;
use truetick_netcode::session::token::Purpose;
use truetick_netcode::session::{Role, UserId};
use truetick_server::auction::offline;
use truetick_server::config::{ConfigError, ServerConfig};
use truetick_server::host::{Host, random_key};
use truetick_server::listeners::Listeners;
use truetick_server::log::{self, BackgroundWriter};
use truetick_server::page::PageListener;
use truetick_server::{descriptors, keys, token_service};

/// Authoritative server for fast-paced multiplayer games
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file (TOML); flags override its keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// UDP address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address at which clients reach the server, if not the listen address; repeatable
    #[arg(long, value_name = "ADDRESS")]
    public: Vec<SocketAddr>,
    /// Address to serve QUIC and WebTransport on; the certificate's fingerprint is printed
    #[arg(long, value_name = "ADDRESS")]
    quic: Option<SocketAddr>,
    /// QUIC: PEM file with the certificate chain; without it a self-signed one is made
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// QUIC: PEM file with the certificate's private key
    #[arg(long, value_name = "FILE")]
    certificate_key: Option<PathBuf>,
    /// WebTransport: origin of a page that may connect, as https://game.example; repeatable
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// Loopback address of a page that shows the arena in a browser; anyone who opens it may watch
    #[arg(long, value_name = "ADDRESS")]
    page: Option<SocketAddr>,
    /// Loopback or private address to serve laminar on; only in builds with the feature `laminar`
    #[arg(long, value_name = "ADDRESS")]
    laminar: Option<SocketAddr>,
    /// File with the key that seals tokens; without it TRUETICK_KEY holds the key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Address of the HTTP service that issues tokens (POST /v1/connect)
    #[arg(long, value_name = "ADDRESS")]
    token_service: Option<SocketAddr>,
    /// File with the secret for the token service; without it TRUETICK_TOKEN_SECRET holds it
    #[arg(long, value_name = "FILE")]
    token_secret_file: Option<PathBuf>,
    /// Ticks per second, 10 to 128
    #[arg(long, value_name = "HZ")]
    tick_rate: Option<u32>,
    /// Maximum number of players, 1 to 4096
    #[arg(long, value_name = "N")]
    max_clients: Option<usize>,
    /// Number of drones in the arena, 0 to 4096
    #[arg(long, value_name = "N")]
    drones: Option<u32>,
    /// Seed of the world's random number generator
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Record the room to this file, for `truetick-sim replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Include in the recording the state that each tick changed
    #[arg(long)]
    record_state: bool,
    /// Capture state packets to this file, for `truetick-sim inspect`; an older file becomes FILE.1
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Run an auction house beside the arena, as room 1, with its journal in this folder
    #[arg(long, value_name = "DIR")]
    auction: Option<PathBuf>,
    /// User who administers the auction house; only used when it is founded; repeatable
    #[arg(long, value_name = "N", requires = "auction")]
    auction_admin: Vec<u64>,
}

#[derive(Subcommand)]
enum Command {
    /// Print a new key
    Key,
    /// Print a connect token for one user, in base64
    Token(TokenArguments),
    /// Read an auction's journal
    #[command(subcommand)]
    Auction(AuctionCommand),
}

#[derive(Subcommand)]
enum AuctionCommand {
    /// List the lots with their state or outcome
    Lots(DataArgument),
    /// List the accounts, or print one user's statement
    Accounts {
        /// Folder of the journal
        #[command(flatten)]
        data: DataArgument,
        /// User whose statement to print
        #[arg(long, value_name = "N")]
        user: Option<u64>,
    },
    /// Check every invariant, entry by entry; exits non-zero if one is violated
    Audit(DataArgument),
}

#[derive(Args)]
struct DataArgument {
    /// Folder of the journal
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Args)]
struct TokenArguments {
    /// File with the servers' key; without it TRUETICK_KEY holds the key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Address of a server; up to 32, which the client tries in order
    #[arg(long, value_name = "ADDRESS", required = true, num_args = 1..=32)]
    server: Vec<SocketAddr>,
    /// User id that the token is for
    #[arg(long, value_name = "N")]
    user: u64,
    /// Room number
    #[arg(long, value_name = "N", default_value_t = 0)]
    room: u16,
    /// Issue a token for a spectator
    #[arg(long)]
    spectator: bool,
    /// Seconds until the token expires; servers accept at most their token_lifetime_s (default 30)
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    lifetime: u64,
    /// Seconds of silence after which client and server end the session
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

impl Arguments {
    fn server_config(&self) -> Result<ServerConfig, ConfigError> {
        let mut config = match &self.config {
            Some(path) => {
                let config = ServerConfig::read(path)?;
                config.check(&path.display().to_string())?;
                config
            }
            None => ServerConfig::default(),
        };
        config.listen = self.listen.unwrap_or(config.listen);
        if !self.public.is_empty() {
            config.public = self.public.clone();
        }
        self.override_quic(&mut config)?;
        config.page = self.page.or(config.page);
        config.laminar = self.laminar.or(config.laminar);
        config.token_service = self.token_service.or(config.token_service);
        config.token_secret_file = self.token_secret_file.clone().or(config.token_secret_file);
        config.key_file = self.key_file.clone().or(config.key_file);
        config.tick_rate = self.tick_rate.unwrap_or(config.tick_rate);
        config.max_clients = self.max_clients.unwrap_or(config.max_clients);
        config.drones = self.drones.unwrap_or(config.drones);
        config.seed = self.seed.unwrap_or(config.seed);
        config.record = self.record.clone().or(config.record);
        config.record_state |= self.record_state;
        config.capture = self.capture.clone().or(config.capture);
        if let Some(data) = &self.auction {
            config.auction.get_or_insert_default().data = data.clone();
        }
        if let Some(auction) = config
            .auction
            .as_mut()
            .filter(|_| !self.auction_admin.is_empty())
        {
            auction.admins = self.auction_admin.clone();
        }
        config.check("command line")?;
        Ok(config)
    }

    fn override_quic(&self, config: &mut ServerConfig) -> Result<(), ConfigError> {
        if let Some(listen) = self.quic {
            config.quic.get_or_insert_default().listen = listen;
        }
        let Some(quic) = &mut config.quic else {
            let path =
                |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
            let given = [
                ("--certificate", path(&self.certificate)),
                ("--certificate-key", path(&self.certificate_key)),
                ("--origin", self.origin.first().cloned()),
            ];
            let given = given
                .into_iter()
                .find_map(|(key, value)| Some((key, value?)));
            return given.map_or(Ok(()), |(key, value)| {
                let allowed = "beside --quic, or [quic] in the configuration file".into();
                Err(ConfigError::OutOfRange {
                    origin: "command line".into(),
                    key,
                    value,
                    allowed,
                })
            });
        };
        quic.certificate = self.certificate.clone().or(quic.certificate.take());
        quic.certificate_key = self.certificate_key.clone().or(quic.certificate_key.take());
        quic.origins.extend(self.origin.clone());
        Ok(())
    }
}

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
