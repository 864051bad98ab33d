//! Runs a server on its own thread and connects it to sockets and the clock.

mod report;
mod run;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use thiserror::Error;
use truetick_netcode::schema::SchemaError;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::transport::TransportKind;
use truetick_transport::clock;
use truetick_transport::server_transport::ServerTransport;

pub use self::report::HostReport;
use self::run::Run;
use crate::arena::ArenaGame;
use crate::auction::settings::OpenError;
use crate::config::ServerConfig;
use crate::files::RecordWriter;
use crate::listeners::Listeners;
use crate::quic_settings::QuicStartError;
use crate::recording::capture::CaptureWriter;
use crate::room::Room;
use crate::server::Server;
use crate::transport_set::TransportSet;
use crate::world_access::WorldAccess;
use crate::world_room::WorldRoom;

/// Why a server could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A UDP address could not be bound.
    #[error("cannot serve on {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// The laminar transport could not be opened.
    #[error("cannot serve laminar: {0}")]
    Laminar(io::Error),
    /// The QUIC transport could not be opened.
    #[error(transparent)]
    Quic(#[from] QuicStartError),
    /// The file of the recording or capture cannot be written.
    #[error("cannot record to {}: {_1}", _0.display())]
    Record(PathBuf, io::Error),
    /// The schema of a game is not valid.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The auction house cannot be opened.
    #[error(transparent)]
    Auction(#[from] OpenError),
    /// The server listens on an unspecified address, and no public address is configured for
    /// tokens.
    #[error(
        "clients cannot reach {0}: set `public` to the addresses at which they reach this server"
    )]
    NoPublicAddress(SocketAddr),
    /// The address is link-local, and tokens cannot name its interface.
    #[error(
        "clients cannot reach {0}: it is a link-local address, and tokens cannot name its interface; serve on a global, unique local (fd00::/8) or IPv4 address, and name that in `public`"
    )]
    LinkLocal(SocketAddr),
    /// The system cannot supply random numbers for the secrets.
    #[error("the system gives no random numbers: {0}")]
    Random(rand::rngs::SysError),
    /// The server's thread could not be started.
    #[error("cannot start the server's thread: {0}")]
    Thread(io::Error),
}

/// Orders to the server's thread. They rise in urgency, so that a drain never replaces a stop.
mod order {
    pub(crate) const RUN: u8 = 0;
    pub const DRAIN: u8 = 1;
    pub(crate) const STOP: u8 = 2;
}

/// A server on its own thread, which runs until it is stopped or drained.
pub struct Host {
    listeners: Listeners,
    order: Arc<AtomicU8>,
    report: Arc<Mutex<HostReport>>,
    thread: JoinHandle<io::Result<()>>,
    ended: mpsc::Receiver<()>,
}

impl Host {
    /// Starts a server with an arena and, if configured, an auction house. `key` seals the tokens.
    ///
    /// # Errors
    /// If the auction, a transport, a file or a thread of the configuration cannot be opened.
    pub fn start_configured(config: &ServerConfig, key: Key) -> Result<Self, StartError> {
        let game = ArenaGame::new(config.arena())?;
        let mut room = WorldRoom::new(game, config.room(), clock::now())?;
        if config.record.is_some() {
            room.start_recording(config.recorder(random_u64().map_err(StartError::Random)?));
        }
        let mut rooms: Vec<Box<dyn Room>> = vec![Box::new(room)];
        if let Some(auction) = &config.auction {
            let number = random_u64().map_err(StartError::Random)?;
            rooms.push(Box::new(auction.open(
                config.tick_rate,
                number,
                clock::now(),
            )?));
        }
        Self::start_rooms(config, key, rooms, Vec::new())
    }

    /// Starts a server with the given rooms, numbered from 0. `key` seals the tokens. The server
    /// uses the transports `others` in addition to the configured ones.
    ///
    /// # Errors
    /// If a transport, a file or a thread of the configuration cannot be opened.
    pub fn start_rooms(
        config: &ServerConfig,
        key: Key,
        rooms: Vec<Box<dyn Room>>,
        others: Vec<ServerTransport>,
    ) -> Result<Self, StartError> {
        let (transport_set, listeners, servers) = Listeners::open(config, &key, others)?;
        let sessions = config.sessions(key, servers);
        let seed = random_seed().map_err(StartError::Random)?;
        let mut server = Server::new(sessions, seed, clock::now(), clock::unix_now());
        for room in rooms {
            server.add_room(room);
        }
        Self::start(server, transport_set, listeners, config)
    }

    /// Opens the files and starts the thread.
    fn start(
        mut server: Server,
        transport_set: TransportSet,
        listeners: Listeners,
        config: &ServerConfig,
    ) -> Result<Self, StartError> {
        type Start<'a> = &'a dyn Fn(&Path) -> io::Result<RecordWriter>;
        let start = |path: &Option<PathBuf>, start: Start<'_>| {
            let writer = path
                .as_ref()
                .map(|path| start(path).map_err(|error| (path, error)));
            writer
                .transpose()
                .map_err(|(path, error)| StartError::Record(path.clone(), error))
        };
        let recording = start(&config.record, &|path| {
            RecordWriter::start(path, config.record_segments)
        })?;
        let capture = start(&config.capture, &RecordWriter::start_whole)?;
        let schema = server.rooms().first().map(|room| room.schema_hash());
        *server.capture_mut() = schema
            .filter(|_| capture.is_some())
            .map(CaptureWriter::begin);
        let (order, report) = (
            Arc::new(AtomicU8::new(order::RUN)),
            Arc::new(Mutex::new(HostReport::default())),
        );
        let (end, ended) = mpsc::channel();
        let mut run = Run {
            server,
            transport_set,
            order: order.clone(),
            drain: config.drain(),
            report: report.clone(),
            recording,
            capture,
            lost: None,
            _end: end,
        };
        let thread = thread::Builder::new()
            .name("truetick-room".into())
            .spawn(move || run.run())
            .map_err(StartError::Thread)?;
        listeners.announce();
        Ok(Self {
            listeners,
            order,
            report,
            thread,
            ended,
        })
    }

    /// The UDP address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.listeners.addresses[&TransportKind::Udp]
    }

    /// Issues tokens for clients that connect by UDP.
    pub fn issuer(&self) -> &Issuer {
        &self.listeners.issuers[&TransportKind::Udp]
    }

    /// The transports on which the server listens: their addresses, issuers and the QUIC
    /// fingerprint.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// The figures of the server, at most a second old.
    pub fn report(&self) -> HostReport {
        self.report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the server still runs. It ends by itself when it is drained, or on an error.
    pub fn is_running(&self) -> bool {
        !matches!(self.ended.try_recv(), Err(mpsc::TryRecvError::Disconnected))
    }

    /// Begins to drain: clients leave within the configured time, then the server ends.
    pub fn drain(&self) {
        self.order.fetch_max(order::DRAIN, Ordering::Relaxed);
    }

    /// Stops the server, waits for its thread and returns the final figures. Clients receive
    /// disconnect notices.
    ///
    /// # Errors
    /// If a transport failed, every room panicked, or the server's thread panicked.
    pub fn stop(self) -> io::Result<HostReport> {
        self.order.store(order::STOP, Ordering::Relaxed);
        match self.thread.join() {
            Ok(result) => result?,
            Err(_) => return Err(io::Error::other("the server's thread panicked")),
        }
        Ok(self
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }
}

/// A random number from the operating system.
///
/// # Errors
/// If the system cannot supply random numbers.
pub fn random_u64() -> Result<u64, rand::rngs::SysError> {
    rand::TryRng::try_next_u64(&mut rand::rngs::SysRng)
}

fn random_seed() -> Result<[u8; 32], rand::rngs::SysError> {
    let mut seed = [0; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut seed)?;
    Ok(seed)
}

/// A new random key from the operating system.
///
/// # Errors
/// [`StartError::Random`] if the system cannot supply random numbers.
pub fn random_key() -> Result<Key, StartError> {
    random_seed().map(Key::new).map_err(StartError::Random)
}
