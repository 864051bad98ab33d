//! Purposes of tokens: a room and a role.

use std::time::Duration;

use truetick_netcode::session::server::Change;
use truetick_netcode::session::token::{PrivateToken, Purpose};
use truetick_netcode::session::{Role, UserId};

use crate::world::{PROTOCOL, World};

#[test]
fn a_user_who_comes_for_another_room_or_to_watch_keeps_the_first_session() {
    let another_room = Purpose {
        room: 1,
        ..Purpose::default()
    };
    let to_watch = Purpose {
        role: Role::Spectator,
        ..Purpose::default()
    };
    for purpose in [another_room, to_watch] {
        let mut world = World::new();
        let one = world.joined(1);
        world.pass(Duration::from_millis(20));
        let token = world.issue(UserId(1), purpose);
        let mut other = world.player_of(token, 1);
        world.finish_joining(&mut other);
        assert!(
            !world
                .changes
                .iter()
                .any(|change| matches!(change, Change::Displaced { .. }))
        );
        assert_eq!(world.server.roster().sessions(), 2);
        assert_eq!(world.server.roster().at(one.address), one.client);
        let session = world.server.roster().get(other.client.unwrap()).unwrap();
        assert_eq!((session.room, session.role), (purpose.room, purpose.role));
        let ticket = world.ticket(&other);
        let key = &world.issuer.key;
        let opened =
            PrivateToken::open(&ticket.sealed, key, PROTOCOL, ticket.expires, &ticket.nonce)
                .unwrap();
        let told = Purpose::read(&opened.user_data).unwrap();
        assert_eq!((told.room, told.role), (purpose.room, purpose.role));
        // The limit applies within one room and role.
        world.pass(Duration::from_millis(20));
        let token = world.issue(UserId(1), purpose);
        let mut again = world.player_of(token, 2);
        world.finish_joining(&mut again);
        assert_eq!(
            (again.client, world.server.roster().sessions()),
            (other.client, 2)
        );
    }
}
