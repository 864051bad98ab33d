//! Bad tokens and attempts to open sessions, one test per row of the catalogue
//! (`tests/BAD_INPUT.md`), and the treatment of good ones.

use std::time::Duration;

use truetick_netcode::limits::{DEPARTING_TIME, HALF_OPEN};
use truetick_netcode::session::client::{Failure, Phase};
use truetick_netcode::session::config::Duplicates;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::keys::hint;
use truetick_netcode::session::packet::{Kind, REQUEST_BYTES};
use truetick_netcode::session::server::{Change, Resume};
use truetick_netcode::session::token::{USER_DATA_BYTES, token_tag};

use crate::world::{Player, World, address};

#[test]
fn line_14_an_expired_token_is_dropped() {
    let mut world = World::new();
    let player = world.player(1);
    world.pass(Duration::from_secs(31));
    world.drops(&player.request(), DropReason::Expired);
}

#[test]
fn line_14_an_expiry_that_was_changed_is_noticed() {
    let mut world = World::new();
    let mut request = world.player(1).request();
    request[22] ^= 4;
    world.drops(&request, DropReason::ForgedToken);
}

#[test]
fn line_15_a_token_for_another_server_is_dropped() {
    let mut world = World::new();
    world.issuer.servers = vec![address(9, 9)];
    let player = world.player(1);
    world.drops(&player.request(), DropReason::OtherServer);
}

#[test]
fn line_16_a_token_belongs_to_the_address_that_used_it_first() {
    let mut world = World::new();
    let mut player = world.player(1);
    world.give(player.address, &player.request());
    world.drops_from(address(66, 6), &player.request(), DropReason::SecondAddress);
    world.finish_joining(&mut player);
    assert!(player.session.is_connected());
}

#[test]
fn line_17_a_consumed_token_is_dropped_from_any_address() {
    let mut world = World::new();
    let player = world.joined(1);
    world.drops_from(player.address, &player.request(), DropReason::Consumed);
    world.drops_from(address(66, 6), &player.request(), DropReason::Consumed);
    world.leave(player);
    let again = world.player(1).address;
    assert_eq!(world.server.roster().sessions(), 0);
    world.drops_from(again, &world.token_of(1).request(), DropReason::Consumed);
}

#[test]
fn line_18_where_the_history_is_full_a_new_token_is_refused_and_no_live_entry_goes() {
    let mut world = World::with(|config| config.history = 4);
    for user in 1..=4 {
        let player = world.joined(user);
        world.leave(player);
    }
    let mut late = world.player(5);
    world.finish_joining(&mut late);
    assert_eq!(late.session.phase(), Phase::Failed(Failure::Denied));
    assert!(world.server.drops().count(DropReason::HistoryFull) > 0);
    world.drops(&world.token_of(1).request(), DropReason::Consumed);
    world.pass(Duration::from_secs(31));
    assert!(world.joined(6).session.is_connected());
}

#[test]
fn a_token_that_is_refused_at_the_last_moment_is_not_spent() {
    let mut world = World::with(|config| config.sessions = 1);
    let mut late = world.player(1);
    world.step(&mut late);
    let first = world.joined(2);
    world.finish_joining(&mut late);
    assert_eq!(world.server.drops().count(DropReason::Full), 1);
    world.leave(first);
    let mut again = world.token_of(1);
    world.finish_joining(&mut again);
    assert!(again.session.is_connected());
}

#[test]
fn line_19_a_token_from_before_a_restart_is_refused() {
    let mut world = World::new();
    let mut player = world.player(1);
    let mut strange = world.player_with(2, [0; USER_DATA_BYTES]);
    world.pass(Duration::from_millis(500));
    world.restart();
    world.finish_joining(&mut player);
    world.finish_joining(&mut strange);
    for client in [player, strange] {
        assert_eq!(client.session.phase(), Phase::Failed(Failure::Denied));
    }
    assert!(world.server.drops().count(DropReason::BeforeStart) >= 2);
    assert!(world.joined(3).session.is_connected());
}

#[test]
fn line_20_a_second_token_of_a_user_is_refused_where_the_rules_say_so() {
    let mut world = World::with(|config| config.duplicates = Duplicates::Refuse);
    let first = world.joined(1);
    world.pass(Duration::from_millis(20));
    let mut second = world.player(1);
    world.finish_joining(&mut second);
    assert_eq!(second.session.phase(), Phase::Failed(Failure::Denied));
    assert!(world.server.drops().count(DropReason::UserPresent) > 0);
    assert_eq!(
        world.server.roster().at(first.address),
        Some(first.client.unwrap())
    );
}

#[test]
fn line_20_or_takes_the_session_over_with_a_new_epoch_if_it_is_newer() {
    let mut world = World::new();
    let mut older = world.player(1);
    world.pass(Duration::from_millis(20));
    let mut first = world.joined(1);
    world.finish_joining(&mut older);
    assert_eq!(older.session.phase(), Phase::Failed(Failure::Denied));
    world.pass(Duration::from_millis(20));
    let client = first.client.unwrap();
    let epoch = world.server.roster().get(client).unwrap().epoch;
    let newer = world.joined(1);
    assert_eq!(newer.client, Some(client));
    assert!(world.changes.contains(&Change::Resumed {
        client,
        addr: newer.address.into(),
        resume: Resume::Restarted
    }));
    let session = world.server.roster().get(client).unwrap();
    assert_eq!(
        (session.epoch, world.server.roster().sessions()),
        (epoch + 1, 1)
    );
    // The server keeps the old session for long enough to send the reason.
    world.pass(DEPARTING_TIME);
    world.hand_over(&mut first);
    assert_eq!(first.session.phase(), Phase::Disconnected);
}

#[test]
fn line_20_a_user_may_have_as_many_sessions_as_the_rules_say() {
    let mut world = World::with(|config| config.per_user = 2);
    let (one, two) = (world.joined(1), world.joined(1));
    assert_ne!(one.client, two.client);
    world.pass(Duration::from_millis(20));
    let three = world.joined(1);
    assert_eq!(three.client, one.client);
    assert_eq!(world.server.roster().sessions(), 2);
}

#[test]
fn line_21_a_response_from_another_address_is_dropped() {
    let mut world = World::new();
    let mut player = world.player(1);
    world.step(&mut player);
    assert_eq!(player.session.phase(), Phase::Responding);
    let response = player.session.poll(world.now).unwrap().into_bytes();
    world.drops_from(address(66, 6), &response, DropReason::Stranger);
    assert_eq!(world.server.roster().sessions(), 0);
}

#[test]
fn line_21_a_challenge_made_for_another_is_dropped() {
    let mut world = World::new();
    let (mut one, mut two) = (world.player(1), world.player(2));
    world.step(&mut one);
    world.step(&mut two);
    let stolen = one.challenge_contents();
    world.drops_from(
        two.address,
        &two.sealed(Kind::Response, 9, &stolen),
        DropReason::ForeignChallenge,
    );
    world.drops_from(
        two.address,
        &two.sealed(Kind::Response, 9, &[0; 308]),
        DropReason::ForeignChallenge,
    );
    world.drops_from(
        two.address,
        &two.sealed(Kind::Response, 9, &[0; 307]),
        DropReason::ContentsLength,
    );
    world.finish_joining(&mut two);
    assert!(two.session.is_connected());
}

#[test]
fn line_22_100_000_half_open_attempts_are_capped_expire_and_let_honest_players_in() {
    let mut world = World::with(|config| config.joins.per_second = 1_000_000);
    let tokens: Vec<Player> = (0..64).map(|user| world.player(1_000_000 + user)).collect();
    let began = world.now;
    for attempt in 0..100_000u32 {
        // Genuine tokens are the most expensive. Each address uses one in turn, so that none is
        // bound for long.
        let player = &tokens[attempt as usize % tokens.len()];
        let from = address((attempt % 200) as u8, 1_024 + (attempt % 60_000) as u16);
        world.give(from, &player.request());
        world.give(from, &world.foreign_token(attempt).request());
        if attempt % 100 == 0 {
            world.pass(Duration::from_millis(1));
        }
    }
    assert!(world.server.half_open() <= HALF_OPEN);
    let mut honest = world.player(1);
    world.finish_joining(&mut honest);
    assert!(honest.session.is_connected());
    assert!(world.now.since(began) < Duration::from_secs(2));
    world.pass(Duration::from_secs(11));
    assert_eq!(world.server.half_open(), 0);
}

#[test]
fn line_23_a_spoofed_request_gets_back_at_most_a_third_of_its_bytes() {
    let mut world = World::new();
    let player = world.player(1);
    world.give(player.address, &player.request());
    let answered: usize = world
        .take_replies()
        .iter()
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert!(
        answered > 0 && answered * 3 <= REQUEST_BYTES,
        "{answered} bytes"
    );
}

#[test]
fn line_21_a_challenge_sent_to_one_address_proves_no_other() {
    let mut world = World::new();
    let player = world.joined(1);
    let ticket = world.ticket(&player);
    let mut mine = world.player_of(ticket, 1);
    world.step(&mut mine);
    let victim = address(99, 9);
    world.give(victim, &mine.request());
    let stolen = mine.challenge_contents();
    for number in [
        9,
        (1 << 63) | hint(&token_tag(&mine.token.sealed)) << 23 | 10,
    ] {
        world.drops_from(
            victim,
            &mine.sealed(Kind::Response, number, &stolen),
            DropReason::ForeignChallenge,
        );
    }
}

#[test]
fn a_wall_clock_that_is_set_neither_revives_a_token_nor_locks_anyone_out() {
    let mut world = World::new();
    let player = world.joined(1);
    world.pass(Duration::from_secs(60));
    world.set_wall_clock(-3_600_000);
    world.drops_from(player.address, &player.request(), DropReason::Consumed);
    assert!(world.joined(2).session.is_connected());
    world.set_wall_clock(7_200_000);
    assert!(world.joined(3).session.is_connected());
    world.pass(Duration::from_millis(20));
    assert!(world.joined(3).session.is_connected());
}
