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

use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::connection::{
    Connection, DisconnectReason, Fate, disconnect_datagram, read_disconnect,
};
use truetick_netcode::error::WireError;
use truetick_netcode::handshake::{
    ClientId, Cookies, DenyReason, JoinRequest, Ticket, accepted_datagram, denied_datagram,
};
use truetick_netcode::limits::PACKETS_PER_TICK;
use truetick_netcode::messages::{Body, ClientMessage, SESSION_STREAM, ServerMessage, decode, encode};
use truetick_netcode::packet::{self, PacketKind};
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::DatagramSink;

use super::metrics::Drops;
use super::room::AnyRoom;

/// Packets that a client may send in one burst beyond its average.
const BURST_PACKETS: u32 = 32 * PACKETS_PER_TICK;

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
}

/// A client that came or went, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A session was opened.
    Joined(ClientId, SocketAddr),
    /// A session ended.
    Ended(ClientId, DisconnectReason),
}

/// See the module.
pub struct Server {
    cookies: Cookies,
    rooms: Vec<Box<dyn AnyRoom>>,
    sessions: BTreeMap<SocketAddr, Session>,
    next_client: u32,
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

    /// Datagrams dropped so far.
    pub fn drops(&self) -> Drops {
        self.drops
    }

    /// Open sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
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
        let denied = match self.rooms.get(room) {
            _ if self.stopping => Some(DenyReason::Stopping),
            None => Some(DenyReason::NoSuchRoom),
            Some(room) if room.schema_hash() != join.schema => Some(DenyReason::OtherSchema),
            Some(room) if room.population() >= room.config().max_clients => Some(DenyReason::Full),
            Some(_) => None,
        };
        if let Some(reason) = denied {
            let schema = self.rooms.get(room).map_or(0, |room| room.schema_hash());
            return self.reply(from, denied_datagram(join.nonce, reason, schema));
        }
        // The same address with a new nonce is a client that started again.
        self.end_session(from, DisconnectReason::Left);
        let ticket =
            Ticket { key: self.cookies.session_key(from, join.nonce), client: ClientId(self.next_client) };
        self.next_client += 1;
        self.admit(from, room, (join.nonce, ticket), now);
        self.reply(from, accepted_datagram(join.nonce, ticket));
    }

    fn admit(&mut self, from: SocketAddr, room: usize, (nonce, ticket): (u64, Ticket), now: Timestamp) {
        let mut connection = Connection::new(ticket.key, now);
        let timeline = self.rooms[room].timeline();
        let welcome = ServerMessage::Welcome { tick_rate: timeline.rate(), epoch_us: timeline.epoch_us() };
        let ending =
            connection.send(SESSION_STREAM, encode(&welcome)).err().map(|_| DisconnectReason::Overflow);
        let client = ticket.client;
        self.sessions
            .insert(from, Session { client, room, nonce, connection, budget: BURST_PACKETS, ending });
        self.rooms[room].join(client);
        self.events.push_back(SessionEvent::Joined(client, from));
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
        let (sequence, reader) = session.connection.open(bytes, now)?;
        // Only what proved to be the client's own counts against it.
        session.budget -= 1;
        let room = &mut self.rooms[session.room];
        while let Some(fate) = session.connection.poll_fate() {
            if let Fate::Acked(sequence) = fate {
                room.packet_acked(session.client, sequence);
            }
        }
        while let Some((_, message)) = session.connection.receive() {
            match decode(&message)? {
                ClientMessage::Resync => room.resync(session.client),
            }
        }
        read_body(&mut **room, session.client, reader, now)?;
        session.connection.accept(sequence);
        Ok(())
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
            if let Some(reason) = session.ending {
                sink.send(*address, &disconnect_datagram(session.connection.key(), reason));
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
            self.events.push_back(SessionEvent::Ended(session.client, reason));
        }
    }

    /// Takes no more clients and tells those in session, three times since datagrams get lost, that it is
    /// over.
    pub fn stop(&mut self, sink: &mut dyn DatagramSink) {
        self.stopping = true;
        for (address, session) in &self.sessions {
            let farewell = disconnect_datagram(session.connection.key(), DisconnectReason::ServerStopping);
            (0..3).for_each(|_| sink.send(*address, &farewell));
        }
        sink.flush();
    }
}

fn read_body(
    room: &mut dyn AnyRoom,
    client: ClientId,
    mut reader: BitReader<'_>,
    now: Timestamp,
) -> Result<(), WireError> {
    match Body::from_tag(reader.read(Body::BITS)?)? {
        Body::Empty => {}
        Body::Commands => room.receive_commands(client, &mut reader, now)?,
        Body::Snapshot => return Err(WireError::Misbehaving("a client sends no snapshots")),
    }
    reader.finish()
}
