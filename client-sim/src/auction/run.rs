//! The command `truetick-sim auction`, and the auction's part of the demo.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use tempfile::TempDir;
use truetick_auction::money::Amount;
use truetick_netcode::session::UserId;
use truetick_server::auction::settings::AuctionSettings;
use truetick_server::config::ServerConfig;
use truetick_server::files::write_text;
use truetick_server::host::{Host, HostReport, random_key, random_u64};
use truetick_server::listeners::Listeners;
use truetick_server::room::Room;
use truetick_transport::clock;

use super::crowd::{Crowd, CrowdConfig};
use super::figures::CrowdFigures;
use super::report::{self, AuctionReport, ServerFigures, seen_by_all};
use super::strategy::{House, Strategy};
use crate::connect_options::ConnectArguments;
use crate::demo::{Common, DemoOptions, Outcome, serving, watch};
use crate::live_table::{LiveTable, Rows};
use crate::profile::Profile;
use crate::relay_thread::RelayThread;
use crate::token_source::TokenSource;

/// User id of the keeper, who runs the house.
const KEEPER: UserId = UserId(1 << 41);

/// The first watcher's user id.
const WATCHERS: u64 = 1 << 42;

/// Options of the auction.
#[derive(Args, Clone, Debug)]
pub struct AuctionOptions {
    /// Number of bidders, of all strategies, 1 to 1,000
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub bidders: u64,
    /// Number of watchers, who never bid, 0 to 3,000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=3_000))]
    pub watchers: u64,
    /// Lots open at once, 1 to 1,000
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub lots: u64,
    /// Divisor of the pauses of all bidders
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub pace: f64,
    /// All bidders only raise the price, with this many bids a second together
    #[arg(long, value_name = "N")]
    pub bids_per_second: Option<u64>,
    /// Least time for which a lot is open, in seconds
    #[arg(long, value_name = "S", default_value_t = 20)]
    pub lot_seconds: u64,
    /// Folder for the journal; by default one that is removed at the end
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Network between bidders and server
    #[arg(long, value_enum, default_value_t = Profile::Clean)]
    pub profile: Profile,
    /// How the bidders connect to the server
    #[command(flatten)]
    pub connect_options: ConnectArguments,
    /// Options that several commands share
    #[command(flatten)]
    pub common: Common,
}

impl AuctionOptions {
    /// The small auction beside a demo's arena; `None` if the demo has no auction.
    pub fn beside(demo: &DemoOptions) -> Option<Self> {
        (!demo.no_auction).then(|| Self {
            bidders: 16,
            watchers: 8,
            lots: 5,
            pace: 1.0,
            bids_per_second: None,
            lot_seconds: 12,
            data: demo.auction.clone(),
            profile: demo.profile,
            connect_options: demo.connect_options.clone(),
            common: Common {
                json: None,
                trace: None,
                capture: None,
                ..demo.common.clone()
            },
        })
    }

    /// Number of all clients: bidders, watchers and the keeper.
    pub fn bidders(&self) -> usize {
        (self.bidders + self.watchers) as usize + 1
    }
}

/// An auction's crowd, and the relay before it if there is one.
pub struct AuctionPart {
    crowd: Crowd,
    relay: Option<RelayThread>,
}

/// The folder of a house's journal: the given one, or a temporary one that is removed when the
/// second value is dropped.
///
/// # Errors
/// The temporary folder cannot be created.
pub fn folder(data: Option<PathBuf>) -> std::io::Result<(PathBuf, Option<TempDir>)> {
    match data {
        Some(data) => Ok((data, None)),
        None => {
            let folder = TempDir::with_prefix("truetick-auction-")?;
            Ok((folder.path().join("journal"), Some(folder)))
        }
    }
}

/// Settings of the auction in the demo and in the harness, for a number of clients.
pub fn settings(data: PathBuf, bidders: usize) -> AuctionSettings {
    AuctionSettings {
        admins: vec![KEEPER.0],
        commands_per_s: 1_000_000,
        burst: 1_000_000,
        max_clients: (bidders + 8).min(4_096),
        data,
        ..AuctionSettings::default()
    }
}

fn everyone(options: &AuctionOptions) -> Vec<(UserId, Strategy)> {
    let strategy = |place| {
        if options.bids_per_second.is_some() {
            Strategy::Raiser
        } else {
            Strategy::of(place)
        }
    };
    let bidders = (0..options.bidders).map(|place| (UserId(place + 1), strategy(place as usize)));
    let watchers = (0..options.watchers).map(|place| (UserId(WATCHERS + place), Strategy::Watcher));
    std::iter::once((KEEPER, Strategy::Keeper))
        .chain(bidders)
        .chain(watchers)
        .collect()
}

impl AuctionPart {
    /// Starts a crowd in a server's auction room.
    ///
    /// # Errors
    /// The relay or the crowd cannot be started.
    pub fn start(
        options: &AuctionOptions,
        listeners: &Listeners,
        room: u16,
        tick_rate: u32,
    ) -> Result<Self, Box<dyn Error>> {
        let house = House {
            accounts: options.bidders,
            deposit: Amount(if options.bids_per_second.is_some() {
                Amount::MOST.0 / 1_000
            } else {
                2_000_000
            }),
            lots: options.lots as usize,
            duration: options.lot_seconds * u64::from(tick_rate),
            rate: tick_rate,
            only_english: options.bids_per_second.is_some(),
        };
        let pace = match options.bids_per_second {
            Some(all) => {
                Strategy::Raiser.pause().as_secs_f64() * all as f64 / options.bidders as f64
            }
            None => options.pace,
        };
        let issuer = listeners.issuers[&options.connect_options.transport.transport()].clone();
        let connect_options = options
            .connect_options
            .connect_options(listeners.fingerprint)?;
        let server = issuer.servers[0];
        let relay = options
            .profile
            .link()
            .map(|link| RelayThread::start(server, link, options.common.seed));
        let relay = relay.transpose()?;
        let (to, seed) = (
            relay.as_ref().map(RelayThread::address),
            options.common.seed,
        );
        let config = CrowdConfig {
            connect_options,
            room,
            relay: to,
            bidders: everyone(options),
            house,
            pace,
            seed,
            keep_events: false,
        };
        let crowd = Crowd::start(&config, TokenSource::new(issuer, *random_key()?.bytes()))?;
        Ok(Self { crowd, relay })
    }

    /// The crowd's figures so far.
    pub fn figures(&self) -> CrowdFigures {
        self.crowd.figures()
    }

    /// Lets the crowd leave, and returns the final report.
    ///
    /// # Errors
    /// The crowd or the relay failed.
    pub fn stop(
        self,
        seconds: f64,
        server: &HostReport,
        room: usize,
    ) -> Result<(AuctionReport, CrowdFigures), Box<dyn Error>> {
        let (figures, bidders) = self.crowd.stop()?;
        if let Some(relay) = self.relay {
            relay.stop()?;
        }
        let mut report = AuctionReport::new(seconds, &figures, server_figures(server, room));
        let (seen, unseen) = seen_by_all(&bidders);
        report.unseen = unseen;
        report.seen_by_all_ms = (seen.count() > 0).then(|| (&seen).into());
        Ok((report, figures))
    }
}

/// Figures of a server's room with this number; `None` if there is no such room.
fn server_figures(server: &HostReport, room: usize) -> Option<ServerFigures<'_>> {
    let metrics = match room {
        0 => Some(&server.room),
        other => server.other_rooms.get(other - 1),
    };
    metrics.map(|room| ServerFigures {
        room,
        cpu: server.cpu,
    })
}

/// Adds the auction's rows to a table. `seconds` is the time since the run began.
pub fn rows(rows: &mut Rows, part: &AuctionPart, server: &HostReport, room: usize, seconds: f64) {
    let figures = part.figures();
    let report = AuctionReport::new(seconds, &figures, server_figures(server, room));
    report::full(rows, &report, &figures);
}

/// Starts an auction house in this process, and a crowd that takes part. Returns what failed.
///
/// # Errors
/// An option is invalid, or the server or the crowd cannot be started.
pub async fn auction(options: AuctionOptions) -> Outcome {
    let count = (options.bidders + options.watchers) as usize + 8;
    let config = ServerConfig {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        max_clients: count,
        sessions_per_address: count.min(4_096),
        joins_per_address_s: 2_000,
        seed: options.common.seed,
        ..serving(&options.connect_options)
    };
    // The folder is removed at the end, when nothing writes there any more.
    let (data, _folder) = folder(options.data.clone())?;
    let house =
        settings(data.clone(), count).open(config.tick_rate, random_u64()?, clock::now())?;
    let rooms: Vec<Box<dyn Room>> = vec![Box::new(house)];
    let host = Host::start_rooms(&config, random_key()?, rooms, Vec::new())?;
    crate::say!(
        "An auction house runs at {} Hz on {}; its journal is in {}.",
        config.tick_rate,
        host.address(),
        data.display()
    );
    crate::say!(
        "{} bidders and {} watchers come over {}; every answer is on disk before it is said. Ctrl-C ends.\n",
        options.bidders,
        options.watchers,
        options.connect_options.transport
    );
    let part = AuctionPart::start(&options, host.listeners(), 0, config.tick_rate)?;
    let (started, mut live) = (clock::now(), LiveTable::default());
    watch(&options.common, started, |seconds| {
        let (figures, server) = (part.figures(), host.report());
        let report = AuctionReport::new(seconds, &figures, server_figures(&server, 0));
        live.show(&report::line(&report, &figures), |rows| {
            report::full(rows, &report, &figures)
        })?;
        Ok(host.is_running())
    })
    .await?;
    let seconds = clock::now().since(started).as_secs_f64();
    let server = host.report();
    let (report, figures) = part.stop(seconds, &server, 0)?;
    host.stop()?;
    live.finish(|rows| report::full(rows, &report, &figures))?;
    if options.data.is_some() {
        crate::say!(
            "Look at it: truetick-server auction lots --data {}",
            data.display()
        );
    }
    if let Some(path) = &options.common.json {
        write_text(path, &serde_json::to_string_pretty(&report)?)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(report.failures())
}
