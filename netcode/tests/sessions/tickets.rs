//! Resume tickets: each resumes its session once, from any address, and no other session.

use truetick_netcode::session::client::{Failure, Phase};
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::server::{Change, Resume};

use crate::world::{Player, World, address};

#[test]
fn line_49_a_resume_ticket_serves_once() {
    let mut world = World::new();
    let player = world.joined(1);
    let client = player.client.unwrap();
    let ticket = world.server.ticket(client, world.now).unwrap();
    let mut moved = world.player_of(ticket.clone(), 1);
    world.finish_joining(&mut moved);
    assert!(moved.session.is_connected());
    assert!(world.changes.contains(&Change::Resumed {
        client,
        addr: moved.address.into(),
        resume: Resume::Continued
    }));
    assert_eq!(world.server.roster().at(player.address), None);
    let heard = moved.session.seal(&[1], world.now).into_bytes();
    assert_eq!(world.takes(moved.address, &heard), Some(vec![1]));
    // A late copy of its own request has no effect; another client's is refused.
    world.drops_from(moved.address, &moved.request(), DropReason::StaleTicket);
    let mut again = world.player_of(ticket, 1);
    world.finish_joining(&mut again);
    assert_eq!(again.session.phase(), Phase::Failed(Failure::Denied));
    assert_eq!(world.server.roster().at(moved.address), Some(client));
}

#[test]
fn line_49_a_ticket_is_not_bound_to_the_first_address_and_a_thief_of_its_request_gains_nothing() {
    let mut world = World::new();
    let player = world.joined(1);
    let ticket = world.ticket(&player);
    let mut moved = world.player_of(ticket, 1);
    world.step(&mut moved);
    assert_eq!(moved.session.phase(), Phase::Responding);
    for port in 0..50 {
        world.give(address(66, port), &moved.request());
    }
    world.finish_joining(&mut moved);
    assert!(moved.session.is_connected());
}

#[test]
fn line_49_a_ticket_of_an_earlier_epoch_is_refused() {
    let mut world = World::new();
    let player = world.joined(1);
    let client = player.client.unwrap();
    let (first, second) = (
        world.server.ticket(client, world.now).unwrap(),
        world.server.ticket(client, world.now).unwrap(),
    );
    let mut moved = world.player_of(first, 1);
    world.finish_joining(&mut moved);
    let mut again = world.player_of(second, 1);
    world.finish_joining(&mut again);
    assert_eq!(again.session.phase(), Phase::Failed(Failure::Denied));
    assert!(world.server.drops().count(DropReason::StaleTicket) > 0);
    assert_eq!(world.server.roster().at(moved.address), Some(client));
}

#[test]
fn line_49_a_ticket_of_another_user_or_of_a_closed_session_is_refused() {
    let mut world = World::new();
    let player = world.joined(1);
    let client = player.client.unwrap();
    let ticket = world.server.ticket(client, world.now).unwrap();
    world.leave(player);
    let mut late = world.player_of(ticket, 1);
    world.finish_joining(&mut late);
    assert_eq!(late.session.phase(), Phase::Failed(Failure::Denied));
    assert_eq!(world.server.roster().sessions(), 0);
}

#[test]
fn a_resume_of_which_the_client_did_not_hear_goes_on_at_its_next_address() {
    let mut world = World::new();
    let client = world.joined(1).client.unwrap();
    let ticket = world.server.ticket(client, world.now).unwrap();
    let mut first = world.player_of(ticket.clone(), 1);
    world.step(&mut first);
    let response = first.session.poll(world.now).unwrap().into_bytes();
    world.give(first.address, &response);
    assert_eq!(world.server.roster().at(first.address), Some(client));
    let sent = world.server.roster().get(client).unwrap().keys.next();
    // The keep-alive is lost, and the address has changed again; neither side seals a number twice.
    let mut second = world.player_of(ticket.clone(), 1);
    second.session = second.session.numbered_from(first.session.next_number());
    world.finish_joining(&mut second);
    assert!(second.session.is_connected());
    assert_eq!(
        (world.server.roster().at(first.address), second.client),
        (None, Some(client))
    );
    let session = world.server.roster().get(client).unwrap();
    assert!(session.keys.next() > sent && second.session.next_number() > 1);
    // Once the server has received a payload, the ticket is spent.
    let heard = second.session.seal(&[1], world.now).into_bytes();
    assert_eq!(world.takes(second.address, &heard), Some(vec![1]));
    let mut third = world.player_of(ticket, 1);
    world.finish_joining(&mut third);
    assert_eq!(third.session.phase(), Phase::Failed(Failure::Denied));
}

#[test]
fn a_parked_owner_comes_back_though_its_prefix_is_full() {
    let mut world = World::with(|config| config.per_address = 1);
    let at = |world: &mut World, mut player: Player, port| {
        player.address = address(7, port);
        world.finish_joining(&mut player);
        player
    };
    let owner = world.player(1);
    let owner = at(&mut world, owner, 1);
    let ticket = world.ticket(&owner);
    world.server.park(owner.client.unwrap(), world.now);
    let newcomer = world.player(2);
    assert!(at(&mut world, newcomer, 2).session.is_connected());
    let back = world.player_of(ticket, 1);
    assert!(at(&mut world, back, 3).session.is_connected());
    let third = world.player(3);
    assert_eq!(
        at(&mut world, third, 4).session.phase(),
        Phase::Failed(Failure::Denied)
    );
}

#[test]
fn one_ticket_fills_no_table() {
    let mut world = World::new();
    let player = world.joined(1);
    let ticket = world.ticket(&player);
    let request = world.player_of(ticket, 1).request();
    (0..200).for_each(|host| world.give(address(host, 5), &request));
    assert_eq!(world.server.half_open(), 1);
}
