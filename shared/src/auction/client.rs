//! The client of an auction house: its session, the commands without an answer, the watched lots
//! and the server's time.
//!
//! Sans-IO; see [`truetick_netcode::client::runtime`] for the caller's loop. Commands and watched
//! lots outlive a session: [`AuctionClient::rejoin`] continues them in a new session, and no
//! command takes effect twice.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use truetick_netcode::bits::BitReader;
use truetick_netcode::channel::Channel;
use truetick_netcode::client::client_connection::{ClientConnection, LinkEvent};
use truetick_netcode::client::state::ClientState;
use truetick_netcode::connection::Messages;
use truetick_netcode::error::WireError;
use truetick_netcode::messages::{Body, decode, encode};
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr, Transmit, TransportKind};

use super::countdown::AuctionTimeLine;
pub use super::countdown::Countdown;
use super::event::LotEvent;
use super::limits::{CLIENT_EVENTS, REQUESTS_AT_ONCE};
use super::money::Amount;
use super::order::{Answer, Command, CommandId};
use super::public_lot::PublicLot;
use super::terms::LotId;
use super::time_sync::{Exchange, TimeSync};
use super::wire::{COMMANDS, HouseState, LOTS, Refusal, Reply, Request, WIRE};

/// Interval of time requests once enough exchanges are known.
const TIME_PAUSE: Duration = Duration::from_secs(2);

/// Interval of time requests until a few answers are known, and after an answer that contradicts
/// the earlier ones.
const SOON: Duration = Duration::from_millis(250);

/// Delay before a refused command of unknown fate is sent again.
const AGAIN: Duration = Duration::from_secs(1);

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

    /// Handles a received event. Invalid input changes nothing but [`Self::errors`].
    pub fn receive<'a>(
        &mut self,
        from: impl Into<PeerAddr>,
        event: impl Into<Event<'a>>,
        now: Timestamp,
    ) {
        let event = event.into();
        let mut payload = std::mem::take(&mut self.payload);
        let taken = match self.link.receive(from.into(), event, &mut payload, now) {
            Ok(()) if matches!(event, Event::Frame(_)) => self.take_messages(now),
            Ok(()) if !payload.is_empty() => self.take_payload(&payload, now),
            Ok(()) | Err(_) => Ok(()),
        };
        if !matches!(taken, Ok(()) | Err(WireError::Stale(_))) {
            self.errors += 1;
        }
        self.payload = payload;
    }

    fn take_payload(&mut self, payload: &[u8], now: Timestamp) -> Result<(), WireError> {
        let (sequence, reader) = self.link.open(payload, now)?;
        while self.link.poll_acked().is_some() {}
        self.take_messages(now)?;
        self.take_body(reader)?;
        self.link.accept(sequence);
        Ok(())
    }

    fn take_messages(&mut self, now: Timestamp) -> Result<(), WireError> {
        while let Some(event) = self.link.next_event(now)? {
            match event {
                LinkEvent::Welcomed { .. } => self.welcomed(),
                LinkEvent::TimeLineMoved(moved) => {
                    self.epoch_us = self.epoch_us.saturating_add(moved)
                }
                LinkEvent::Game(tick, data) | LinkEvent::Unreliable(tick, data) => {
                    self.note_tick(tick, now);
                    self.take_reply(decode(&data)?, now);
                }
            }
        }
        Ok(())
    }

    /// A message of a tick leaves the server no earlier than the due time of the tick before it,
    /// which bounds the server's clock from below.
    fn note_tick(&mut self, tick: Tick, now: Timestamp) {
        // A tick before tick 0 would have wrapped.
        let line = self.link.time_line().filter(|_| tick != Tick(0));
        let due_us = line.map(|line| line.tick_at_us(tick.back(1)));
        if due_us.is_some_and(|due_us| !self.time.not_before(due_us, now)) {
            self.ask_time_at = Some(now);
        }
    }

    fn take_body(&mut self, mut reader: BitReader<'_>) -> Result<(), WireError> {
        match Body::from_tag(reader.read(Body::BITS)?)? {
            Body::Empty => reader.finish(),
            Body::DisconnectNotice => self.link.take_disconnect(reader),
            Body::Snapshot | Body::Commands => {
                Err(WireError::Misbehaving("a house sends no snapshots"))
            }
        }
    }

    /// Runs on the first welcome and on every later one: sends all unanswered commands and watches
    /// all lots again.
    fn welcomed(&mut self) {
        self.house = HouseState::Running;
        self.ask_time_at = Some(Timestamp::default());
        self.queue.clear();
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            self.say(id);
        }
        for lot in self.watched.keys().copied().collect::<Vec<_>>() {
            self.ask_from_here(lot);
        }
    }

    /// Watches a lot from its last known event on.
    fn ask_from_here(&mut self, lot: LotId) {
        let after = self.lot(lot).map(|known| known.sequence);
        self.ask(&Request::Watch { lot, after });
    }

    fn take_reply(&mut self, reply: Reply, now: Timestamp) {
        match reply {
            Reply::Answer { id, answer } => {
                // A command that was sent twice is answered twice with equal answers.
                if self.open.remove(&id).is_some() {
                    self.emit(AuctionEvent::Answered(id, answer));
                }
            }
            Reply::Refused { id, why } => match self.open.get_mut(&id) {
                Some(open) if open.said > 1 => open.again_at = Some(now + AGAIN),
                Some(_) => {
                    self.open.remove(&id);
                    self.emit(AuctionEvent::Refused(id, why));
                }
                None => {}
            },
            Reply::Catalogue { lots, more } => {
                let after = lots.last().copied().filter(|_| more);
                self.emit(AuctionEvent::Catalogue(lots));
                if after.is_some() {
                    self.ask(&Request::Catalogue { after });
                }
            }
            Reply::Lot(lot) => {
                let id = lot.lot;
                if let Some(known) = self.watched.get_mut(&id) {
                    if known
                        .as_ref()
                        .is_none_or(|known| known.sequence <= lot.sequence)
                    {
                        *known = Some(lot);
                    }
                    self.emit(AuctionEvent::Shown(id));
                }
            }
            Reply::Events(events) => events.into_iter().for_each(|event| self.take_event(event)),
            Reply::NoLot(lot) => {
                self.watched.remove(&lot);
                self.emit(AuctionEvent::Gone(lot));
            }
            Reply::Account {
                available,
                held,
                paid,
            } => {
                self.emit(AuctionEvent::Account([available, held, paid]));
            }
            Reply::House(house) => {
                self.house = house;
                self.emit(AuctionEvent::House(house));
            }
            Reply::Time {
                client_us,
                arrived_us,
                sent_us,
                epoch_us,
            } => {
                let heard_us = now.as_micros();
                if !self.time.heard(Exchange {
                    asked_us: client_us,
                    arrived_us,
                    sent_us,
                    heard_us,
                }) {
                    self.ask_time_at = Some(now);
                }
                self.epoch_us = epoch_us;
            }
        }
    }

    /// Events of a lot arrive once each and in order. A violation is counted, and the lot is
    /// requested again.
    fn take_event(&mut self, event: LotEvent) {
        let Some(known) = self.watched.get_mut(&event.lot) else {
            return;
        };
        let applied = match known {
            Some(lot) => lot.apply(&event),
            None => PublicLot::opened(&event)
                .map(|lot| *known = Some(lot))
                .is_some(),
        };
        match applied {
            true => self.emit(AuctionEvent::Happened(event)),
            false => {
                self.errors += 1;
                self.ask_from_here(event.lot);
            }
        }
    }

    fn emit(&mut self, event: AuctionEvent) {
        self.events.push_back(event);
        // No event is displaced: an answer that the application never reads would count as
        // delivered.
        if self.events.len() >= CLIENT_EVENTS {
            self.link.end_unread();
        }
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
                    TIME_PAUSE
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
