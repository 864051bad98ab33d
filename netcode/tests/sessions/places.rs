//! The places of a server: how many sessions it holds, in all and for one address.

use std::time::Duration;

use truetick_netcode::limits::SESSIONS;
use truetick_netcode::session::client::{Failure, Phase};
use truetick_netcode::session::drops::DropReason;

use crate::world::{World, address};

#[test]
fn line_50_more_sessions_than_allowed_for_one_address_are_refused() {
    let mut world = World::with(|config| config.per_address = 3);
    for user in 1..=3 {
        let mut player = world.player(user);
        player.address = address(7, user as u16);
        world.finish_joining(&mut player);
        assert!(player.session.is_connected());
    }
    let mut fourth = world.player(4);
    fourth.address = address(7, 4);
    world.finish_joining(&mut fourth);
    assert_eq!(fourth.session.phase(), Phase::Failed(Failure::Denied));
    assert!(world.server.drops().count(DropReason::AddressLimit) > 0);
    assert!(world.joined(5).session.is_connected());
}

#[test]
fn line_50_more_attempts_than_allowed_from_one_address_are_dropped() {
    let mut world = World::with(|config| {
        config.joins.per_second = 10;
        config.joins.burst = 5;
    });
    for user in 0..50 {
        let mut player = world.player(user);
        player.address = address(7, user as u16);
        world.give(player.address, &player.request());
    }
    assert_eq!(
        (
            world.server.half_open(),
            world.server.drops().count(DropReason::RateLimited)
        ),
        (5, 45)
    );
}

#[test]
fn a_full_server_says_so_and_a_parked_place_is_kept_for_its_owner() {
    let mut world = World::with(|config| config.sessions = 2);
    let (one, _two) = (world.joined(1), world.joined(2));
    world.server.park(one.client.unwrap(), world.now);
    let mut third = world.player(3);
    world.finish_joining(&mut third);
    assert_eq!(third.session.phase(), Phase::Failed(Failure::Denied));
    assert!(world.server.drops().count(DropReason::Full) > 0);
    world.pass(Duration::from_millis(20));
    assert_eq!(world.joined(1).client, one.client);
}

#[test]
fn a_drained_server_takes_nobody_but_those_who_come_back() {
    let mut world = World::new();
    let player = world.joined(1);
    let ticket = world.ticket(&player);
    world.server.drain();
    let mut late = world.player(2);
    world.finish_joining(&mut late);
    assert_eq!(late.session.phase(), Phase::Failed(Failure::Denied));
    let mut back = world.player_of(ticket, 1);
    world.finish_joining(&mut back);
    assert!(back.session.is_connected());
}

#[test]
fn a_server_holds_4096_sessions_and_is_full_with_the_next() {
    let mut world = World::with(|config| config.sessions = SESSIONS);
    world.issuer.timeout = Duration::from_secs(600);
    for user in 0..SESSIONS as u64 {
        let mut player = world.player(user);
        player.address = address((user >> 4) as u8, 1_000 + user as u16);
        world.finish_joining(&mut player);
    }
    assert_eq!(world.server.roster().live(), SESSIONS);
    let mut late = world.player(SESSIONS as u64);
    world.finish_joining(&mut late);
    assert_eq!(late.session.phase(), Phase::Failed(Failure::Denied));
    assert!(world.server.drops().count(DropReason::Full) > 0);
}
