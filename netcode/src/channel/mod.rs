//! Message channels: unreliable, reliable unordered, and four independent reliable ordered streams.
//!
//! ```text
//! per packet:  { 1, message } ... 0
//! message:     channel:3  [ id:16  sliced:1 [ slice:6 slices-1:6 ] ]  length:10  bytes
//! ```
//! The part in brackets exists on reliable channels only. The sender keeps a message until each of
//! its slices was in an acknowledged packet; the receiver delivers each message once.

mod receiver;
mod sender;
pub mod stream;

use std::collections::VecDeque;

use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;
use crate::limits::{DELIVERED_MESSAGES, MESSAGES_PER_PACKET, SLICE_BYTES, UNRELIABLE_QUEUE};
use crate::messages::SESSION_STREAM;
use crate::sequence::Sequence;
use crate::time::Timestamp;

use receiver::Receiver;
use sender::Sender;
pub use sender::{Overflow, PieceRef, SendWindow};

/// Number of ordered streams of a session.
pub const ORDERED_STREAMS: u8 = 4;

const RELIABLE_CHANNELS: usize = 1 + ORDERED_STREAMS as usize;
/// Number of all channels; the unreliable one has index 0.
const CHANNELS: usize = 1 + RELIABLE_CHANNELS;

/// Index of the sender of the session's own messages, which are always written first.
const SESSION: usize = 1;

const LENGTH_BITS: u32 = 10;
const SLICE_INDEX_BITS: u32 = 6;

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

    fn from_index(index: u32) -> Result<Self, WireError> {
        match index {
            0 => Ok(Self::Unreliable),
            1 => Ok(Self::Reliable),
            2..=5 => Ok(Self::Ordered(index as u8 - 2)),
            _ => Err(WireError::Malformed("unknown channel")),
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

/// A message, or one slice of it, as read from a packet.
#[derive(Debug)]
pub struct Incoming {
    channel: Channel,
    /// Id, slice index and number of slices; reliable channels only.
    piece: Option<(u16, usize, usize)>,
    bytes: Vec<u8>,
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
    pub fn wants_to_send(&self, now: Timestamp, window: SendWindow) -> bool {
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
    pub fn is_idle(&self) -> bool {
        self.senders.iter().all(Sender::is_empty)
    }

    /// Writes the due messages into a packet, at most `budget` bits including the closing flag.
    /// Adds the reliable pieces that the packet carries to `pieces`.
    pub fn write(
        &mut self,
        writer: &mut BitWriter,
        budget: usize,
        (now, window): (Timestamp, SendWindow),
        pieces: &mut Vec<PieceRef>,
    ) {
        if self.unreliable.is_empty() && self.is_idle() {
            return writer.write_flag(false);
        }
        let end = writer.bit_len() + budget - 1;
        let mut space = MESSAGES_PER_PACKET;
        let at = (now, window);
        self.senders[SESSION].write(writer, end, &mut space, at, (SESSION, pieces));
        self.turn = (self.turn + 1) % CHANNELS;
        let first = self.turn;
        for channel in (first..first + CHANNELS).map(|channel| channel % CHANNELS) {
            match channel.checked_sub(1) {
                None => self.write_unreliable(writer, end, &mut space),
                Some(SESSION) => {}
                Some(sender) => {
                    self.senders[sender].write(writer, end, &mut space, at, (sender, pieces))
                }
            }
        }
        writer.write_flag(false);
    }

    fn write_unreliable(&mut self, writer: &mut BitWriter, end: usize, space: &mut usize) {
        while let Some(bytes) = self.unreliable.front() {
            let bits = 1 + 3 + LENGTH_BITS as usize + bytes.len() * 8;
            if *space == 0 || writer.bit_len() + bits > end {
                break;
            }
            writer.write_flag(true);
            writer.write(0, 3);
            writer.write(bytes.len() as u32, LENGTH_BITS);
            writer.write_bytes(bytes);
            self.unreliable.pop_front();
            *space -= 1;
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
                Some((id, slice, slices)) => {
                    self.receivers[channel.index() - 1].take(id, (slice, slices), bytes)?;
                }
                None if self.delivered.len() >= DELIVERED_MESSAGES => {
                    return Err(WireError::Misbehaving("more messages than are taken"));
                }
                None => self.delivered.push_back(bytes),
            }
        }
        Ok(())
    }
}

/// Reads the messages of one packet without delivering them.
///
/// # Errors
/// [`WireError::Malformed`] if they are truncated, too many or too long, or name an unknown
/// channel.
pub fn read_messages(reader: &mut BitReader<'_>) -> Result<Vec<Incoming>, WireError> {
    let mut messages = Vec::new();
    while reader.read_flag()? {
        if messages.len() == MESSAGES_PER_PACKET {
            return Err(WireError::Malformed("too many messages in a packet"));
        }
        messages.push(read_message(reader)?);
    }
    Ok(messages)
}

fn read_message(reader: &mut BitReader<'_>) -> Result<Incoming, WireError> {
    let channel = Channel::from_index(reader.read(3)?)?;
    if channel == Channel::Unreliable {
        return Ok(Incoming {
            channel,
            piece: None,
            bytes: read_body(reader)?,
        });
    }
    let id = reader.read(16)? as u16;
    let (slice, slices) = match reader.read_flag()? {
        false => (0, 1),
        true => (
            reader.read(SLICE_INDEX_BITS)? as usize,
            reader.read(SLICE_INDEX_BITS)? as usize + 1,
        ),
    };
    Ok(Incoming {
        channel,
        piece: Some((id, slice, slices)),
        bytes: read_body(reader)?,
    })
}

fn read_body(reader: &mut BitReader<'_>) -> Result<Vec<u8>, WireError> {
    let length = reader.read(LENGTH_BITS)? as usize;
    if length > SLICE_BYTES {
        return Err(WireError::Malformed("message piece too long"));
    }
    reader.read_bytes(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CHANNEL_QUEUE_BYTES;
    use proptest::prelude::*;
    use std::time::Duration;

    const WINDOW: SendWindow = SendWindow {
        resend_after: Duration::from_millis(100),
    };

    fn deliver(to: &mut Channels, packet: &[u8]) -> Result<(), WireError> {
        to.take(read_messages(&mut BitReader::new(packet))?)
    }

    /// Sends all messages over a link where `fates` decides what happens to each packet; packets
    /// beyond `fates` are delivered. Returns the received messages in order.
    fn carry(messages: &[(Channel, Vec<u8>)], fates: &[u8]) -> Vec<(Channel, Vec<u8>)> {
        let (mut from, mut to) = (Channels::default(), Channels::default());
        for (channel, bytes) in messages {
            from.send(*channel, bytes.clone()).unwrap();
        }
        let (mut came, mut held) = (Vec::new(), None::<Vec<u8>>);
        for step in 0..4_000u64 {
            let (mut writer, mut pieces) = (BitWriter::new(), Vec::new());
            let now = Timestamp::from_millis(step * 20);
            from.write(&mut writer, 8_000, (now, WINDOW), &mut pieces);
            from.sent(&pieces, step, now);
            assert!(writer.bit_len() <= 8_000);
            writer.pad_to_byte();
            let mut packet = Some(writer.bytes().to_vec());
            match fates.get(step as usize).copied().unwrap_or(0) % 4 {
                1 => {
                    from.lost(&pieces, step);
                    continue;
                }
                2 => std::mem::swap(&mut packet, &mut held),
                3 => deliver(&mut to, packet.as_ref().unwrap()).unwrap(),
                _ => {}
            }
            for bytes in packet.iter().chain(held.take().iter()) {
                deliver(&mut to, bytes).unwrap();
            }
            from.acked(&pieces);
            came.extend(std::iter::from_fn(|| to.receive()));
            if from.is_idle() && !from.wants_to_send(now, WINDOW) {
                break;
            }
        }
        assert!(from.is_idle(), "something reliable never arrived");
        came
    }

    fn on(channel: Channel, messages: &[(Channel, Vec<u8>)]) -> Vec<Vec<u8>> {
        messages
            .iter()
            .filter(|(c, _)| *c == channel)
            .map(|(_, b)| b.clone())
            .collect()
    }

    fn message() -> impl Strategy<Value = (Channel, Vec<u8>)> {
        let channel = prop_oneof![Just(Channel::Reliable), (0u8..4).prop_map(Channel::Ordered)];
        (channel, 0usize..3_000, any::<u8>())
            .prop_map(|(c, n, b)| (c, (0..n).map(|i| b ^ i as u8).collect()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn exactly_once_and_in_order(
            messages in proptest::collection::vec(message(), 1..80),
            fates in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let came = carry(&messages, &fates);
            for stream in 0..ORDERED_STREAMS {
                prop_assert_eq!(on(Channel::Ordered(stream), &came), on(Channel::Ordered(stream), &messages));
            }
            let (mut sent, mut got) = (on(Channel::Reliable, &messages), on(Channel::Reliable, &came));
            sent.sort();
            got.sort();
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn random_bytes_never_panic(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..40)) {
            let mut channels = Channels::default();
            for packet in packets {
                let _ = deliver(&mut channels, &packet);
            }
        }
    }

    #[test]
    fn streams_do_not_wait_for_each_other() {
        let (mut from, mut to) = (Channels::default(), Channels::default());
        let send = |from: &mut Channels, to: &mut Channels, lose: bool| {
            let (mut writer, mut pieces) = (BitWriter::new(), Vec::new());
            from.write(
                &mut writer,
                8_000,
                (Timestamp::default(), WINDOW),
                &mut pieces,
            );
            from.sent(&pieces, 0, Timestamp::default());
            writer.pad_to_byte();
            if !lose {
                deliver(to, writer.bytes()).unwrap();
            }
        };
        from.send(Channel::Ordered(0), b"lost".to_vec()).unwrap();
        send(&mut from, &mut to, true);
        from.send(Channel::Ordered(0), b"waits".to_vec()).unwrap();
        from.send(Channel::Ordered(1), b"goes on".to_vec()).unwrap();
        send(&mut from, &mut to, false);
        assert_eq!(
            to.receive(),
            Some((Channel::Ordered(1), b"goes on".to_vec()))
        );
        assert_eq!(to.receive(), None);
    }

    #[test]
    fn a_packet_with_one_bad_message_delivers_none() {
        let mut writer = BitWriter::new();
        for channel in [1, 7] {
            writer.write_flag(true);
            writer.write(channel, 3);
            writer.write(0, 16 + 1);
            writer.write(0, LENGTH_BITS);
        }
        writer.write_flag(false);
        writer.pad_to_byte();
        let mut channels = Channels::default();
        assert!(deliver(&mut channels, writer.bytes()).is_err());
        assert_eq!(channels.receive(), None);
    }

    #[test]
    fn no_channel_starves_another() {
        let mut channels = Channels::default();
        let (mut writer, mut pieces) = (BitWriter::new(), Vec::new());
        channels.send(Channel::Ordered(3), vec![3; 400]).unwrap();
        for packet in 0..12 {
            channels.send(Channel::Unreliable, vec![0; 500]).unwrap();
            writer.clear();
            channels.write(
                &mut writer,
                560 * 8,
                (Timestamp::default(), WINDOW),
                &mut pieces,
            );
            channels.sent(&pieces, packet, Timestamp::default());
        }
        assert!(!pieces.is_empty());
    }

    #[test]
    fn line_48_a_full_queue_says_so() {
        let mut channels = Channels::default();
        let fit = CHANNEL_QUEUE_BYTES / sender::cost(1);
        assert!(fit > 10 * 60 * 20, "10 messages a tick for 20 s at 60 Hz");
        for _ in 0..fit {
            assert_eq!(channels.send(Channel::Ordered(0), vec![1]), Ok(()));
        }
        assert_eq!(
            channels.send(Channel::Ordered(0), vec![1]),
            Err(Overflow::QueueFull)
        );
        let too_large = vec![0; crate::limits::MESSAGE_BYTES + 1];
        assert_eq!(
            channels.send(Channel::Reliable, too_large),
            Err(Overflow::MessageTooLarge)
        );
    }
}
