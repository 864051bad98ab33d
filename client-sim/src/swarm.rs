//! Many bots on one thread, each with a socket of its own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::clock;
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::backoff::Backoff;
use truetick_netcode::session::token::{ConnectToken, Purpose};
use truetick_netcode::session::{Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::files::RecordWriter;
use truetick_server::recording::capture::CaptureWriter;
use truetick_server::recording::client_trace::TraceWriter;
use truetick_server::recording::recorder::Chunk;
use truetick_shared::arena::ArenaSchema;

use crate::bot_client::BotClient;
use crate::client_socket::{self, ClientSocket};
use crate::connect_options::ConnectOptions;
use crate::measure::ClientFigures;
use crate::play::PlayFigures;
use crate::token_source::TokenSource;

/// Time between two bots' joining, so that their ticks spread.
const JOIN_SPACING: Duration = Duration::from_millis(3);

/// Least time between two rounds over all bots: the kernel stamps arrivals, so a later round costs
/// nothing.
const ROUND: Duration = Duration::from_micros(500);

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

struct Member {
    user: UserId,
    seed: u64,
    bot: BotClient,
    socket: ClientSocket,
    /// When the bot starts.
    start: Timestamp,
    pauses: Backoff,
    /// Since when the bot is in its room, in its present session.
    here_since: Option<Timestamp>,
    /// When the bot gets another token, its session being lost.
    rejoin_at: Option<Timestamp>,
}

/// First pause before a bot that lost its session gets another token.
const REJOIN_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause before a bot that lost its session gets another token.
const LONGEST_REJOIN_PAUSE: Duration = Duration::from_secs(10);

/// The first bot's trace, written to a file.
struct Trace {
    file: RecordWriter,
    schema: u64,
    writer: Option<TraceWriter>,
}

impl Trace {
    /// Records what is new; an error ends the trace.
    fn note(&mut self, bot: &BotClient) {
        let Some(client) = bot.runtime().id() else {
            return;
        };
        self.writer
            .get_or_insert_with(|| TraceWriter::begin(client, self.schema))
            .note(bot.runtime().buffer());
    }

    fn keep(&mut self) -> io::Result<()> {
        let bytes = self
            .writer
            .as_mut()
            .map(TraceWriter::take)
            .unwrap_or_default();
        keep(
            &mut self.file,
            bytes,
            "the first bot's trace cannot be written",
        )
    }
}

/// Packets, written to a file.
struct Capture {
    file: RecordWriter,
    writer: CaptureWriter,
}

impl Capture {
    fn keep(&mut self) -> io::Result<()> {
        keep(
            &mut self.file,
            self.writer.take(),
            "the capture cannot be written",
        )
    }
}

fn keep(file: &mut RecordWriter, bytes: Vec<u8>, complaint: &'static str) -> io::Result<()> {
    match file.keep(Chunk { segment: 0, bytes }) {
        true => Ok(()),
        false => Err(io::Error::other(complaint)),
    }
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
        for i in 0..config.crew.all() {
            let role = if i < config.crew.players {
                Role::Player
            } else {
                Role::Spectator
            };
            let start = begin + JOIN_SPACING * i as u32;
            let seed = config.seed.wrapping_mul(10_007) + i as u64;
            let user = UserId(config.first_user.wrapping_add(i as u64));
            let token = token(&mut tokens, user, role);
            let bot = BotClient::new(kinds.clone(), token, seed, start).as_role(role);
            let options = &config.connect_options;
            let bot = bot.transport(options.transport());
            let server = bot.runtime().addr().address;
            let socket = ClientSocket::open(options, server, config.relay)?;
            let pauses = Backoff::new(REJOIN_PAUSE, LONGEST_REJOIN_PAUSE, !seed);
            members.push(Member {
                user,
                seed,
                bot,
                socket,
                start,
                pauses,
                here_since: None,
                rejoin_at: None,
            });
        }
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
            trace: match &config.trace {
                Some(path) => Some(Trace {
                    file: RecordWriter::start_whole(path)?,
                    schema: kinds.schema.hash(),
                    writer: None,
                }),
                None => None,
            },
            capture: match &config.capture {
                Some(path) => Some(Capture {
                    file: RecordWriter::start_whole(path)?,
                    writer: CaptureWriter::begin(kinds.schema.hash()),
                }),
                None => None,
            },
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
    pub fn measure_from_now(&self) {
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

/// The room that bots join.
const ROOM: u16 = 0;

struct Run {
    members: Vec<Member>,
    tokens: TokenSource,
    kinds: Arc<ArenaSchema>,
    stop: Arc<AtomicBool>,
    rejoin: Arc<AtomicBool>,
    shared: Arc<Mutex<ClientFigures>>,
    figures: ClientFigures,
    trace: Option<Trace>,
    capture: Option<Capture>,
}

impl Run {
    fn run(&mut self) -> io::Result<()> {
        let mut publish_at = clock::now();
        let mut ready = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let now = clock::now();
            let next = self
                .members
                .iter()
                .map(Member::next_timeout)
                .min()
                .unwrap_or(publish_at);
            let span = next.min(publish_at).since(now);
            client_socket::wait(
                self.members.iter().map(|member| &member.socket),
                span,
                &mut ready,
            )?;
            self.receive(&ready)?;
            self.advance();
            self.take_events();
            if self.rejoin.swap(false, Ordering::Relaxed) {
                self.figures.forget_times();
            }
            if let Some((trace, first)) = self.trace.as_mut().zip(self.members.first()) {
                trace.note(&first.bot);
            }
            if clock::now() >= publish_at {
                self.publish();
                self.trace.as_mut().map_or(Ok(()), Trace::keep)?;
                self.capture.as_mut().map_or(Ok(()), Capture::keep)?;
                publish_at = clock::now() + Duration::from_millis(500);
            }
            clock::sleep_until(now + ROUND);
        }
        self.publish();
        self.leave();
        if let Some(mut trace) = self.trace.take() {
            trace.keep()?;
            trace.file.finish()?;
        }
        if let Some(mut capture) = self.capture.take() {
            capture.keep()?;
            capture.file.finish()?;
        }
        Ok(())
    }

    fn receive(&mut self, ready: &[usize]) -> io::Result<()> {
        for place in ready {
            let Member { bot, socket, .. } = &mut self.members[*place];
            let now = clock::now();
            socket.receive(now, |from, event, at| {
                bot.receive(from, event, at);
                let payload = bot.runtime().payload();
                if let Some(capture) = self.capture.as_mut().filter(|_| !payload.is_empty()) {
                    capture.writer.packet(*place as u32, now, payload);
                }
            })?;
        }
        Ok(())
    }

    fn advance(&mut self) {
        for (place, member) in self.members.iter_mut().enumerate() {
            let now = clock::now();
            if let Some(end) = member.newly_ended() {
                self.figures.lost +=
                    usize::from(is_loss(end) && member.bot.runtime().id().is_some());
                member.rejoin_at = Some(now + member.pauses.pause());
            }
            if now < member.next_timeout() {
                continue;
            }
            if member.rejoin_at.take_if(|at| *at <= now).is_some() {
                let role = member.bot.runtime().role();
                let token = token(&mut self.tokens, member.user, role);
                self.figures.past = self.figures.past + member.bot.runtime().stats();
                let over = member.bot.runtime().addr().kind;
                // Each session has another seed: numbers of connections must not repeat.
                member.seed = member.seed.wrapping_add(1 << 40);
                let bot = BotClient::new(self.kinds.clone(), token, member.seed, now);
                member.bot = bot.as_role(role).transport(over);
                member.here_since = None;
                if let Some(capture) = &mut self.capture {
                    capture.writer.session(place as u32, now);
                }
            }
            member.bot.advance(now);
            if member.bot.runtime().state() == ClientState::Playing {
                member.here_since.get_or_insert(now);
            }
            member.transmit();
        }
    }

    fn take_events(&mut self) {
        for member in &mut self.members {
            while let Some(event) = member.bot.poll_event() {
                self.figures.event(&event);
            }
        }
    }

    fn publish(&mut self) {
        let playing = |member: &&Member| {
            matches!(
                member.bot.runtime().state(),
                ClientState::Playing | ClientState::Unheard | ClientState::Silent
            )
        };
        self.figures.joined = self.members.iter().filter(playing).count();
        self.figures.play = self.play(clock::now());
        self.figures.cpu = clock::thread_cpu();
        self.figures
            .count(self.members.iter().map(|member| &member.bot));
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = self.figures.clone();
    }

    fn play(&self, now: Timestamp) -> PlayFigures {
        let mut figures = PlayFigures::default();
        for Member {
            bot, here_since, ..
        } in &self.members
        {
            let runtime = bot.runtime();
            if let Some((since, tick_rate)) = here_since.zip(runtime.tick_rate()) {
                figures.add(
                    runtime.role(),
                    &runtime.stats(),
                    tick_rate,
                    now.since(since),
                );
            }
        }
        figures
    }

    fn leave(&mut self) {
        for member in &mut self.members {
            member.bot.leave();
            member.transmit();
        }
    }
}

fn token(tokens: &mut TokenSource, user: UserId, role: Role) -> ConnectToken {
    let purpose = Purpose {
        room: ROOM,
        role,
        ..Purpose::default()
    };
    tokens.issue_for(user, purpose, clock::unix_now())
}

/// Whether a session was lost: neither the client nor the server ended it on purpose.
fn is_loss(end: End) -> bool {
    !matches!(
        end,
        End::Told(DisconnectReason::Left | DisconnectReason::Moved | DisconnectReason::Closed)
    )
}

impl Member {
    /// Why the session has ended, if it has and no other token was scheduled since. A bot returns
    /// to a server that closed, since it may be restarted. It does not return to a session that
    /// another client took over.
    fn newly_ended(&mut self) -> Option<End> {
        match self.bot.runtime().state() {
            ClientState::Playing => self.pauses.reset(),
            ClientState::Ended(End::Told(DisconnectReason::Left | DisconnectReason::Replaced)) => {}
            ClientState::Ended(end) if self.rejoin_at.is_none() => return Some(end),
            _ => {}
        }
        None
    }

    fn next_timeout(&self) -> Timestamp {
        let next = self.bot.next_timeout().max(self.start);
        self.rejoin_at.map_or(next, |at| next.min(at))
    }

    fn transmit(&mut self) {
        while let Some((to, transmit)) = self.bot.poll_transmit() {
            self.socket.send(to, &transmit);
        }
        self.socket.flush();
    }
}
