//! A client's session with its messages: the part that all clients share, for rooms of any kind.
//!
//! Sans-IO. For each event call [`ClientConnection::receive`]. If the event had a payload, call
//! [`ClientConnection::open`] and [`ClientConnection::poll_acked`]. Then call
//! [`ClientConnection::next_event`] until it returns `None`. After a payload read the body and call
//! [`ClientConnection::accept`].

mod messages;

use std::collections::VecDeque;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::resumable_session::{ResumableSession, SessionProgress};
use super::state::{ClientState, End};
use super::time_line::TimeLine;
use crate::bits::{BitReader, BitWriter};
use crate::channel::{Channel, Overflow};
use crate::connection::{Connection, Messages};
use crate::disconnect::DisconnectReason;
use crate::error::WireError;
use crate::limits::ACK_DELAY;
use crate::messages::{Body, ClientMessage, SESSION_STREAM, encode};
use crate::sequence::Sequence;
use crate::session::ClientId;
use crate::session::client::{Failure, Received};
use crate::session::denial::Denial;
use crate::session::drops::DropReason;
use crate::session::token::ConnectToken;
use crate::tick::Tick;
use crate::time::Timestamp;
use crate::transport::{Event, PeerAddr, Transmit, TransportKind};

/// An event of the connection for its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The client is in its room. If it was there before, it starts again.
    Welcomed {
        /// The server's ticks per second.
        tick_rate: u32,
    },
    /// The server moved its time line by this many microseconds; positive values are later.
    TimeLineMoved(i64),
    /// A message from the room on a reliable channel, and its tick.
    Game(Tick, Vec<u8>),
    /// A message from the room on the unreliable channel, and its tick.
    Unreliable(Tick, Vec<u8>),
}

/// A client's session with its packets and messages.
pub struct ClientConnection {
    schema: u64,
    resumable: ResumableSession,
    id: Option<ClientId>,
    connection: Option<Connection>,
    ended: Option<End>,
    /// Id of the server's order to leave, and when the client leaves.
    moving: Option<(u32, Timestamp)>,
    /// When to check next whether a packet is due.
    look_at: Timestamp,
    owes_answer: bool,
    time_line: Option<TimeLine>,
    writer: BitWriter,
    rng: Xoshiro256PlusPlus,
    outbox: VecDeque<(PeerAddr, Transmit)>,
    /// Messages of the room that arrived before the welcome, since streams do not wait for each
    /// other; and their cost.
    early: Vec<LinkEvent>,
    early_cost: usize,
    ready: VecDeque<LinkEvent>,
}

impl ClientConnection {
    /// Creates a client of this schema that starts to use its token now. Its random numbers follow
    /// from `seed`.
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

    /// Selects the transport; UDP by default. Call it before the first transmit.
    pub fn transport(mut self, kind: TransportKind) -> Self {
        self.resumable = self.resumable.transport(kind);
        self
    }

    /// The client's state; never [`ClientState::Unheard`].
    pub fn state(&self) -> ClientState {
        if let Some(end) = self.ended {
            return ClientState::Ended(end);
        }
        match self.resumable.keeping() {
            SessionProgress::Failed(Failure::Denied) => ClientState::Ended(self.refused()),
            SessionProgress::Failed(failure) => ClientState::Ended(End::Failed(failure)),
            SessionProgress::Disconnected => {
                ClientState::Ended(End::Disconnected(DisconnectReason::Closed))
            }
            SessionProgress::Silent if self.id.is_some() => ClientState::Silent,
            SessionProgress::Open if self.id.is_some() => ClientState::Playing,
            SessionProgress::Opening | SessionProgress::Open | SessionProgress::Silent => {
                ClientState::Connecting
            }
        }
    }

    /// Why the server refused the token or the ticket.
    fn refused(&self) -> End {
        match self.resumable.denial() {
            Some(Denial::Replaced) => End::Disconnected(DisconnectReason::Replaced),
            None | Some(Denial::Unspecified) => End::Failed(Failure::Denied),
            Some(denial) => End::Failed(Failure::Refused(denial)),
        }
    }

    /// Whether the session is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state(), ClientState::Ended(_))
    }

    /// The session with its resumption.
    pub fn resumable(&self) -> &ResumableSession {
        &self.resumable
    }

    /// The number that the server gave this client; `None` before the server's welcome.
    pub fn id(&self) -> Option<ClientId> {
        self.id
    }

    /// The server's time line; `None` before the server's welcome.
    pub fn time_line(&self) -> Option<&TimeLine> {
        self.time_line.as_ref()
    }

    /// The session's packets; `None` before the session is open.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// The next packet to send, with its destination.
    pub fn poll_transmit(&mut self) -> Option<(PeerAddr, Transmit)> {
        self.outbox.pop_front()
    }

    /// When to call [`Self::poll`] again if nothing arrives. `clock` is the time of the owner's
    /// next packet, for an owner that sends on its own. Far in the future once the session is over.
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

    /// Ends the session and notifies the server.
    pub fn leave(&mut self) {
        self.end(End::Disconnected(DisconnectReason::Left));
    }

    fn end(&mut self, end: End) {
        if !self.is_over() {
            self.outbox.extend(self.resumable.disconnect());
            self.ended = Some(end);
        }
    }

    /// Handles an event of the transport. Afterwards `payload` holds the payload of a datagram, or
    /// is empty.
    ///
    /// # Errors
    /// The reason for which the datagram or frame was dropped.
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
                connection
                    .take_frame(frame, now)
                    .map_err(DropReason::from)?;
            }
            Received::Step => self.session_stepped(addr, now),
        }
        Ok(())
    }

    /// Sends the hello once the session is open. If the session was resumed on another connection,
    /// its message stream restarts where it stopped.
    fn session_stepped(&mut self, before: PeerAddr, now: Timestamp) {
        if let Some(connection) = self
            .connection
            .as_mut()
            .filter(|_| self.resumable.addr() != before)
        {
            connection.begin_stream_again();
        }
        if self.connection.is_none() && self.resumable.keeping() == SessionProgress::Open {
            let seed = self.rng.next_u64();
            self.connection = Some(match self.resumable.addr().is_connection_oriented() {
                true => Connection::with_frames(seed, now),
                false => Connection::new(seed, now),
            });
            self.tell(&ClientMessage::Hello {
                schema: self.schema,
            });
            self.send_packet(now, Messages::BesideState, write_nothing);
        }
    }

    /// Opens an authentic payload; see [`Connection::open`].
    ///
    /// # Errors
    /// [`WireError::Stale`] without a session; else the errors of [`Connection::open`].
    pub fn open<'a>(
        &mut self,
        payload: &'a [u8],
        now: Timestamp,
    ) -> Result<(Sequence, BitReader<'a>), WireError> {
        self.connection
            .as_mut()
            .ok_or(WireError::Stale("no session"))?
            .open(payload, now)
    }

    /// The next of the client's packets that the server acknowledged. Poll it after each
    /// [`Self::open`] until it returns `None`.
    pub fn poll_acked(&mut self) -> Option<Sequence> {
        self.connection.as_mut()?.poll_acked()
    }

    /// Acknowledges a packet whose contents were applied completely.
    pub fn accept(&mut self, sequence: Sequence) {
        if let Some(connection) = &mut self.connection {
            connection.accept(sequence);
        }
    }

    /// Queues a message of the session.
    pub fn tell(&mut self, message: &ClientMessage) {
        // No such message is too large, and too many of them end the session.
        let _ = self.send(SESSION_STREAM, encode(message));
    }

    /// Queues a message for the room. Before the session is open it is dropped.
    ///
    /// # Errors
    /// [`Overflow::MessageTooLarge`] is the caller's fault: the session continues.
    /// [`Overflow::QueueFull`] ends the session.
    pub fn send(&mut self, channel: Channel, message: Vec<u8>) -> Result<(), Overflow> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let sent = connection.send(channel, message);
        if sent == Err(Overflow::QueueFull) {
            self.end(End::Disconnected(DisconnectReason::Overflow));
        }
        sent
    }

    /// Ends the session because the application does not read its events.
    pub fn end_unread(&mut self) {
        self.end(End::Disconnected(DisconnectReason::EventsUnread));
    }

    /// Handles what is due by now. Returns false if the session is not open yet or is over.
    pub fn poll(&mut self, now: Timestamp) -> bool {
        if self.moving.is_some_and(|(_, at)| now >= at) {
            self.end(End::Disconnected(DisconnectReason::Moved));
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
        let Some(connection) = self
            .connection
            .as_mut()
            .filter(|_| self.resumable.keeping() == SessionProgress::Open)
        else {
            return;
        };
        let to = self.resumable.addr();
        while let Some(frame) = connection.poll_frame(now) {
            self.outbox.push_back((to, Transmit::Frame(frame)));
        }
    }

    /// Makes an acknowledgement due now: the server best builds its next packet on the last one.
    pub(crate) fn owe_answer(&mut self, now: Timestamp) {
        (self.owes_answer, self.look_at) = (true, now);
    }

    /// Sends messages and acknowledgements that are due, for an owner that does not send packets on
    /// its own.
    pub fn send_due(&mut self, messages: Messages, now: Timestamp) {
        self.look_at = now + ACK_DELAY;
        self.send_frames(now);
        let owes = std::mem::take(&mut self.owes_answer);
        if self
            .connection
            .as_ref()
            .is_some_and(|connection| owes || connection.wants_packet(now))
        {
            self.send_packet(now, messages, write_nothing);
        }
    }

    /// Sends a packet whose body the caller writes. Does nothing before the session is open.
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
        self.outbox
            .extend(self.resumable.seal(self.writer.bytes(), now));
        self.send_frames(now);
    }
}

/// The body of a packet without state or commands.
fn write_nothing(writer: &mut BitWriter, _: Sequence) {
    writer.write(Body::Empty as u32, Body::BITS);
}
