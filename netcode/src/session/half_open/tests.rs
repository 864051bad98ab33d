//! Tests of the table of half-open attempts: its bounds, and who is displaced.

use super::super::token::{Resumed, USER_DATA_BYTES};
use super::*;
use std::net::SocketAddr;

fn address(host: u8, port: u16) -> PeerAddr {
    SocketAddr::from(([10, 0, 0, host], port)).into()
}

fn applicant(tag: u8, resume: Option<Resumed>) -> (Arc<Applicant>, u64) {
    let applicant = Applicant {
        tag: [tag; 16],
        expires: 30,
        issued: None,
        user: UserId(u64::from(tag)),
        purpose: Purpose {
            resume,
            ..Purpose::default()
        },
        timeout_s: 5,
        client_key: Key::new([tag; 32]),
        server_key: Key::new([tag; 32]),
        user_data: [0; USER_DATA_BYTES],
        is_shared: false,
    };
    (Arc::new(applicant), u64::from(tag))
}

fn join(table: &mut HalfOpenTable, at: PeerAddr, tag: u8, second: u64) -> bool {
    let now = Timestamp::from_millis(second * 1_000);
    let (applicant, digest) = applicant(tag, None);
    table.insert(at, applicant, digest, now, Timestamp::from_millis(100_000))
}

fn by_addr(table: &HalfOpenTable, addr: PeerAddr) -> Option<u64> {
    table
        .of_response(addr, 0)
        .map(|attempt| attempt.applicant.user.0)
}

#[test]
fn a_crowded_prefix_displaces_its_own_and_a_crowd_the_oldest() {
    let mut table = HalfOpenTable::new(4, 2);
    assert!(join(&mut table, address(1, 1), 1, 0));
    (1..=3).for_each(|port| {
        assert!(join(
            &mut table,
            address(2, port),
            10 + port as u8,
            port.into()
        ))
    });
    assert_eq!(table.len(), 3);
    assert!(table.get(&[11; 16]).is_none() && table.get(&[1; 16]).is_some());
    assert_eq!(
        (
            by_addr(&table, address(2, 1)),
            by_addr(&table, address(2, 3))
        ),
        (None, Some(13))
    );
    assert!(join(&mut table, address(3, 1), 20, 4) && join(&mut table, address(4, 1), 21, 5));
    assert!(table.len() == 4 && table.get(&[1; 16]).is_none());
}

#[test]
fn nothing_younger_than_a_second_is_displaced() {
    let mut table = HalfOpenTable::new(2, 2);
    assert!(join(&mut table, address(1, 1), 1, 0) && join(&mut table, address(2, 1), 2, 0));
    assert!(!join(&mut table, address(1, 2), 3, 0) && !join(&mut table, address(3, 1), 3, 0));
    assert!(table.get(&[1; 16]).is_some() && table.get(&[2; 16]).is_some());
    assert!(join(&mut table, address(3, 1), 3, 1));
    assert!(table.get(&[1; 16]).is_none() && table.len() == 2);
}

#[test]
fn tickets_fill_no_place_of_those_who_join_and_those_of_a_session_are_bounded() {
    let mut table = HalfOpenTable::new(1, 1);
    let resume = Some(Resumed {
        client: ClientId(3),
        epoch: 1,
    });
    let mut claim = |tag: usize, now| {
        let until = Timestamp::from_millis(100_000);
        let (applicant, digest) = applicant(tag as u8, resume);
        table.insert(address(1, tag as u16), applicant, digest, now, until)
    };
    assert!((1..=ATTEMPTS_TO_RESUME).all(|tag| claim(tag, Timestamp::default())));
    assert!(!claim(99, Timestamp::default()) && claim(99, Timestamp::default() + ATTEMPT_AGE));
    assert_eq!(table.len(), ATTEMPTS_TO_RESUME);
    assert!(join(&mut table, address(1, 1), 100, 0) && table.get(&[100; 16]).is_some());
}

#[test]
fn an_attempt_expires_but_for_a_ticket_that_is_used_again() {
    let mut table = HalfOpenTable::new(4, 4);
    let at = Timestamp::from_millis;
    let resume = Some(Resumed {
        client: ClientId(3),
        epoch: 1,
    });
    let (ours, digest) = applicant(1, resume);
    assert!(table.insert(address(1, 1), ours, digest, at(0), at(100)));
    let (ours, digest) = applicant(2, None);
    assert!(table.insert(address(1, 2), ours, digest, at(0), at(100)));
    [1, 2]
        .iter()
        .for_each(|tag| table.refresh(address(1, 1), &[*tag; 16], at(50), at(150)));
    table.expire(at(99));
    assert_eq!(table.len(), 2);
    table.expire(at(100));
    assert!(table.get(&[2; 16]).is_none() && table.get(&[1; 16]).is_some());
    table.expire(at(150));
    assert!(table.is_empty() && by_addr(&table, address(1, 1)).is_none());
}

#[test]
fn a_response_finds_its_attempt_by_its_hint_from_anywhere_and_without_one_by_the_first_address() {
    let mut table = HalfOpenTable::new(4, 4);
    assert!(join(&mut table, address(1, 1), 1, 0) && join(&mut table, address(1, 1), 2, 0));
    let hinted = |tag: u8| (1 << 63) | hint(&[tag; 16]) << 23 | 5;
    for (from, sequence, expected) in [
        (address(9, 9), hinted(1), Some(1)),
        (address(9, 9), hinted(2), Some(2)),
        (address(9, 9), hinted(3), None),
        (address(9, 9), 0, None),
        // The first attempt keeps the address while it is young.
        (address(1, 1), 0, Some(1)),
    ] {
        let found = table
            .of_response(from, sequence)
            .map(|attempt| attempt.applicant.user.0);
        assert_eq!(found, expected, "{sequence:x}");
    }
    let later = Timestamp::default() + ATTEMPT_AGE;
    table.refresh(
        address(9, 9),
        &[2; 16],
        later,
        Timestamp::from_millis(200_000),
    );
    assert_eq!(by_addr(&table, address(1, 1)), Some(2));
    // A copy of a request is recognised by its hash.
    assert!(table.of_copy(&[1; 16], 1).is_some() && table.of_copy(&[1; 16], 2).is_none());
}
