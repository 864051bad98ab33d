//! Sessions and rooms: routes datagrams to clients, clients to rooms, and each tick's snapshots back.
//!
//! Sans-IO. The host's loop:
//!
//! ```text
//! until next_deadline(): for each datagram: receive(from, bytes, arrival)
//! tick(now, sink)
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::connection::{
    Connection, DisconnectReason, Fate, disconnect_datagram, read_disconnect,
};
use truetick_netcode::error::WireError;
use truetick_netcode::handshake::{
    ClientId, Cookies, DenyReason, JoinRequest, Ticket, accepted_datagram, denied_datagram,
};
use truetick_netcode::limits::{CONSUMED_HANDSHAKES, COOKIE_LIFETIME, PACKETS_PER_TICK, REPORT_PAUSE};
use truetick_netcode::messages::{Body, ClientMessage, SESSION_STREAM, ServerMessage, decode, encode};
use truetick_netcode::packet::{self, PacketKind};
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::DatagramSink;

use super::metrics::Drops;
use super::room::AnyRoom;
use crate::recording::difference::Divergence;

/// Packets that a client may send in one burst beyond its average.
const BURST_PACKETS: u32 = 32 * PACKETS_PER_TICK;

/// A client is sent everything whole at most this often.
const RESYNC_PAUSE: Duration = Duration::from_millis(200);

/// Comings and goings that wait for the host's log; the oldest makes room.
const EVENTS: usize = 4_096;

/// Answers to handshakes that wait for the host; more are dropped.
const REPLIES: usize = 1_024;

struct Session {
    client: ClientId,
    room: usize,
    nonce: u64,
    connection: Connection,
    /// Packets that it may still send now.
    budget: u32,
    /// Set when the session must end at the next tick.
    ending: Option<DisconnectReason>,
    resynced_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
}

impl Session {
    /// Takes the session's own messages; returns a report of the client's that is worth telling.
    fn take_messages(
        &mut self,
        room: &mut dyn AnyRoom,
        now: Timestamp,
    ) -> Result<Option<SessionEvent>, WireError> {
        let mut told = None;
        let is_due = |last: Option<Timestamp>, pause| last.is_none_or(|at| now.since(at) >= pause);
        while let Some((channel, message)) = self.connection.receive() {
            let message = decode(&message).ok().filter(|_| channel == SESSION_STREAM);
            match message.ok_or(WireError::Misbehaving("a message that no client sends"))? {
                ClientMessage::Resync if is_due(self.resynced_at, RESYNC_PAUSE) => {
                    self.resynced_at = Some(now);
                    room.resync(self.client);
                }
                ClientMessage::Mismatch(report) if is_due(self.reported_at, REPORT_PAUSE / 2) => {
                    self.reported_at = Some(now);
                    told = Some(SessionEvent::Mismatch(self.client, room.explain(self.client, &report)));
                }
                ClientMessage::Resync | ClientMessage::Mismatch(_) => {}
            }
        }
        Ok(told)
    }
}

/// What happened to a session, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A session was opened.
    Joined(ClientId, SocketAddr),
    /// A session ended.
    Ended(ClientId, DisconnectReason),
    /// A client decoded something else than the server has: what differs, the server's being the left side.
    Mismatch(ClientId, Divergence),
}

/// See the module.
pub struct Server {
    cookies: Cookies,
    rooms: Vec<Box<dyn AnyRoom>>,
    sessions: BTreeMap<SocketAddr, Session>,
    next_client: u32,
    /// Handshakes that opened a session of late.
    consumed: VecDeque<(SocketAddr, u64, Timestamp)>,
    replies: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<SessionEvent>,
    writer: BitWriter,
    drops: Drops,
    stopping: bool,
}

impl Server {
    /// A server without rooms; `secret` makes its cookies and session keys.
    pub fn new(secret: (u64, u64)) -> Self {
        Self {
            cookies: Cookies::new(secret),
            rooms: Vec::new(),
            sessions: BTreeMap::new(),
            next_client: 1,
            consumed: VecDeque::new(),
            replies: VecDeque::new(),
            events: VecDeque::new(),
            writer: BitWriter::new(),
            drops: Drops::default(),
            stopping: false,
        }
    }

    /// Adds a room; clients name it by the number returned.
    pub fn add_room(&mut self, room: Box<dyn AnyRoom>) -> u16 {
        self.rooms.push(room);
        self.rooms.len() as u16 - 1
    }

    /// The rooms in the order of their numbers.
    pub fn rooms(&self) -> &[Box<dyn AnyRoom>] {
        &self.rooms
    }

    /// A room, to act on it.
    pub fn room_mut(&mut self, room: usize) -> Option<&mut (dyn AnyRoom + 'static)> {
        self.rooms.get_mut(room).map(|room| &mut **room)
    }

    /// Datagrams dropped so far.
    pub fn drops(&self) -> Drops {
        self.drops
    }

    /// Open sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The session of a client at that address.
    pub fn session(&self, address: SocketAddr) -> Option<(ClientId, &Connection)> {
        self.sessions.get(&address).map(|session| (session.client, &session.connection))
    }

    /// The next client that came or went.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// When the next tick of any room is due.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.rooms.iter().map(|room| room.timeline().next_deadline()).min()
    }

    /// Takes in a datagram that arrived at that time. What is wrong with it is counted and changes nothing.
    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], arrived: Timestamp) {
        if let Err(error) = self.dispatch(from, bytes, arrived) {
            let count = match error {
                WireError::Malformed(_) => &mut self.drops.malformed,
                WireError::Incompatible(_) => &mut self.drops.incompatible,
                WireError::Misbehaving(_) => &mut self.drops.misbehaving,
                WireError::Stale(_) => &mut self.drops.stale,
            };
            *count += 1;
            if matches!(error, WireError::Misbehaving(_))
                && let Some(session) = self.sessions.get_mut(&from)
            {
                session.ending = Some(DisconnectReason::Misbehaved);
            }
        }
    }

    fn dispatch(&mut self, from: SocketAddr, bytes: &[u8], now: Timestamp) -> Result<(), WireError> {
        match packet::peek_kind(bytes)? {
            PacketKind::Payload => self.receive_payload(from, bytes, now),
            PacketKind::Request => {
                let challenge = self.cookies.challenge(bytes, from, now)?;
                self.reply(from, challenge);
                Ok(())
            }
            PacketKind::Response => {
                let join = self.cookies.check(bytes, from, now)?;
                self.open_session(from, join, now);
                Ok(())
            }
            PacketKind::Disconnect => {
                let Some(session) = self.sessions.get_mut(&from) else {
                    self.drops.stranger += 1;
                    return Ok(());
                };
                session.ending = Some(read_disconnect(bytes, session.connection.key())?);
                Ok(())
            }
            // Not authenticated, so nobody's fault: the address may be forged.
            _ => Err(WireError::Malformed("a client does not send this")),
        }
    }

    fn note(&mut self, event: SessionEvent) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn reply(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if self.replies.len() < REPLIES {
            self.replies.push_back((to, bytes));
        }
    }

    fn open_session(&mut self, from: SocketAddr, join: JoinRequest, now: Timestamp) {
        if let Some(session) = self.sessions.get(&from).filter(|session| session.nonce == join.nonce) {
            let ticket = Ticket { key: session.connection.key(), client: session.client };
            return self.reply(from, accepted_datagram(join.nonce, ticket));
        }
        let room = usize::from(join.room);
        let replaced = usize::from(self.sessions.get(&from).is_some_and(|session| session.room == room));
        let denied = match self.rooms.get(room) {
            _ if self.stopping => Some(DenyReason::Stopping),
            None => Some(DenyReason::NoSuchRoom),
            Some(room) if room.schema_hash() != join.schema => Some(DenyReason::OtherSchema),
            Some(room) if room.population() >= room.config().max_clients + replaced => Some(DenyReason::Full),
            Some(_) => None,
        };
        if let Some(reason) = denied {
            let schema = self.rooms.get(room).map_or(0, |room| room.schema_hash());
            return self.reply(from, denied_datagram(join.nonce, reason, schema));
        }
        if !self.consume(from, join.nonce, now) {
            return;
        }
        // The same address with a new nonce is a client that started again.
        self.end_session(from, DisconnectReason::Left);
        let ticket =
            Ticket { key: self.cookies.session_key(from, join.nonce), client: ClientId(self.next_client) };
        self.next_client += 1;
        self.admit(from, room, (join.nonce, ticket), now);
        self.reply(from, accepted_datagram(join.nonce, ticket));
    }

    /// Whether a handshake opens a session for the first time: a late copy of its response must not.
    fn consume(&mut self, from: SocketAddr, nonce: u64, now: Timestamp) -> bool {
        let expired = |(_, _, at): &(SocketAddr, u64, Timestamp)| now.since(*at) > COOKIE_LIFETIME * 2;
        while self.consumed.front().is_some_and(expired) {
            self.consumed.pop_front();
        }
        let again = self.consumed.iter().any(|(address, used, _)| *address == from && *used == nonce);
        if again || self.consumed.len() >= CONSUMED_HANDSHAKES {
            self.drops.stale += 1;
            return false;
        }
        self.consumed.push_back((from, nonce, now));
        true
    }

    fn admit(&mut self, from: SocketAddr, room: usize, (nonce, ticket): (u64, Ticket), now: Timestamp) {
        let mut connection = Connection::new(ticket.key, now);
        let timeline = self.rooms[room].timeline();
        let welcome = ServerMessage::Welcome { tick_rate: timeline.rate(), epoch_us: timeline.epoch_us() };
        let ending =
            connection.send(SESSION_STREAM, encode(&welcome)).err().map(|_| DisconnectReason::Overflow);
        let client = ticket.client;
        let (budget, resynced_at, reported_at) = (BURST_PACKETS, None, None);
        let session = Session { client, room, nonce, connection, budget, ending, resynced_at, reported_at };
        self.sessions.insert(from, session);
        self.rooms[room].join(client);
        self.note(SessionEvent::Joined(client, from));
    }

    fn receive_payload(&mut self, from: SocketAddr, bytes: &[u8], now: Timestamp) -> Result<(), WireError> {
        let Some(session) = self.sessions.get_mut(&from) else {
            self.drops.stranger += 1;
            return Ok(());
        };
        if session.budget == 0 {
            self.drops.flood += 1;
            return Ok(());
        }
        let before = session.connection.traffic().packets_in;
        let opened = session.connection.open(bytes, now);
        // What proved to be the client's own counts against it, in order or not.
        session.budget -= (session.connection.traffic().packets_in - before) as u32;
        let (sequence, reader) = opened?;
        let room = &mut self.rooms[session.room];
        while let Some(fate) = session.connection.poll_fate() {
            if let Fate::Acked(sequence) = fate {
                room.packet_acked(session.client, sequence);
            }
        }
        let report = session.take_messages(&mut **room, now)?;
        let body = read_body(&mut **room, session.client, reader, now);
        if body.is_ok() {
            session.connection.accept(sequence);
        }
        report.into_iter().for_each(|report| self.note(report));
        body
    }

    /// Runs every room's due ticks and sends their snapshots. `now` reads the time, again for each stamp.
    pub fn tick(&mut self, now: &mut dyn FnMut() -> Timestamp, sink: &mut dyn DatagramSink) {
        self.send_replies(sink);
        for room in 0..self.rooms.len() {
            let drained = now();
            let due = self.rooms[room].due(drained);
            let slipped = !due.slipped.is_zero();
            if slipped {
                self.announce_timeline(room);
            }
            for _ in 0..due.ticks {
                let drained = now();
                self.end_sessions(room, drained, sink);
                self.rooms[room].simulate();
                self.send_events(room);
                self.send_snapshots(room, now, sink);
                sink.flush();
                self.rooms[room].tick_sent(drained, slipped, now());
            }
        }
    }

    /// Sends the answers to handshakes that came since the last call.
    pub fn send_replies(&mut self, sink: &mut dyn DatagramSink) {
        while let Some((to, bytes)) = self.replies.pop_front() {
            sink.send(to, &bytes);
        }
        sink.flush();
    }

    fn announce_timeline(&mut self, room: usize) {
        let message = encode(&ServerMessage::Timeline { epoch_us: self.rooms[room].timeline().epoch_us() });
        for session in self.sessions.values_mut().filter(|session| session.room == room) {
            if session.connection.send(SESSION_STREAM, message.clone()).is_err() {
                session.ending = Some(DisconnectReason::Overflow);
            }
        }
    }

    fn send_events(&mut self, room: usize) {
        for (event, message) in self.rooms[room].take_events() {
            let whom = self.sessions.values_mut().filter(|session| session.room == room);
            for session in whom.filter(|session| event.to.is_none_or(|to| to == session.client)) {
                if session.connection.send(event.channel, message.clone()).is_err() {
                    session.ending = Some(DisconnectReason::Overflow);
                }
            }
        }
    }

    fn send_snapshots(
        &mut self,
        room_index: usize,
        now: &mut dyn FnMut() -> Timestamp,
        sink: &mut dyn DatagramSink,
    ) {
        let room = &mut self.rooms[room_index];
        for (address, session) in &mut self.sessions {
            if session.room != room_index || !room.plan_snapshot(session.client) {
                continue;
            }
            let (mut packets, mut bytes, mut more) = (0, 0, true);
            while more {
                let at = now();
                let sequence = session.connection.begin(&mut self.writer, at, packets == 0);
                self.writer.write(Body::Snapshot as u32, Body::BITS);
                more = room.write_snapshot(session.client, sequence, at, &mut self.writer);
                session.connection.finish(&mut self.writer, at);
                sink.send(*address, self.writer.bytes());
                packets += 1;
                bytes += self.writer.bytes().len() as u64;
            }
            room.snapshot_sent(session.client, packets, bytes, now());
        }
    }

    /// Ends what has to end, and gives the others their budget for the tick.
    fn end_sessions(&mut self, room: usize, now: Timestamp, sink: &mut dyn DatagramSink) {
        let mut over = Vec::new();
        for (address, session) in self.sessions.iter_mut().filter(|(_, session)| session.room == room) {
            session.budget = (session.budget + PACKETS_PER_TICK).min(BURST_PACKETS);
            if now >= session.connection.expires_at() {
                session.ending.get_or_insert(DisconnectReason::TimedOut);
            }
            if self.rooms[room].is_overwhelmed(session.client) {
                session.ending.get_or_insert(DisconnectReason::Overflow);
            }
            if let Some(reason) = session.ending {
                say_farewell(*address, &session.connection, reason, sink);
                over.push((*address, reason));
            }
        }
        for (address, reason) in over {
            self.end_session(address, reason);
        }
    }

    fn end_session(&mut self, address: SocketAddr, reason: DisconnectReason) {
        if let Some(session) = self.sessions.remove(&address) {
            self.rooms[session.room].leave(session.client, reason != DisconnectReason::Left);
            self.note(SessionEvent::Ended(session.client, reason));
        }
    }

    /// Takes no more clients and tells those in session that it is over.
    pub fn stop(&mut self, sink: &mut dyn DatagramSink) {
        self.stopping = true;
        for (address, session) in &self.sessions {
            say_farewell(*address, &session.connection, DisconnectReason::ServerStopping, sink);
        }
        sink.flush();
    }
}

/// Three times, since datagrams get lost.
fn say_farewell(
    to: SocketAddr,
    connection: &Connection,
    reason: DisconnectReason,
    sink: &mut dyn DatagramSink,
) {
    let farewell = disconnect_datagram(connection.key(), reason);
    (0..3).for_each(|_| sink.send(to, &farewell));
}

fn read_body(
    room: &mut dyn AnyRoom,
    client: ClientId,
    mut reader: BitReader<'_>,
    now: Timestamp,
) -> Result<(), WireError> {
    match Body::from_tag(reader.read(Body::BITS)?)? {
        Body::Empty => reader.finish(),
        Body::Commands => room.receive_commands(client, reader, now),
        Body::Snapshot => Err(WireError::Misbehaving("a client sends no snapshots")),
    }
}
