//! A client's session with its messages: what every client has, whatever happens in its room.
//!
//! Sans-IO. For each event: [`ClientConnection::receive`]; if it had a payload
//! [`ClientConnection::open`], [`ClientConnection::poll_acked`]; [`ClientConnection::next_event`]
//! until there is none; after a payload the body, [`ClientConnection::accept`].

use std::collections::VecDeque;
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::resumable_session::{ResumableSession, SessionProgress};
use super::state::{ClientState, End};
use super::time_line::{TimeLine, check_epoch};
use crate::bits::{BitReader, BitWriter};
use crate::channel::{Channel, Overflow};
use crate::connection::{Connection, Messages};
use crate::disconnect::{DisconnectNotice, DisconnectReason};
use crate::error::WireError;
use crate::limits::{ACK_DELAY, MESSAGE_COST, UNPOLLED_EVENT_BYTES};
use crate::messages::{Body, ClientMessage, SESSION_STREAM, ServerMessage, decode, encode};
use crate::sequence::Sequence;
use crate::session::ClientId;
use crate::session::client::{Failure, Received};
use crate::session::denial::Denial;
use crate::session::drops::DropReason;
use crate::session::token::ConnectToken;
use crate::tick::Tick;
use crate::time::Timestamp;
use crate::transport::{Event, PeerAddr, Transmit, TransportKind};

/// Something for whoever holds the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The client is in its room. If it was there before, it begins anew.
    Welcomed {
        /// The server's ticks per second.
        tick_rate: u32,
    },
    /// The server moved its time line, by so many microseconds.
    TimeLineMoved(i64),
    /// A message from the room on a reliable channel, and its tick.
    Game(Tick, Vec<u8>),
    /// A message from the room on the unreliable channel, and its tick.
    Unreliable(Tick, Vec<u8>),
}

/// See the module.
pub struct ClientConnection {
    schema: u64,
    resumable: ResumableSession,
    id: Option<ClientId>,
    connection: Option<Connection>,
    ended: Option<End>,
    /// The server's order to leave, and when that is due.
    moving: Option<(u32, Timestamp)>,
    /// When to look whether something is to be sent.
    look_at: Timestamp,
    owes_answer: bool,
    time_line: Option<TimeLine>,
    writer: BitWriter,
    rng: Xoshiro256PlusPlus,
    outbox: VecDeque<(PeerAddr, Transmit)>,
    /// Messages of the room that came before the welcome, for streams do not wait for each other;
    /// and what they count for.
    early: Vec<LinkEvent>,
    early_cost: usize,
    ready: VecDeque<LinkEvent>,
}

impl ClientConnection {
    /// A client of this schema that begins to use its token now; all that is random follows from
    /// `seed`.
    pub fn new(schema: u64, token: ConnectToken, seed: u64, now: Timestamp) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            schema,
            resumable: ResumableSession::new(token, rng.next_u64(), now),
            id: None,
            connection: None,
            ended: None,
            moving: None,
            look_at: now,
            owes_answer: false,
            time_line: None,
            writer: BitWriter::new(),
            rng,
            outbox: VecDeque::new(),
            early: Vec::new(),
            early_cost: 0,
            ready: VecDeque::new(),
        }
    }

    /// Goes over another transport; to be said before anything is sent.
    pub fn transport(mut self, kind: TransportKind) -> Self {
        self.resumable = self.resumable.transport(kind);
        self
    }

    /// Where the client stands.
    pub fn state(&self) -> ClientState {
        if let Some(end) = self.ended {
            return ClientState::Ended(end);
        }
        match self.resumable.keeping() {
            SessionProgress::Failed(Failure::Denied) => ClientState::Ended(self.refused()),
            SessionProgress::Failed(failure) => ClientState::Ended(End::Failed(failure)),
            SessionProgress::Disconnected => {
                ClientState::Ended(End::Told(DisconnectReason::Closed))
            }
            SessionProgress::Silent if self.id.is_some() => ClientState::Silent,
            SessionProgress::Open if self.id.is_some() => ClientState::Playing,
            SessionProgress::Opening | SessionProgress::Open | SessionProgress::Silent => {
                ClientState::Connecting
            }
        }
    }

    /// What the server said when it refused the token or the ticket.
    fn refused(&self) -> End {
        match self.resumable.denial() {
            Some(Denial::Replaced) => End::Told(DisconnectReason::Replaced),
            None | Some(Denial::Unspecified) => End::Failed(Failure::Denied),
            Some(denial) => End::Failed(Failure::Refused(denial)),
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state(), ClientState::Ended(_))
    }

    /// The session and its resumption, to set them up.
    pub fn keeper_mut(&mut self) -> &mut ResumableSession {
        &mut self.resumable
    }

    /// The session and its resumption.
    pub fn resumable(&self) -> &ResumableSession {
        &self.resumable
    }

    /// The number that the server gave this client.
    pub fn id(&self) -> Option<ClientId> {
        self.id
    }

    /// When the server's ticks are due, once it told.
    pub fn time_line(&self) -> Option<&TimeLine> {
        self.time_line.as_ref()
    }

    /// The session's packets, once it is open.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// The next parcel to send, and by which way.
    pub fn poll_transmit(&mut self) -> Option<(PeerAddr, Transmit)> {
        self.outbox.pop_front()
    }

    /// When to call [`Self::poll`] again though nothing came, if whoever holds the link sends by
    /// itself at `clock`. Far in the future once the session is over.
    pub fn next_timeout(&self, clock: Option<Timestamp>) -> Timestamp {
        if self.is_over() {
            return Timestamp::from_nanos(u64::MAX);
        }
        let session = self.resumable.next_timeout();
        let next = match &self.connection {
            None => session,
            Some(_) => session.min(clock.unwrap_or(self.look_at)),
        };
        self.moving.map_or(next, |(_, at)| next.min(at))
    }

    /// Ends the session and tells the server.
    pub fn leave(&mut self) {
        self.end(End::Told(DisconnectReason::Left));
    }

    fn end(&mut self, end: End) {
        if !self.is_over() {
            self.outbox.extend(self.resumable.disconnect());
            self.ended = Some(end);
        }
    }

    /// Takes in what came; `payload` holds what a datagram carried, or nothing.
    pub fn receive(
        &mut self,
        from: PeerAddr,
        event: Event<'_>,
        payload: &mut Vec<u8>,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        payload.clear();
        if self.is_over() {
            return Ok(());
        }
        let addr = self.resumable.addr();
        match self.resumable.receive(from, event, now)? {
            Received::Payload(received) => payload.extend_from_slice(received),
            Received::Frame(frame) => {
                let connection = self.connection.as_mut().ok_or(DropReason::Unexpected)?;
                connection.take_frame(frame, now).map_err(DropReason::from)?;
            }
            Received::Step => self.session_stepped(addr, now),
        }
        Ok(())
    }

    /// Once the session is open the client says what it is. Resumed on another connection, messages
    /// begin where they were.
    fn session_stepped(&mut self, before: PeerAddr, now: Timestamp) {
        if let Some(connection) =
            self.connection.as_mut().filter(|_| self.resumable.addr() != before)
        {
            connection.begin_stream_again();
        }
        if self.connection.is_none() && self.resumable.keeping() == SessionProgress::Open {
            let seed = self.rng.next_u64();
            self.connection = Some(match self.resumable.addr().is_connection_oriented() {
                true => Connection::with_frames(seed, now),
                false => Connection::new(seed, now),
            });
            self.tell(&ClientMessage::Hello { schema: self.schema });
            self.send_packet(now, Messages::BesideState, write_nothing);
        }
    }

    /// Opens a genuine payload; see [`Connection::open`].
    pub fn open<'a>(
        &mut self,
        payload: &'a [u8],
        now: Timestamp,
    ) -> Result<(Sequence, BitReader<'a>), WireError> {
        self.connection.as_mut().ok_or(WireError::Stale("no session"))?.open(payload, now)
    }

    /// The next packet of ours that the server took over; to be asked for after each
    /// [`Self::open`].
    pub fn poll_acked(&mut self) -> Option<Sequence> {
        self.connection.as_mut()?.poll_acked()
    }

    /// Acknowledges a packet whose contents were taken over whole.
    pub fn accept(&mut self, sequence: Sequence) {
        if let Some(connection) = &mut self.connection {
            connection.accept(sequence);
        }
    }

    /// The next thing that messages say; nothing once the session is over. What concerns the
    /// session alone is seen to here.
    pub fn next_event(&mut self, now: Timestamp) -> Result<Option<LinkEvent>, WireError> {
        while self.ended.is_none() {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some((channel, bytes)) = self.connection.as_mut().and_then(Connection::receive)
            else {
                return Ok(None);
            };
            let message = decode(&bytes)?;
            if channel != SESSION_STREAM && !matches!(message, ServerMessage::Event { .. }) {
                return Err(WireError::Misbehaving("a session's message on another channel"));
            }
            self.take_message(channel, message, now)?;
        }
        Ok(None)
    }

    fn take_message(
        &mut self,
        channel: Channel,
        message: ServerMessage,
        now: Timestamp,
    ) -> Result<(), WireError> {
        match message {
            ServerMessage::Welcome { client, tick_rate, epoch_us } => {
                self.time_line = Some(TimeLine::new(tick_rate, epoch_us)?);
                self.id = Some(ClientId(client));
                self.ready.push_back(LinkEvent::Welcomed { tick_rate });
                self.ready.extend(self.early.drain(..));
                self.early_cost = 0;
            }
            ServerMessage::Timeline { epoch_us } => {
                check_epoch(epoch_us)?;
                if let Some(time_line) = &mut self.time_line {
                    self.ready.push_back(LinkEvent::TimeLineMoved(time_line.move_to(epoch_us)?));
                }
            }
            ServerMessage::Event { tick, data } => {
                let cost = data.len() + MESSAGE_COST;
                let event = match channel {
                    Channel::Unreliable => LinkEvent::Unreliable(Tick(tick), data),
                    Channel::Reliable | Channel::Ordered(_) => LinkEvent::Game(Tick(tick), data),
                };
                match self.id {
                    Some(_) => self.ready.push_back(event),
                    None if self.early_cost + cost <= UNPOLLED_EVENT_BYTES => {
                        self.early_cost += cost;
                        self.early.push(event);
                    }
                    None => self.end(End::Told(DisconnectReason::Overflow)),
                }
            }
            ServerMessage::Ticket { token } => {
                let token = ConnectToken::from_bytes(&token);
                self.resumable
                    .keep_ticket(token.map_err(|_| WireError::Malformed("a ticket is no token"))?);
            }
            ServerMessage::Drain { id, within_ms } => self.told_to_move(id, within_ms, now),
        }
        Ok(())
    }

    /// The copies of one order count once.
    fn told_to_move(&mut self, id: u32, within_ms: u32, now: Timestamp) {
        if self.moving.is_none_or(|(known, _)| known != id) {
            let wait = Duration::from_millis(self.rng.next_u64() % (u64::from(within_ms) + 1));
            self.moving = Some((id, now + wait));
        }
    }

    /// Takes in the body of a packet that says why it is over.
    pub fn take_farewell(&mut self, reader: BitReader<'_>) -> Result<(), WireError> {
        let disconnect = DisconnectNotice::read(reader)?;
        let (server, client) = (disconnect.schema, self.schema);
        self.end(match disconnect.reason {
            DisconnectReason::OtherSchema => End::OtherSchema { server, client },
            reason => End::Told(reason),
        });
        Ok(())
    }

    /// Queues a message of the session's own.
    pub fn tell(&mut self, message: &ClientMessage) {
        // None is too large, and too many end the session.
        let _ = self.send(SESSION_STREAM, encode(message));
    }

    /// Queues a message for the room. Before the session is open it is not sent at all.
    ///
    /// # Errors
    /// [`Overflow::MessageTooLarge`] is the caller's: the session goes on. [`Overflow::QueueFull`]
    /// ends the session.
    pub fn send(&mut self, channel: Channel, message: Vec<u8>) -> Result<(), Overflow> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let sent = connection.send(channel, message);
        if sent == Err(Overflow::QueueFull) {
            self.end(End::Told(DisconnectReason::Overflow));
        }
        sent
    }

    /// Ends the session because the application does not read its events.
    pub fn end_unread(&mut self) {
        self.end(End::Told(DisconnectReason::EventsUnread));
    }

    /// Does what time demands of the session. False if there is none, or it is over.
    pub fn poll(&mut self, now: Timestamp) -> bool {
        if self.moving.is_some_and(|(_, at)| now >= at) {
            self.end(End::Told(DisconnectReason::Moved));
        }
        if self.is_over() {
            return false;
        }
        while let Some(due) = self.resumable.poll(now) {
            self.outbox.push_back(due);
        }
        self.send_frames(now);
        self.connection.is_some()
    }

    /// Sends messages that travel in frames.
    fn send_frames(&mut self, now: Timestamp) {
        let Some(connection) =
            self.connection.as_mut().filter(|_| self.resumable.keeping() == SessionProgress::Open)
        else {
            return;
        };
        let to = self.resumable.addr();
        while let Some(frame) = connection.poll_frame(now) {
            self.outbox.push_back((to, Transmit::Frame(frame)));
        }
    }

    /// The server is to be answered at once: what it sent last is what the next is best built upon.
    pub fn owe_answer(&mut self, now: Timestamp) {
        (self.owes_answer, self.look_at) = (true, now);
    }

    /// Sends messages and acknowledgements that are due, for whoever does not send by itself.
    pub fn send_due(&mut self, messages: Messages, now: Timestamp) {
        self.look_at = now + ACK_DELAY;
        self.send_frames(now);
        let owes = std::mem::take(&mut self.owes_answer);
        if self.connection.as_ref().is_some_and(|connection| owes || connection.wants_packet(now)) {
            self.send_packet(now, messages, write_nothing);
        }
    }

    /// Sends a packet with a body.
    pub fn send_packet(
        &mut self,
        now: Timestamp,
        messages: Messages,
        body: impl FnOnce(&mut BitWriter, Sequence),
    ) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        connection.set_max_payload(self.resumable.max_payload());
        let sequence = connection.begin(&mut self.writer, now, messages);
        body(&mut self.writer, sequence);
        connection.finish(&mut self.writer, now);
        self.outbox.extend(self.resumable.seal(self.writer.bytes(), now));
        self.send_frames(now);
    }
}

/// The body of a packet without state or commands.
fn write_nothing(writer: &mut BitWriter, _: Sequence) {
    writer.write(Body::Empty as u32, Body::BITS);
}
