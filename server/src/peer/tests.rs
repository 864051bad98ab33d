//! Limits of a peer, its strikes and its end.

use std::time::Duration;

use super::*;
use truetick_netcode::limits::{CHANNEL_QUEUE_BYTES, MESSAGE_BYTES, MESSAGE_COST};

#[test]
fn line_48_more_messages_than_can_wait_end_the_session_with_a_reason() {
    let mut now = Timestamp::from_millis(5);
    let mut peer = Peer::new(ClientId(1), 0, 1, false, now);
    peer.stage = PeerState::Active;
    let fit = CHANNEL_QUEUE_BYTES / (1 + MESSAGE_COST);
    (0..fit).for_each(|_| peer.send(Channel::Reliable, vec![1]));
    assert_eq!(peer.must_end(now), None);
    peer.send(Channel::Reliable, vec![1]);
    assert_eq!(peer.must_end(now), Some(DisconnectReason::Overflow));
    let disconnect = DisconnectNotice {
        reason: DisconnectReason::Overflow,
        schema: 3,
    };
    peer.begin_to_end(disconnect, now);
    let (mut client, mut writer, mut heard) = (Connection::new(2, now), BitWriter::new(), 0);
    while peer.send_disconnect(&mut writer, now) {
        now += DISCONNECT_COPY_INTERVAL / 2;
        if writer.bytes().is_empty() {
            continue;
        }
        let (_, mut reader) = client.open(writer.bytes(), now).unwrap();
        assert_eq!(reader.read(Body::BITS), Ok(Body::DisconnectNotice as u32));
        assert_eq!(DisconnectNotice::read(reader), Ok(disconnect));
        heard += 1;
    }
    assert_eq!(heard, DISCONNECT_COPIES);
}

#[test]
fn a_message_that_is_too_large_ends_no_session() {
    let now = Timestamp::from_millis(5);
    for secured in [false, true] {
        let mut peer = Peer::new(ClientId(1), 0, 1, secured, now);
        peer.stage = PeerState::Active;
        peer.send(Channel::Reliable, vec![1; MESSAGE_BYTES + 1]);
        peer.send(Channel::Unreliable, vec![1; MESSAGE_BYTES + 1]);
        assert_eq!(
            (peer.must_end(now), peer.oversized, peer.waiting_bytes()),
            (None, 2, 0)
        );
    }
}

#[test]
fn more_frames_than_packets_could_hold_end_the_session() {
    let now = Timestamp::from_millis(5);
    let mut peer = Peer::new(ClientId(1), 0, 1, true, now);
    peer.stage = PeerState::Active;
    assert!((0..BURST_FRAMES).all(|_| peer.may_send_frame(9, 60, now)));
    assert_eq!(peer.must_end(now), None);
    assert!(!peer.may_send_frame(9, 60, now));
    assert_eq!(peer.must_end(now), Some(DisconnectReason::Misbehaved));
    let later = now + Duration::from_micros(16_667);
    assert!((0..FRAMES_PER_TICK).all(|_| peer.may_send_frame(9, 60, later)));
}

#[test]
fn more_bytes_of_frames_than_packets_could_hold_end_the_session() {
    let now = Timestamp::from_millis(5);
    let mut peer = Peer::new(ClientId(1), 0, 1, true, now);
    peer.stage = PeerState::Active;
    let frame = MESSAGE_BYTES + 2;
    let sent = (0..100)
        .filter(|_| peer.may_send_frame(frame, 60, now))
        .count();
    assert_eq!(sent, FRAME_BYTES.burst as usize / frame + 1);
    assert_eq!(peer.must_end(now), Some(DisconnectReason::Misbehaved));
    let later = now + Duration::from_secs(1);
    let sent = (0..100)
        .filter(|_| peer.may_send_frame(frame, 60, later))
        .count();
    // The last frame that is taken may exceed the budget.
    let whole = FRAME_BYTES.per_second as usize / frame;
    assert!((whole..=whole + 1).contains(&sent), "{sent}");
    peer.resumed();
    assert!(peer.may_send_frame(frame, 60, later));
}

#[test]
fn a_client_that_takes_over_has_no_new_budget() {
    let now = Timestamp::from_millis(5);
    let mut peer = Peer::new(ClientId(1), 0, 1, true, now);
    (0..BURST_PACKETS).for_each(|_| assert!(peer.may_send(60, now)));
    peer.strike(WireError::Malformed("nonsense"), now);
    let mut next = peer.successor(2, true, 60, now);
    assert!(!next.may_send(60, now));
    assert_eq!(next.allowance.strikes, 1);
    assert!(matches!(next.stage, PeerState::AwaitingHello { .. }));
    assert!(next.may_send_frame(9, 60, now));
}

#[test]
fn strikes_are_forgiven_in_time() {
    let mut now = Timestamp::from_millis(5);
    let mut peer = Peer::new(ClientId(1), 0, 1, false, now);
    for _ in 0..STRIKES * 3 {
        peer.strike(WireError::Malformed("nonsense"), now);
        now += STRIKE_TIME;
    }
    assert_eq!(peer.ending, None);
    (0..STRIKES).for_each(|_| peer.strike(WireError::Malformed("nonsense"), now));
    assert_eq!(peer.ending, Some(DisconnectReason::Misbehaved));
}

#[test]
fn a_client_that_sends_in_time_is_no_flood_however_late_its_packets_are_read() {
    for tick_rate in [10, 60, 128] {
        let mut peer = Peer::new(ClientId(1), 0, 1, false, Timestamp::from_millis(5));
        // Two packets a tick for ten seconds, all read after one stall, counted by their arrival.
        let came = |i: u64| {
            Timestamp::from_nanos(5_000_000 + i * 1_000_000_000 / u64::from(2 * tick_rate))
        };
        assert!((0..20 * u64::from(tick_rate)).all(|i| peer.may_send(tick_rate, came(i))));
        // Three times as many are a flood. A third of it passes once the burst is used up.
        let mut peer = Peer::new(ClientId(1), 0, 1, false, Timestamp::from_millis(5));
        let passed = (0..60 * u64::from(tick_rate))
            .filter(|i| peer.may_send(tick_rate, came(i / 3)))
            .count();
        let most = 20 * tick_rate as usize + BURST_PACKETS as usize;
        assert!((most - 8..=most).contains(&passed), "{passed} of {most}");
    }
}
