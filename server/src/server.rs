//! Sessions and rooms. The server routes datagrams to clients, clients to rooms, and the snapshots
//! of each tick back to clients.
//!
//! Sans-IO. The host's loop:
//!
//! ```text
//! until next_deadline(): for each event: receive(from, event, arrival)
//! set_wall_clock(now, wall)
//! tick(now, sink)
//! ```

mod egress;
mod endings;
mod failed_rooms;
mod lateness;
mod membership;

use std::collections::{BTreeSet, VecDeque};

use truetick_netcode::bits::BitWriter;
use truetick_netcode::connection::Connection;
use truetick_netcode::limits::{CLOCK_DIFFERENCE, REPORTS_EXPLAINED, TICKET_LIFETIME};
use truetick_netcode::messages::{MismatchReport, ServerMessage};
use truetick_netcode::session::ClientId;
use truetick_netcode::session::client::Received;
use truetick_netcode::session::client_table::ClientTable;
use truetick_netcode::session::config::SessionConfig;
use truetick_netcode::session::drops::{DropReason, Drops};
use truetick_netcode::session::rate::{Rate, TokenBucket};
use truetick_netcode::session::server::SessionServer;
use truetick_netcode::time::{Timestamp, UnixTime};
use truetick_netcode::transport::{Event, PeerAddr, Transport};

use super::drain::Drain;
use super::game_fault::{FaultLog, GameFault};
use super::guarded_room::GuardedRoom;
use super::peer::{Peer, PeerRequest, PeerState};
use super::room::Room;
use super::session_event::{EVENTS, SessionEvent};
use crate::recording::capture::CaptureWriter;
use lateness::Lateness;

/// Rate of mismatch reports that are explained, over all clients.
const EXPLAINED: Rate = Rate {
    per_second: REPORTS_EXPLAINED.0,
    burst: REPORTS_EXPLAINED.1,
};

/// An authoritative server: sessions, peers and rooms. It does no IO and reads no clock.
pub struct Server {
    sessions: SessionServer,
    rooms: Vec<Box<dyn Room>>,
    peers: ClientTable<Peer>,
    events: VecDeque<SessionEvent>,
    writer: BitWriter,
    lateness: Lateness,
    drain: Option<Drain>,
    /// Rooms that have ended by a panic and were closed.
    failed: BTreeSet<usize>,
    explained: TokenBucket,
    unexplained: u64,
    /// Faults of rooms that do not check their own messages, and the number of the room with the
    /// last one.
    faults: (FaultLog, usize),
    /// Capture of the first room's packets.
    capture: Option<CaptureWriter>,
}

impl Server {
    /// Creates a server without rooms. `now` and `wall` are the present time on the monotonic and
    /// on the wall clock. All secrets derive from `seed`, which must be random.
    pub fn new(config: SessionConfig, seed: [u8; 32], now: Timestamp, wall: UnixTime) -> Self {
        Self {
            sessions: SessionServer::new(config, seed, now, wall),
            rooms: Vec::new(),
            peers: ClientTable::default(),
            events: VecDeque::new(),
            writer: BitWriter::new(),
            lateness: Lateness::default(),
            drain: None,
            failed: BTreeSet::new(),
            explained: TokenBucket::default(),
            unexplained: 0,
            faults: (FaultLog::default(), 0),
            capture: None,
        }
    }

    /// Adds a room and returns its number, by which tokens name it. A panic in the room ends that
    /// room only.
    pub fn add_room(&mut self, room: Box<dyn Room>) -> u16 {
        self.rooms.push(Box::new(GuardedRoom::new(room)));
        self.rooms.len() as u16 - 1
    }

    /// The rooms in the order of their numbers.
    pub fn rooms(&self) -> &[Box<dyn Room>] {
        &self.rooms
    }

    /// Mutable access to a room; `None` if there is no room of this number.
    pub fn room_mut(&mut self, room: usize) -> Option<&mut (dyn Room + 'static)> {
        self.rooms.get_mut(room).map(|room| &mut **room)
    }

    /// Datagrams dropped so far, by reason.
    pub fn drops(&self) -> &Drops {
        self.sessions.drops()
    }

    /// Mismatch reports that were counted but not explained, because they exceeded
    /// [`REPORTS_EXPLAINED`].
    pub fn unexplained_reports(&self) -> u64 {
        self.unexplained
    }

    /// The session layer.
    pub fn session_server(&self) -> &SessionServer {
        &self.sessions
    }

    /// Number of sessions, including parked ones.
    pub fn sessions(&self) -> usize {
        self.peers.len()
    }

    /// Whether a client is connected and active in its room.
    pub fn is_playing(&self, client: ClientId) -> bool {
        self.peers
            .get(client)
            .is_some_and(|peer| peer.live && peer.is_playing())
    }

    /// Bytes of state per tick that a client's path is estimated to carry; `None` if the client is
    /// not in a room.
    pub fn snapshot_budget(&self, client: ClientId) -> Option<usize> {
        Some(self.peers.get(client)?.congestion.as_ref()?.bytes())
    }

    /// The client at an address and its connection; `None` if there is no session at this address.
    pub fn session(&self, addr: impl Into<PeerAddr>) -> Option<(ClientId, &Connection)> {
        let client = self.sessions.roster().at(addr)?;
        Some((client, &self.peers.get(client)?.connection))
    }

    /// Takes the oldest event of a session or room, for the host's log.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// The next room with faults of its game's own code: its number, the first fault and the number
    /// of faults. Each room reports at most once per [`super::game_fault::FAULT_INTERVAL`].
    pub fn poll_fault(&mut self, now: Timestamp) -> Option<(usize, GameFault, u64)> {
        let reported = self
            .rooms
            .iter_mut()
            .enumerate()
            .find_map(|(room, faulty)| {
                let (fault, count) = faulty.poll_fault(now)?;
                Some((room, fault, count))
            });
        let (faults, room) = &mut self.faults;
        reported.or_else(|| faults.poll(now).map(|(fault, count)| (*room, fault, count)))
    }

    /// The capture of the first room's state packets. Set it before the first session begins, take
    /// its bytes regularly, and set it to `None` to end the capture.
    pub(crate) fn capture_mut(&mut self) -> &mut Option<CaptureWriter> {
        &mut self.capture
    }

    /// Whether any room expects output before its next tick; see [`Room::has_pending_output`].
    pub fn awaits_news(&self) -> bool {
        self.rooms.iter().any(|room| room.awaits_news())
    }

    /// The earliest deadline of any room's next tick; `None` without rooms.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.rooms
            .iter()
            .map(|room| room.timeline().next_deadline())
            .min()
    }

    /// Sets the wall clock, against which the lifetime of tokens is measured.
    pub fn set_wall_clock(&mut self, now: Timestamp, wall: UnixTime) {
        let jumped = wall
            .as_millis()
            .abs_diff(self.sessions.unix(now).as_millis());
        if u128::from(jumped) > CLOCK_DIFFERENCE.as_millis() {
            // The tickets that clients hold may have expired under the new time.
            self.peers
                .values_mut()
                .for_each(|peer| peer.ticket_due = now);
        }
        self.sessions.set_wall_clock(now, wall);
    }

    /// Processes an event that arrived at the given time. Invalid input is dropped and counted; too
    /// much of it ends the session.
    pub fn receive<'a>(
        &mut self,
        from: impl Into<PeerAddr>,
        event: impl Into<Event<'a>>,
        arrived: Timestamp,
    ) {
        let Some((client, received)) = self.sessions.receive(from, event, arrived) else {
            return self.note_changes(arrived);
        };
        let Some(peer) = self
            .peers
            .get_mut(client)
            .filter(|peer| !matches!(peer.stage, PeerState::Closing { .. }))
        else {
            return;
        };
        let room = self.rooms.get_mut(peer.room).map(|room| &mut **room);
        let (tick_rate, at) = (
            room.as_ref().map_or(60, |room| room.timeline().rate()),
            self.lateness.counted_at(arrived),
        );
        let taken = match received {
            Received::Payload(_) if !peer.may_send(tick_rate, at) => {
                return self.sessions.note_drop(DropReason::Flood);
            }
            Received::Payload(payload) => peer.take(payload, room, arrived),
            Received::Frame(frame) if !peer.may_send_frame(frame.len(), tick_rate, at) => {
                return self.sessions.note_drop(DropReason::Flood);
            }
            Received::Frame(frame) => peer.take_frame(frame, room, arrived),
            Received::Step => return,
        };
        match taken {
            Ok(requests) => requests
                .into_iter()
                .for_each(|request| self.on_request(client, request, arrived)),
            Err(error) => {
                peer.strike(error, arrived);
                self.sessions.note_drop(error.into());
            }
        }
    }

    fn on_request(&mut self, client: ClientId, request: PeerRequest, now: Timestamp) {
        match request {
            PeerRequest::Hello(schema) => self.on_hello(client, schema, now),
            PeerRequest::Explain(report) if self.explained.allows(EXPLAINED, now) => {
                self.explain(client, &report);
            }
            PeerRequest::Explain(_) => self.unexplained += 1,
        }
    }

    fn explain(&mut self, client: ClientId, report: &MismatchReport) {
        let room = self
            .peers
            .get(client)
            .and_then(|peer| self.rooms.get(peer.room));
        if let Some(world) = room.and_then(|room| room.world()) {
            let divergence = world.explain(client, report);
            self.note(SessionEvent::Mismatch(client, divergence));
        }
    }

    fn note(&mut self, event: SessionEvent) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Runs the due ticks of every room and sends their snapshots. `now` reads the clock, once for
    /// each time stamp.
    pub fn tick(&mut self, now: &mut dyn FnMut() -> Timestamp, sink: &mut dyn Transport) {
        let begun = now();
        self.sessions.update(begun);
        self.note_changes(begun);
        self.end_failed_rooms(begun);
        self.update_peers(begun, sink);
        self.send_replies(sink);
        for room in 0..self.rooms.len() {
            let drained = now();
            let due = self.rooms[room].due(drained);
            let skipped = !due.skipped.is_zero();
            if skipped {
                self.announce_timeline(room);
            }
            self.lateness.note(due, drained);
            for left in (0..due.ticks).rev() {
                let drained = now();
                self.end_sessions(room, drained);
                self.rooms[room].simulate(drained);
                match self.rooms[room].world().is_none() || self.lateness.is_sent(left) {
                    true => self.send_room(room, now, sink),
                    false => self.queue_messages(room, drained),
                }
                sink.flush();
                self.rooms[room].tick_sent(drained, skipped, now());
            }
        }
    }

    /// Sends the replies to the attempts to open a session that arrived since the last call.
    pub fn send_replies(&mut self, sink: &mut dyn Transport) {
        self.sessions.send_replies(sink);
    }

    /// Sends what is due to clients apart from the state of their rooms: tickets, drain orders and
    /// disconnect notices.
    fn update_peers(&mut self, now: Timestamp, sink: &mut dyn Transport) {
        let order = self.drain.as_mut().and_then(|drain| drain.poll(now));
        let mut over = Vec::new();
        for (client, peer) in self.peers.iter_mut() {
            if peer.is_playing() && peer.live && now >= peer.ticket_due {
                peer.ticket_due = now + TICKET_LIFETIME / 2;
                if let Some(ticket) = self.sessions.ticket(client, now) {
                    peer.tell(&ServerMessage::Ticket {
                        token: ticket.to_short_bytes(),
                    });
                }
            }
            if let Some(order) = order.as_ref().filter(|_| peer.is_playing()) {
                peer.tell(order);
            }
            self.writer.clear();
            if !peer.send_disconnect(&mut self.writer, now) {
                over.push(client);
            } else if !self.writer.bytes().is_empty() {
                self.sessions.send(client, self.writer.bytes(), now, sink);
            }
        }
        for client in over {
            self.sessions.close(client, sink);
            self.peers.remove(client);
        }
        let ending = |peer: &Peer| (!peer.is_playing()).then(|| peer.must_end(now)).flatten();
        let ending: Vec<_> = self
            .peers
            .iter()
            .filter_map(|(id, peer)| Some((id, ending(peer)?)))
            .collect();
        ending
            .into_iter()
            .for_each(|(client, reason)| self.begin_to_end(client, reason, now));
    }

    fn announce_timeline(&mut self, room: usize) {
        let message = ServerMessage::Timeline {
            epoch_us: self.rooms[room].timeline().epoch_us(),
        };
        let whom = self
            .peers
            .values_mut()
            .filter(|peer| peer.room == room && peer.is_playing());
        whom.for_each(|peer| peer.tell(&message));
    }
}
