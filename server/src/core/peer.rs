//! One client's session as the rooms see it: what it may send, what it owes, and how it ends.
//!
//! ```text
//! greeting -- hello, of the room's schema --> playing -- farewells, then closed
//!     \______ another schema, room full ... ____________/
//! ```

use std::time::Duration;

use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::channel::Channel;
use truetick_netcode::congestion::Congestion;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::error::WireError;
use truetick_netcode::farewell::{DisconnectReason, Farewell};
use truetick_netcode::limits::{
    FAREWELL_PAUSE, FAREWELLS, HELLO_TIME, MESSAGES_PER_PACKET, PACKETS_PER_TICK, REPORT_PAUSE, STRIKE_TIME,
    STRIKES,
};
use truetick_netcode::messages::{
    Body, ClientMessage, MismatchReport, SESSION_STREAM, ServerMessage, decode, encode,
};
use truetick_netcode::session::ClientId;
use truetick_netcode::session::rate::{Meter, Rate};
use truetick_netcode::time::Timestamp;

use super::any_room::{AnyRoom, Outbox};

/// Packets that a client may send in one burst beyond its average.
const BURST_PACKETS: u32 = 32 * PACKETS_PER_TICK;

/// As many messages as its packets could hold.
const FRAMES_PER_TICK: u32 = PACKETS_PER_TICK * MESSAGES_PER_PACKET as u32;

/// Frames in one burst beyond that.
const BURST_FRAMES: u32 = 32 * FRAMES_PER_TICK;

/// A client is sent everything whole at most this often.
const RESYNC_PAUSE: Duration = Duration::from_millis(200);

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has not said what it is.
    Greeting {
        /// Since when.
        since: Timestamp,
    },
    /// It is in its room.
    Playing,
    /// It is told that it is over.
    Ending {
        /// What it is told.
        farewell: Farewell,
        /// How often it was told.
        told: u32,
        /// When it is told again, or closed.
        next: Timestamp,
    },
}

/// What a packet demands beyond its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The client says what it is: the hash of its schema.
    Hello(u64),
    /// It decoded something else than was sent.
    Explain(MismatchReport),
}

/// See the module.
#[derive(Debug)]
pub struct Peer {
    /// Its number.
    pub client: ClientId,
    /// Its room.
    pub room: usize,
    /// Where it stands.
    pub stage: Stage,
    /// Whether it is there: a parked session is kept, but nothing reaches it.
    pub live: bool,
    /// Its packets.
    pub connection: Connection,
    /// What its path carries, while it plays.
    pub congestion: Option<Congestion>,
    /// When it is handed another ticket.
    pub ticket_due: Timestamp,
    /// Why it must end at the next tick.
    pub ending: Option<DisconnectReason>,
    allowance: Allowance,
}

/// What a client may still send. It is the session's: whoever takes a session over goes on with what is left.
#[derive(Clone, Debug)]
struct Allowance {
    /// Packets that it sent.
    packets: Meter,
    /// Frames that it sent.
    frames: Meter,
    strikes: u32,
    forgiven_at: Timestamp,
    resynced_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
}

impl Peer {
    /// A client that has just come; `seed` is for its connection, whose messages travel in frames where it is `secured`.
    pub fn new(client: ClientId, room: usize, (seed, secured): (u64, bool), now: Timestamp) -> Self {
        Self {
            client,
            room,
            stage: Stage::Greeting { since: now },
            live: true,
            connection: match secured {
                true => Connection::with_frames(seed, now),
                false => Connection::new(seed, now),
            },
            congestion: None,
            ticket_due: now,
            ending: None,
            allowance: Allowance {
                packets: Meter::default(),
                frames: Meter::default(),
                strikes: 0,
                forgiven_at: now,
                resynced_at: None,
                reported_at: None,
            },
        }
    }

    /// Another client of the same user that takes the session over, with what the first may still send.
    pub fn successor(&self, seed: u64, secured: bool, tick_rate: u32, now: Timestamp) -> Self {
        let mut allowance = self.allowance.clone();
        // Too many frames end a session: one that begins may at least say what it is.
        allowance.frames.leave_room_for(FRAMES_PER_TICK, frame_rate(tick_rate), now);
        Self { allowance, ..Self::new(self.client, self.room, (seed, secured), now) }
    }

    /// Whether it takes part in its room.
    pub fn is_playing(&self) -> bool {
        self.stage == Stage::Playing
    }

    /// Bytes that the next snapshot may take; `late_since` is when the server began to run behind its ticks, if it does.
    pub fn snapshot_budget(&mut self, late_since: Option<Timestamp>, now: Timestamp) -> usize {
        let rtt = self.connection.rtt();
        self.congestion.as_mut().map_or(0, |congestion| congestion.budget(rtt, late_since, now))
    }

    /// Whether a packet that came then is within its rate, in a room of so many ticks a second. The rate is of time, not
    /// of ticks run: a client that sends as it should floods nobody when ticks are late.
    pub fn may_send(&mut self, tick_rate: u32, arrived: Timestamp) -> bool {
        let per_second = PACKETS_PER_TICK.saturating_mul(tick_rate);
        self.allowance.packets.allows(Rate { per_second, burst: BURST_PACKETS }, arrived)
    }

    /// The same of frames. Messages in order cannot be dropped: more than is allowed ends the session.
    pub fn may_send_frame(&mut self, tick_rate: u32, arrived: Timestamp) -> bool {
        let is_allowed = self.allowance.frames.allows(frame_rate(tick_rate), arrived);
        if !is_allowed {
            self.ending.get_or_insert(DisconnectReason::Misbehaved);
        }
        is_allowed
    }

    /// Takes in a genuine payload.
    pub fn take(
        &mut self,
        payload: &[u8],
        room: Option<&mut (dyn AnyRoom + 'static)>,
        now: Timestamp,
    ) -> Result<Vec<Demand>, WireError> {
        let (sequence, reader) = self.connection.open(payload, now)?;
        let mut room = room.filter(|_| self.stage == Stage::Playing);
        while let Some(sequence) = self.connection.poll_acked() {
            if let Some(world) = room.as_mut().and_then(|room| room.world_mut()) {
                world.packet_acked(self.client, sequence);
            }
        }
        let demands = self.take_messages(room.as_deref_mut(), now)?;
        let body = self.read_body(reader, room, now);
        if body.is_ok() {
            self.connection.accept(sequence);
        }
        body.map(|()| demands)
    }

    /// Takes in a frame.
    pub fn take_frame(
        &mut self,
        frame: &[u8],
        room: Option<&mut (dyn AnyRoom + 'static)>,
        now: Timestamp,
    ) -> Result<Vec<Demand>, WireError> {
        self.connection.take_frame(frame, now)?;
        let room = room.filter(|_| self.stage == Stage::Playing);
        self.take_messages(room, now)
    }

    fn take_messages(
        &mut self,
        mut room: Option<&mut (dyn AnyRoom + 'static)>,
        now: Timestamp,
    ) -> Result<Vec<Demand>, WireError> {
        let mut demands = Vec::new();
        while let Some((channel, message)) = self.connection.receive() {
            match (&mut room, channel) {
                (_, SESSION_STREAM) => {
                    let unknown = WireError::Misbehaving("a message that no client sends");
                    let message = decode(&message).map_err(|_| unknown)?;
                    demands.extend(self.take_message(message, room.as_deref_mut(), now)?);
                }
                (Some(room), channel) => room.receive_message(self.client, channel, &message, now)?,
                // It is in no room, or in none any more.
                (None, _) => {}
            }
        }
        Ok(demands)
    }

    fn take_message(
        &mut self,
        message: ClientMessage,
        room: Option<&mut (dyn AnyRoom + 'static)>,
        now: Timestamp,
    ) -> Result<Option<Demand>, WireError> {
        let is_due = |last: Option<Timestamp>, pause| last.is_none_or(|at| now.since(at) >= pause);
        match (message, room) {
            (ClientMessage::Hello { schema }, None) => return Ok(Some(Demand::Hello(schema))),
            (ClientMessage::Hello { .. }, Some(_)) => {
                return Err(WireError::Misbehaving("a second hello"));
            }
            (ClientMessage::Resync, Some(room)) if is_due(self.allowance.resynced_at, RESYNC_PAUSE) => {
                self.allowance.resynced_at = Some(now);
                room.world_mut().into_iter().for_each(|world| world.resync(self.client));
            }
            (ClientMessage::Mismatch(report), Some(_))
                if is_due(self.allowance.reported_at, REPORT_PAUSE / 2) =>
            {
                self.allowance.reported_at = Some(now);
                return Ok(Some(Demand::Explain(report)));
            }
            (ClientMessage::Resync | ClientMessage::Mismatch(_), _) => {}
        }
        Ok(None)
    }

    fn read_body(
        &self,
        mut reader: BitReader<'_>,
        room: Option<&mut (dyn AnyRoom + 'static)>,
        now: Timestamp,
    ) -> Result<(), WireError> {
        match (Body::from_tag(reader.read(Body::BITS)?)?, room) {
            (Body::Empty, _) => reader.finish(),
            (Body::Commands, Some(room)) => room.receive_commands(self.client, reader, now),
            (Body::Commands, None) => Err(WireError::Stale("commands before the room")),
            (Body::Snapshot | Body::Farewell, _) => {
                Err(WireError::Misbehaving("a client sends no snapshots and no farewells"))
            }
        }
    }

    /// Counts against the client what it sent; too much of it ends the session.
    pub fn strike(&mut self, error: WireError, now: Timestamp) {
        let Allowance { strikes, forgiven_at, .. } = &mut self.allowance;
        let forgiven = now.since(*forgiven_at).as_nanos() / STRIKE_TIME.as_nanos();
        if forgiven > 0 {
            *strikes = strikes.saturating_sub(forgiven.min(u128::from(STRIKES)) as u32);
            *forgiven_at = now;
        }
        *strikes += match error {
            WireError::Stale(_) => 0,
            WireError::Malformed(_) | WireError::Incompatible(_) => 1,
            WireError::Misbehaving(_) => STRIKES,
        };
        if *strikes >= STRIKES {
            self.ending = Some(DisconnectReason::Misbehaved);
        }
    }

    /// Queues a message of the session's own. More than can wait ends the session.
    pub fn tell(&mut self, message: &ServerMessage) {
        self.send(SESSION_STREAM, encode(message));
    }

    /// Why it must end now, if it must.
    pub fn must_end(&self, now: Timestamp) -> Option<DisconnectReason> {
        match self.stage {
            Stage::Greeting { since } if now.since(since) >= HELLO_TIME => Some(DisconnectReason::NoHello),
            Stage::Ending { .. } => None,
            _ => self.ending,
        }
    }

    /// Begins to say farewell.
    pub fn begin_to_end(&mut self, farewell: Farewell, now: Timestamp) {
        self.stage = Stage::Ending { farewell, told: 0, next: now };
    }

    /// Writes the next farewell if it is due; `false` once it was said often enough.
    pub fn say_farewell(&mut self, writer: &mut BitWriter, now: Timestamp) -> bool {
        let Stage::Ending { farewell, told, next } = self.stage else { return true };
        writer.clear();
        if now < next {
            return true;
        }
        if told == FAREWELLS {
            return false;
        }
        self.write_farewell(farewell, writer, now);
        self.stage = Stage::Ending { farewell, told: told + 1, next: now + FAREWELL_PAUSE };
        true
    }

    /// Writes a packet with a farewell.
    pub fn write_farewell(&mut self, farewell: Farewell, writer: &mut BitWriter, now: Timestamp) {
        self.connection.begin(writer, now, Messages::None);
        writer.write(Body::Farewell as u32, Body::BITS);
        farewell.write(writer);
        self.connection.finish(writer, now);
    }
}

impl Outbox for Peer {
    fn waiting_bytes(&self) -> usize {
        self.connection.waiting_bytes()
    }

    /// More than can wait ends the session.
    fn send(&mut self, channel: Channel, message: Vec<u8>) {
        if self.connection.send(channel, message).is_err() {
            self.ending.get_or_insert(DisconnectReason::Overflow);
        }
    }
}

/// How often a client may send a frame, in a room of so many ticks a second.
fn frame_rate(tick_rate: u32) -> Rate {
    Rate { per_second: FRAMES_PER_TICK.saturating_mul(tick_rate), burst: BURST_FRAMES }
}

#[cfg(test)]
mod tests {
    use super::*;
    use truetick_netcode::limits::CHANNEL_QUEUE;

    #[test]
    fn line_48_more_messages_than_can_wait_end_the_session_with_a_reason() {
        let mut now = Timestamp::from_millis(5);
        let mut peer = Peer::new(ClientId(1), 0, (1, false), now);
        peer.stage = Stage::Playing;
        (0..CHANNEL_QUEUE).for_each(|_| peer.send(Channel::Reliable, vec![1]));
        assert_eq!(peer.must_end(now), None);
        peer.send(Channel::Reliable, vec![1]);
        assert_eq!(peer.must_end(now), Some(DisconnectReason::Overflow));
        let farewell = Farewell { reason: DisconnectReason::Overflow, schema: 3 };
        peer.begin_to_end(farewell, now);
        let (mut client, mut writer, mut heard) = (Connection::new(2, now), BitWriter::new(), 0);
        while peer.say_farewell(&mut writer, now) {
            now += FAREWELL_PAUSE / 2;
            if writer.bytes().is_empty() {
                continue;
            }
            let (_, mut reader) = client.open(writer.bytes(), now).unwrap();
            assert_eq!(reader.read(Body::BITS), Ok(Body::Farewell as u32));
            assert_eq!(Farewell::read(reader), Ok(farewell));
            heard += 1;
        }
        assert_eq!(heard, FAREWELLS);
    }

    #[test]
    fn more_frames_than_packets_could_hold_end_the_session() {
        let now = Timestamp::from_millis(5);
        let mut peer = Peer::new(ClientId(1), 0, (1, true), now);
        peer.stage = Stage::Playing;
        assert!((0..BURST_FRAMES).all(|_| peer.may_send_frame(60, now)));
        assert_eq!(peer.must_end(now), None);
        assert!(!peer.may_send_frame(60, now));
        assert_eq!(peer.must_end(now), Some(DisconnectReason::Misbehaved));
        let later = now + Duration::from_micros(16_667);
        assert!((0..FRAMES_PER_TICK).all(|_| peer.may_send_frame(60, later)));
    }

    #[test]
    fn a_client_that_sends_in_time_is_no_flood_however_late_its_packets_are_read() {
        for tick_rate in [10, 60, 128] {
            let mut peer = Peer::new(ClientId(1), 0, (1, false), Timestamp::from_millis(5));
            // Two packets a tick for ten seconds, all read after one stop, by when they came.
            let came =
                |i: u64| Timestamp::from_nanos(5_000_000 + i * 1_000_000_000 / u64::from(2 * tick_rate));
            assert!((0..20 * u64::from(tick_rate)).all(|i| peer.may_send(tick_rate, came(i))));
            // Three times as many are a flood, a third of which passes once the burst is used up.
            let mut peer = Peer::new(ClientId(1), 0, (1, false), Timestamp::from_millis(5));
            let passed =
                (0..60 * u64::from(tick_rate)).filter(|i| peer.may_send(tick_rate, came(i / 3))).count();
            let most = 20 * tick_rate as usize + BURST_PACKETS as usize;
            assert!((most - 8..=most).contains(&passed), "{passed} of {most}");
        }
    }

    #[test]
    fn strikes_are_forgiven_in_time() {
        let mut now = Timestamp::from_millis(5);
        let mut peer = Peer::new(ClientId(1), 0, (1, false), now);
        for _ in 0..STRIKES * 3 {
            peer.strike(WireError::Malformed("nonsense"), now);
            now += STRIKE_TIME;
        }
        assert_eq!(peer.ending, None);
        (0..STRIKES).for_each(|_| peer.strike(WireError::Malformed("nonsense"), now));
        assert_eq!(peer.ending, Some(DisconnectReason::Misbehaved));
    }
}
