//! One client of one room: session, packets, clock, prediction and interpolation put together.
//!
//! Sans-IO. The caller's loop:
//!
//! ```text
//! for each datagram:             receive(from, bytes, now)
//! while poll_tick(now) = tick:   submit(tick, command, now)
//! while poll_transmit() = (to, bytes): send them
//! wait for a datagram or next_timeout()
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::command_history::CommandHistory;
use super::doubt::Doubt;
use super::interpolation::Interpolation;
use super::latency::{Latency, LatencyMeter};
use super::prediction::{Misprediction, Predict, Prediction, Reconciled};
use super::session_keeper::{Keeping, ResumeStats, SessionKeeper};
use super::smoothing::Smoothing;
use super::snapshot_buffer::{SnapshotBuffer, SnapshotError, Taken};
use super::state::{ClientState, End};
use super::stats::ClientStats;
use super::tick_clock::TickClock;
use super::time_line::{TimeLine, check_epoch};
use crate::bits::{BitReader, BitWriter};
use crate::connection::Connection;
use crate::error::WireError;
use crate::farewell::{DisconnectReason, Farewell};
use crate::limits::ACK_DELAY;
use crate::messages::{Body, ClientMessage, MismatchReport, SESSION_STREAM, ServerMessage, decode, encode};
use crate::mutant::{Mutant, is_planted};
use crate::replication::NetId;
use crate::replication::snapshot::Feedback;
use crate::schema::{KindId, Schema};
use crate::session::ClientId;
use crate::session::client::Received;
use crate::session::drops::DropReason;
use crate::session::token::ConnectToken;
use crate::tick::Tick;
use crate::time::Timestamp;

/// Something for the caller to know.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// A prediction was wrong.
    Mispredicted(Misprediction),
    /// A command's effect came back.
    Latency(Latency),
    /// A game event and its tick.
    Game(Tick, Vec<u8>),
}

/// Events kept until they are polled; the oldest makes room.
const EVENTS: usize = 1_024;

/// See the module.
pub struct ClientRuntime<P: Predict> {
    game: P,
    schema: Arc<Schema>,
    keeper: SessionKeeper,
    id: Option<ClientId>,
    connection: Option<Connection>,
    ended: Option<End>,
    /// The server's order to leave, and when that is due.
    moving: Option<(u32, Timestamp)>,
    /// When to look whether something is to be sent, before the clock runs.
    look_at: Timestamp,
    buffer: SnapshotBuffer,
    time_line: Option<TimeLine>,
    clock: Option<TickClock>,
    commands: CommandHistory<P::Command>,
    prediction: Prediction<P::Command>,
    smoothing: Smoothing,
    interpolation: Option<Interpolation>,
    latency: LatencyMeter,
    newest_at: Option<Timestamp>,
    writer: BitWriter,
    payload: Vec<u8>,
    chances: Xoshiro256PlusPlus,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<ClientEvent>,
    /// What the game said before the welcome came: streams do not wait for each other.
    early: Vec<ClientEvent>,
    stats: ClientStats,
    doubt: Doubt,
}

impl<P: Predict> ClientRuntime<P> {
    /// A client that begins to use its token now; all that is random follows from `seed`.
    pub fn new(game: P, schema: Arc<Schema>, token: ConnectToken, seed: u64, now: Timestamp) -> Self {
        let mut chances = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            game,
            schema,
            keeper: SessionKeeper::new(token, chances.next_u64(), now),
            id: None,
            connection: None,
            ended: None,
            moving: None,
            look_at: now,
            buffer: SnapshotBuffer::new(),
            time_line: None,
            clock: None,
            commands: CommandHistory::default(),
            prediction: Prediction::default(),
            smoothing: Smoothing::default(),
            interpolation: None,
            latency: LatencyMeter::default(),
            newest_at: None,
            writer: BitWriter::new(),
            payload: Vec::new(),
            chances,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            early: Vec::new(),
            stats: ClientStats::default(),
            doubt: Doubt::default(),
        }
    }

    /// Where the client stands.
    pub fn state(&self) -> ClientState {
        if let Some(end) = self.ended {
            return ClientState::Ended(end);
        }
        match self.keeper.keeping() {
            Keeping::Failed(failure) => ClientState::Ended(End::Failed(failure)),
            Keeping::Disconnected => ClientState::Ended(End::Told(DisconnectReason::Closed)),
            Keeping::Silent if self.id.is_some() => ClientState::Silent,
            Keeping::Open if self.id.is_some() => ClientState::Playing,
            Keeping::Opening | Keeping::Open | Keeping::Silent => ClientState::Connecting,
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.state(), ClientState::Ended(_))
    }

    /// The session and its resumption, to set them up.
    pub fn keeper_mut(&mut self) -> &mut SessionKeeper {
        &mut self.keeper
    }

    /// The session and its resumption.
    pub fn keeper(&self) -> &SessionKeeper {
        &self.keeper
    }

    /// The server that it is, or wants to be, in session with.
    pub fn server(&self) -> SocketAddr {
        self.keeper.server()
    }

    /// The number that the server gave this client.
    pub fn id(&self) -> Option<ClientId> {
        self.id
    }

    /// The server's ticks per second, once it told.
    pub fn tick_rate(&self) -> Option<u32> {
        self.time_line.as_ref().map(TimeLine::tick_rate)
    }

    /// Counts so far.
    pub fn stats(&self) -> ClientStats {
        let ResumeStats { silences, resumes, longest_resume_us } = self.keeper.stats();
        ClientStats { silences, resumes, longest_resume_us, ..self.stats }
    }

    /// The session's packets, once it is open.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// The client's copy of the world.
    pub fn buffer(&self) -> &SnapshotBuffer {
        &self.buffer
    }

    /// The clock that leads the server's, once the session is open.
    pub fn clock(&self) -> Option<&TickClock> {
        self.clock.as_ref()
    }

    /// The clock by which others are shown, once the session is open.
    pub fn interpolation(&self) -> Option<&Interpolation> {
        self.interpolation.as_ref()
    }

    /// The own entity as predicted for the newest tick.
    pub fn predicted(&self) -> Option<(Tick, &[u32])> {
        self.prediction.state()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// The next datagram to send, and to whom.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// When to call [`Self::poll_tick`] again though nothing came.
    /// Far in the future once the session is over.
    pub fn next_timeout(&self) -> Timestamp {
        if self.is_over() {
            return Timestamp::from_nanos(u64::MAX);
        }
        let session = self.keeper.next_timeout();
        let next = match (&self.connection, &self.clock) {
            (None, _) => session,
            (Some(_), None) => session.min(self.look_at),
            (Some(_), Some(clock)) => session.min(clock.next_due()),
        };
        self.moving.map_or(next, |(_, at)| next.min(at))
    }

    /// Values to show now: of the own entity as predicted and smoothed, of others interpolated.
    pub fn view(&mut self, slot: u16, now: Timestamp) -> Option<(NetId, KindId, Vec<f32>)> {
        let remote = self.buffer.entity(slot)?;
        let fields = &self.schema.kind(remote.kind).fields;
        let values = match self.prediction.state().filter(|_| remote.is_own()) {
            Some((_, state)) => self.smoothing.apply(fields, state, now),
            None => self.interpolation.as_ref()?.sample(remote, fields),
        };
        Some((remote.id, remote.kind, values))
    }

    /// The payload of the datagram received last; empty if it had none.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Ends the session and tells the server.
    pub fn leave(&mut self) {
        self.end(End::Told(DisconnectReason::Left));
    }

    fn end(&mut self, end: End) {
        if !self.is_over() {
            self.outbox.extend(self.keeper.disconnect());
            self.ended = Some(end);
        }
    }

    /// Takes in a datagram from an address. Errors are counted and change nothing.
    pub fn receive(&mut self, from: SocketAddr, datagram: &[u8], now: Timestamp) {
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        if self.is_over() {
            return;
        }
        match self.keeper.receive(from, datagram, now) {
            Ok(Received::Payload(received)) => payload.extend_from_slice(received),
            Ok(Received::Step) => self.session_stepped(now),
            Err(DropReason::Repeated | DropReason::Unexpected) => self.stats.stale += 1,
            Err(_) => self.stats.refused += 1,
        }
        if !payload.is_empty() {
            self.take_payload(&payload, now);
        }
        self.payload = payload;
    }

    /// Once the session is open the client says what it is.
    fn session_stepped(&mut self, now: Timestamp) {
        if self.connection.is_none() && self.keeper.keeping() == Keeping::Open {
            self.connection = Some(Connection::new(self.chances.next_u64(), now));
            self.tell(&ClientMessage::Hello { schema: self.schema.hash() });
            self.send_packet(now);
        }
    }

    fn take_payload(&mut self, payload: &[u8], now: Timestamp) {
        match self.receive_payload(payload, now) {
            Ok(()) => {}
            Err(SnapshotError::HashMismatch(report)) => {
                self.stats.hash_mismatches += 1;
                self.ask_for_resync(now);
                self.report_mismatch(report, now);
            }
            Err(SnapshotError::Baseline) => self.note_unusable(now),
            Err(SnapshotError::Wire(WireError::Stale(_))) => self.stats.stale += 1,
            Err(SnapshotError::Wire(_)) => self.stats.decode_errors += 1,
        }
    }

    fn receive_payload(&mut self, payload: &[u8], now: Timestamp) -> Result<(), SnapshotError> {
        let connection = self.connection.as_mut().ok_or(WireError::Stale("no session"))?;
        let (sequence, reader) = connection.open(payload, now)?;
        while let Some(sequence) = connection.poll_acked() {
            self.commands.packet_acked(sequence);
        }
        self.receive_messages(now)?;
        self.receive_body(reader, now)?;
        if let Some(connection) = &mut self.connection {
            connection.accept(sequence);
        }
        Ok(())
    }

    fn receive_messages(&mut self, now: Timestamp) -> Result<(), WireError> {
        while let Some((channel, bytes)) = self.connection.as_mut().and_then(Connection::receive) {
            let message = decode(&bytes)?;
            if channel != SESSION_STREAM && !matches!(message, ServerMessage::Event { .. }) {
                return Err(WireError::Misbehaving("a session's message on another channel"));
            }
            match message {
                ServerMessage::Welcome { client, tick_rate, epoch_us } => {
                    self.welcome(tick_rate, epoch_us)?;
                    self.id = Some(ClientId(client));
                    std::mem::take(&mut self.early).into_iter().for_each(|event| self.emit(event));
                }
                ServerMessage::Timeline { epoch_us } => self.time_line_moved(epoch_us)?,
                ServerMessage::Event { tick, data } => self.game_event(ClientEvent::Game(Tick(tick), data)),
                ServerMessage::Ticket { token } => {
                    let token = ConnectToken::from_bytes(&token);
                    self.keeper.keep_ticket(token.map_err(|_| WireError::Malformed("a ticket is no token"))?);
                }
                ServerMessage::Drain { id, within_ms } => self.told_to_move(id, within_ms, now),
            }
        }
        self.start_clock(now);
        Ok(())
    }

    /// The copies of one order count once.
    fn told_to_move(&mut self, id: u32, within_ms: u32, now: Timestamp) {
        if self.moving.is_none_or(|(known, _)| known != id) {
            let wait = Duration::from_millis(self.chances.next_u64() % (u64::from(within_ms) + 1));
            self.moving = Some((id, now + wait));
        }
    }

    fn time_line_moved(&mut self, epoch_us: i64) -> Result<(), WireError> {
        check_epoch(epoch_us)?;
        let Some(time_line) = &mut self.time_line else { return Ok(()) };
        let moved = time_line.move_to(epoch_us)?;
        if let Some(clock) = &mut self.clock {
            clock.time_line_moved(moved);
        }
        if let Some(interpolation) = &mut self.interpolation {
            interpolation.time_line_moved(moved);
        }
        Ok(())
    }

    fn welcome(&mut self, tick_rate: u32, epoch_us: i64) -> Result<(), WireError> {
        self.time_line = Some(TimeLine::new(tick_rate, epoch_us)?);
        self.game.welcomed(tick_rate);
        self.interpolation = Some(Interpolation::new(tick_rate));
        Ok(())
    }

    fn receive_body(&mut self, mut reader: BitReader<'_>, now: Timestamp) -> Result<(), SnapshotError> {
        match Body::from_tag(reader.read(Body::BITS)?)? {
            Body::Empty => Ok(reader.finish()?),
            Body::Commands => Err(WireError::Misbehaving("a server sends no commands").into()),
            Body::Farewell => {
                self.farewell(Farewell::read(reader)?);
                Ok(())
            }
            Body::Snapshot if is_planted(Mutant::AcceptUndecoded) && self.is_overtaken(reader.clone()) => {
                Ok(())
            }
            Body::Snapshot => {
                let taken = self.buffer.take(&self.schema, reader)?;
                self.stats.snapshots += 1;
                self.doubt.packet_taken();
                self.snapshot_taken(&taken, now);
                Ok(())
            }
        }
    }

    fn farewell(&mut self, farewell: Farewell) {
        let (server, client) = (farewell.schema, self.schema.hash());
        self.end(match farewell.reason {
            DisconnectReason::OtherSchema => End::OtherSchema { server, client },
            reason => End::Told(reason),
        });
    }

    fn is_overtaken(&self, mut reader: BitReader<'_>) -> bool {
        let tick = reader.read(32).map(Tick);
        self.buffer.newest().zip(tick.ok()).is_some_and(|(newest, tick)| newest.is_after(tick))
    }

    fn snapshot_taken(&mut self, taken: &Taken, now: Timestamp) {
        if taken.newest {
            self.note_gap(now);
            if let Some(interpolation) = &mut self.interpolation {
                interpolation.snapshot(taken.tick, now);
            }
            self.commands.settled(taken.tick);
        }
        self.note_latency(taken, now);
        if let Some((feedback, clock)) = taken.feedback.as_ref().zip(self.clock.as_mut()) {
            clock.feedback(taken.tick, feedback);
            if clock.is_lost() {
                self.restart_clock(now);
            }
        }
        if let Some((feedback, own)) = taken.feedback.zip(taken.own) {
            self.reconcile(taken.tick, &feedback, own, now);
        }
        self.start_clock(now);
    }

    /// The server hears nothing of our commands: they come far too early or too late for it to tell.
    fn restart_clock(&mut self, now: Timestamp) {
        if let (Some(clock), Some(newest), Some(connection)) =
            (&mut self.clock, self.buffer.newest(), &self.connection)
        {
            clock.restart(newest, connection.rtt().rtt(), now);
        }
    }

    fn start_clock(&mut self, now: Timestamp) {
        if let (None, Some(time_line), Some(newest), Some(round_trip)) =
            (&self.clock, &self.time_line, self.buffer.newest(), self.keeper.round_trip())
        {
            self.clock = Some(TickClock::new(time_line.tick_rate(), newest, round_trip, now));
        }
    }

    fn reconcile(&mut self, tick: Tick, feedback: &Feedback, own: NetId, now: Timestamp) {
        let Some(remote) = self.buffer.entity(own.slot) else { return };
        let Some(held) = remote.at(tick) else { return };
        let info = self.schema.kind(remote.kind);
        let before = self.prediction.state().map(|(_, state)| state.to_vec());
        let server = (tick, &*held.fields);
        let result = self.prediction.reconcile(&self.game, (remote.kind, info), server, feedback);
        match result {
            Reconciled::Right => self.stats.compared += 1,
            Reconciled::Wrong(wrong) => {
                self.stats.compared += 1;
                self.stats.mispredictions += 1;
                if let (Some(before), Some((_, after))) = (before, self.prediction.state()) {
                    self.smoothing.corrected(&info.fields, &before, after, now);
                }
                self.emit(ClientEvent::Mispredicted(wrong));
            }
            Reconciled::NothingToCompare | Reconciled::Started => {}
        }
    }

    fn note_latency(&mut self, taken: &Taken, now: Timestamp) {
        let Some(time_line) = &self.time_line else { return };
        for latency in self.latency.shown(taken, time_line.tick_at_us(taken.tick), now) {
            self.emit(ClientEvent::Latency(latency));
        }
    }

    fn note_gap(&mut self, now: Timestamp) {
        if let Some(before) = self.newest_at.replace(now) {
            self.stats.longest_gap_us = self.stats.longest_gap_us.max(now.since(before).as_micros() as u64);
        }
    }

    fn game_event(&mut self, event: ClientEvent) {
        if self.id.is_some() {
            self.emit(event);
        } else if self.early.len() < EVENTS {
            self.early.push(event);
        }
    }

    fn emit(&mut self, event: ClientEvent) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// A packet built on what is not held.
    fn note_unusable(&mut self, now: Timestamp) {
        self.stats.stale += 1;
        if self.doubt.packet_unusable() {
            self.ask_for_resync(now);
        }
    }

    /// Our copy is in doubt: ask for everything whole, once per round trip or so.
    fn ask_for_resync(&mut self, now: Timestamp) {
        let wait = self.connection.as_ref().map(|connection| connection.rtt().resend_after() * 2);
        if wait.is_some_and(|wait| self.doubt.may_ask(wait, now)) {
            self.stats.resyncs += 1;
            self.tell(&ClientMessage::Resync);
        }
    }

    /// Tells the server what was decoded, so that it can name what differs.
    fn report_mismatch(&mut self, report: MismatchReport, now: Timestamp) {
        if self.doubt.may_report(now) {
            self.tell(&ClientMessage::Mismatch(report));
        }
    }

    fn tell(&mut self, message: &ClientMessage) {
        let Some(connection) = &mut self.connection else { return };
        if connection.send(SESSION_STREAM, encode(message)).is_err() {
            self.end(End::Told(DisconnectReason::Overflow));
        }
    }

    /// Does what time demands; returns the tick for which a command is due.
    pub fn poll_tick(&mut self, now: Timestamp) -> Option<Tick> {
        if self.moving.is_some_and(|(_, at)| now >= at) {
            self.end(End::Told(DisconnectReason::Moved));
        }
        if self.is_over() {
            return None;
        }
        while let Some(due) = self.keeper.poll(now) {
            self.outbox.push_back(due);
        }
        let connection = self.connection.as_ref()?;
        if let (Some(interpolation), Some(newest)) = (&mut self.interpolation, self.buffer.newest()) {
            interpolation.advance(newest, now);
        }
        if let Some(clock) = &mut self.clock {
            return clock.poll(now);
        }
        self.look_at = now + ACK_DELAY;
        if connection.wants_packet(now) {
            self.send_packet(now);
        }
        None
    }

    /// Predicts the command of a due tick and sends it with those that the server may lack.
    pub fn submit(&mut self, tick: Tick, command: P::Command, now: Timestamp) {
        let kind = self.buffer.own().map(|own| own.kind);
        self.prediction.advance(&self.game, kind, tick, command.clone());
        self.commands.push(tick, command);
        self.latency.sent(tick, now);
        self.send_packet(now);
    }

    fn send_packet(&mut self, now: Timestamp) {
        let Some(connection) = &mut self.connection else { return };
        let sequence = connection.begin(&mut self.writer, now, true);
        if self.clock.is_some() {
            self.writer.write(Body::Commands as u32, Body::BITS);
            self.commands.write(&mut self.writer, sequence);
        } else {
            self.writer.write(Body::Empty as u32, Body::BITS);
        }
        connection.finish(&mut self.writer, now);
        self.outbox.extend(self.keeper.seal(self.writer.bytes(), now));
    }
}
