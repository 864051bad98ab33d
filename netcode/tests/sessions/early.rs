//! Early data on secured connections: a copy of it resumes nothing twice and joins nothing.

use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::server::{Change, Resume};
use truetick_netcode::transport::{Event, PeerAddr, Transmit};

use crate::secured::{Visitor, changes, joined, token};
use crate::world::{World, address};

/// Its connection opens and its request arrives as early data, as a copy of it may.
fn early(world: &mut World, by: PeerAddr, wish: &Transmit) {
    let Transmit::Open(wish) = wish else {
        panic!("{wish:?}")
    };
    world
        .server
        .receive(by, Event::DatagramBytes(1_200), world.now);
    world.server.receive(by, Event::Early(wish), world.now);
}

#[test]
fn what_comes_early_resumes_at_once_and_joins_only_when_it_is_known_to_be_no_copy() {
    let mut world = World::new();
    let token = token(&mut world);
    let mut visitor = Visitor::new(&world, token, 5);
    let wish = visitor.session.poll(world.now).unwrap();
    early(&mut world, visitor.addr(), &wish);
    assert_eq!(changes(&mut world), []);
    world
        .server
        .receive(visitor.addr(), Event::Confirmed, world.now);
    visitor.hear(&mut world);
    assert!(visitor.session.is_connected());
    let client = world.server.roster().at(visitor.addr()).unwrap();
    changes(&mut world);
    let ticket = world.server.ticket(client, world.now).unwrap();
    let mut again = Visitor::new(&world, ticket, 6);
    let wish = again.session.poll(world.now).unwrap();
    early(&mut world, again.addr(), &wish);
    assert_eq!(
        changes(&mut world),
        [Change::Resumed {
            client,
            addr: again.addr(),
            resume: Resume::Continued
        }]
    );
    again.hear(&mut world);
    assert!(again.session.is_connected());
}

#[test]
fn a_copy_of_an_early_resume_takes_the_session_from_nobody() {
    let mut world = World::new();
    let (_visitor, client) = joined(&mut world);
    let ticket = world.server.ticket(client, world.now).unwrap();
    let mut own = Visitor::new(&world, ticket, 6);
    let wish = own.session.poll(world.now).unwrap();
    // The copy is first: it opens a connection on which the thief cannot send anything valid.
    let thief = PeerAddr::quic(66, address(66, 6));
    early(&mut world, thief, &wish);
    assert_eq!(world.server.roster().at(thief), Some(client));
    early(&mut world, own.addr(), &wish);
    own.hear(&mut world);
    assert!(own.session.is_connected());
    assert_eq!(world.server.roster().at(own.addr()), Some(client));
    // Once the server has received a payload from the owner, the ticket is spent.
    let heard = own.session.seal(&[1], world.now);
    assert!(
        world
            .server
            .receive(own.addr(), &heard, world.now)
            .is_some()
    );
    let late = PeerAddr::quic(67, address(66, 7));
    early(&mut world, late, &wish);
    assert_eq!(world.server.drops().count(DropReason::StaleTicket), 1);
    assert_eq!(world.server.roster().at(own.addr()), Some(client));
}
