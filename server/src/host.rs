//! Runs a server on its own thread and connects it to sockets and the clock.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tracing::{info, warn};
use truetick_netcode::clock;
use truetick_netcode::schema::SchemaError;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::drops::Drops;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::TransportKind;
use truetick_netcode::transport::quic::QuicStats;
use truetick_netcode::transport::server_transport::ServerTransport;
use truetick_netcode::transport::udp::UdpStats;

use crate::arena::ArenaGame;
use crate::auction::settings::OpenError;
use crate::config::ServerConfig;
use crate::drain::Drain;
use crate::files::RecordWriter;
use crate::listeners::Listeners;
use crate::metrics::RoomMetrics;
use crate::quic_settings::QuicStartError;
use crate::recording::capture::CaptureWriter;
use crate::recording::recorder::Chunk;
use crate::room::Room;
use crate::server::Server;
use crate::session_log;
use crate::transport_set::TransportSet;
use crate::world_access::WorldAccess;
use crate::world_room::WorldRoom;

/// Time for which datagrams are collected before they are read together. The kernel stamps their
/// arrival, so the delay loses no accuracy and saves wake-ups.
const GATHER: Duration = Duration::from_millis(2);

/// The last collection before a deadline ends this much earlier, so that the final read is short.
const DRAIN_AHEAD: Duration = Duration::from_micros(300);

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

/// Figures of a running server.
#[derive(Clone, Debug, Default)]
pub struct HostReport {
    /// Figures of the first room.
    pub room: RoomMetrics,
    /// Figures of the other rooms, in the order of their numbers.
    pub other_rooms: Vec<RoomMetrics>,
    /// Ticks per second of the first room; 0 without rooms.
    pub tick_rate: u32,
    /// Datagrams dropped, by reason.
    pub drops: Drops,
    /// Number of sessions, including parked ones.
    pub sessions: usize,
    /// Statistics of the UDP socket.
    pub udp: UdpStats,
    /// Statistics of QUIC: what was dropped, and which connections were closed.
    pub quic: QuicStats,
    /// Bytes of UDP payload sent by each transport, including all overhead.
    pub wire: BTreeMap<TransportKind, u64>,
    /// Processor time of the server's threads since the start, including those of QUIC.
    pub cpu: Duration,
    /// Bytes that the kernel granted to the UDP socket for datagrams not yet read.
    pub receive_buffer: usize,
    /// Why the recording ended before the room; `None` if it did not.
    pub recording_lost: Option<String>,
    /// The rooms that ended by a panic: their numbers and the messages of the panics.
    pub failed_rooms: Vec<(usize, String)>,
    /// Mismatch reports that were counted but not explained, because too many arrived.
    pub unexplained_reports: u64,
}

impl HostReport {
    /// The figures of all rooms added up.
    pub fn all_rooms(&self) -> RoomMetrics {
        let mut all = self.room.clone();
        self.other_rooms.iter().for_each(|room| all.merge(room));
        all
    }
}

/// Orders to the server's thread. They rise in urgency, so that a drain never replaces a stop.
mod order {
    pub const RUN: u8 = 0;
    pub const DRAIN: u8 = 1;
    pub const STOP: u8 = 2;
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

struct Run {
    server: Server,
    transport_set: TransportSet,
    order: Arc<AtomicU8>,
    /// The time within which clients leave a draining server, and the time after which the server
    /// ends the remaining sessions.
    drain: (Duration, Duration),
    report: Arc<Mutex<HostReport>>,
    recording: Option<RecordWriter>,
    capture: Option<RecordWriter>,
    /// Why the recording ended before the room.
    lost: Option<String>,
    /// Dropped with the thread, which [`Host::is_running`] detects.
    _end: mpsc::Sender<()>,
}

impl Run {
    fn run(&mut self) -> io::Result<()> {
        // A panic outside of the rooms ends the server, but clients still receive notices and files
        // are completed.
        let ended = catch_unwind(AssertUnwindSafe(|| self.run_until_stopped()))
            .unwrap_or_else(|_| Err(io::Error::other("the server's thread panicked")));
        session_log::log(&mut self.server, clock::now());
        self.server.stop(clock::now(), &mut self.transport_set);
        self.end_recording();
        self.keep_capture();
        self.end_capture();
        self.publish();
        info!("stopped");
        ended
    }

    fn run_until_stopped(&mut self) -> io::Result<()> {
        let (mut publish_at, mut draining) = (clock::now(), false);
        loop {
            match self.order.load(Ordering::Relaxed) {
                order::STOP => break,
                order::DRAIN if !draining => {
                    draining = true;
                    let ((within, limit), now) = (self.drain, clock::now());
                    info!(
                        clients = self.server.sessions(),
                        ?within,
                        ?limit,
                        "draining"
                    );
                    self.server
                        .drain(Drain::new(now.as_micros() as u32, within, limit, now));
                }
                _ => {}
            }
            if draining && self.server.is_drained(clock::now()) {
                break;
            }
            if self.server.has_failed() {
                return Err(io::Error::other("every room has ended by a panic"));
            }
            let Some(deadline) = self.server.next_deadline() else {
                break;
            };
            self.gather_until(deadline)?;
            self.server.set_wall_clock(clock::now(), clock::unix_now());
            self.server.tick(&mut clock::now, &mut self.transport_set);
            session_log::log(&mut self.server, clock::now());
            self.keep_recording();
            if clock::now() >= publish_at {
                self.publish();
                self.keep_capture();
                publish_at = clock::now() + Duration::from_millis(500);
            }
        }
        Ok(())
    }

    /// Receives events until the deadline, and once more right at it.
    fn gather_until(&mut self, deadline: Timestamp) -> io::Result<()> {
        loop {
            let now = clock::now();
            if now + DRAIN_AHEAD >= deadline {
                break;
            }
            self.drain(now)?;
            self.server.send_replies(&mut self.transport_set);
            self.server
                .flush_pending(&mut clock::now, &mut self.transport_set);
            let idle = (deadline - DRAIN_AHEAD).since(now);
            let idle = if self.server.awaits_news() {
                idle.min(GATHER)
            } else {
                idle
            };
            self.transport_set.wait(idle)?;
            clock::sleep_until((clock::now() + GATHER).min(deadline - DRAIN_AHEAD));
        }
        clock::sleep_until(deadline);
        self.drain(clock::now())
    }

    fn drain(&mut self, now: Timestamp) -> io::Result<()> {
        let server = &mut self.server;
        self.transport_set
            .receive(now, |from, event, at| server.receive(from, event, at))
    }

    fn publish(&self) {
        let mut rooms = self.server.rooms().iter().map(|room| room.metrics());
        let report = HostReport {
            room: rooms.next().unwrap_or_default(),
            other_rooms: rooms.collect(),
            tick_rate: self
                .server
                .rooms()
                .first()
                .map_or(0, |room| room.timeline().rate()),
            drops: *self.server.drops(),
            sessions: self.server.sessions(),
            udp: self.transport_set.udp(),
            quic: self.transport_set.quic(),
            wire: self.transport_set.bytes_sent(),
            cpu: clock::thread_cpu() + self.transport_set.cpu(),
            receive_buffer: self.transport_set.receive_buffer(),
            recording_lost: self.lost.clone(),
            failed_rooms: self.server.failed_rooms(),
            unexplained_reports: self.server.unexplained_reports(),
        };
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    /// Hands recorded chunks to the thread that writes files. A room never waits for a disk: if the
    /// disk is too slow or full, the recording ends and the room continues.
    fn keep_recording(&mut self) {
        let world = self.server.room_mut(0).and_then(|room| room.world_mut());
        let (Some(files), Some(room)) = (&mut self.recording, world) else {
            return;
        };
        while let Some(chunk) = room.poll_recording() {
            if !files.keep(chunk) {
                room.stop_recording();
                let cause = self.recording.take().map(RecordWriter::give_up);
                return self.recording_lost(cause.unwrap_or_default());
            }
        }
    }

    fn recording_lost(&mut self, cause: String) {
        warn!(cause, "the recording is not whole; the room goes on");
        self.lost = Some(cause);
    }

    fn end_recording(&mut self) {
        if let Some(room) = self.server.room_mut(0).and_then(|room| room.world_mut()) {
            room.finish_recording();
        }
        self.keep_recording();
        if let Some(Err(error)) = self.recording.take().map(RecordWriter::finish) {
            self.recording_lost(error.to_string());
        }
    }

    fn keep_capture(&mut self) {
        let (Some(file), Some(capture)) = (&mut self.capture, self.server.capture_mut()) else {
            return;
        };
        let full = capture.is_full();
        let kept = file.keep(Chunk {
            segment: 0,
            bytes: capture.take(),
        });
        if !kept || full {
            *self.server.capture_mut() = None;
            let cause = self
                .capture
                .take()
                .map(RecordWriter::give_up)
                .filter(|_| !kept);
            warn!(full, cause, "the capture ends here; the room goes on");
        }
    }

    fn end_capture(&mut self) {
        *self.server.capture_mut() = None;
        if let Some(Err(error)) = self.capture.take().map(RecordWriter::finish) {
            warn!(%error, "the capture is not whole");
        }
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
