//! A client's process: a bot that plays and opens another session after its last one ended.

use std::sync::Arc;
use std::time::Duration;

use truetick_arena::ArenaSchema;
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::client::prediction::{Cause, Misprediction};
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::client::stats::ClientStats;
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::token::{ConnectToken, Purpose};
use truetick_netcode::session::{Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use crate::check::display::Frame;
use crate::mark::{Mark, Marks};
use crate::process::Process;
use crate::virtual_clock::VirtualClock;

/// Delay before a player whose session ended joins again.
const REJOIN_AFTER: Duration = Duration::from_millis(700);

/// Configuration of a client's process.
pub struct ClientConfig {
    /// Token of the first session, for the role.
    pub token: ConnectToken,
    /// Whether the client plays or watches.
    pub role: Role,
    /// Seed of the bot's decisions.
    pub seed: u64,
    /// Time on the client's clock at which it begins to join.
    pub start: Timestamp,
    /// The client's clock.
    pub clock: VirtualClock,
    /// Index of the first path.
    pub path: usize,
    /// Size of the socket's receive buffer in bytes.
    pub socket_bytes: usize,
}

/// A client's process with its clock, socket and path.
pub struct ClientProcess {
    /// The bot with its runtime; that of the last life while the process is down.
    pub bot: BotClient,
    /// Mispredictions in this life.
    pub wrong: Vec<Misprediction>,
    /// Game events received in this life.
    pub events: Vec<(Tick, Vec<u8>)>,
    pub(crate) process: Process,
    /// Index of the current path.
    pub(crate) path: usize,
    /// Number of lives before this one.
    pub life: u64,
    seed: u64,
    down: bool,
    rejoin_at: Option<Timestamp>,
    /// Whether the client left because the server asked it to.
    pub(crate) moved: bool,
    past: ClientStats,
}

impl ClientProcess {
    /// Creates a client that joins by its configuration.
    pub fn new(kinds: &Arc<ArenaSchema>, config: ClientConfig) -> Self {
        let ClientConfig {
            token,
            role,
            seed,
            start,
            clock,
            path,
            socket_bytes,
        } = config;
        Self {
            bot: BotClient::new(kinds.clone(), token, seed, start).as_role(role),
            wrong: Vec::new(),
            events: Vec::new(),
            process: Process::new(clock, socket_bytes),
            path,
            life: 0,
            seed,
            down: false,
            rejoin_at: None,
            moved: false,
            past: ClientStats::default(),
        }
    }

    /// Returns the purpose of its tokens.
    pub fn purpose(&self) -> Purpose {
        Purpose {
            role: self.role(),
            ..Purpose::default()
        }
    }

    /// Returns whether it plays or spectates.
    pub fn role(&self) -> Role {
        self.bot.runtime().role()
    }

    /// Returns its user id, equal in all its lives.
    pub fn user(&self) -> UserId {
        UserId(self.seed)
    }

    /// Returns whether its process runs.
    pub(crate) fn is_up(&self) -> bool {
        !self.down
    }

    /// Returns whether it is in a room.
    pub fn is_playing(&self) -> bool {
        !self.down && self.bot.runtime().state() == ClientState::Playing
    }

    /// The frame that it displays when its clock shows `now`, while it plays.
    pub(crate) fn draw(&mut self, now: Timestamp) -> Option<Frame> {
        let shown = self
            .is_playing()
            .then(|| self.bot.shown_tick(now))
            .flatten()?;
        let runtime = self.bot.runtime();
        Some(Frame {
            now,
            shown,
            newest: runtime.buffer().newest()?,
            cuts: runtime.interpolation()?.clock().cuts(),
            tick: Duration::from_secs(1) / runtime.tick_rate()?,
        })
    }

    /// Returns its counts, past lives included.
    pub fn stats(&self) -> ClientStats {
        self.past + self.bot.runtime().stats()
    }

    /// Ends its process.
    pub(crate) fn crash(&mut self) {
        self.down = true;
        self.process.forget_held();
    }

    /// Starts a new life: a new process, or a new session after the last one ended.
    pub(crate) fn restart(
        &mut self,
        kinds: &Arc<ArenaSchema>,
        token: ConnectToken,
        now: Timestamp,
    ) {
        self.past = self.stats();
        self.life += 1;
        self.down = false;
        self.rejoin_at = None;
        let seed = self.seed.wrapping_add(self.life << 40);
        let start = self.process.clock.at(now);
        self.bot = BotClient::new(kinds.clone(), token, seed, start).as_role(self.role());
        self.wrong.clear();
        self.events.clear();
    }

    /// Time of its next wake-up by its own clock. After a session ended for any reason but its own
    /// decision, it joins again after a moment.
    pub(crate) fn next_timeout(&mut self, shown: Timestamp) -> Timestamp {
        match self.bot.runtime().state() {
            ClientState::Connecting
            | ClientState::Playing
            | ClientState::Unheard
            | ClientState::Silent => self.bot.next_timeout(),
            ClientState::Ended(End::Disconnected(DisconnectReason::Left)) => {
                Timestamp::from_nanos(u64::MAX)
            }
            ClientState::Ended(end) => {
                self.moved |= end == End::Disconnected(DisconnectReason::Moved);
                *self.rejoin_at.get_or_insert(shown + REJOIN_AFTER)
            }
        }
    }

    /// Whether the time to join again has come.
    pub(crate) fn wants_to_rejoin(&self, shown: Timestamp) -> bool {
        self.rejoin_at.is_some_and(|at| at <= shown)
    }

    pub(crate) fn note_wrong(&mut self, wrong: Misprediction, marks: &mut Marks) {
        match wrong.cause {
            Cause::Command => marks.hit(Mark::WrongByCommand),
            Cause::Interaction => marks.hit(Mark::WrongByTouch),
            Cause::Unexplained => {}
        }
        self.wrong.push(wrong);
    }
}
