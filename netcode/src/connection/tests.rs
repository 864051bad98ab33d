use std::time::Duration;

use super::*;

struct Pair {
    a: Connection,
    b: Connection,
    now: Timestamp,
}

impl Pair {
    fn new() -> Self {
        let now = Timestamp::from_millis(1);
        Self {
            a: Connection::new(9, now),
            b: Connection::new(9, now),
            now,
        }
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
    PayloadHeader {
        sequence: 0,
        acks: None,
    }
    .write(&mut writer);
    for channel in [1, 7] {
        writer.write(1 | channel << 1, 4);
        writer.write(0, 16 + 1 + 10);
    }
    writer.pad_to_byte();
    assert!(matches!(
        pair.b.open(writer.bytes(), pair.now),
        Err(WireError::Malformed(_))
    ));
    assert_eq!(pair.b.receive(), None);
    assert!(matches!(
        pair.b.open(writer.bytes(), pair.now),
        Err(WireError::Stale(_))
    ));
}

#[test]
fn a_repeated_packet_is_stale() {
    let mut pair = Pair::new();
    let bytes = Pair::packet(&mut pair.a, pair.now);
    pair.b.open(&bytes, pair.now).unwrap();
    assert!(matches!(
        pair.b.open(&bytes, pair.now),
        Err(WireError::Stale(_))
    ));
}

#[test]
fn line_44_an_ack_of_a_packet_never_sent_is_misbehaviour() {
    let mut pair = Pair::new();
    pair.a_to_b();
    let reply = Pair::packet(&mut pair.b, pair.now);
    let mut stranger = Connection::new(9, pair.now);
    assert!(matches!(
        stranger.open(&reply, pair.now),
        Err(WireError::Misbehaving(_))
    ));
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
    assert_eq!(
        pair.b.receive(),
        Some((Channel::Ordered(0), b"once".to_vec()))
    );
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
        let acks = Some(Acks {
            newest: newest.max(1) - 1,
            mask: u64::MAX,
            held: 0,
        });
        let sequence = pair.b.next;
        pair.b.next += 1;
        PayloadHeader { sequence, acks }.write(&mut writer);
        writer.write(0, 8);
        writer.pad_to_byte();
        matches!(
            pair.a.open(writer.bytes(), pair.now),
            Err(WireError::Misbehaving(_))
        )
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
