//! One client's session as the rooms see it: its rate limits, its pending messages and its end.
//!
//! ```text
//! AwaitingHello -- hello, of the room's schema --> Active -- session ends --> Closing --> closed
//!      \______ another schema, room full, no hello in time ... __________________/
//! ```

mod inbound;
#[cfg(test)]
mod tests;

use truetick_netcode::bits::BitWriter;
use truetick_netcode::channel::{Channel, Overflow};
use truetick_netcode::congestion::Congestion;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::disconnect::{DisconnectNotice, DisconnectReason};
use truetick_netcode::error::WireError;
use truetick_netcode::limits::{
    ACK_WINDOW, DISCONNECT_COPIES, DISCONNECT_COPY_INTERVAL, HELLO_TIME, MESSAGE_BYTES_PER_PACKET,
    MESSAGES_PER_PACKET, PACKETS_PER_TICK, PAYLOAD_BYTES, SESSION_FRAME_BYTES,
    STATE_BYTES_BESIDE_MESSAGES, STRIKE_TIME, STRIKES,
};
use truetick_netcode::messages::{Body, MismatchReport, SESSION_STREAM, ServerMessage, encode};
use truetick_netcode::session::ClientId;
use truetick_netcode::session::rate::{Rate, TokenBucket};
use truetick_netcode::time::Timestamp;

use super::room::Outbox;

/// Burst of packets that a client may send beyond its average rate.
const BURST_PACKETS: u32 = 32 * PACKETS_PER_TICK;

/// Frames per tick that a client may send: as many messages as its packets could hold.
const FRAMES_PER_TICK: u32 = PACKETS_PER_TICK * MESSAGES_PER_PACKET as u32;

/// Burst of frames that a client may send beyond its average rate.
const BURST_FRAMES: u32 = 32 * FRAMES_PER_TICK;

/// Rate of frame bytes that a client may send.
const FRAME_BYTES: Rate = Rate {
    per_second: SESSION_FRAME_BYTES.0,
    burst: SESSION_FRAME_BYTES.1,
};

/// State of a client's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// The client has not sent its hello.
    AwaitingHello {
        /// Time at which the session began.
        since: Timestamp,
    },
    /// The client is active in its room.
    Active,
    /// The session is over, and disconnect notices are being sent.
    Closing {
        /// The notice that is sent, with the reason of the end.
        disconnect: DisconnectNotice,
        /// Number of notices sent so far.
        told: u32,
        /// Time of the next notice, or of the close.
        next: Timestamp,
    },
}

/// The budget of a tick, divided between state and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BudgetShare {
    /// Bytes that the snapshot may take.
    pub state: usize,
    /// Whether a packet of messages follows the snapshot.
    pub message_packet: bool,
}

/// A request in a client's packet that the server handles, not the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRequest {
    /// The client's hello, with the hash of its schema.
    Hello(u64),
    /// The client decoded another state than the server sent.
    Explain(MismatchReport),
}

/// One client's session as the rooms see it: its state, connection and rate limits.
#[derive(Debug)]
pub struct Peer {
    /// Number of the client.
    pub client: ClientId,
    /// Number of the room.
    pub room: usize,
    /// State of the session.
    pub stage: PeerState,
    /// Whether the client is connected. A parked session is kept, but nothing is sent to it.
    pub live: bool,
    /// The connection: packets, acknowledgements and channels.
    pub connection: Connection,
    /// Congestion control of the client's path; `None` until the client is in its room.
    pub congestion: Option<Congestion>,
    /// Time at which the next ticket is due.
    pub ticket_due: Timestamp,
    /// Why the session must end at the next tick; `None` if it continues.
    pub ending: Option<DisconnectReason>,
    /// Messages of the room that were too large for their channel and were dropped.
    pub oversized: u64,
    allowance: Allowance,
}

/// What a client may still send. It belongs to the session: a client that takes the session over
/// inherits what is left.
#[derive(Clone, Debug)]
struct Allowance {
    /// Limits the packets of the client.
    packets: TokenBucket,
    /// Limits the frames of the client.
    frames: TokenBucket,
    /// Limits the bytes of the client's frames.
    frame_bytes: TokenBucket,
    strikes: u32,
    forgiven_at: Timestamp,
    resynced_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
}

impl Peer {
    /// Creates a peer that awaits its hello. `seed` is the seed of its connection; messages travel
    /// in frames if the transport is `secured`.
    pub fn new(client: ClientId, room: usize, seed: u64, secured: bool, now: Timestamp) -> Self {
        Self {
            client,
            room,
            stage: PeerState::AwaitingHello { since: now },
            live: true,
            connection: match secured {
                true => Connection::with_frames(seed, now),
                false => Connection::new(seed, now),
            },
            congestion: None,
            ticket_due: now,
            ending: None,
            allowance: Allowance {
                packets: TokenBucket::default(),
                frames: TokenBucket::default(),
                frame_bytes: TokenBucket::default(),
                strikes: 0,
                forgiven_at: now,
                resynced_at: None,
                reported_at: None,
            },
            oversized: 0,
        }
    }

    /// Creates the peer for another client of the same user that takes the session over. It
    /// inherits the rate limits as they stand.
    pub fn successor(&self, seed: u64, secured: bool, tick_rate: u32, now: Timestamp) -> Self {
        let mut allowance = self.allowance.clone();
        // Too many frames end a session; the successor must at least be able to send its hello.
        allowance
            .frames
            .leave_room_for(FRAMES_PER_TICK, frame_rate(tick_rate), now);
        allowance
            .frame_bytes
            .leave_room_for(PAYLOAD_BYTES as u32, FRAME_BYTES, now);
        Self {
            allowance,
            ..Self::new(self.client, self.room, seed, secured, now)
        }
    }

    /// Whether the client is active in its room.
    pub fn is_playing(&self) -> bool {
        self.stage == PeerState::Active
    }

    /// Bytes that the next snapshot may take. `None` if the path cannot carry one in this tick.
    /// `late_since` is the time at which the server fell behind its ticks, if it did.
    pub fn snapshot_budget(
        &mut self,
        late_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<usize> {
        self.congestion
            .as_mut()?
            .budget(self.connection.path(), late_since, now)
    }

    /// Whether a packet that arrived at this time is within the rate of a room with `tick_rate`
    /// ticks per second. The rate counts time, not ticks that ran, so that late ticks do not make a
    /// correct client a flood.
    pub fn may_send(&mut self, tick_rate: u32, arrived: Timestamp) -> bool {
        let per_second = PACKETS_PER_TICK.saturating_mul(tick_rate);
        self.allowance.packets.allows(
            Rate {
                per_second,
                burst: BURST_PACKETS,
            },
            arrived,
        )
    }

    /// Whether a frame of `bytes` bytes that arrived at this time is within the rates of frames and
    /// of their bytes. Ordered messages cannot be dropped, so a frame over the limit ends the
    /// session.
    pub(crate) fn may_send_frame(
        &mut self,
        bytes: usize,
        tick_rate: u32,
        arrived: Timestamp,
    ) -> bool {
        let Allowance {
            frames,
            frame_bytes,
            ..
        } = &mut self.allowance;
        let is_allowed = frames.allows(frame_rate(tick_rate), arrived)
            && frame_bytes.allows_worth(bytes as u32, FRAME_BYTES, arrived);
        if !is_allowed {
            self.ending.get_or_insert(DisconnectReason::Misbehaved);
        }
        is_allowed
    }

    /// Continues the session over another transport connection, on which the client repeats what
    /// was in flight.
    pub fn resumed(&mut self) {
        self.allowance.frame_bytes = TokenBucket::default();
        self.connection.begin_stream_again();
    }

    /// Divides the bytes of a tick between state and, if the messages that are due do not fit
    /// beside it, a packet of messages.
    pub(crate) fn share_budget(&self, budget: usize, now: Timestamp) -> BudgetShare {
        let state = budget.saturating_sub(PAYLOAD_BYTES);
        let has_room = state >= STATE_BYTES_BESIDE_MESSAGES
            && (self.connection.in_flight() as u64) < 3 * ACK_WINDOW;
        let message_packet = has_room && self.connection.due_bytes(now) > MESSAGE_BYTES_PER_PACKET;
        BudgetShare {
            state: if message_packet { state } else { budget },
            message_packet,
        }
    }

    /// Counts a strike against the client for invalid input. Too many strikes end the session.
    pub fn strike(&mut self, error: WireError, now: Timestamp) {
        let Allowance {
            strikes,
            forgiven_at,
            ..
        } = &mut self.allowance;
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

    /// Queues a message of the session stream. A full queue ends the session.
    pub fn tell(&mut self, message: &ServerMessage) {
        self.send(SESSION_STREAM, encode(message));
    }

    /// Why the session must end now; `None` if it continues.
    pub(crate) fn must_end(&self, now: Timestamp) -> Option<DisconnectReason> {
        match self.stage {
            PeerState::AwaitingHello { since } if now.since(since) >= HELLO_TIME => {
                Some(DisconnectReason::NoHello)
            }
            PeerState::Closing { .. } => None,
            _ => self.ending,
        }
    }

    /// Begins to send disconnect notices.
    pub(crate) fn begin_to_end(&mut self, disconnect: DisconnectNotice, now: Timestamp) {
        self.stage = PeerState::Closing {
            disconnect,
            told: 0,
            next: now,
        };
    }

    /// Writes the next disconnect notice if it is due. Returns `false` once [`DISCONNECT_COPIES`]
    /// were sent.
    pub(crate) fn send_disconnect(&mut self, writer: &mut BitWriter, now: Timestamp) -> bool {
        let PeerState::Closing {
            disconnect,
            told,
            next,
        } = self.stage
        else {
            return true;
        };
        writer.clear();
        if now < next {
            return true;
        }
        if told == DISCONNECT_COPIES {
            return false;
        }
        self.write_disconnect(disconnect, writer, now);
        self.stage = PeerState::Closing {
            disconnect,
            told: told + 1,
            next: now + DISCONNECT_COPY_INTERVAL,
        };
        true
    }

    /// Writes a packet with a disconnect notice.
    pub(crate) fn write_disconnect(
        &mut self,
        disconnect: DisconnectNotice,
        writer: &mut BitWriter,
        now: Timestamp,
    ) {
        self.connection.begin(writer, now, Messages::None);
        writer.write(Body::DisconnectNotice as u32, Body::BITS);
        disconnect.write(writer);
        self.connection.finish(writer, now);
    }
}

impl Outbox for Peer {
    fn waiting_bytes(&self) -> usize {
        self.connection.waiting_bytes()
    }

    /// A full queue ends the session. A message that is too large is the room's error; it is
    /// dropped and counted.
    fn send(&mut self, channel: Channel, message: Vec<u8>) {
        match self.connection.send(channel, message) {
            Ok(()) => {}
            Err(Overflow::QueueFull) => {
                self.ending.get_or_insert(DisconnectReason::Overflow);
            }
            Err(Overflow::MessageTooLarge) => self.oversized += 1,
        }
    }
}

/// Rate of frames that a client may send in a room with `tick_rate` ticks per second.
fn frame_rate(tick_rate: u32) -> Rate {
    Rate {
        per_second: FRAMES_PER_TICK.saturating_mul(tick_rate),
        burst: BURST_FRAMES,
    }
}
