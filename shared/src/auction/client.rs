//! One client of an auction house: its session, its commands until they are answered, the lots that
//! it watches, the time.
//!
//! Sans-IO; see [`truetick_netcode::client::runtime`] for the caller's loop. Commands and lots
//! outlive a session: with [`AuctionClient::rejoin`] the client goes on where it was, and nothing
//! happens twice.

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

pub use super::countdown::Countdown;
use super::event::LotEvent;
use super::limits::{CLIENT_EVENTS, REQUESTS_AT_ONCE};
use super::money::Amount;
use super::order::{Answer, Command, CommandId};
use super::public_lot::PublicLot;
use super::terms::LotId;
use super::time_sync::{Exchange, TimeSync};
use super::wire::{COMMANDS, HouseState, LOTS, Refusal, Reply, Request, WIRE};

/// The time is asked for this often.
const TIME_PAUSE: Duration = Duration::from_secs(2);

/// The same until a few answers are known, and after one that contradicts those before.
const SOON: Duration = Duration::from_millis(250);

/// A command whose fate is open is said again this often.
const AGAIN: Duration = Duration::from_secs(1);

/// Something for the caller to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuctionEvent {
    /// A command was answered; the answer is durable.
    Answered(CommandId, Answer),
    /// A command was not taken, and is not tried again by itself. (What was said before in vain is
    /// tried until it is answered: nobody knows what became of it.)
    Refused(CommandId, Refusal),
    /// Something happened to a lot that is watched.
    Happened(LotEvent),
    /// A lot that is watched, as it is, instead of single events.
    Shown(LotId),
    /// A lot is not there, or no more.
    Gone(LotId),
    /// Lots that are there; if there are many, more such events follow.
    Catalogue(Vec<LotId>),
    /// Available, held and paid.
    Account([Amount; 3]),
    /// The house stopped, or goes on.
    House(HouseState),
}

/// A command without an answer.
#[derive(Clone, Debug)]
struct Open {
    command: Command,
    /// How often it was said.
    said: u32,
    /// When it is said again, having been refused though it may have been taken before.
    again_at: Option<Timestamp>,
}

/// See the module.
pub struct AuctionClient {
    link: ClientConnection,
    /// Commands without an answer.
    open: BTreeMap<CommandId, Open>,
    /// What the session's streams are still to be handed.
    queue: VecDeque<(Channel, Vec<u8>)>,
    /// Lots that are watched, as they are known.
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
    /// A client that begins to use its token now; all that is random follows from `seed`.
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

    /// Goes over another transport; to be said before anything is sent.
    pub fn transport(mut self, kind: TransportKind) -> Self {
        self.link = self.link.transport(kind);
        self
    }

    /// Begins another session with a new token: what is not answered is said again, lots are
    /// watched from where they were.
    pub fn rejoin(&mut self, token: ConnectToken, seed: u64, now: Timestamp) {
        self.link = ClientConnection::new(WIRE, token, seed, now)
            .transport(self.link.resumable().addr().kind);
        self.ask_time_at = None;
        // Another server, or another life of it, may have another clock.
        self.time = TimeSync::default();
        self.queue.clear();
    }

    /// Where the client stands.
    pub fn state(&self) -> ClientState {
        self.link.state()
    }

    /// Its session.
    pub fn link(&self) -> &ClientConnection {
        &self.link
    }

    /// Genuine packets that were not what the format says.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// A lot that is watched.
    pub fn lot(&self, id: LotId) -> Option<&PublicLot> {
        self.watched.get(&id)?.as_ref()
    }

    /// Commands that have no answer yet.
    pub fn unanswered(&self) -> usize {
        self.open.len()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<AuctionEvent> {
        self.events.pop_front()
    }

    /// Says a command under a name that this user has not used before.
    pub fn command(&mut self, id: CommandId, command: Command) {
        self.open.insert(id, Open { command, said: 0, again_at: None });
        self.say(id);
    }

    /// Says a command that may have been said before, by a client that is gone: its answer is the
    /// first one, if there was one.
    pub fn command_again(&mut self, id: CommandId, command: Command) {
        self.open.insert(id, Open { command, said: 1, again_at: None });
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

    /// Watches a lot.
    pub fn watch(&mut self, lot: LotId) {
        self.watched.entry(lot).or_insert(None);
        self.ask(&Request::Watch { lot, after: None });
    }

    /// Watches it no more.
    pub fn unwatch(&mut self, lot: LotId) {
        self.watched.remove(&lot);
        self.ask(&Request::Unwatch { lot });
    }

    /// Asks which lots there are.
    pub fn ask_catalogue(&mut self) {
        self.ask(&Request::Catalogue { after: None });
    }

    /// Asks what is in the account.
    pub fn ask_account(&mut self) {
        self.ask(&Request::Account);
    }

    fn is_welcome(&self) -> bool {
        self.link.id().is_some()
    }

    /// Before the welcome nobody is there to hear; what matters is said again then.
    fn ask(&mut self, request: &Request) {
        if self.is_welcome() {
            let channel = match request {
                Request::Watch { .. } | Request::Unwatch { .. } | Request::Catalogue { .. } => LOTS,
                _ => COMMANDS,
            };
            self.queue.push_back((channel, encode(request)));
        }
    }

    /// The auction's tick now, by the client's idea of the server's clock.
    pub fn tick(&self, now: Timestamp) -> Option<u64> {
        let rate = i64::from(self.link.time_line()?.tick_rate());
        let since = self.time.server_us(now)?.checked_sub(self.epoch_us)?;
        u64::try_from(i128::from(since) * i128::from(rate) / 1_000_000).ok()
    }

    /// What the server's clock shows, in microseconds, and by how much that may be wrong; `None`
    /// while the client does not know.
    pub fn server_time(&self, now: Timestamp) -> Option<(i64, Duration)> {
        self.time.server_us(now).zip(self.time.uncertainty_at(now))
    }

    /// How long a lot that is watched still has; `None` while the client does not know the server's
    /// clock.
    pub fn countdown(&self, lot: LotId, now: Timestamp) -> Option<Countdown> {
        let (lot, tick_rate) = (self.lot(lot)?, self.link.time_line()?.tick_rate());
        let mut countdown = Countdown::of(lot, &self.time, (self.epoch_us, tick_rate), now)?;
        countdown.paused |= self.house != HouseState::Running;
        Some(countdown)
    }

    /// Takes in what came. What is wrong with it changes nothing.
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

    /// A message of a tick left the server after the tick before it was due.
    fn note_tick(&mut self, tick: Tick, now: Timestamp) {
        // Before tick 0 ticks have wrapped.
        let line = self.link.time_line().filter(|_| tick != Tick(0));
        let due_us = line.map(|line| line.tick_at_us(tick.back(1)));
        if due_us.is_some_and(|due_us| !self.time.not_before(due_us, now)) {
            self.ask_time_at = Some(now);
        }
    }

    fn take_body(&mut self, mut reader: BitReader<'_>) -> Result<(), WireError> {
        match Body::from_tag(reader.read(Body::BITS)?)? {
            Body::Empty => reader.finish(),
            Body::DisconnectNotice => self.link.take_farewell(reader),
            Body::Snapshot | Body::Commands => {
                Err(WireError::Misbehaving("a house sends no snapshots"))
            }
        }
    }

    /// In the room, for the first time or anew: everything that is open is said.
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

    /// Watches a lot from the last event that is known on.
    fn ask_from_here(&mut self, lot: LotId) {
        let after = self.lot(lot).map(|known| known.sequence);
        self.ask(&Request::Watch { lot, after });
    }

    fn take_reply(&mut self, reply: Reply, now: Timestamp) {
        match reply {
            Reply::Answer { id, answer } => {
                // What was said twice is answered twice, alike.
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
                    if known.as_ref().is_none_or(|known| known.sequence <= lot.sequence) {
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
            Reply::Account { available, held, paid } => {
                self.emit(AuctionEvent::Account([available, held, paid]));
            }
            Reply::House(house) => {
                self.house = house;
                self.emit(AuctionEvent::House(house));
            }
            Reply::Time { client_us, arrived_us, sent_us, epoch_us } => {
                let heard_us = now.as_micros();
                if !self.time.heard(Exchange { asked_us: client_us, arrived_us, sent_us, heard_us })
                {
                    self.ask_time_at = Some(now);
                }
                self.epoch_us = epoch_us;
            }
        }
    }

    /// Events of a lot come once each and in their order. Should they not, that is counted, and
    /// asked for once more.
    fn take_event(&mut self, event: LotEvent) {
        let Some(known) = self.watched.get_mut(&event.lot) else {
            return;
        };
        let applied = match known {
            Some(lot) => lot.apply(&event),
            None => PublicLot::opened(&event).map(|lot| *known = Some(lot)).is_some(),
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
        // None is displaced: an answer that its application never sees is not delivered.
        if self.events.len() >= CLIENT_EVENTS {
            self.link.end_unread();
        }
    }

    /// Does what time demands; then [`Self::poll_transmit`] has what is to be sent.
    pub fn advance(&mut self, now: Timestamp) {
        if !self.link.poll(now) {
            return;
        }
        let is_silent = self.link.state() == ClientState::Silent;
        if std::mem::replace(&mut self.was_silent, is_silent) && !is_silent {
            // Whoever heard nothing for a while may have slept.
            self.ask_time_at = self.ask_time_at.map(|_| now);
        }
        if self.ask_time_at.is_some_and(|at| now >= at) {
            self.ask_time_at = Some(now + if self.time.is_young() { SOON } else { TIME_PAUSE });
            self.ask(&Request::Time { client_us: now.as_micros() });
        }
        let due = self.open.iter().filter(|(_, open)| open.again_at.is_some_and(|at| now >= at));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.say(id);
        }
        self.feed();
        self.link.send_due(Messages::Alone, now);
    }

    /// A stream takes so many messages and no more.
    fn feed(&mut self) {
        while let Some((channel, _)) = self.queue.front() {
            let waiting = self
                .link
                .connection()
                .map_or(REQUESTS_AT_ONCE, |connection| connection.waiting(*channel));
            let Some((channel, message)) =
                (waiting < REQUESTS_AT_ONCE).then(|| self.queue.pop_front()).flatten()
            else {
                return;
            };
            // None is too large, and too many end the session.
            let _ = self.link.send(channel, message);
        }
    }

    /// The next parcel to send, and by which way.
    pub fn poll_transmit(&mut self) -> Option<(PeerAddr, Transmit)> {
        self.link.poll_transmit()
    }

    /// When [`Self::advance`] next has something to do.
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
