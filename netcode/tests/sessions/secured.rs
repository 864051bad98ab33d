//! Sessions on transports that encrypt already: equal tokens and rules, but no seals.

use std::time::Duration;

use truetick_netcode::limits::{HELLO_TIME, PAYLOAD_BYTES, SMALLEST_PAYLOAD};
use truetick_netcode::session::client::{Failure, Phase, Received, SessionClient};
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::packet::write_request;
use truetick_netcode::session::secured::write_join;
use truetick_netcode::session::server::{Change, Resume};
use truetick_netcode::session::token::{ConnectToken, Purpose};
use truetick_netcode::session::{ClientId, UserId};
use truetick_netcode::transport::{Event, PeerAddr, Transmit, TransportKind};

use crate::world::{PROTOCOL, World, address};

/// The server's transmits outside of the tick since the last call.
fn said(world: &mut World) -> Vec<(PeerAddr, Transmit)> {
    let mut said = Vec::new();
    world.server.send_replies(&mut said);
    said
}

/// A client whose connections the server sees under the number `at`.
pub(crate) struct Visitor {
    pub session: SessionClient,
    at: u64,
}

impl Visitor {
    pub(crate) fn new(world: &World, token: ConnectToken, at: u64) -> Self {
        Self {
            session: SessionClient::new(token, PROTOCOL, at, world.now)
                .transport(TransportKind::Quic, 1),
            at,
        }
    }

    pub(crate) fn addr(&self) -> PeerAddr {
        PeerAddr::quic(self.at, address(2, self.at as u16))
    }

    /// Connects, sends its request and receives the answer. `room` is the maximum size of a
    /// datagram.
    fn join(&mut self, world: &mut World, room: usize) {
        world
            .server
            .receive(self.addr(), Event::DatagramBytes(room), world.now);
        let now = world.now;
        assert!(
            self.session
                .receive(self.session.addr(), Event::DatagramBytes(room), now)
                .is_ok()
        );
        while let Some(transmit) = self.session.poll(world.now) {
            world.server.receive(self.addr(), &transmit, world.now);
        }
        self.hear(world);
    }

    pub(crate) fn hear(&mut self, world: &mut World) -> Vec<(PeerAddr, Transmit)> {
        let said = said(world);
        let (own, others) = said
            .into_iter()
            .partition::<Vec<_>, _>(|(to, _)| *to == self.addr());
        for (_, transmit) in own {
            let _ = self
                .session
                .receive(self.session.addr(), &transmit, world.now);
        }
        others
    }
}

/// A client in session, and its client id.
pub(crate) fn joined(world: &mut World) -> (Visitor, ClientId) {
    let token = token(world);
    let mut visitor = Visitor::new(world, token, 5);
    visitor.join(world, 1_200);
    let client = world
        .server
        .roster()
        .at(visitor.addr())
        .expect("in session");
    changes(world);
    (visitor, client)
}

pub(crate) fn changes(world: &mut World) -> Vec<Change> {
    std::iter::from_fn(|| world.server.poll_change()).collect()
}

pub(crate) fn token(world: &mut World) -> ConnectToken {
    world.issue(UserId(7), Purpose::default())
}

#[test]
fn a_client_joins_talks_and_leaves() {
    let mut world = World::new();
    let token = token(&mut world);
    let mut visitor = Visitor::new(&world, token, 5);
    visitor.join(&mut world, 1_162);
    assert!(visitor.session.is_connected());
    assert!(matches!(
        changes(&mut world)[..],
        [Change::Opened {
            user: UserId(7),
            ..
        }]
    ));
    let client = world.server.roster().at(visitor.addr()).unwrap();
    assert_eq!(
        (
            world.server.max_payload(client),
            visitor.session.max_payload()
        ),
        (1_162, 1_162)
    );
    let payload = visitor.session.seal(&[1, 2, 3], world.now);
    assert_eq!(payload, Transmit::Datagram(vec![1, 2, 3]));
    let came = world.server.receive(visitor.addr(), &payload, world.now);
    assert_eq!(came, Some((client, Received::Payload(&[1, 2, 3]))));
    let frame = [2, 1, 9];
    let came = world
        .server
        .receive(visitor.addr(), Event::Frame(&frame), world.now);
    assert_eq!(came, Some((client, Received::Frame(&frame))));
    let mut said: Vec<(PeerAddr, Transmit)> = Vec::new();
    world.server.send(client, &[4, 5], world.now, &mut said);
    assert_eq!(said, [(visitor.addr(), Transmit::Datagram(vec![4, 5]))]);
    world
        .server
        .receive(visitor.addr(), Event::DatagramBytes(9_000), world.now);
    assert_eq!(world.server.max_payload(client), PAYLOAD_BYTES);
    for transmit in visitor.session.disconnect() {
        world.server.receive(visitor.addr(), &transmit, world.now);
    }
    assert_eq!(changes(&mut world), [Change::Left(client)]);
}

#[test]
fn who_has_seen_a_request_in_the_clear_cannot_use_its_token_here() {
    let mut world = World::new();
    let token = token(&mut world);
    let thief = PeerAddr::quic(9, address(3, 3));
    world
        .server
        .receive(thief, Event::DatagramBytes(1_200), world.now);
    let request = write_request(token.protocol, token.expires, &token.nonce, &token.sealed);
    let stolen = write_join(&request, &Key::new([1; 32]));
    world
        .server
        .receive(thief, Event::Frame(&stolen), world.now);
    assert_eq!(world.server.drops().count(DropReason::ForgedToken), 1);
    let said = said(&mut world);
    assert_eq!(said, [(thief, Transmit::Close)]);
    // The owner of the token is not affected.
    let mut owner = Visitor::new(&world, token, 5);
    owner.join(&mut world, 1_200);
    assert!(owner.session.is_connected());
}

#[test]
fn a_token_serves_once_whatever_carries_it() {
    let mut world = World::new();
    let first = world.joined(1);
    let mut second = Visitor::new(&world, first.token.clone(), 5);
    second.join(&mut world, 1_200);
    assert_eq!(second.session.phase(), Phase::Failed(Failure::Denied));
    assert_eq!(world.server.drops().count(DropReason::Consumed), 1);
}

#[test]
fn a_lost_connection_is_resumed_by_another_and_the_old_one_closed() {
    let mut world = World::new();
    let (mut visitor, client) = joined(&mut world);
    let ticket = world.server.ticket(client, world.now).unwrap();
    let lost = Event::Closed { told: false };
    assert!(
        visitor
            .session
            .receive(visitor.session.addr(), lost, world.now)
            .is_ok()
    );
    assert_eq!(
        visitor.session.phase(),
        Phase::Failed(Failure::ConnectionLost)
    );
    // The server has not noticed the loss.
    let mut again = Visitor::new(&world, ticket.clone(), 6);
    world
        .server
        .receive(again.addr(), Event::DatagramBytes(1_200), world.now);
    let ask = again.session.poll(world.now).unwrap();
    world.server.receive(again.addr(), &ask, world.now);
    assert_eq!(again.hear(&mut world), [(visitor.addr(), Transmit::Close)]);
    assert!(again.session.is_connected());
    let resumed = Change::Resumed {
        client,
        addr: again.addr(),
        resume: Resume::Continued,
    };
    assert_eq!(changes(&mut world), [resumed]);
    // A ticket is bound to the kind of transport on which it was issued.
    let ticket = world.server.ticket(client, world.now).unwrap();
    let mut other = world.player_of(ticket, 1);
    world.finish_joining(&mut other);
    assert_eq!(world.server.drops().count(DropReason::OtherTransport), 1);
}

#[test]
fn a_client_whose_connection_breaks_keeps_its_place_for_the_grace() {
    let mut world = World::new();
    let (visitor, client) = joined(&mut world);
    world
        .server
        .receive(visitor.addr(), Event::Closed { told: false }, world.now);
    assert_eq!(changes(&mut world), [Change::Parked(client)]);
    world.pass(Duration::from_secs(31));
    assert!(world.changes.contains(&Change::Expired(client)));
}

#[test]
fn a_connection_that_cannot_be_made_is_tried_again_with_pauses() {
    let mut world = World::new();
    let token = token(&mut world);
    let mut visitor = Visitor::new(&world, token, 5);
    let mut asked = 0;
    for _ in 0..500 {
        while visitor.session.poll(world.now).is_some() {
            asked += 1;
            let addr = visitor.session.addr();
            assert!(
                visitor
                    .session
                    .receive(addr, Event::Closed { told: false }, world.now)
                    .is_ok()
            );
            assert_ne!(visitor.session.addr(), addr);
        }
        world.pass(Duration::from_millis(10));
    }
    assert!((4..50).contains(&asked), "{asked}");
    world.pass(Duration::from_secs(6));
    assert_eq!(visitor.session.poll(world.now), None);
    assert_eq!(
        visitor.session.phase(),
        Phase::Failed(Failure::RequestTimedOut)
    );
}

#[test]
fn connections_that_are_silent_or_too_narrow_are_closed() {
    let mut world = World::new();
    let (silent, narrow) = (
        PeerAddr::quic(1, address(2, 1)),
        PeerAddr::quic(2, address(2, 2)),
    );
    world
        .server
        .receive(silent, Event::DatagramBytes(1_200), world.now);
    world.server.receive(
        narrow,
        Event::DatagramBytes(SMALLEST_PAYLOAD - 1),
        world.now,
    );
    assert_eq!(world.server.drops().count(DropReason::NarrowPath), 1);
    world.now += HELLO_TIME;
    world.server.update(world.now);
    let said = said(&mut world);
    assert_eq!(said, [(narrow, Transmit::Close), (silent, Transmit::Close)]);
}

#[test]
fn nonsense_on_a_connection_is_counted_and_closes_what_is_no_session() {
    let mut world = World::new();
    let stranger = PeerAddr::quic(1, address(2, 1));
    for frame in [&[][..], &[1], &[2, 1, 1], &[9; 40], &[0; 1_111]] {
        world
            .server
            .receive(stranger, Event::DatagramBytes(1_200), world.now);
        let before = world.server.drops().total();
        world
            .server
            .receive(stranger, Event::Frame(frame), world.now);
        assert_eq!(world.server.drops().total(), before + 1);
        let said = said(&mut world);
        assert_eq!(said, [(stranger, Transmit::Close)]);
    }
    let token = token(&mut world);
    let mut visitor = Visitor::new(&world, token, 5);
    visitor.join(&mut world, 1_200);
    for event in [
        Event::Datagram(&[]),
        Event::Datagram(&[7; 1_300]),
        Event::Frame(&[0; 1_111]),
    ] {
        let before = world.server.drops().total();
        assert_eq!(world.server.receive(visitor.addr(), event, world.now), None);
        assert_eq!(world.server.drops().total(), before + 1);
    }
    assert_eq!(world.server.roster().live(), 1);
}

#[test]
fn a_resume_whose_answer_was_lost_with_its_connection_is_asked_for_again() {
    for told in [false, true] {
        let mut world = World::new();
        let (mut visitor, client) = joined(&mut world);
        let heard = visitor.session.seal(&[1], world.now);
        world.server.receive(visitor.addr(), &heard, world.now);
        let ticket = world.server.ticket(client, world.now).unwrap();
        let mut first = Visitor::new(&world, ticket.clone(), 6);
        let wish = first.session.poll(world.now).unwrap();
        world
            .server
            .receive(first.addr(), Event::DatagramBytes(1_200), world.now);
        world.server.receive(first.addr(), &wish, world.now);
        // The client never sent a payload on it, so its end does not end the session.
        world
            .server
            .receive(first.addr(), Event::Closed { told }, world.now);
        assert_eq!(world.server.roster().sessions(), 1);
        let mut second = Visitor::new(&world, ticket, 7);
        second.join(&mut world, 1_200);
        assert!(second.session.is_connected(), "{:?}", world.server.drops());
        assert_eq!(world.server.roster().at(second.addr()), Some(client));
    }
}
