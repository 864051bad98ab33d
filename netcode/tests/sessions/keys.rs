//! A key and a number seal only one packet, whatever is lost, recorded or copied; and only its
//! owner can use a ticket up.

use std::collections::BTreeSet;
use std::time::Duration;

use truetick_netcode::limits::{CHALLENGE_TIME, SILENCE};
use truetick_netcode::session::client::{Failure, Phase};
use truetick_netcode::session::denial::Denial;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::packet::{Outer, read_outer};
use truetick_netcode::session::server::Change;
use truetick_netcode::session::token::{ConnectToken, Purpose, USER_DATA_BYTES};
use truetick_netcode::session::{ClientId, UserId};
use truetick_netcode::time::UnixTime;

use crate::world::{Player, Sent, World, address};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Numbers of all packets that were sealed under one token's keys.
#[derive(Default)]
struct Ledger {
    up: BTreeSet<u64>,
    down: BTreeSet<u64>,
}

impl Ledger {
    fn note(numbers: &mut BTreeSet<u64>, datagram: &[u8]) {
        if let Ok(Outer::Sealed(header)) = read_outer(datagram) {
            assert!(
                numbers.insert(header.sequence),
                "{header:?} again, {} before it",
                numbers.len()
            );
        }
    }
}

/// State of the path between client and server.
#[derive(Clone, Copy, PartialEq)]
enum Path {
    Open,
    Cut,
}

/// Advances the time: the client sends its due packets, the server a payload each 10 ms, and the
/// ledger records all of them.
fn pass(world: &mut World, player: &mut Player, ledger: &mut Ledger, path: Path, span: Duration) {
    let end = world.now + span;
    while world.now < end {
        while let Some(transmit) = player.session.poll(world.now) {
            let datagram = transmit.into_bytes();
            Ledger::note(&mut ledger.up, &datagram);
            if path == Path::Open {
                world.give(player.address, &datagram);
            }
        }
        let mut sent = Sent::default();
        if let Some(client) = world.server.roster().at(player.address) {
            world.server.send(
                client,
                &[world.now.as_micros() as u8; 100],
                world.now,
                &mut sent,
            );
        }
        for (to, datagram) in world.take_replies().into_iter().chain(sent.0) {
            if to != player.address {
                continue;
            }
            Ledger::note(&mut ledger.down, &datagram);
            if path == Path::Open {
                let _ = player
                    .session
                    .receive(player.session.server(), &datagram, world.now);
            }
        }
        world.pass(10 * MS);
    }
}

/// A client in session, its client id, and a ticket for it.
pub(crate) fn with_ticket(world: &mut World) -> (Player, ClientId, ConnectToken) {
    let player = world.joined(1);
    let client = player.client.expect("in session");
    let ticket = world.server.ticket(client, world.now).unwrap();
    (player, client, ticket)
}

/// A client that continues with a ticket after an earlier one ended, at the same address.
fn again(world: &mut World, ticket: &ConnectToken, first: Player) -> Player {
    let mut second = world.player_of(ticket.clone(), 2);
    second.address = first.address;
    second.session = second.session.with_keys(first.session.into_keys());
    second
}

/// Sends the next of a client's packets.
fn say(world: &mut World, player: &mut Player, ledger: &mut Ledger) -> Vec<u8> {
    let datagram = player.session.poll(world.now).unwrap().into_bytes();
    Ledger::note(&mut ledger.up, &datagram);
    world.give(player.address, &datagram);
    datagram
}

/// Delivers the server's packets to a client.
fn hear(world: &mut World, player: &mut Player, ledger: &mut Ledger) {
    for (to, datagram) in world.take_replies() {
        if to == player.address {
            Ledger::note(&mut ledger.down, &datagram);
            let _ = player
                .session
                .receive(player.session.server(), &datagram, world.now);
        }
    }
}

#[test]
fn an_outage_longer_than_the_time_out_after_any_step_repeats_no_number() {
    for steps in 0..4 {
        for outage_s in [1, 11, 25] {
            let mut world = World::new();
            let (_, client, ticket) = with_ticket(&mut world);
            world.take_replies();
            let (mut ledger, mut first) = (Ledger::default(), world.player_of(ticket.clone(), 1));
            // Request, challenge, response, keep-alive: all after the first `steps` are lost.
            say(&mut world, &mut first, &mut ledger);
            if steps >= 1 {
                hear(&mut world, &mut first, &mut ledger);
            }
            if steps >= 2 {
                say(&mut world, &mut first, &mut ledger);
                assert_eq!(world.server.roster().at(first.address), Some(client));
            }
            if steps >= 3 {
                hear(&mut world, &mut first, &mut ledger);
                assert!(first.session.is_connected());
            }
            pass(
                &mut world,
                &mut first,
                &mut ledger,
                Path::Cut,
                Duration::from_secs(outage_s),
            );
            let sent = ledger.down.len();
            assert_eq!(
                sent > 900,
                steps >= 2 && outage_s > 10,
                "{steps} steps, {outage_s} s: {sent}"
            );
            // A second use of the ticket, by a client that received nothing.
            let mut second = again(&mut world, &ticket, first);
            pass(
                &mut world,
                &mut second,
                &mut ledger,
                Path::Open,
                Duration::from_secs(3),
            );
            assert!(second.session.is_connected(), "{steps} steps, {outage_s} s");
            assert_eq!(world.server.roster().at(second.address), Some(client));
            assert!(ledger.down.len() > sent + 200);
        }
    }
}

#[test]
fn what_was_recorded_opens_no_life_and_old_challenges_prove_nothing() {
    for timeout_s in [1, 10] {
        let mut world = World::new();
        world.issuer.timeout = Duration::from_secs(timeout_s);
        let (_, client, ticket) = with_ticket(&mut world);
        let mut first = world.player_of(ticket, 1);
        let mut ledger = Ledger::default();
        let request = say(&mut world, &mut first, &mut ledger);
        hear(&mut world, &mut first, &mut ledger);
        let response = say(&mut world, &mut first, &mut ledger);
        world.pass(Duration::from_secs(timeout_s) + 10 * MS);
        assert!(world.changes.contains(&Change::Parked(client)));
        let changes = world.changes.len();
        for _ in 0..50 {
            world.give(first.address, &request);
            world.give(first.address, &response);
            world.pass(100 * MS);
        }
        assert_eq!(&world.changes[changes..], [], "{timeout_s} s");
        assert_eq!(world.server.roster().at(first.address), None);
    }
    let mut world = World::new();
    let mut late = world.player(1);
    world.step(&mut late);
    let response = late.session.poll(world.now).unwrap().into_bytes();
    world.pass(CHALLENGE_TIME + MS);
    world.drops_from(late.address, &response, DropReason::OldChallenge);
    // It asks again and gets another challenge.
    world.finish_joining(&mut late);
    assert!(late.session.is_connected());
}

#[test]
fn a_token_that_another_server_may_take_as_well_is_numbered_apart() {
    let mut world = World::new();
    world.issuer.servers.push(address(9, 9));
    let player = world.joined(1);
    let next = world
        .server
        .roster()
        .get(player.client.unwrap())
        .unwrap()
        .keys
        .next();
    assert!(next > 1 << 32, "{next}");
    world.issuer.servers.pop();
    let player = world.joined(2);
    assert!(
        world
            .server
            .roster()
            .get(player.client.unwrap())
            .unwrap()
            .keys
            .next()
            < 10
    );
}

#[test]
fn an_address_that_a_nat_gives_to_another_client_is_its_at_once_and_the_first_keeps_its_place() {
    for comes_back in [false, true] {
        let mut world = World::with(|config| config.per_address = 1);
        let first = world.joined(1);
        let (client, at) = (first.client.unwrap(), first.address);
        let ticket = world.server.ticket(client, world.now).unwrap();
        let mut newcomer = match comes_back {
            false => world.player(2),
            true => {
                let other = world.joined(2);
                let ticket = world.ticket(&other);
                world.player_of(ticket, 3)
            }
        };
        newcomer.address = at;
        let began = world.now;
        world.finish_joining(&mut newcomer);
        assert!(newcomer.session.is_connected() && world.now.since(began) <= 20 * MS);
        assert_eq!(world.server.roster().at(at), newcomer.client);
        assert!(world.changes.contains(&Change::Parked(client)));
        // The first client resumes its session from its new address.
        let mut back = world.player_of(ticket, 4);
        world.finish_joining(&mut back);
        assert_eq!(
            (back.client, back.session.is_connected()),
            (Some(client), true)
        );
        assert_eq!(world.server.roster().at(at), newcomer.client);
    }
}

#[test]
fn a_session_that_gave_its_address_away_is_kept_for_as_long_as_if_it_had_fallen_silent() {
    let mut world = World::with(|config| config.grace = Duration::ZERO);
    let first = world.joined(1);
    let mut newcomer = world.player(2);
    newcomer.address = first.address;
    world.finish_joining(&mut newcomer);
    world.pass(SILENCE * 2);
    assert!(world.server.roster().get(first.client.unwrap()).is_some());
    world.pass(Duration::from_secs(10));
    assert!(
        world
            .changes
            .contains(&Change::Expired(first.client.unwrap()))
    );
}

#[test]
fn two_clients_whose_addresses_are_swapped_both_go_on() {
    let mut world = World::new();
    let (one, two) = (world.joined(1), world.joined(2));
    let mut back: Vec<_> = [(&one, two.address), (&two, one.address)]
        .into_iter()
        .map(|(old, at)| {
            let ticket = world.ticket(old);
            let mut player = world.player_of(ticket, 1);
            player.address = at;
            player
        })
        .collect();
    let began = world.now;
    while back.iter().any(|player| !player.session.is_connected()) {
        back.iter_mut().for_each(|player| world.step(player));
        world.pass(10 * MS);
        assert!(
            world.now.since(began) <= 50 * MS,
            "{:?}",
            world.server.drops()
        );
    }
    assert_eq!(world.server.roster().at(two.address), one.client);
    assert_eq!(world.server.roster().at(one.address), two.client);
    assert_eq!(world.server.roster().live(), 2);
}

#[test]
fn a_request_alone_takes_no_address_from_anyone() {
    let mut world = World::new();
    let first = world.joined(1);
    let attacker = world.player(2);
    (0..20).for_each(|_| world.give(first.address, &attacker.request()));
    assert_eq!(world.server.roster().at(first.address), first.client);
}

/// The reason that a client with a refused token receives.
fn denial(world: &mut World, mut player: Player) -> Option<Denial> {
    world.finish_joining(&mut player);
    assert_eq!(player.session.phase(), Phase::Failed(Failure::Denied));
    player.session.denial()
}

#[test]
fn a_genuine_token_that_is_refused_is_told_why() {
    let mut world = World::with(|config| config.sessions = 1);
    let ahead = UnixTime::from_millis(world.wall().as_millis() + 6_000);
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
    let token = world
        .issuer
        .issue(UserId(1), Purpose::default(), ahead, &mut rng);
    let player = world.player_of(token, 1);
    assert_eq!(denial(&mut world, player), Some(Denial::ClockAhead));
    assert_eq!(world.server.drops().count(DropReason::ClockAhead), 1);
    assert_eq!(world.server.drops().count(DropReason::Expired), 0);
    // Tokens of another issuer do not contain their time of issue: they expire too late, or may be
    // from before the start.
    let mut foreign = |world: &mut World, by_s: i64| {
        let at = UnixTime::from_millis((world.wall().as_millis() as i64 + by_s * 1_000) as u64);
        let token = world
            .issuer
            .issue_with(UserId(2), [0; USER_DATA_BYTES], at, &mut rng);
        world.player_of(token, 1)
    };
    let player = foreign(&mut world, 7);
    assert_eq!(denial(&mut world, player), Some(Denial::LongLived));
    let player = foreign(&mut world, -3);
    assert_eq!(denial(&mut world, player), Some(Denial::BeforeStart));
    let early = world.player(3);
    world.pass(500 * MS);
    world.restart();
    assert_eq!(denial(&mut world, early), Some(Denial::BeforeStart));
    let only = world.joined(4);
    let player = world.player(5);
    assert_eq!(denial(&mut world, player), Some(Denial::Full));
    let ticket = world.ticket(&only);
    world.pass(20 * MS);
    assert_eq!(world.joined(4).client, only.client);
    let player = world.player_of(ticket.clone(), 1);
    assert_eq!(denial(&mut world, player), Some(Denial::Replaced));
    world.server.drain();
    let player = world.player(6);
    assert_eq!(denial(&mut world, player), Some(Denial::Draining));
}
