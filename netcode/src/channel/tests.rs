//! Tests of the channels of a session over links that lose, repeat and reorder packets.

use super::wire::LENGTH_BITS;
use super::*;
use crate::bits::BitReader;
use crate::error::WireError;
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
        from.write(&mut writer, 8_000, now, WINDOW, &mut pieces);
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
            Timestamp::default(),
            WINDOW,
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
            Timestamp::default(),
            WINDOW,
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
