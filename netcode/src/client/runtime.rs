//! One client of one room: session, packets, clock, prediction and interpolation combined.
//!
//! Sans-IO. The caller's loop:
//!
//! ```text
//! for each event:                receive(from, event, now)
//! while poll_tick(now) = slot:   submit(slot, command, now)
//! while poll_transmit() = (to, transmit): send it
//! while poll_event() = event:    handle it; unread game events end the session
//! each frame:                    for each of slots(): view(slot, now) = what to draw
//! wait for an event or next_timeout()
//! ```

mod display;
mod receive;

use std::sync::Arc;

use super::client_connection::ClientConnection;
use super::command_history::CommandHistory;
use super::event_queue::EventQueue;
use super::interpolation::Interpolation;
use super::latency::{Latency, LatencyMeter};
use super::own_view::OwnView;
use super::prediction::{Misprediction, Own, Predict, Prediction};
use super::resumable_session::{ResumableSession, ResumeStats};
use super::resync_throttle::ResyncThrottle;
use super::skipped_slots::SkippedSlots;
use super::snapshot_buffer::SnapshotBuffer;
use super::state::ClientState;
use super::stats::ClientStats;
use super::tick_clock::TickClock;
use super::time_line::TimeLine;
use crate::connection::{Connection, Messages};
use crate::limits::UNHEARD_TIME;
use crate::messages::Body;
use crate::schema::Schema;
use crate::session::drops::DropReason;
use crate::session::token::ConnectToken;
use crate::session::{ClientId, Role};
use crate::tick::Tick;
use crate::time::Timestamp;
use crate::transport::{Event, PeerAddr, Transmit, TransportKind};

/// An event for the caller.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// A prediction was wrong.
    Mispredicted(Misprediction),
    /// A snapshot showed the effect of a command.
    Latency(Latency),
    /// A game event and its tick.
    Game(Tick, Vec<u8>),
}

/// A sans-IO client of one room: it keeps the session, applies snapshots, predicts its own entity
/// and interpolates the others.
pub struct ClientRuntime<P: Predict> {
    game: P,
    role: Role,
    schema: Arc<Schema>,
    link: ClientConnection,
    buffer: SnapshotBuffer,
    clock: Option<TickClock>,
    commands: CommandHistory<P::Command>,
    prediction: Prediction<P::Command>,
    own_view: OwnView,
    skipped: SkippedSlots,
    interpolation: Option<Interpolation>,
    latency: LatencyMeter,
    newest_at: Option<Timestamp>,
    payload: Vec<u8>,
    events: EventQueue,
    stats: ClientStats,
    resync_throttle: ResyncThrottle,
}

impl<P: Predict> ClientRuntime<P> {
    /// Creates a client that starts to use its token now. Its random numbers follow from `seed`.
    pub fn new(
        game: P,
        schema: Arc<Schema>,
        token: ConnectToken,
        seed: u64,
        now: Timestamp,
    ) -> Self {
        let link = ClientConnection::new(schema.hash(), token, seed, now);
        Self {
            game,
            role: Role::Player,
            schema,
            link,
            buffer: SnapshotBuffer::new(),
            clock: None,
            commands: CommandHistory::default(),
            prediction: Prediction::default(),
            own_view: OwnView::default(),
            skipped: SkippedSlots::default(),
            interpolation: None,
            latency: LatencyMeter::default(),
            newest_at: None,
            payload: Vec::new(),
            events: EventQueue::default(),
            stats: ClientStats::default(),
            resync_throttle: ResyncThrottle::default(),
        }
    }

    /// Selects the transport; UDP by default. Call it before the first transmit.
    pub fn transport(mut self, kind: TransportKind) -> Self {
        self.link = self.link.transport(kind);
        self
    }

    /// Sets the role; [`Role::Player`] by default. For a spectator no command is ever due. The role
    /// must match the token's and be set before the first [`Self::receive`]; otherwise the server
    /// ends the session.
    pub fn as_role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// The client's role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The client's state.
    pub fn state(&self) -> ClientState {
        match (self.link.state(), self.clock.as_ref().zip(self.newest_at)) {
            (ClientState::Playing, Some((clock, at))) if clock.unheard_for(at) >= UNHEARD_TIME => {
                ClientState::Unheard
            }
            (state, _) => state,
        }
    }

    /// The session with its resumption.
    pub fn resumable(&self) -> &ResumableSession {
        self.link.resumable()
    }

    /// The server's address on the current transport, whether or not the session is open.
    pub fn addr(&self) -> PeerAddr {
        self.link.resumable().addr()
    }

    /// The number that the server gave this client; `None` before the server's welcome.
    pub fn id(&self) -> Option<ClientId> {
        self.link.id()
    }

    /// The server's ticks per second; `None` before the server's welcome.
    pub fn tick_rate(&self) -> Option<u32> {
        self.link.time_line().map(TimeLine::tick_rate)
    }

    /// The counters so far.
    pub fn stats(&self) -> ClientStats {
        let ResumeStats {
            silences,
            resumes,
            longest_resume_us,
        } = self.link.resumable().stats();
        ClientStats {
            silences,
            resumes,
            longest_resume_us,
            ..self.stats
        }
    }

    /// The session's packets; `None` before the session is open.
    pub fn connection(&self) -> Option<&Connection> {
        self.link.connection()
    }

    /// The client's copy of the world.
    pub fn buffer(&self) -> &SnapshotBuffer {
        &self.buffer
    }

    /// The clock that leads the server's. `None` before the first snapshot, and always for a
    /// spectator.
    pub fn clock(&self) -> Option<&TickClock> {
        self.clock.as_ref()
    }

    /// The display of other entities; `None` before the server's welcome.
    pub fn interpolation(&self) -> Option<&Interpolation> {
        self.interpolation.as_ref()
    }

    /// The slot of the newest command, and the predicted state of the own entity after it.
    pub fn predicted(&self) -> Option<(Tick, &[u32])> {
        self.prediction.state()
    }

    /// The next event. Game events are kept up to [`crate::limits::UNPOLLED_EVENT_BYTES`]. A
    /// reliable event beyond that could not be delivered and ends the session with
    /// [`DisconnectReason::EventsUnread`]; an unreliable one is dropped. Of the client's own
    /// reports the newest are kept.
    ///
    /// [`DisconnectReason::EventsUnread`]: crate::disconnect::DisconnectReason::EventsUnread
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.poll()
    }

    /// The next packet to send, with its destination.
    pub fn poll_transmit(&mut self) -> Option<(PeerAddr, Transmit)> {
        self.link.poll_transmit()
    }

    /// When to call [`Self::poll_tick`] again if nothing arrives. Far in the future once the
    /// session is over.
    pub fn next_timeout(&self) -> Timestamp {
        self.link
            .next_timeout(self.clock.as_ref().map(TickClock::next_due))
    }

    /// The payload of the last received datagram; empty if it had none.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Ends the session and notifies the server.
    pub fn leave(&mut self) {
        self.link.leave();
    }

    /// Handles an event of the transport. Errors are counted in [`Self::stats`]. A packet that
    /// cannot be decoded is not acknowledged. A hash mismatch, or many packets in a row on
    /// baselines that the client does not hold, make the client request a resync.
    pub fn receive<'a>(
        &mut self,
        from: impl Into<PeerAddr>,
        event: impl Into<Event<'a>>,
        now: Timestamp,
    ) {
        let event = event.into();
        let mut payload = std::mem::take(&mut self.payload);
        match self.link.receive(from.into(), event, &mut payload, now) {
            Ok(()) => {}
            Err(DropReason::Repeated | DropReason::Unexpected) => self.stats.stale += 1,
            // Events of abandoned connections are not foreign datagrams.
            Err(_) if matches!(event, Event::Closed { .. } | Event::DatagramBytes(_)) => {}
            Err(_) => self.stats.refused += 1,
        }
        if !payload.is_empty() {
            self.take_payload(&payload, now);
        }
        self.payload = payload;
        // Messages may also arrive in frames.
        if matches!(event, Event::Frame(_)) && self.take_messages(now).is_err() {
            self.stats.decode_errors += 1;
        }
    }

    /// Handles what is due by now. Returns the slot of the server's time line for which a command
    /// is due; call it until it returns `None`. The tick that runs in a slot executes the slot's
    /// command. Slots that pass while the client or the server stands still get no command.
    pub fn poll_tick(&mut self, now: Timestamp) -> Option<Tick> {
        if !self.link.poll(now) {
            return None;
        }
        if let Some(interpolation) = &mut self.interpolation {
            interpolation.advance(now);
            if let Some(tick) = interpolation.oldest_shown() {
                self.buffer.shown_from(tick);
            }
        }
        if let Some(clock) = &mut self.clock {
            return clock.poll(now);
        }
        self.link.send_due(Messages::BesideState, now);
        None
    }

    /// Predicts the command of a due slot and sends it with those that the server may lack.
    pub fn submit(&mut self, slot: Tick, command: P::Command, now: Timestamp) {
        let own = self.buffer.own().map(|own| Own {
            id: own.id,
            kind: own.kind,
        });
        self.prediction
            .advance(&self.game, own, slot, command.clone());
        self.commands.push(slot, command);
        self.stats.commands += 1;
        self.latency.sent(slot, now);
        let commands = &mut self.commands;
        if let Some(clock) = &self.clock {
            commands.settled(clock.oldest_told(now));
        }
        self.link
            .send_packet(now, Messages::BesideState, |writer, sequence| {
                writer.write(Body::Commands as u32, Body::BITS);
                commands.write(writer, sequence);
            });
    }
}
