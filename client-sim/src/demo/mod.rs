//! The demo: a server, bots and an auction house in this process. [`bots`] and [`latency`] run
//! against a server that runs already.

mod players;
mod remote;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use truetick_netcode::transport::TransportKind;
use truetick_server::config::ServerConfig;
use truetick_server::host::{Host, HostReport, random_key};
use truetick_server::page::PageListener;
use truetick_server::quic_settings::QuicSettings;
use truetick_transport::clock;

use crate::auction::report;
use crate::auction::run::{self, AuctionOptions, AuctionPart};
use crate::connect_options::{ConnectArguments, ORIGIN};
use crate::live_table::LiveTable;
use crate::profile::Profile;
use crate::report::{Report, RunPart};
use crate::swarm::Crew;
use crate::table;

pub(crate) use players::{Players, watch};
pub use remote::{BotOptions, LatencyOptions, RemoteOptions, bots, latency};

use players::save;

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

/// Starts a server in this process and plays against it. Returns the budgets that were missed.
///
/// # Errors
/// An option is invalid, or the server or the bots cannot be started.
pub async fn demo(options: DemoOptions) -> Outcome {
    let house = AuctionOptions::beside(&options);
    let crew = Crew::of(options.clients, options.spectators);
    // The folder is removed at the end, when nothing writes there any more.
    let (data, _folder) = run::folder(options.auction.clone())?;
    let mut config = server_config(&options, crew, house.as_ref(), data);
    config.check("command line")?;
    let page = PageListener::of(&mut config).await?;
    let host = Host::start_configured(&config, random_key()?)?;
    let players = start_players(&options, crew, &host)?;
    let auction = start_auction(&options, house.as_ref(), &host)?;
    if let Some(page) = page {
        crate::say!(
            "Watch the arena in Chromium, Chrome or Edge: http://{}/",
            page.address()
        );
        page.serve(host.listeners(), options.tick_rate, *random_key()?.bytes())?;
    }
    crate::say!("Ctrl-C ends.\n");
    let started = clock::now();
    let mut live = LiveTable::default();
    watch(&options.common, started, |seconds| {
        let run = run_part(&options, crew, seconds);
        let report = Report::new(run, &players.swarm.figures(), Some(&host.report()));
        let server = host.report();
        live.show(&table::line(&report), |rows| {
            table::full(rows, &report);
            auction
                .iter()
                .for_each(|part| run::rows(rows, part, &server, usize::from(AUCTION), seconds));
        })?;
        Ok(host.is_running())
    })
    .await?;
    let seconds = clock::now().since(started).as_secs_f64();
    let figures = players.stop()?;
    let server = host.report();
    let auction = auction
        .map(|part| part.stop(seconds, &server, usize::from(AUCTION)))
        .transpose()?;
    let ended = host.stop()?;
    let report = Report::new(run_part(&options, crew, seconds), &figures, Some(&ended));
    live.finish(|rows| {
        table::full(rows, &report);
        auction
            .iter()
            .for_each(|(auction, crowd)| report::full(rows, auction, crowd));
    })?;
    save(&options.common, &report)?;
    let mut missed = report.missed_budgets(options.max_missed);
    missed.extend(auction.iter().flat_map(|(auction, _)| auction.failures()));
    missed.extend(say_what_was_written(&options, &ended));
    Ok(missed)
}

/// Configuration of the demo's server. `data` is the folder of the auction's journal.
fn server_config(
    options: &DemoOptions,
    crew: Crew,
    house: Option<&AuctionOptions>,
    data: PathBuf,
) -> ServerConfig {
    let mut config = ServerConfig {
        tick_rate: options.tick_rate,
        drones: options.drones,
        ghosts: options.ghosts,
        max_clients: crew.all() + 8,
        max_spectators: crew.all() + 8,
        auction: house.map(|house| run::settings(data, house.bidders())),
        sessions_per_address: crew.all() + house.map_or(0, AuctionOptions::bidders) + 8,
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
    config
}

/// Starts the bots, and prints what runs.
fn start_players(
    options: &DemoOptions,
    crew: Crew,
    host: &Host,
) -> Result<Players, Box<dyn Error>> {
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
    Ok(players)
}

/// Starts the auction's crowd, if the demo has an auction.
fn start_auction(
    options: &DemoOptions,
    house: Option<&AuctionOptions>,
    host: &Host,
) -> Result<Option<AuctionPart>, Box<dyn Error>> {
    let Some(house) = house else {
        return Ok(None);
    };
    let part = AuctionPart::start(house, host.listeners(), AUCTION, options.tick_rate)?;
    crate::say!(
        "An auction house runs beside it, in the same process: no answer leaves before it is on disk."
    );
    Ok(Some(part))
}

/// The run as the report describes it.
fn run_part(options: &DemoOptions, crew: Crew, seconds: f64) -> RunPart {
    RunPart {
        clients: crew.players,
        spectators: crew.spectators,
        drones: Some(options.drones),
        tick_rate: options.tick_rate,
        profile: options.profile.describe().into(),
        seed: options.common.seed,
        seconds,
    }
}

/// Prints how to look at the journal and at the recording. Returns why the recording is not whole,
/// if it is not.
fn say_what_was_written(options: &DemoOptions, ended: &HostReport) -> Option<String> {
    if let Some(data) = &options.auction {
        crate::say!(
            "Look at the auction: truetick-server auction lots --data {}",
            data.display()
        );
    }
    let path = options.record.as_ref()?;
    let Some(cause) = &ended.recording_lost else {
        crate::say!("Run it again: cargo replay {}", path.display());
        return None;
    };
    Some(format!(
        "the recording {} is not whole: {cause}",
        path.display()
    ))
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
