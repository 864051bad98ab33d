//! Bad datagrams at a server and their treatment, one test per row of the catalogue
//! (`tests/BAD_INPUT.md`).

use truetick_netcode::limits::REPLAY_WINDOW;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::packet::{Kind, PACKET_BYTES, REQUEST_BYTES};

use crate::world::World;

#[test]
fn line_01_an_empty_datagram_is_dropped() {
    World::new().drops(&[], DropReason::TooShort);
}

#[test]
fn line_02_up_to_17_bytes_are_dropped() {
    for length in 1..18 {
        World::new().drops(&vec![0x15; length], DropReason::TooShort);
    }
}

#[test]
fn line_03_what_is_longer_than_any_packet_is_dropped_unread() {
    let mut world = World::new();
    world.drops(&[0x15; PACKET_BYTES + 1], DropReason::TooLong);
    world.drops(&[0; PACKET_BYTES + 1], DropReason::TooLong);
    world.drops(&[0x15; PACKET_BYTES], DropReason::Stranger);
}

#[test]
fn line_04_kinds_7_to_15_are_dropped() {
    for kind in 7..16 {
        World::new().drops(&[0x10 | kind; 40], DropReason::UnknownKind);
    }
}

#[test]
fn line_05_a_number_of_0_or_9_to_15_bytes_is_dropped_before_it_is_cut_out() {
    for length in [0, 9, 10, 11, 12, 13, 14, 15] {
        World::new().drops(
            &[length << 4 | Kind::Payload as u8; 18],
            DropReason::NumberLength,
        );
    }
}

#[test]
fn line_06_18_bytes_with_a_number_of_8_have_no_room_for_the_tag() {
    World::new().drops(&[0x85; 18], DropReason::TooShort);
    World::new().drops(&[0x85; 24], DropReason::TooShort);
    World::new().drops(&[0x85; 25], DropReason::Stranger);
}

#[test]
fn line_07_numbers_up_to_the_largest_overflow_nothing() {
    let mut world = World::new();
    let player = world.joined(1);
    for back in 0..4 {
        let forged = player.forged(Kind::Payload, u64::MAX - back, &[1]);
        world.drops_from(player.address, &forged, DropReason::Forged);
    }
    // A client with the keys may use any number: that affects only its own window.
    let genuine = player.sealed(Kind::Payload, u64::MAX, &[1]);
    assert_eq!(world.takes(player.address, &genuine), Some(vec![1]));
    world.drops_from(player.address, &genuine, DropReason::Repeated);
}

#[test]
fn line_08_one_flipped_bit_anywhere_is_noticed_and_moves_no_window() {
    let mut world = World::new();
    let player = world.joined(1);
    let genuine = player.sealed(Kind::Payload, 100, &[1, 2, 3]);
    for bit in 0..genuine.len() * 8 {
        let mut damaged = genuine.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(world.takes(player.address, &damaged), None, "bit {bit}");
    }
    assert_eq!(world.takes(player.address, &genuine), Some(vec![1, 2, 3]));
    assert!(world.server.drops().count(DropReason::Forged) > 100);
}

#[test]
fn line_09_a_packet_that_comes_twice_is_taken_once() {
    let mut world = World::new();
    let player = world.joined(1);
    for kind in [Kind::Payload, Kind::KeepAlive] {
        let contents = vec![7; 8];
        let packet = player.sealed(kind, 50 + kind as u64, &contents);
        world.takes(player.address, &packet);
        world.drops_from(player.address, &packet, DropReason::Repeated);
    }
}

#[test]
fn line_10_a_packet_older_than_the_window_is_dropped() {
    let mut world = World::new();
    let player = world.joined(1);
    world.takes(player.address, &player.sealed(Kind::Payload, 1_000, &[1]));
    let edge = 1_000 - REPLAY_WINDOW;
    world.drops_from(
        player.address,
        &player.sealed(Kind::Payload, edge, &[1]),
        DropReason::Repeated,
    );
    assert_eq!(
        world.takes(
            player.address,
            &player.sealed(Kind::Payload, edge + 1, &[1])
        ),
        Some(vec![1])
    );
}

#[test]
fn line_11_a_forged_number_far_ahead_moves_no_window() {
    let mut world = World::new();
    let player = world.joined(1);
    let forged = player.forged(Kind::Payload, 1 << 40, &[1]);
    world.drops_from(player.address, &forged, DropReason::Forged);
    assert_eq!(
        world.takes(player.address, &player.sealed(Kind::Payload, 30, &[1])),
        Some(vec![1])
    );
}

#[test]
fn line_12_a_request_of_another_length_is_dropped() {
    let request = World::new().player(1).request();
    assert_eq!(request.len(), REQUEST_BYTES);
    let mut world = World::new();
    world.drops(&request[..REQUEST_BYTES - 1], DropReason::RequestLength);
    world.drops(&[request, vec![0]].concat(), DropReason::RequestLength);
    assert_eq!(world.server.half_open(), 0);
}

#[test]
fn line_13_another_version_or_protocol_is_dropped_before_any_cryptography() {
    let mut world = World::new();
    let request = world.player(1).request();
    let change = |at: usize| {
        let mut other = request.clone();
        other[at] ^= 1;
        other
    };
    world.drops(&change(5), DropReason::OtherVersion);
    world.drops(&change(14), DropReason::OtherProtocol);
}
