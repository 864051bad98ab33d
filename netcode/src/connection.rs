//! One side of a session's packets: numbering, acknowledgement, messages and round trip.
//!
//! Sans-IO: time and bytes are arguments and effects are polled.
//!
//! ```text
//! sending:    begin (header, messages) -> caller writes state -> finish (record) -> session seals
//! receiving:  open (repeat?, fates, messages) -> caller reads state -> accept (acknowledge)
//! ```
//! A packet that was opened but whose state could not be applied is never accepted, so the sender
//! does not build on it. A connection holds no address: when its session is resumed, it continues
//! as after an outage.

mod fates;

use std::collections::VecDeque;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::bits::{BitReader, BitWriter};
use crate::channel::stream::MessageStream;
use crate::channel::{Channel, Channels, Overflow, PieceRef, SendWindow, read_messages};
use crate::congestion::PathState;
use crate::error::WireError;
use crate::limits::{
    ACK_DELAY, ACK_WINDOW, BESIDE_MESSAGES, MESSAGE_BYTES_PER_PACKET, PAYLOAD_BYTES, SKIP_ONE_IN,
};
use crate::packet::{Acks, PayloadHeader};
use crate::rtt::RttEstimator;
use crate::sequence::{ReceiveWindow, Sequence};
use crate::time::Timestamp;

#[derive(Debug)]
struct Sent {
    sequence: Sequence,
    at: Timestamp,
    bytes: u32,
    lost: bool,
    pieces: Vec<PieceRef>,
}

/// Packet and byte counts of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Payload packets sent.
    pub packets_out: u64,
    /// Bytes of the payloads sent, without the session's own overhead.
    pub bytes_out: u64,
    /// Payload packets received that were neither repeated nor too old.
    pub packets_in: u64,
    /// Bytes of the payloads counted in `packets_in`.
    pub bytes_in: u64,
}

/// How much of a packet its messages may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// The packet carries no messages.
    None,
    /// At most [`MESSAGE_BYTES_PER_PACKET`] bytes, about half a packet, because state follows.
    BesideState,
    /// The whole packet except [`BESIDE_MESSAGES`] bytes, because no state follows.
    Alone,
}

/// One side of an open session: its packets' numbers, acknowledgements, messages and round trip.
#[derive(Debug)]
pub struct Connection {
    next: Sequence,
    /// Sequence numbers that were skipped. A peer that acknowledges one acknowledges a packet that
    /// it never received.
    skipped: VecDeque<Sequence>,
    rng: Xoshiro256PlusPlus,
    /// Packets whose fate is unknown, oldest first.
    sent: VecDeque<Sent>,
    window: ReceiveWindow,
    newest_at: Timestamp,
    sent_at: Timestamp,
    /// A packet was accepted since the last one was sent.
    owes_ack: bool,
    rtt: RttEstimator,
    channels: Channels,
    /// Carries the reliable messages if the transport has frames.
    stream: Option<Box<MessageStream>>,
    /// Largest payload of a packet, in bytes.
    max_payload: usize,
    /// Acknowledged packets that the caller has not polled. They come from one received packet at
    /// most.
    acked: VecDeque<Sequence>,
    building: Vec<PieceRef>,
    traffic: Traffic,
}

impl Connection {
    /// Creates the connection of a session that opened at `now`. `seed` determines which sequence
    /// numbers are skipped; the peer should not be able to guess it.
    pub fn new(seed: u64, now: Timestamp) -> Self {
        Self {
            next: 0,
            skipped: VecDeque::new(),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            sent: VecDeque::new(),
            window: ReceiveWindow::default(),
            newest_at: now,
            sent_at: now,
            owes_ack: false,
            rtt: RttEstimator::default(),
            channels: Channels::default(),
            stream: None,
            max_payload: PAYLOAD_BYTES,
            acked: VecDeque::new(),
            building: Vec::new(),
            traffic: Traffic::default(),
        }
    }

    /// Creates the connection of a session that opened at `now` on a transport with frames, which
    /// carry its reliable messages. `seed` determines which sequence numbers are skipped.
    pub fn with_frames(seed: u64, now: Timestamp) -> Self {
        Self {
            stream: Some(Box::default()),
            ..Self::new(seed, now)
        }
    }

    /// Returns the largest payload of a packet, in bytes. The default is [`PAYLOAD_BYTES`].
    pub fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// Sets the largest payload of the packets from now on, in bytes.
    pub fn set_max_payload(&mut self, bytes: usize) {
        self.max_payload = bytes;
    }

    /// Returns the estimates of round trip and loss.
    pub fn rtt(&self) -> &RttEstimator {
        &self.rtt
    }

    /// Returns what congestion control needs to know of the path to the peer.
    pub fn path(&self) -> PathState {
        PathState {
            round_trip: self.rtt.latest(),
            sent: self.traffic.bytes_out,
            fates: self.rtt.fates(),
            loss: self.rtt.loss(),
        }
    }

    /// Returns the packet and byte counts so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Returns the number of sent packets that are neither acknowledged nor forgotten, at most four
    /// times [`ACK_WINDOW`].
    pub fn in_flight(&self) -> usize {
        self.sent.len()
    }

    /// Returns the number of a channel's messages that wait to be sent or acknowledged.
    ///
    /// # Panics
    /// If `channel` is an ordered stream that does not exist.
    pub fn waiting(&self, channel: Channel) -> usize {
        match &self.stream {
            Some(stream) if channel != Channel::Unreliable => stream.waiting(channel),
            _ => self.channels.waiting(channel),
        }
    }

    /// Returns the bytes of all messages that wait to be sent or acknowledged.
    pub fn waiting_bytes(&self) -> usize {
        self.channels.waiting_bytes()
            + self
                .stream
                .as_ref()
                .map_or(0, |stream| stream.waiting_bytes())
    }

    /// Queues a message for sending; see [`Channels::send`].
    ///
    /// # Errors
    /// [`Overflow`] if the message is too large or its queue is full.
    ///
    /// # Panics
    /// If `channel` is an ordered stream that does not exist.
    pub fn send(&mut self, channel: Channel, bytes: Vec<u8>) -> Result<(), Overflow> {
        match &mut self.stream {
            Some(stream) if channel != Channel::Unreliable => stream.send(channel, bytes),
            _ => self.channels.send(channel, bytes),
        }
    }

    /// Returns the next message from the peer.
    pub fn receive(&mut self) -> Option<(Channel, Vec<u8>)> {
        self.channels
            .receive()
            .or_else(|| self.stream.as_mut()?.receive())
    }

    /// Returns the next frame to send now; always `None` on a transport without frames.
    pub fn poll_frame(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        self.stream.as_mut()?.poll(now)
    }

    /// Processes a received frame.
    ///
    /// # Errors
    /// [`WireError::Misbehaving`] if the transport has no frames; otherwise the errors of
    /// [`MessageStream::take`].
    pub fn take_frame(&mut self, frame: &[u8], now: Timestamp) -> Result<(), WireError> {
        self.stream
            .as_mut()
            .ok_or(WireError::Misbehaving("a frame where there are none"))?
            .take(frame, now)
    }

    /// Restarts the frames, because the session continues on another connection of the transport.
    pub fn begin_stream_again(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.begin_again();
        }
    }

    /// Returns the next of our packets that the peer accepted. Poll it after each [`Self::open`],
    /// which discards the previous results.
    pub fn poll_acked(&mut self) -> Option<Sequence> {
        self.acked.pop_front()
    }

    /// Returns whether a packet should be sent even without state: messages are due, or an
    /// acknowledgement has waited for [`ACK_DELAY`].
    pub fn wants_packet(&self, now: Timestamp) -> bool {
        (self.owes_ack && now.since(self.sent_at) >= ACK_DELAY)
            || self.channels.wants_to_send(now, self.send_window())
    }

    /// Returns the bytes of messages that packets would carry now if they had space for all.
    pub fn due_bytes(&self, now: Timestamp) -> usize {
        self.channels.due_bytes(now, self.send_window())
    }

    fn send_window(&self) -> SendWindow {
        SendWindow {
            resend_after: self.rtt.resend_after(),
        }
    }

    /// Starts the next packet in `writer` with the header and the due messages; returns its
    /// sequence number.
    ///
    /// The caller appends its state, up to [`Self::max_payload`] in all, and must then call
    /// [`Self::finish`]. If one state takes several packets, the first carries the messages.
    pub fn begin(
        &mut self,
        writer: &mut BitWriter,
        now: Timestamp,
        messages: Messages,
    ) -> Sequence {
        let acks = Acks::of(&self.window, self.newest_at, now);
        writer.clear();
        PayloadHeader {
            sequence: self.next,
            acks,
        }
        .write(writer);
        self.building.clear();
        let window = self.send_window();
        let bits = match messages {
            Messages::None => 1,
            Messages::BesideState => MESSAGE_BYTES_PER_PACKET * 8,
            Messages::Alone => (self.max_payload - BESIDE_MESSAGES) * 8,
        };
        self.channels
            .write(writer, bits, now, window, &mut self.building);
        self.next
    }

    /// Completes the packet that [`Self::begin`] started and records it as sent.
    pub fn finish(&mut self, writer: &mut BitWriter, now: Timestamp) {
        writer.pad_to_byte();
        self.channels.sent(&self.building, self.next, now);
        let pieces = std::mem::take(&mut self.building);
        let bytes = writer.bytes().len() as u32;
        self.sent.push_back(Sent {
            sequence: self.next,
            at: now,
            bytes,
            lost: false,
            pieces,
        });
        self.next += 1;
        self.skip_now_and_then();
        self.sent_at = now;
        self.owes_ack = false;
        self.traffic.packets_out += 1;
        self.traffic.bytes_out += u64::from(bytes);
        self.forget_ancient();
    }

    fn skip_now_and_then(&mut self) {
        while self
            .skipped
            .front()
            .is_some_and(|skipped| skipped + ACK_WINDOW * 4 < self.next)
        {
            self.skipped.pop_front();
        }
        if self.rng.next_u64().is_multiple_of(SKIP_ONE_IN) {
            self.skipped.push_back(self.next);
            self.next += 1;
        }
    }

    /// Opens a genuine payload: checks its header, records the fates of our packets and takes its
    /// messages. Returns its sequence number and a reader positioned at the caller's state.
    ///
    /// # Errors
    /// [`WireError::Stale`] if the packet is repeated or too old; [`WireError::Misbehaving`] if it
    /// acknowledges a packet that was never sent or exceeds a limit of the channels;
    /// [`WireError::Malformed`] if its bytes violate the format.
    pub fn open<'a>(
        &mut self,
        payload: &'a [u8],
        now: Timestamp,
    ) -> Result<(Sequence, BitReader<'a>), WireError> {
        let mut reader = BitReader::new(payload);
        let header = PayloadHeader::read(&mut reader, self.window.next(), self.next)?;
        if !self.window.is_fresh(header.sequence) {
            return Err(WireError::Stale("repeated or too old"));
        }
        if self
            .skipped
            .iter()
            .any(|skipped| header.acks.is_some_and(|acks| acks.accepts(*skipped)))
        {
            return Err(WireError::Misbehaving(
                "acknowledges a packet that was never sent",
            ));
        }
        if header.sequence >= self.window.next() {
            self.newest_at = now;
        }
        self.window.note(header.sequence);
        self.traffic.packets_in += 1;
        self.traffic.bytes_in += payload.len() as u64;
        self.acked.clear();
        if let Some(acks) = header.acks {
            self.learn_fates(acks, now);
        }
        let messages = read_messages(&mut reader)?;
        self.channels.take(messages)?;
        Ok((header.sequence, reader))
    }

    /// Acknowledges a packet whose contents were applied completely.
    pub fn accept(&mut self, sequence: Sequence) {
        self.window.accept(sequence);
        self.owes_ack = true;
    }
}

#[cfg(test)]
mod tests;
