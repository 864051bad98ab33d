//! One client of one room: handshake, packets, clock, prediction and interpolation put together.
//!
//! Sans-IO. The caller's loop:
//!
//! ```text
//! for each datagram:             receive(bytes, now)
//! while poll_tick(now) = tick:   submit(tick, command, now)
//! while poll_transmit() = bytes: send them
//! wait for a datagram or next_timeout()
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::command_history::CommandHistory;
use super::doubt::Doubt;
use super::interpolation::Interpolation;
use super::latency::{Latency, LatencyMeter};
use super::prediction::{Misprediction, Predict, Prediction, Reconciled};
use super::smoothing::Smoothing;
use super::snapshot_buffer::{SnapshotBuffer, SnapshotError, Taken};
use super::stats::ClientStats;
use super::tick_clock::TickClock;
use crate::bits::{BitReader, BitWriter};
use crate::connection::{Connection, DisconnectReason, Fate, disconnect_datagram, read_disconnect};
use crate::error::WireError;
use crate::handshake::{ClientHandshake, ClientId, DenyReason, HandshakeState, JoinRequest};
use crate::messages::{Body, ClientMessage, MismatchReport, SESSION_STREAM, ServerMessage, decode, encode};
use crate::mutant::{Mutant, is_planted};
use crate::packet::{self, PacketKind};
use crate::replication::NetId;
use crate::replication::snapshot::Feedback;
use crate::schema::{KindId, Schema};
use crate::tick::Tick;
use crate::time::Timestamp;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Opening the session.
    Connecting,
    /// In the room.
    Playing,
    /// The server refused; with the hash of its schema.
    Denied(DenyReason, u64),
    /// The session ended.
    Ended(DisconnectReason),
}

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

/// A server's clock starts within some 300 years of its tick 0.
fn check_epoch(epoch_us: i64) -> Result<i64, WireError> {
    match epoch_us.unsigned_abs() < 1 << 53 {
        true => Ok(epoch_us),
        false => Err(WireError::Malformed("time line out of range")),
    }
}

struct Timing {
    epoch_us: i64,
    tick_rate: u32,
}

impl Timing {
    fn tick_at_us(&self, tick: Tick) -> i64 {
        self.epoch_us + i64::from(tick.0) * 1_000_000 / i64::from(self.tick_rate)
    }
}

/// See the module.
pub struct ClientRuntime<P: Predict> {
    game: P,
    schema: Arc<Schema>,
    handshake: ClientHandshake,
    connection: Option<Connection>,
    ended: Option<DisconnectReason>,
    buffer: SnapshotBuffer,
    timing: Option<Timing>,
    clock: Option<TickClock>,
    commands: CommandHistory<P::Command>,
    prediction: Prediction<P::Command>,
    smoothing: Smoothing,
    interpolation: Option<Interpolation>,
    latency: LatencyMeter,
    newest_at: Option<Timestamp>,
    writer: BitWriter,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<ClientEvent>,
    stats: ClientStats,
    doubt: Doubt,
}

impl<P: Predict> ClientRuntime<P> {
    /// A client that begins to join `room` now; `seed` makes its nonce.
    pub fn new(game: P, schema: Arc<Schema>, room: u16, seed: u64, now: Timestamp) -> Self {
        let nonce = Xoshiro256PlusPlus::seed_from_u64(seed).next_u64();
        let join = JoinRequest { nonce, room, schema: schema.hash() };
        Self {
            game,
            schema,
            handshake: ClientHandshake::new(join, now),
            connection: None,
            ended: None,
            buffer: SnapshotBuffer::new(),
            timing: None,
            clock: None,
            commands: CommandHistory::default(),
            prediction: Prediction::default(),
            smoothing: Smoothing::default(),
            interpolation: None,
            latency: LatencyMeter::default(),
            newest_at: None,
            writer: BitWriter::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            stats: ClientStats::default(),
            doubt: Doubt::default(),
        }
    }

    /// Where the client stands.
    pub fn state(&self) -> ClientState {
        match (self.ended, self.handshake.state()) {
            (Some(reason), _) => ClientState::Ended(reason),
            (None, HandshakeState::Open(_)) => ClientState::Playing,
            (None, HandshakeState::Denied(reason, schema)) => ClientState::Denied(reason, schema),
            (None, HandshakeState::TimedOut) => ClientState::Ended(DisconnectReason::TimedOut),
            (None, _) => ClientState::Connecting,
        }
    }

    /// The number that the server gave this client.
    pub fn id(&self) -> Option<ClientId> {
        match self.handshake.state() {
            HandshakeState::Open(ticket) => Some(ticket.client),
            _ => None,
        }
    }

    /// The server's ticks per second, once it told.
    pub fn tick_rate(&self) -> Option<u32> {
        self.timing.as_ref().map(|timing| timing.tick_rate)
    }

    /// Counts so far.
    pub fn stats(&self) -> ClientStats {
        self.stats
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

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// When to call [`Self::poll_tick`] again though nothing came.
    /// Far in the future once the session is over.
    pub fn next_timeout(&self) -> Timestamp {
        if !matches!(self.state(), ClientState::Connecting | ClientState::Playing) {
            return Timestamp::from_nanos(u64::MAX);
        }
        match (&self.connection, &self.clock) {
            (None, _) => self.handshake.next_timeout(),
            (Some(connection), None) => connection.next_timeout().min(connection.expires_at()),
            (Some(_), Some(clock)) => clock.next_due(),
        }
    }

    /// Values to show now: of the own entity as predicted and smoothed, of others interpolated.
    pub fn view(&mut self, slot: u16, now: Timestamp) -> Option<(NetId, KindId, Vec<f32>)> {
        let remote = self.buffer.entity(slot)?;
        let fields = &self.schema.kind(remote.kind).fields;
        let values = match self.prediction.state().filter(|_| remote.own) {
            Some((_, state)) => self.smoothing.apply(fields, state, now),
            None => self.interpolation.as_ref()?.sample(remote, fields),
        };
        Some((remote.id, remote.kind, values))
    }

    /// Ends the session and tells the server, three times since datagrams get lost.
    pub fn leave(&mut self) {
        if let Some(connection) = self.connection.as_ref().filter(|_| self.ended.is_none()) {
            let farewell = disconnect_datagram(connection.key(), DisconnectReason::Left);
            self.outbox.extend([farewell.clone(), farewell.clone(), farewell]);
        }
        self.ended.get_or_insert(DisconnectReason::Left);
    }

    /// Takes in a datagram from the server. Errors are counted and change nothing.
    pub fn receive(&mut self, datagram: &[u8], now: Timestamp) {
        if self.ended.is_some() {
            return;
        }
        match self.dispatch(datagram, now) {
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

    fn dispatch(&mut self, datagram: &[u8], now: Timestamp) -> Result<(), SnapshotError> {
        match packet::peek_kind(datagram)? {
            PacketKind::Payload => self.receive_payload(datagram, now),
            PacketKind::Disconnect => {
                let connection = self.connection.as_ref().ok_or(WireError::Stale("no session"))?;
                self.ended = Some(read_disconnect(datagram, connection.key())?);
                Ok(())
            }
            _ => {
                self.handshake.receive(datagram, now)?;
                if let HandshakeState::Open(ticket) = self.handshake.state() {
                    self.connection.get_or_insert_with(|| Connection::new(ticket.key, now));
                }
                Ok(())
            }
        }
    }

    fn receive_payload(&mut self, datagram: &[u8], now: Timestamp) -> Result<(), SnapshotError> {
        let connection = self.connection.as_mut().ok_or(WireError::Stale("no session"))?;
        let (sequence, reader) = connection.open(datagram, now)?;
        while let Some(fate) = connection.poll_fate() {
            if let Fate::Acked(sequence) = fate {
                self.commands.packet_acked(sequence);
            }
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
                ServerMessage::Welcome { tick_rate, epoch_us } => self.welcome(tick_rate, epoch_us)?,
                ServerMessage::Timeline { epoch_us } => self.time_line_moved(epoch_us)?,
                ServerMessage::Event { tick, data } => self.emit(ClientEvent::Game(Tick(tick), data)),
            }
        }
        self.start_clock(now);
        Ok(())
    }

    fn time_line_moved(&mut self, epoch_us: i64) -> Result<(), WireError> {
        let epoch_us = check_epoch(epoch_us)?;
        let Some(timing) = &mut self.timing else { return Ok(()) };
        let moved = epoch_us - std::mem::replace(&mut timing.epoch_us, epoch_us);
        if let Some(clock) = &mut self.clock {
            clock.time_line_moved(moved);
        }
        if let Some(interpolation) = &mut self.interpolation {
            interpolation.time_line_moved(moved);
        }
        Ok(())
    }

    fn welcome(&mut self, tick_rate: u32, epoch_us: i64) -> Result<(), WireError> {
        if !(1..=1_000).contains(&tick_rate) {
            return Err(WireError::Malformed("tick rate out of range"));
        }
        let epoch_us = check_epoch(epoch_us)?;
        self.game.welcomed(tick_rate);
        self.timing = Some(Timing { epoch_us, tick_rate });
        self.interpolation = Some(Interpolation::new(tick_rate));
        Ok(())
    }

    fn receive_body(&mut self, mut reader: BitReader<'_>, now: Timestamp) -> Result<(), SnapshotError> {
        match Body::from_tag(reader.read(Body::BITS)?)? {
            Body::Empty => Ok(reader.finish()?),
            Body::Commands => Err(WireError::Misbehaving("a server sends no commands").into()),
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
        if let (None, Some(timing), Some(newest), Some(round_trip)) =
            (&self.clock, &self.timing, self.buffer.newest(), self.handshake.round_trip())
        {
            self.clock = Some(TickClock::new(timing.tick_rate, newest, round_trip, now));
        }
    }

    fn reconcile(&mut self, tick: Tick, feedback: &Feedback, own: NetId, now: Timestamp) {
        let Some(remote) = self.buffer.entity(own.slot) else { return };
        let Some(held) = remote.versions().rev().find(|held| !held.tick.is_after(tick)) else { return };
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
        let Some(timing) = &self.timing else { return };
        for latency in self.latency.shown(taken, timing.tick_at_us(taken.tick), now) {
            self.emit(ClientEvent::Latency(latency));
        }
    }

    fn note_gap(&mut self, now: Timestamp) {
        if let Some(before) = self.newest_at.replace(now) {
            self.stats.longest_gap_us = self.stats.longest_gap_us.max(now.since(before).as_micros() as u64);
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
            self.ended = Some(DisconnectReason::Overflow);
        }
    }

    /// Does what time demands; returns the tick for which a command is due.
    pub fn poll_tick(&mut self, now: Timestamp) -> Option<Tick> {
        if self.ended.is_some() {
            return None;
        }
        let Some(connection) = &mut self.connection else {
            self.outbox.extend(self.handshake.poll(now));
            return None;
        };
        if now >= connection.expires_at() {
            self.ended = Some(DisconnectReason::TimedOut);
            return None;
        }
        if let (Some(interpolation), Some(newest)) = (&mut self.interpolation, self.buffer.newest()) {
            interpolation.advance(newest, now);
        }
        match &mut self.clock {
            Some(clock) => clock.poll(now),
            None => {
                if connection.wants_packet(now) {
                    self.send_packet(now);
                }
                None
            }
        }
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
        self.outbox.push_back(self.writer.bytes().to_vec());
    }
}
