//! Many bots on one thread, each with a socket of its own.

mod member;
mod record;
mod run;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use truetick_arena::ArenaSchema;
use truetick_transport::clock;

use crate::connect_options::ConnectOptions;
use crate::measure::ClientFigures;
use crate::token_source::TokenSource;

use member::Member;
use record::{Capture, Trace};
use run::Run;

/// Time between two bots' joining, so that their ticks spread.
const JOIN_SPACING: Duration = Duration::from_millis(3);

/// Numbers of bots by role.
#[derive(Clone, Copy, Debug)]
pub struct Crew {
    /// Number of bots that play.
    pub players: usize,
    /// Number of bots that watch.
    pub spectators: usize,
}

impl Crew {
    /// A crew of these numbers of players and spectators.
    pub fn of(players: u64, spectators: u64) -> Self {
        Self {
            players: players as usize,
            spectators: spectators as usize,
        }
    }

    /// Number of all bots.
    pub fn all(self) -> usize {
        self.players + self.spectators
    }
}

/// Configuration of a swarm.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// How the bots connect to the server.
    pub connect_options: ConnectOptions,
    /// A relay to the server; `None` to send to the address in the tokens.
    pub relay: Option<SocketAddr>,
    /// Numbers of bots; spectators come last.
    pub crew: Crew,
    /// Seed of everything that the bots do.
    pub seed: u64,
    /// User id of the first bot; the others follow. Two swarms with the same users would take over
    /// each other's sessions.
    pub first_user: u64,
    /// File for what the first bot holds, to be compared with a replay.
    pub trace: Option<PathBuf>,
    /// File for the packets that the bots receive.
    pub capture: Option<PathBuf>,
}

/// A running swarm.
pub struct Swarm {
    stop: Arc<AtomicBool>,
    rejoin: Arc<AtomicBool>,
    figures: Arc<Mutex<ClientFigures>>,
    thread: JoinHandle<io::Result<()>>,
}

impl Swarm {
    /// Starts the bots, each with a token of its own.
    ///
    /// # Errors
    /// A socket, a file or the thread cannot be created.
    pub fn start(
        config: &SwarmConfig,
        mut tokens: TokenSource,
        kinds: &Arc<ArenaSchema>,
    ) -> io::Result<Self> {
        let begin = clock::now();
        let mut members = Vec::with_capacity(config.crew.all());
        for place in 0..config.crew.all() {
            let start = begin + JOIN_SPACING * place as u32;
            members.push(Member::open(config, place, start, &mut tokens, kinds)?);
        }
        let schema = kinds.schema.hash();
        let trace = config.trace.as_deref();
        let capture = config.capture.as_deref();
        let [stop, rejoin] = [false; 2].map(|flag| Arc::new(AtomicBool::new(flag)));
        let figures = Arc::new(Mutex::new(ClientFigures::default()));
        let mut run = Run {
            members,
            tokens,
            kinds: kinds.clone(),
            stop: stop.clone(),
            rejoin: rejoin.clone(),
            shared: figures.clone(),
            figures: ClientFigures::default(),
            trace: trace.map(|path| Trace::start(path, schema)).transpose()?,
            capture: capture
                .map(|path| Capture::start(path, schema))
                .transpose()?,
        };
        let thread = thread::Builder::new()
            .name("truetick-bots".into())
            .spawn(move || run.run())?;
        Ok(Self {
            stop,
            rejoin,
            figures,
            thread,
        })
    }

    /// The clients' figures, at most half a second old.
    pub fn figures(&self) -> ClientFigures {
        self.figures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Restarts the measurement of times, so that those of joining do not count.
    pub(crate) fn measure_from_now(&self) {
        self.rejoin.store(true, Ordering::Relaxed);
    }

    /// Lets all bots leave, and returns the final figures.
    ///
    /// # Errors
    /// A socket or a file failed, or the bots' thread panicked.
    pub fn stop(self) -> io::Result<ClientFigures> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the bots' thread panicked")))?;
        Ok(self
            .figures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }
}
