//! Copies of a request, recorded and sent again, delay neither a resumption nor a join.

use std::net::SocketAddr;
use std::time::Duration;

use truetick_netcode::limits::TOKEN_BINDING;
use truetick_netcode::session::UserId;
use truetick_netcode::session::client::Phase;
use truetick_netcode::session::token::{ConnectToken, Purpose};

use crate::keys::{MS, with_ticket};
use crate::world::World;

/// When copies of a request arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Never,
    BeforeRequest,
    AfterRequest,
    AfterChallenge,
    Always,
}

fn flood(world: &mut World, request: &[u8], copies: u32, addresses: u32) {
    for copy in 0..copies {
        let of = copy % addresses;
        world.give(
            SocketAddr::from(([10, 66, (of >> 8) as u8, of as u8], 7)),
            request,
        );
    }
    world.take_replies();
}

/// Time until a client has joined while copies of its request arrive from other addresses.
fn takes(
    world: &mut World,
    token: ConnectToken,
    when: When,
    copies: u32,
    addresses: u32,
) -> Duration {
    let (mut player, began, mut floods) = (world.player_of(token, 1), world.now, 0);
    let request = player.request();
    let mut is = |at| {
        floods += 1;
        floods < 4 && (when == at || when == When::Always)
    };
    if is(When::BeforeRequest) {
        flood(world, &request, copies, addresses);
    }
    for _ in 0..300 {
        let before = player.session.phase();
        while let Some(transmit) = player.session.poll(world.now) {
            world.give(player.address, &transmit.into_bytes());
        }
        world.hand_over(&mut player);
        match (before, player.session.phase()) {
            (_, Phase::Connected { .. }) => return world.now.since(began),
            (Phase::Requesting, Phase::Responding) if is(When::AfterChallenge) => {
                flood(world, &request, copies, addresses);
            }
            (Phase::Requesting, Phase::Requesting) if is(When::AfterRequest) => {
                flood(world, &request, copies, addresses);
            }
            (Phase::Failed(_), _) => break,
            _ => {}
        }
        world.pass(10 * MS);
    }
    panic!(
        "{when:?}, {copies} copies from {addresses}: {:?} {:?}",
        player.session.phase(),
        world.server.drops()
    );
}

#[test]
fn copies_of_a_request_delay_no_resume_by_a_millisecond() {
    let calm = {
        let mut world = World::new();
        let (_, _, ticket) = with_ticket(&mut world);
        takes(&mut world, ticket, When::Never, 0, 1)
    };
    for when in [
        When::BeforeRequest,
        When::AfterRequest,
        When::AfterChallenge,
        When::Always,
    ] {
        for copies in [8, 64, 5_000] {
            for addresses in [1, copies] {
                let mut world = World::new();
                let (_, _, ticket) = with_ticket(&mut world);
                let took = takes(&mut world, ticket, when, copies, addresses);
                assert_eq!(took, calm, "{when:?}, {copies} copies from {addresses}");
                assert!(world.server.half_open() <= 1);
            }
        }
    }
}

#[test]
fn copies_of_a_request_keep_nobody_from_joining() {
    for when in [
        When::BeforeRequest,
        When::AfterRequest,
        When::AfterChallenge,
        When::Always,
    ] {
        for copies in [8, 64, 5_000] {
            for addresses in [1, copies] {
                let mut world = World::new();
                let token = world.issue(UserId(1), Purpose::default());
                let took = takes(&mut world, token, when, copies, addresses);
                // A copy that arrives first binds the token for a moment.
                let most = TOKEN_BINDING + Duration::from_millis(500);
                assert!(
                    took < most,
                    "{when:?}, {copies} copies from {addresses}: {took:?}"
                );
                assert!(world.server.half_open() <= 1);
            }
        }
    }
}
