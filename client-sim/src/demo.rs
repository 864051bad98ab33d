//! The demo and the harnesses: what `truetick-sim`'s commands run.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use truetick_netcode::clock;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::TransportKind;
use truetick_server::config::ServerConfig;
use truetick_server::files::write_text;
use truetick_server::host::{Host, random_key};
use truetick_server::keys;
use truetick_server::page::PageListener;
use truetick_server::quic_settings::QuicSettings;
use truetick_shared::arena::arena_schema;

use crate::auction::report;
use crate::auction::run::{self, AuctionOptions, AuctionPart};
use crate::compare::{CompareOptions, compare};
use crate::connect_options::{ConnectArguments, ConnectOptions, ORIGIN};
use crate::live_table::LiveTable;
use crate::measure::ClientFigures;
use crate::profile::Profile;
use crate::relay_thread::RelayThread;
use crate::report::{Report, RunPart};
use crate::swarm::{Crew, Swarm, SwarmConfig};
use crate::table::{self, latency_table};
use crate::token_source::TokenSource;

/// The auction's room in the demo; the arena is room 0.
const AUCTION: u16 = 1;

/// The budgets that were missed, or why the command could not run.
pub type Outcome = Result<Vec<String>, Box<dyn Error>>;

/// Options that several commands share.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Length of the run; 0 runs until Ctrl-C
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seconds: u64,
    /// Seed of world, bots and network
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write the report as JSON
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
    /// Write what the first bot holds, for `replay --client`; an earlier file becomes FILE.1
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Capture the packets that the bots receive, for `inspect`; an earlier file becomes FILE.1
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
}

/// Options of the demo.
#[derive(Args, Clone, Debug)]
pub struct DemoOptions {
    /// Number of bots that play, 1 to 1,000
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub clients: u64,
    /// Number of spectator bots, 0 to 1,000
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1_000))]
    pub spectators: u64,
    /// Number of drones, moved by the server
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub drones: u32,
    /// Ticks per second, 10 to 128
    #[arg(long, value_name = "HZ", default_value_t = 60)]
    pub tick_rate: u32,
    /// Network between bots and server
    #[arg(long, value_enum, default_value_t = Profile::Clean)]
    pub profile: Profile,
    /// Players collide with walls only: predictions must then be exact
    #[arg(long)]
    pub ghosts: bool,
    /// Exit non-zero if this share of ticks or more is missed
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    pub max_missed: f64,
    /// Record the room, for `truetick-sim replay`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// With --record: also record the state that each tick changed
    #[arg(long, requires = "record")]
    pub record_state: bool,
    /// Run no auction beside the arena
    #[arg(long)]
    pub no_auction: bool,
    /// Keep the auction's journal in this folder; by default it is removed at the end
    #[arg(long, value_name = "DIR", conflicts_with = "no_auction")]
    pub auction: Option<PathBuf>,
    /// Loopback address of the page that shows the arena in a browser; any free port by default
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub page: SocketAddr,
    /// Serve no page
    #[arg(long, conflicts_with = "page")]
    pub no_page: bool,
    /// How the bots connect to the server
    #[command(flatten)]
    pub connect_options: ConnectArguments,
    /// Options that several commands share
    #[command(flatten)]
    pub common: Common,
}

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

/// Any port of loopback.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The configuration of a server on loopback that serves the chosen transport.
pub(crate) fn serving(connect_options: &ConnectArguments) -> ServerConfig {
    ServerConfig {
        listen: ANY,
        quic: (connect_options.transport.transport() == TransportKind::Quic).then(serving_quic),
        laminar: (connect_options.transport.transport() == TransportKind::Laminar).then_some(ANY),
        ..ServerConfig::default()
    }
}

fn serving_quic() -> QuicSettings {
    let (origins, connections_per_address) = (vec![ORIGIN.into()], 4_096);
    QuicSettings {
        listen: ANY,
        origins,
        connections_per_address,
        ..QuicSettings::default()
    }
}

/// Starts a server in this process and plays against it. Returns the budgets that were missed.
///
/// # Errors
/// An option is invalid, or the server or the bots cannot be started.
pub async fn demo(options: DemoOptions) -> Outcome {
    let house = AuctionOptions::beside(&options);
    let crew = Crew::of(options.clients, options.spectators);
    // The folder is removed at the end, when nothing writes there any more.
    let (data, _folder) = run::folder(options.auction.clone())?;
    let mut config = ServerConfig {
        tick_rate: options.tick_rate,
        drones: options.drones,
        ghosts: options.ghosts,
        max_clients: crew.all() + 8,
        max_spectators: crew.all() + 8,
        auction: house
            .as_ref()
            .map(|house| run::settings(data.clone(), house.bidders())),
        sessions_per_address: crew.all() + house.as_ref().map_or(0, AuctionOptions::bidders) + 8,
        joins_per_address_s: 1_000,
        seed: options.common.seed,
        record: options.record.clone(),
        record_state: options.record_state,
        page: (!options.no_page).then_some(options.page),
        ..serving(&options.connect_options)
    };
    if config.page.is_some() {
        config.quic.get_or_insert_with(serving_quic);
    }
    config.check("command line")?;
    let page = PageListener::of(&mut config).await?;
    let host = Host::start_configured(&config, random_key()?)?;
    let over = options.connect_options.transport.transport();
    crate::say!(
        "An authoritative server runs at {} Hz on {}.",
        options.tick_rate,
        host.listeners().addresses[&over]
    );
    let connect_options = options
        .connect_options
        .connect_options(host.listeners().fingerprint)?;
    let issuer = host.listeners().issuers[&over].clone();
    let players = Players::start(
        issuer,
        crew,
        connect_options,
        options.profile,
        &options.common,
    )?;
    crate::say!(
        "{} bots join over {}, each with a token of its own, every packet sealed.",
        crew.players,
        options.connect_options.transport
    );
    if crew.spectators > 0 {
        crate::say!(
            "{} more watch them: they own nothing, and see everything.",
            crew.spectators
        );
    }
    crate::say!("The network: {}.", options.profile.describe());
    if let Some(path) = &options.record {
        crate::say!("The room is recorded to {}.", path.display());
    }
    crate::say!("Each predicts itself, reconciles, and interpolates the others.");
    let crowd = house
        .map(|house| AuctionPart::start(&house, (host.listeners(), AUCTION), options.tick_rate));
    let crowd = crowd.transpose()?;
    if crowd.is_some() {
        crate::say!(
            "An auction house runs beside it, in the same process: no answer leaves before it is on disk."
        );
    }
    if let Some(page) = page {
        crate::say!(
            "Watch the arena in Chromium, Chrome or Edge: http://{}/",
            page.address()
        );
        page.serve(host.listeners(), options.tick_rate, *random_key()?.bytes())?;
    }
    crate::say!("Ctrl-C ends.\n");
    let part = |seconds| RunPart {
        clients: crew.players,
        spectators: crew.spectators,
        drones: Some(options.drones),
        tick_rate: options.tick_rate,
        profile: options.profile.describe().into(),
        seed: options.common.seed,
        seconds,
    };
    let started = clock::now();
    let mut live = LiveTable::default();
    watch(&options.common, started, |seconds| {
        let report = Report::new(
            part(seconds),
            &players.swarm.figures(),
            Some(&host.report()),
        );
        let server = host.report();
        live.show(&table::line(&report), |rows| {
            table::full(rows, &report);
            crowd
                .iter()
                .for_each(|crowd| run::rows(rows, crowd, &server, (usize::from(AUCTION), seconds)));
        })?;
        Ok(host.is_running())
    })
    .await?;
    let seconds = clock::now().since(started).as_secs_f64();
    let figures = players.stop()?;
    let server = host.report();
    let auction = crowd
        .map(|crowd| crowd.stop(seconds, &server, usize::from(AUCTION)))
        .transpose()?;
    let ended = host.stop()?;
    let report = Report::new(part(seconds), &figures, Some(&ended));
    live.finish(|rows| {
        table::full(rows, &report);
        auction
            .iter()
            .for_each(|(auction, crowd)| report::full(rows, auction, crowd));
    })?;
    save(&options.common, &report)?;
    let mut missed = report.missed_budgets(options.max_missed);
    missed.extend(auction.iter().flat_map(|(auction, _)| auction.failures()));
    if let Some(data) = &options.auction {
        crate::say!(
            "Look at the auction: truetick-server auction lots --data {}",
            data.display()
        );
    }
    match (&options.record, &ended.recording_lost) {
        (Some(path), None) => crate::say!("Run it again: cargo replay {}", path.display()),
        (Some(path), Some(cause)) => missed.push(format!(
            "the recording {} is not whole: {cause}",
            path.display()
        )),
        (None, _) => {}
    }
    Ok(missed)
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

/// Bots, and the relay between them and the server if there is one.
pub(crate) struct Players {
    pub(crate) swarm: Swarm,
    relay: Option<RelayThread>,
}

impl Players {
    pub(crate) fn start(
        issuer: Issuer,
        crew: Crew,
        connect_options: ConnectOptions,
        profile: Profile,
        common: &Common,
    ) -> Result<Self, Box<dyn Error>> {
        let kinds = Arc::new(arena_schema()?);
        let server = issuer.servers[0];
        let relay = profile
            .link()
            .map(|link| RelayThread::start(server, link, common.seed))
            .transpose()?;
        let to = relay.as_ref().map(RelayThread::address);
        let (trace, capture) = (common.trace.clone(), common.capture.clone());
        let secret = *random_key()?.bytes();
        let first_user = secret
            .iter()
            .fold(0u64, |all, byte| all << 8 | u64::from(*byte));
        let config = SwarmConfig {
            connect_options,
            relay: to,
            crew,
            seed: common.seed,
            first_user,
            trace,
            capture,
        };
        let tokens = TokenSource::new(issuer, *random_key()?.bytes());
        let swarm = Swarm::start(&config, tokens, &kinds)?;
        Ok(Self { swarm, relay })
    }

    pub(crate) fn stop(self) -> std::io::Result<ClientFigures> {
        let figures = self.swarm.stop()?;
        if let Some(relay) = self.relay {
            // Disconnect notices are still in flight.
            clock::sleep(Duration::from_millis(300));
            relay.stop()?;
        }
        Ok(figures)
    }
}

/// Calls `show` each second until the time is up, a signal arrives or `show` returns false.
pub(crate) async fn watch(
    common: &Common,
    started: Timestamp,
    mut show: impl FnMut(f64) -> Result<bool, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.tick().await;
    let mut left = common.seconds;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = every.tick() => {}
        }
        let goes_on = show(clock::now().since(started).as_secs_f64())?;
        left = left.saturating_sub(1);
        if !goes_on || (common.seconds > 0 && left == 0) {
            return Ok(());
        }
    }
}

fn save(common: &Common, report: &Report) -> Result<(), Box<dyn Error>> {
    if let Some(path) = &common.json {
        write_text(path, &serde_json::to_string_pretty(report)?)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}
