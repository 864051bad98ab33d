//! Message channels: unreliable, reliable unordered, and four independent reliable ordered streams.
//!
//! The sender keeps a message until each of
//! its slices was in an acknowledged packet; the receiver delivers each message once.

mod receiver;
mod sender;
pub mod stream;
mod wire;

use std::collections::VecDeque;

use crate::bits::BitWriter;
use crate::error::WireError;
use crate::limits::{DELIVERED_MESSAGES, SLICE_BYTES, UNRELIABLE_QUEUE};
use crate::messages::SESSION_STREAM;
use crate::sequence::Sequence;
use crate::time::Timestamp;

use receiver::Receiver;
use sender::Sender;
pub use sender::{Overflow, PieceRef, SendWindow};
use wire::PacketSpace;
pub use wire::{Incoming, read_messages};

/// Number of ordered streams of a session.
pub const ORDERED_STREAMS: u8 = 4;

const RELIABLE_CHANNELS: usize = 1 + ORDERED_STREAMS as usize;
/// Number of all channels; the unreliable one has index 0.
const CHANNELS: usize = 1 + RELIABLE_CHANNELS;

/// Index of the sender of the session's own messages, which are always written first.
const SESSION: usize = 1;

/// The delivery guarantee of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// At most once, in any order; lost with its packet. At most [`SLICE_BYTES`] bytes.
    Unreliable,
    /// Exactly once, in any order. At most [`crate::limits::MESSAGE_BYTES`] bytes.
    Reliable,
    /// Exactly once and in order within the stream, 0 to [`ORDERED_STREAMS`] - 1. Streams do not
    /// wait for each other. At most [`crate::limits::MESSAGE_BYTES`] bytes.
    Ordered(u8),
}

impl Channel {
    fn index(self) -> usize {
        match self {
            Self::Unreliable => 0,
            Self::Reliable => 1,
            Self::Ordered(stream) => {
                assert!(
                    stream < ORDERED_STREAMS,
                    "ordered stream {stream} of {ORDERED_STREAMS}"
                );
                2 + usize::from(stream)
            }
        }
    }
}

/// All channels of one side of a session.
#[derive(Debug)]
pub struct Channels {
    unreliable: VecDeque<Vec<u8>>,
    senders: [Sender; RELIABLE_CHANNELS],
    receivers: [Receiver; RELIABLE_CHANNELS],
    /// Unreliable messages that were received and not yet taken.
    delivered: VecDeque<Vec<u8>>,
    /// The channel that goes first in the next packet; it rotates so that none starves the others.
    turn: usize,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            unreliable: VecDeque::new(),
            senders: std::array::from_fn(|_| Sender::default()),
            receivers: std::array::from_fn(|i| Receiver::new(i > 0)),
            delivered: VecDeque::new(),
            turn: 0,
        }
    }
}

impl Channels {
    /// Queues a message for sending. An unreliable message displaces the oldest if its queue is
    /// full.
    ///
    /// # Errors
    /// [`Overflow::MessageTooLarge`] is the caller's error and changes nothing. After
    /// [`Overflow::QueueFull`] the session must end: a reliable message that was not queued cannot
    /// be delivered.
    ///
    /// # Panics
    /// If `channel` is an ordered stream that does not exist.
    pub fn send(&mut self, channel: Channel, bytes: Vec<u8>) -> Result<(), Overflow> {
        match channel.index() {
            0 => self.send_unreliable(bytes),
            index => self.senders[index - 1].send(bytes),
        }
    }

    fn send_unreliable(&mut self, bytes: Vec<u8>) -> Result<(), Overflow> {
        if bytes.len() > SLICE_BYTES {
            return Err(Overflow::MessageTooLarge);
        }
        if self.unreliable.len() == UNRELIABLE_QUEUE {
            self.unreliable.pop_front();
        }
        self.unreliable.push_back(bytes);
        Ok(())
    }

    /// Returns the next received message, in the order its channel guarantees; the session's own
    /// messages come first.
    pub fn receive(&mut self) -> Option<(Channel, Vec<u8>)> {
        if let Some(bytes) = self.receivers[SESSION].pop() {
            return Some((SESSION_STREAM, bytes));
        }
        if let Some(bytes) = self.delivered.pop_front() {
            return Some((Channel::Unreliable, bytes));
        }
        let channels =
            std::iter::once(Channel::Reliable).chain((1..ORDERED_STREAMS).map(Channel::Ordered));
        channels
            .zip([0, 2, 3, 4])
            .find_map(|(channel, at)| Some((channel, self.receivers[at].pop()?)))
    }

    /// Returns whether any message is due for a packet now.
    pub(crate) fn wants_to_send(&self, now: Timestamp, window: SendWindow) -> bool {
        !self.unreliable.is_empty() || self.senders.iter().any(|sender| sender.is_due(now, window))
    }

    /// Returns the bytes of messages that packets would carry now if they had space for all.
    pub fn due_bytes(&self, now: Timestamp, window: SendWindow) -> usize {
        let unreliable: usize = self.unreliable.iter().map(Vec::len).sum();
        unreliable
            + self
                .senders
                .iter()
                .map(|sender| sender.due_bytes(now, window))
                .sum::<usize>()
    }

    /// Returns the number of a channel's messages that wait to be sent or acknowledged.
    ///
    /// # Panics
    /// If `channel` is an ordered stream that does not exist.
    pub fn waiting(&self, channel: Channel) -> usize {
        match channel.index() {
            0 => self.unreliable.len(),
            index => self.senders[index - 1].waiting(),
        }
    }

    /// Returns the bytes of all messages that wait to be sent or acknowledged.
    pub fn waiting_bytes(&self) -> usize {
        let unreliable: usize = self.unreliable.iter().map(Vec::len).sum();
        unreliable
            + self
                .senders
                .iter()
                .map(Sender::waiting_bytes)
                .sum::<usize>()
    }

    /// Returns whether every reliable message was acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        self.senders.iter().all(Sender::is_empty)
    }

    /// Writes the due messages into a packet, at most `budget` bits including the closing flag.
    /// Adds the reliable pieces that the packet carries to `pieces`.
    pub fn write(
        &mut self,
        writer: &mut BitWriter,
        budget: usize,
        now: Timestamp,
        window: SendWindow,
        pieces: &mut Vec<PieceRef>,
    ) {
        if self.unreliable.is_empty() && self.is_idle() {
            return writer.write_flag(false);
        }
        let mut space = PacketSpace::new(writer, budget);
        self.senders[SESSION].write(&mut space, now, window, SESSION, pieces);
        self.turn = (self.turn + 1) % CHANNELS;
        let first = self.turn;
        for channel in (first..first + CHANNELS).map(|channel| channel % CHANNELS) {
            match channel.checked_sub(1) {
                None => self.write_unreliable(&mut space),
                Some(SESSION) => {}
                Some(sender) => self.senders[sender].write(&mut space, now, window, sender, pieces),
            }
        }
        space.close();
    }

    fn write_unreliable(&mut self, space: &mut PacketSpace<'_>) {
        while let Some(bytes) = self.unreliable.front()
            && space.write_unreliable(bytes)
        {
            self.unreliable.pop_front();
        }
    }

    /// Records that the pieces written last were sent in packet `sequence`.
    pub fn sent(&mut self, pieces: &[PieceRef], sequence: Sequence, now: Timestamp) {
        for piece in pieces {
            self.senders[piece.channel].sent(*piece, sequence, now);
        }
    }

    /// Records that the packet with these pieces was acknowledged.
    pub fn acked(&mut self, pieces: &[PieceRef]) {
        for piece in pieces {
            self.senders[piece.channel].acked(*piece);
        }
    }

    /// Records that the packet with these pieces, `sequence`, counts as lost.
    pub fn lost(&mut self, pieces: &[PieceRef], sequence: Sequence) {
        for piece in pieces {
            self.senders[piece.channel].lost(*piece, sequence);
        }
    }

    /// Delivers the messages of a packet, which [`read_messages`] read.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if the slices of a message are inconsistent,
    /// [`WireError::Misbehaving`] if the messages exceed a limit of their channel.
    pub fn take(&mut self, messages: Vec<Incoming>) -> Result<(), WireError> {
        for Incoming {
            channel,
            piece,
            bytes,
        } in messages
        {
            match piece {
                Some((id, slice)) => self.receivers[channel.index() - 1].take(id, slice, bytes)?,
                None if self.delivered.len() >= DELIVERED_MESSAGES => {
                    return Err(WireError::Misbehaving("more messages than are taken"));
                }
                None => self.delivered.push_back(bytes),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
