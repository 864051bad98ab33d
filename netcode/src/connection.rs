//! One session's packets, seen from one side: numbering, acknowledgement, messages, round trip.
//!
//! Sans-IO: time and bytes come in as arguments, effects are polled.
//!
//! ```text
//! sending:    begin (header and due messages) -> caller writes state -> finish (record); the session seals it
//! receiving:  open (repeat?, fates of ours, messages) -> caller reads state -> accept (acknowledge)
//! ```
//! A packet that was opened but whose state could not be taken over is never accepted, so the sender learns
//! that it cannot build on it. A connection knows no address: when its session is resumed, it goes on as after an outage.

use std::collections::VecDeque;
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::bits::{BitReader, BitWriter};
use crate::channel::{Channel, Channels, Overflow, PieceRef, SendWindow, read_messages};
use crate::error::WireError;
use crate::limits::{
    ACK_DELAY, ACK_WINDOW, MESSAGE_BYTES_ALONE, MESSAGE_BYTES_PER_PACKET, REORDER_PACKETS, SKIP_ONE_IN,
};
use crate::packet::{Acks, PayloadHeader};
use crate::rtt::RttEstimator;
use crate::sequence::{ReceiveWindow, Sequence};
use crate::time::Timestamp;

#[derive(Debug)]
struct Sent {
    sequence: Sequence,
    at: Timestamp,
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
    chances: Xoshiro256PlusPlus,
    /// Packets whose fate is open, oldest first.
    sent: VecDeque<Sent>,
    window: ReceiveWindow,
    newest_at: Timestamp,
    sent_at: Timestamp,
    /// A packet was accepted since we last sent one.
    owes_ack: bool,
    rtt: RttEstimator,
    channels: Channels,
    /// Acknowledged packets that the caller has not asked for: of one packet that came, at most.
    acked: VecDeque<Sequence>,
    building: Vec<PieceRef>,
    traffic: Traffic,
}

impl Connection {
    /// A session opened `now`; `seed` says which numbers are left out, and should be the peer's to guess.
    pub fn new(seed: u64, now: Timestamp) -> Self {
        Self {
            next: 0,
            skipped: VecDeque::new(),
            chances: Xoshiro256PlusPlus::seed_from_u64(seed),
            sent: VecDeque::new(),
            window: ReceiveWindow::default(),
            newest_at: now,
            sent_at: now,
            owes_ack: false,
            rtt: RttEstimator::default(),
            channels: Channels::default(),
            acked: VecDeque::new(),
            building: Vec::new(),
            traffic: Traffic::default(),
        }
    }

    /// Round trip and loss as known so far.
    pub fn rtt(&self) -> &RttEstimator {
        &self.rtt
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
        self.channels.waiting(channel)
    }

    /// Bytes of messages that wait to be sent or acknowledged.
    pub fn waiting_bytes(&self) -> usize {
        self.channels.waiting_bytes()
    }

    /// Queues a message; see [`Channels::send`].
    pub fn send(&mut self, channel: Channel, bytes: Vec<u8>) -> Result<(), Overflow> {
        self.channels.send(channel, bytes)
    }

    /// The next message from the peer.
    pub fn receive(&mut self) -> Option<(Channel, Vec<u8>)> {
        self.channels.receive()
    }

    /// The next packet of ours that the peer took over whole; to be asked for after each [`Self::open`].
    pub fn poll_acked(&mut self) -> Option<Sequence> {
        self.acked.pop_front()
    }

    /// Whether a packet should leave though the caller has no state to send: messages wait, or an acknowledgement has
    /// for long.
    pub fn wants_packet(&self, now: Timestamp) -> bool {
        (self.owes_ack && now.since(self.sent_at) >= ACK_DELAY)
            || self.channels.wants_to_send(now, self.send_window())
    }

    fn send_window(&self) -> SendWindow {
        SendWindow { resend_after: self.rtt.resend_after() }
    }

    /// Starts the next packet in `writer`: header and due messages. The caller appends its state, up to
    /// [`crate::limits::PAYLOAD_BYTES`] in all, and must call [`Self::finish`]. Of several
    /// packets of one state the first takes the messages along.
    pub fn begin(&mut self, writer: &mut BitWriter, now: Timestamp, messages: Messages) -> Sequence {
        let acks = Acks::of(&self.window, self.newest_at, now);
        writer.clear();
        PayloadHeader { sequence: self.next, acks }.write(writer);
        self.building.clear();
        let window = self.send_window();
        let bits = match messages {
            Messages::None => 1,
            Messages::BesideState => MESSAGE_BYTES_PER_PACKET * 8,
            Messages::Alone => MESSAGE_BYTES_ALONE * 8,
        };
        self.channels.write(writer, bits, (now, window), &mut self.building);
        self.next
    }

    /// Ends the packet begun last and notes it as sent.
    pub fn finish(&mut self, writer: &mut BitWriter, now: Timestamp) {
        writer.pad_to_byte();
        self.channels.sent(&self.building, self.next, now);
        let pieces = std::mem::take(&mut self.building);
        self.sent.push_back(Sent { sequence: self.next, at: now, lost: false, pieces });
        self.next += 1;
        self.skip_now_and_then();
        self.sent_at = now;
        self.owes_ack = false;
        self.traffic.packets_out += 1;
        self.traffic.bytes_out += writer.bytes().len() as u64;
        self.forget_ancient();
    }

    fn skip_now_and_then(&mut self) {
        while self.skipped.front().is_some_and(|skipped| skipped + ACK_WINDOW * 4 < self.next) {
            self.skipped.pop_front();
        }
        if self.chances.next_u64().is_multiple_of(SKIP_ONE_IN) {
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
        self.rtt.fate(true);
    }

    /// Opens a genuine payload: checks it, learns the fates of our packets, takes in its messages. Returns
    /// its number and a reader at the caller's state.
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
        if self.skipped.iter().any(|skipped| header.acks.is_some_and(|acks| acks.accepts(*skipped))) {
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
                self.rtt.sample(now.since(sent.at).saturating_sub(held));
            }
            self.channels.acked(&sent.pieces);
            self.rtt.fate(false);
            self.acked.push_back(sequence);
        }
        self.declare_losses(acks.newest);
    }

    /// What is [`REORDER_PACKETS`] behind the newest that came counts as lost; what left the window of
    /// acknowledgements is forgotten.
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
mod tests {
    use super::*;

    struct Pair {
        a: Connection,
        b: Connection,
        now: Timestamp,
    }

    impl Pair {
        fn new() -> Self {
            let now = Timestamp::from_millis(1);
            Self { a: Connection::new(9, now), b: Connection::new(9, now), now }
        }

        fn packet(from: &mut Connection, now: Timestamp) -> Vec<u8> {
            let mut writer = BitWriter::new();
            from.begin(&mut writer, now, Messages::BesideState);
            from.finish(&mut writer, now);
            writer.bytes().to_vec()
        }

        fn a_to_b(&mut self) {
            let bytes = Self::packet(&mut self.a, self.now);
            self.now += Duration::from_millis(20);
            let (sequence, _) = self.b.open(&bytes, self.now).unwrap();
            self.b.accept(sequence);
        }

        fn b_to_a(&mut self) {
            let bytes = Self::packet(&mut self.b, self.now);
            self.now += Duration::from_millis(20);
            let (sequence, _) = self.a.open(&bytes, self.now).unwrap();
            self.a.accept(sequence);
        }

        fn lose_from_a(&mut self) {
            Self::packet(&mut self.a, self.now);
        }

        fn acked_of_a(&mut self) -> Vec<Sequence> {
            std::iter::from_fn(|| self.a.poll_acked()).collect()
        }
    }

    #[test]
    fn the_fate_of_every_packet_is_known() {
        let mut pair = Pair::new();
        pair.a_to_b();
        pair.lose_from_a();
        for _ in 0..3 {
            pair.a_to_b();
        }
        pair.b_to_a();
        let acked = pair.acked_of_a();
        assert!(acked.len() == 4 && !acked.contains(&1), "{acked:?}");
        assert!(pair.a.rtt().loss() > 0.0);
    }

    #[test]
    fn held_acknowledgements_do_not_lengthen_the_round_trip() {
        let mut pair = Pair::new();
        pair.a_to_b();
        pair.now += Duration::from_millis(15);
        pair.b_to_a();
        assert_eq!(pair.a.rtt().rtt().as_millis(), 40);
    }

    #[test]
    fn a_packet_that_was_not_accepted_is_not_acknowledged() {
        let mut pair = Pair::new();
        let bytes = Pair::packet(&mut pair.a, pair.now);
        pair.b.open(&bytes, pair.now).unwrap();
        pair.b_to_a();
        assert_eq!(pair.acked_of_a(), []);
    }

    #[test]
    fn a_packet_that_breaks_off_in_its_messages_counts_once_and_delivers_nothing() {
        let mut pair = Pair::new();
        let mut writer = BitWriter::new();
        PayloadHeader { sequence: 0, acks: None }.write(&mut writer);
        for channel in [1, 7] {
            writer.write(1 | channel << 1, 4);
            writer.write(0, 16 + 1 + 10);
        }
        writer.pad_to_byte();
        assert!(matches!(pair.b.open(writer.bytes(), pair.now), Err(WireError::Malformed(_))));
        assert_eq!(pair.b.receive(), None);
        assert!(matches!(pair.b.open(writer.bytes(), pair.now), Err(WireError::Stale(_))));
    }

    #[test]
    fn a_repeated_packet_is_stale() {
        let mut pair = Pair::new();
        let bytes = Pair::packet(&mut pair.a, pair.now);
        pair.b.open(&bytes, pair.now).unwrap();
        assert!(matches!(pair.b.open(&bytes, pair.now), Err(WireError::Stale(_))));
    }

    #[test]
    fn line_44_an_ack_of_a_packet_never_sent_is_misbehaviour() {
        let mut pair = Pair::new();
        pair.a_to_b();
        let reply = Pair::packet(&mut pair.b, pair.now);
        let mut stranger = Connection::new(9, pair.now);
        assert!(matches!(stranger.open(&reply, pair.now), Err(WireError::Misbehaving(_))));
    }

    #[test]
    fn a_lone_lost_message_is_sent_again() {
        let mut pair = Pair::new();
        pair.a.send(Channel::Ordered(0), b"once".to_vec()).unwrap();
        pair.lose_from_a();
        assert!(!pair.a.wants_packet(pair.now));
        pair.now += pair.a.rtt().resend_after();
        assert!(pair.a.wants_packet(pair.now));
        pair.a_to_b();
        assert_eq!(pair.b.receive(), Some((Channel::Ordered(0), b"once".to_vec())));
        pair.b_to_a();
        assert!(pair.a.channels.is_idle());
    }

    #[test]
    fn line_47_whoever_acknowledges_what_never_came_is_found() {
        let mut pair = Pair::new();
        let found = (0..20 * SKIP_ONE_IN).any(|_| {
            Pair::packet(&mut pair.a, pair.now);
            let newest = pair.a.next - 1;
            let mut writer = BitWriter::new();
            let acks = Some(Acks { newest: newest.max(1) - 1, mask: u64::MAX, held: 0 });
            let sequence = pair.b.next;
            pair.b.next += 1;
            PayloadHeader { sequence, acks }.write(&mut writer);
            writer.write(0, 8);
            writer.pad_to_byte();
            matches!(pair.a.open(writer.bytes(), pair.now), Err(WireError::Misbehaving(_)))
        });
        assert!(found);
    }

    #[test]
    fn line_46_an_acknowledgement_that_moves_backward_is_ignored() {
        let mut pair = Pair::new();
        pair.a_to_b();
        let old = Pair::packet(&mut pair.b, pair.now);
        pair.a_to_b();
        pair.b_to_a();
        assert_eq!(pair.acked_of_a().len(), 2);
        pair.a.open(&old, pair.now).unwrap();
        assert_eq!(pair.acked_of_a(), []);
    }
}
