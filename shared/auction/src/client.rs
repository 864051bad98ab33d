//! The client of an auction house: its session, the commands without an answer, the watched lots
//! and the server's time.
//!
//! Sans-IO; see [`truetick_netcode::client::runtime`] for the caller's loop. Commands and watched
//! lots outlive a session: [`AuctionClient::rejoin`] continues them in a new session, and no
//! command takes effect twice.

mod receive;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use truetick_netcode::channel::Channel;
use truetick_netcode::client::client_connection::ClientConnection;
use truetick_netcode::client::state::ClientState;
use truetick_netcode::connection::Messages;
use truetick_netcode::messages::encode;
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{PeerAddr, Transmit, TransportKind};

use super::countdown::AuctionTimeLine;
pub use super::countdown::Countdown;
use super::event::LotEvent;
use super::limits::REQUESTS_AT_ONCE;
use super::money::Amount;
use super::order::{Answer, Command, CommandId};
use super::public_lot::PublicLot;
use super::terms::LotId;
use super::time_sync::TimeSync;
use super::wire::{COMMANDS, HouseState, LOTS, Refusal, Request, WIRE};

/// Interval of time requests once enough exchanges are known.
const TIME_INTERVAL: Duration = Duration::from_secs(2);

/// Interval of time requests until a few answers are known, and after an answer that contradicts
/// the earlier ones.
const SOON: Duration = Duration::from_millis(250);

/// An event for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuctionEvent {
    /// A command was answered. The answer is durable.
    Answered(CommandId, Answer),
    /// A command was refused on its first transmission and is not retried. A command that was sent
    /// more than once is retried until it is answered, since an earlier copy may have been
    /// accepted.
    Refused(CommandId, Refusal),
    /// An event of a watched lot.
    Happened(LotEvent),
    /// The full state of a watched lot was received, in place of single events.
    Shown(LotId),
    /// A lot does not exist, or no longer exists. It is not watched any more.
    Gone(LotId),
    /// Numbers of existing lots. A long catalogue arrives as several of these events.
    Catalogue(Vec<LotId>),
    /// Amounts available, held and paid in the user's account.
    Account([Amount; 3]),
    /// The house changed its state.
    House(HouseState),
}

/// A command without an answer.
#[derive(Clone, Debug)]
struct Open {
    command: Command,
    /// Number of transmissions so far.
    said: u32,
    /// Time of the next transmission, set after a refusal of a command that may have been accepted
    /// before.
    again_at: Option<Timestamp>,
}

/// The client of an auction house: one session at a time, with commands and watched lots that
/// outlive it.
pub struct AuctionClient {
    link: ClientConnection,
    /// Commands without an answer.
    open: BTreeMap<CommandId, Open>,
    /// Requests that wait for room in the session's streams.
    queue: VecDeque<(Channel, Vec<u8>)>,
    /// Watched lots; `None` until the state of a lot is known.
    watched: BTreeMap<LotId, Option<PublicLot>>,
    time: TimeSync,
    epoch_us: i64,
    ask_time_at: Option<Timestamp>,
    was_silent: bool,
    payload: Vec<u8>,
    house: HouseState,
    events: VecDeque<AuctionEvent>,
    errors: u64,
}

impl AuctionClient {
    /// Creates a client that starts to use its token at `now`. `seed` determines all its random
    /// numbers.
    pub fn new(token: ConnectToken, seed: u64, now: Timestamp) -> Self {
        Self {
            link: ClientConnection::new(WIRE, token, seed, now),
            open: BTreeMap::new(),
            queue: VecDeque::new(),
            watched: BTreeMap::new(),
            time: TimeSync::default(),
            epoch_us: 0,
            ask_time_at: None,
            was_silent: false,
            payload: Vec::new(),
            house: HouseState::Running,
            events: VecDeque::new(),
            errors: 0,
        }
    }

    /// Selects the transport. Call it before the first transmit.
    pub fn transport(mut self, kind: TransportKind) -> Self {
        self.link = self.link.transport(kind);
        self
    }

    /// Starts another session with a new token. Unanswered commands are sent again, and lots are
    /// watched from their last known event.
    pub fn rejoin(&mut self, token: ConnectToken, seed: u64, now: Timestamp) {
        self.link = ClientConnection::new(WIRE, token, seed, now)
            .transport(self.link.resumable().addr().kind);
        self.ask_time_at = None;
        // Another server, or a restarted one, may have another clock.
        self.time = TimeSync::default();
        self.queue.clear();
    }

    /// Returns the state of the session.
    pub fn state(&self) -> ClientState {
        self.link.state()
    }

    /// Returns the session's connection.
    pub fn link(&self) -> &ClientConnection {
        &self.link
    }

    /// Returns the number of authenticated packets that violated the format or order of events.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Returns a watched lot, or `None` if it is not watched or not known yet.
    pub fn lot(&self, id: LotId) -> Option<&PublicLot> {
        self.watched.get(&id)?.as_ref()
    }

    /// Returns the number of commands without an answer.
    pub fn unanswered(&self) -> usize {
        self.open.len()
    }

    /// Takes the next event, oldest first.
    pub fn poll_event(&mut self) -> Option<AuctionEvent> {
        self.events.pop_front()
    }

    /// Sends a command. `id` must be one that this user has not used before. Without a session the
    /// command is sent on the next welcome.
    pub fn command(&mut self, id: CommandId, command: Command) {
        self.open.insert(
            id,
            Open {
                command,
                said: 0,
                again_at: None,
            },
        );
        self.say(id);
    }

    /// Sends a command that an earlier client of this user may have sent. If it was decided then,
    /// the first answer is returned.
    pub fn command_again(&mut self, id: CommandId, command: Command) {
        self.open.insert(
            id,
            Open {
                command,
                said: 1,
                again_at: None,
            },
        );
        self.say(id);
    }

    fn say(&mut self, id: CommandId) {
        let is_welcome = self.is_welcome();
        if let Some(open) = self.open.get_mut(&id).filter(|_| is_welcome) {
            open.said += 1;
            open.again_at = None;
            let command = open.command.clone();
            self.ask(&Request::Command { id, command });
        }
    }

    /// Starts to watch a lot.
    pub fn watch(&mut self, lot: LotId) {
        self.watched.entry(lot).or_insert(None);
        self.ask(&Request::Watch { lot, after: None });
    }

    /// Stops watching a lot.
    pub fn unwatch(&mut self, lot: LotId) {
        self.watched.remove(&lot);
        self.ask(&Request::Unwatch { lot });
    }

    /// Requests the numbers of all lots. The answer is one or more [`AuctionEvent::Catalogue`].
    pub fn ask_catalogue(&mut self) {
        self.ask(&Request::Catalogue { after: None });
    }

    /// Requests the account's amounts. The answer is an [`AuctionEvent::Account`].
    pub fn ask_account(&mut self) {
        self.ask(&Request::Account);
    }

    fn is_welcome(&self) -> bool {
        self.link.id().is_some()
    }

    /// Drops the request before the welcome: commands and watched lots are sent again then.
    fn ask(&mut self, request: &Request) {
        if self.is_welcome() {
            let channel = match request {
                Request::Watch { .. } | Request::Unwatch { .. } | Request::Catalogue { .. } => LOTS,
                _ => COMMANDS,
            };
            self.queue.push_back((channel, encode(request)));
        }
    }

    /// Returns the auction's tick at `now`, by the estimate of the server's clock; `None` while
    /// that is unknown.
    pub fn tick(&self, now: Timestamp) -> Option<u64> {
        let rate = i64::from(self.link.time_line()?.tick_rate());
        let since = self.time.server_us(now)?.checked_sub(self.epoch_us)?;
        u64::try_from(i128::from(since) * i128::from(rate) / 1_000_000).ok()
    }

    /// Returns the server's clock in microseconds and the bound of its error; `None` while the
    /// clock is unknown.
    pub fn server_time(&self, now: Timestamp) -> Option<(i64, Duration)> {
        self.time.server_us(now).zip(self.time.uncertainty_at(now))
    }

    /// Returns the remaining time of a watched lot; `None` while the lot or the server's clock is
    /// unknown.
    pub fn countdown(&self, lot: LotId, now: Timestamp) -> Option<Countdown> {
        let line = AuctionTimeLine {
            epoch_us: self.epoch_us,
            tick_rate: self.link.time_line()?.tick_rate(),
        };
        let mut countdown = Countdown::of(self.lot(lot)?, &self.time, line, now)?;
        countdown.paused |= self.house != HouseState::Running;
        Some(countdown)
    }

    /// Handles all timeouts up to `now`; then [`Self::poll_transmit`] returns the packets to send.
    pub fn advance(&mut self, now: Timestamp) {
        if !self.link.poll(now) {
            return;
        }
        let is_silent = self.link.state() == ClientState::Silent;
        if std::mem::replace(&mut self.was_silent, is_silent) && !is_silent {
            // A client that received nothing for a while may have slept, and its clock with it.
            self.ask_time_at = self.ask_time_at.map(|_| now);
        }
        if self.ask_time_at.is_some_and(|at| now >= at) {
            self.ask_time_at = Some(
                now + if self.time.is_young() {
                    SOON
                } else {
                    TIME_INTERVAL
                },
            );
            self.ask(&Request::Time {
                client_us: now.as_micros(),
            });
        }
        let due = self
            .open
            .iter()
            .filter(|(_, open)| open.again_at.is_some_and(|at| now >= at));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.say(id);
        }
        self.feed();
        self.link.send_due(Messages::Alone, now);
    }

    /// Hands requests to the session as long as a stream holds fewer than [`REQUESTS_AT_ONCE`].
    fn feed(&mut self) {
        while let Some((channel, _)) = self.queue.front() {
            let waiting = self
                .link
                .connection()
                .map_or(REQUESTS_AT_ONCE, |connection| connection.waiting(*channel));
            let Some((channel, message)) = (waiting < REQUESTS_AT_ONCE)
                .then(|| self.queue.pop_front())
                .flatten()
            else {
                return;
            };
            // No request exceeds the message size, and an overflow of the stream ends the session.
            let _ = self.link.send(channel, message);
        }
    }

    /// Returns the next packet to send and its destination.
    pub fn poll_transmit(&mut self) -> Option<(PeerAddr, Transmit)> {
        self.link.poll_transmit()
    }

    /// Returns the time of the next timeout, at which [`Self::advance`] must be called.
    pub fn next_timeout(&self) -> Timestamp {
        let next = self.link.next_timeout(None);
        if self.link.is_over() {
            return next;
        }
        let again = self.open.values().filter_map(|open| open.again_at);
        again.chain(self.ask_time_at).fold(next, Timestamp::min)
    }

    /// Ends the session.
    pub fn leave(&mut self) {
        self.link.leave();
    }
}
