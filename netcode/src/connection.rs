//! One session's packets, seen from one side: numbering, acknowledgement, messages, round trip.
//!
//! Sans-IO: time and bytes come in as arguments, effects are polled.
//!
//! ```text
//! sending:    begin (header and due messages) -> caller writes state -> finish (record); the session seals it
//! receiving:  open (repeat?, fates of ours, messages) -> caller reads state -> accept (acknowledge)
//! ```
//! A packet that was opened but whose state could not be taken over is never accepted, so the
//! sender learns that it cannot build on it. A connection knows no address: when its session is
//! resumed, it goes on as after an outage.

use std::collections::VecDeque;
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::bits::{BitReader, BitWriter};
use crate::channel::stream::MessageStream;
use crate::channel::{Channel, Channels, Overflow, PieceRef, SendWindow, read_messages};
use crate::congestion::PathState;
use crate::error::WireError;
use crate::limits::{
    ACK_DELAY, ACK_WINDOW, BESIDE_MESSAGES, MESSAGE_BYTES_PER_PACKET, PAYLOAD_BYTES,
    REORDER_PACKETS, SKIP_ONE_IN,
};
use crate::packet::{Acks, PayloadHeader};
use crate::rtt::{RoundTrip, RttEstimator};
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

/// Datagram counts of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Payload packets sent.
    pub packets_out: u64,
    /// Their bytes, as the session carries them.
    pub bytes_out: u64,
    /// Payload packets that came and were fresh.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
}

/// How much of a packet its messages may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// Nothing.
    None,
    /// A half: state follows.
    BesideState,
    /// All of it.
    Alone,
}

/// One side of an open session.
#[derive(Debug)]
pub struct Connection {
    next: Sequence,
    /// Numbers that were left out: whoever acknowledges one acknowledges what never came.
    skipped: VecDeque<Sequence>,
    rng: Xoshiro256PlusPlus,
    /// Packets whose fate is open, oldest first.
    sent: VecDeque<Sent>,
    window: ReceiveWindow,
    newest_at: Timestamp,
    sent_at: Timestamp,
    /// A packet was accepted since we last sent one.
    owes_ack: bool,
    rtt: RttEstimator,
    channels: Channels,
    /// Carries reliable messages where the transport has frames.
    stream: Option<Box<MessageStream>>,
    /// Bytes that a packet may have.
    max_payload: usize,
    /// Acknowledged packets that the caller has not asked for: of one packet that came, at most.
    acked: VecDeque<Sequence>,
    building: Vec<PieceRef>,
    traffic: Traffic,
}

impl Connection {
    /// A session opened `now`; `seed` says which numbers are left out, and should not be the peer's
    /// to guess.
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

    /// The same where the transport has frames: reliable messages travel in them.
    pub fn with_frames(seed: u64, now: Timestamp) -> Self {
        Self { stream: Some(Box::default()), ..Self::new(seed, now) }
    }

    /// Bytes that a packet may have, as the transport says.
    pub fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// From now on packets may have so many bytes.
    pub fn set_max_payload(&mut self, bytes: usize) {
        self.max_payload = bytes;
    }

    /// Round trip and loss as known so far.
    pub fn rtt(&self) -> &RttEstimator {
        &self.rtt
    }

    /// What is known of the way to the peer.
    pub fn path(&self) -> PathState {
        PathState {
            round_trip: self.rtt.latest(),
            sent: self.traffic.bytes_out,
            fates: self.rtt.fates(),
            loss: self.rtt.loss(),
        }
    }

    /// Datagram counts so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Packets whose fate is open: at most four windows of acknowledgement.
    pub fn in_flight(&self) -> usize {
        self.sent.len()
    }

    /// Messages of a channel that wait to be sent or acknowledged.
    pub fn waiting(&self, channel: Channel) -> usize {
        match &self.stream {
            Some(stream) if channel != Channel::Unreliable => stream.waiting(channel),
            _ => self.channels.waiting(channel),
        }
    }

    /// Bytes of messages that wait to be sent or acknowledged.
    pub fn waiting_bytes(&self) -> usize {
        self.channels.waiting_bytes()
            + self.stream.as_ref().map_or(0, |stream| stream.waiting_bytes())
    }

    /// Queues a message; see [`Channels::send`].
    pub fn send(&mut self, channel: Channel, bytes: Vec<u8>) -> Result<(), Overflow> {
        match &mut self.stream {
            Some(stream) if channel != Channel::Unreliable => stream.send(channel, bytes),
            _ => self.channels.send(channel, bytes),
        }
    }

    /// The next message from the peer.
    pub fn receive(&mut self) -> Option<(Channel, Vec<u8>)> {
        self.channels.receive().or_else(|| self.stream.as_mut()?.receive())
    }

    /// The next frame that is to leave now.
    pub fn poll_frame(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        self.stream.as_mut()?.poll(now)
    }

    /// Takes in a frame.
    pub fn take_frame(&mut self, frame: &[u8], now: Timestamp) -> Result<(), WireError> {
        self.stream
            .as_mut()
            .ok_or(WireError::Misbehaving("a frame where there are none"))?
            .take(frame, now)
    }

    /// The session goes on by another connection, whose frames begin anew.
    pub fn begin_stream_again(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.begin_again();
        }
    }

    /// The next packet of ours that the peer took over whole; to be asked for after each
    /// [`Self::open`].
    pub fn poll_acked(&mut self) -> Option<Sequence> {
        self.acked.pop_front()
    }

    /// Whether a packet should leave though the caller has no state to send: messages wait, or an
    /// acknowledgement has for long.
    pub fn wants_packet(&self, now: Timestamp) -> bool {
        (self.owes_ack && now.since(self.sent_at) >= ACK_DELAY)
            || self.channels.wants_to_send(now, self.send_window())
    }

    /// Bytes of messages that would leave in packets now if those had room for all.
    pub fn due_bytes(&self, now: Timestamp) -> usize {
        self.channels.due_bytes(now, self.send_window())
    }

    fn send_window(&self) -> SendWindow {
        SendWindow { resend_after: self.rtt.resend_after() }
    }

    /// Starts the next packet in `writer`: header and due messages. The caller appends its state,
    /// up to [`Self::max_payload`] in all, and must call [`Self::finish`]. Of several packets of
    /// one state the first takes the messages along.
    pub fn begin(
        &mut self,
        writer: &mut BitWriter,
        now: Timestamp,
        messages: Messages,
    ) -> Sequence {
        let acks = Acks::of(&self.window, self.newest_at, now);
        writer.clear();
        PayloadHeader { sequence: self.next, acks }.write(writer);
        self.building.clear();
        let window = self.send_window();
        let bits = match messages {
            Messages::None => 1,
            Messages::BesideState => MESSAGE_BYTES_PER_PACKET * 8,
            Messages::Alone => (self.max_payload - BESIDE_MESSAGES) * 8,
        };
        self.channels.write(writer, bits, (now, window), &mut self.building);
        self.next
    }

    /// Ends the packet begun last and notes it as sent.
    pub fn finish(&mut self, writer: &mut BitWriter, now: Timestamp) {
        writer.pad_to_byte();
        self.channels.sent(&self.building, self.next, now);
        let pieces = std::mem::take(&mut self.building);
        let bytes = writer.bytes().len() as u32;
        self.sent.push_back(Sent { sequence: self.next, at: now, bytes, lost: false, pieces });
        self.next += 1;
        self.skip_now_and_then();
        self.sent_at = now;
        self.owes_ack = false;
        self.traffic.packets_out += 1;
        self.traffic.bytes_out += u64::from(bytes);
        self.forget_ancient();
    }

    fn skip_now_and_then(&mut self) {
        while self.skipped.front().is_some_and(|skipped| skipped + ACK_WINDOW * 4 < self.next) {
            self.skipped.pop_front();
        }
        if self.rng.next_u64().is_multiple_of(SKIP_ONE_IN) {
            self.skipped.push_back(self.next);
            self.next += 1;
        }
    }

    /// Beyond this many packets no acknowledgement can name a packet any more.
    fn forget_ancient(&mut self) {
        while self.sent.len() as u64 > ACK_WINDOW * 4 {
            if let Some(sent) = self.sent.pop_front() {
                self.give_up(sent);
            }
        }
    }

    fn give_up(&mut self, sent: Sent) {
        if !sent.lost {
            self.note_lost(sent.sequence, &sent.pieces);
        }
    }

    fn note_lost(&mut self, sequence: Sequence, pieces: &[PieceRef]) {
        self.channels.lost(pieces, sequence);
        self.rtt.lost();
    }

    /// Opens a genuine payload: checks it, learns the fates of our packets, takes in its messages.
    /// Returns its number and a reader at the caller's state.
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
        if self.skipped.iter().any(|skipped| header.acks.is_some_and(|acks| acks.accepts(*skipped)))
        {
            return Err(WireError::Misbehaving("acknowledges a packet that was never sent"));
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

    /// Acknowledges a packet whose contents were taken over whole.
    pub fn accept(&mut self, sequence: Sequence) {
        self.window.accept(sequence);
        self.owes_ack = true;
    }

    fn learn_fates(&mut self, acks: Acks, now: Timestamp) {
        // Few are open: most of what the mask names is known already.
        let mut at = 0;
        while at < self.sent.len() && self.sent[at].sequence <= acks.newest {
            let sequence = self.sent[at].sequence;
            let Some(sent) = acks.accepts(sequence).then(|| self.sent.remove(at)).flatten() else {
                at += 1;
                continue;
            };
            if sequence == acks.newest {
                let held = Duration::from_micros(u64::from(acks.held) * 128);
                let time = now.since(sent.at).saturating_sub(held);
                self.rtt.sample(RoundTrip { time, bytes: sent.bytes });
            }
            self.channels.acked(&sent.pieces);
            self.rtt.delivered(sent.bytes);
            self.acked.push_back(sequence);
        }
        self.declare_losses(acks.newest);
    }

    /// What is [`REORDER_PACKETS`] behind the newest that came counts as lost; what left the window
    /// of acknowledgements is forgotten.
    fn declare_losses(&mut self, newest: Sequence) {
        while self.sent.front().is_some_and(|sent| sent.sequence + ACK_WINDOW <= newest) {
            if let Some(sent) = self.sent.pop_front() {
                self.give_up(sent);
            }
        }
        for at in 0..self.sent.len() {
            let sent = &mut self.sent[at];
            if sent.sequence + REORDER_PACKETS > newest {
                break;
            }
            if !sent.lost {
                sent.lost = true;
                let (sequence, pieces) = (sent.sequence, std::mem::take(&mut sent.pieces));
                self.note_lost(sequence, &pieces);
                self.sent[at].pieces = pieces;
            }
        }
    }
}

#[cfg(test)]
mod tests;
