//! Several clients of one user, and addresses shared by strangers: which session ends, and with
//! which reason.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use truetick_arena::arena_schema;
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::token::Purpose;
use truetick_netcode::session::{Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::world_room::WorldRoom;
use truetick_tests::capture_transport::CaptureTransport;
use truetick_tests::tokens::{self, tokens};

const START: Timestamp = Timestamp::from_millis(1_000);

const REPLACED: ClientState = ClientState::Ended(End::Disconnected(DisconnectReason::Replaced));

/// A server with two small arenas, and bots without a network between them.
struct Stage {
    server: Server,
    bots: Vec<(SocketAddr, BotClient)>,
    now: Timestamp,
    /// Bots that receive nothing.
    deaf: Vec<usize>,
}

impl Stage {
    fn new(players: usize, spectators: usize) -> Self {
        let mut config = tokens::session_config();
        (config.sessions, config.spectators) = (players * 2 + 1, spectators * 2 + 1);
        let mut server = Server::new(config, [7; 32], START, tokens::wall(START));
        for _ in 0..2 {
            let arena = ArenaGame::new(ArenaConfig {
                drones: 0,
                pickups: 0,
                ..ArenaConfig::default()
            });
            let room = RoomConfig {
                max_clients: players,
                max_spectators: spectators,
                ..RoomConfig::default()
            };
            server.add_room(Box::new(
                WorldRoom::new(arena.unwrap(), room, START).unwrap(),
            ));
        }
        Self {
            server,
            bots: Vec::new(),
            now: START,
            deaf: Vec::new(),
        }
    }

    /// Adds a client of a user; returns its index.
    fn come(&mut self, user: u64, room: u16, role: Role) -> usize {
        let place = self.bots.len();
        let purpose = Purpose {
            room,
            role,
            ..Purpose::default()
        };
        let token =
            tokens(100 + place as u64).issue_for(UserId(user), purpose, tokens::wall(self.now));
        let bot = BotClient::new(
            Arc::new(arena_schema().unwrap()),
            token,
            place as u64,
            self.now,
        );
        let address = SocketAddr::from(([127, 0, 0, 1], 30_000 + place as u16));
        self.bots.push((address, bot.as_role(role)));
        self.pass(Duration::from_millis(600));
        place
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += Duration::from_millis(4);
            let now = self.now;
            for (from, bot) in &mut self.bots {
                if bot.next_timeout() <= now {
                    bot.advance(now);
                }
                while let Some((_, transmit)) = bot.poll_transmit() {
                    self.server.receive(*from, &transmit, now);
                }
                while bot.poll_event().is_some() {}
            }
            let mut capture_transport = CaptureTransport::default();
            self.server.send_replies(&mut capture_transport);
            self.server.tick(&mut || now, &mut capture_transport);
            for (to, bytes) in capture_transport.0 {
                let place = usize::from(to.port() - 30_000);
                if !self.deaf.contains(&place) {
                    self.bots[place]
                        .1
                        .receive(SocketAddr::from(tokens::SERVER), &bytes, now);
                }
            }
        }
    }

    fn state(&self, place: usize) -> ClientState {
        self.bots[place].1.runtime().state()
    }
}

#[test]
fn who_loses_its_session_hears_why_and_does_not_come_back() {
    let mut stage = Stage::new(8, 8);
    let first = stage.come(7, 0, Role::Player);
    let second = stage.come(7, 0, Role::Player);
    assert_eq!(
        (stage.state(first), stage.state(second)),
        (REPLACED, ClientState::Playing)
    );
    stage.pass(Duration::from_secs(3));
    assert_eq!(
        (stage.state(second), stage.server.sessions()),
        (ClientState::Playing, 1)
    );
}

#[test]
fn who_did_not_hear_why_is_told_when_it_shows_its_ticket() {
    let mut stage = Stage::new(8, 8);
    let first = stage.come(7, 0, Role::Player);
    stage.deaf.push(first);
    let second = stage.come(7, 0, Role::Player);
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.state(first), ClientState::Silent);
    stage.deaf.clear();
    stage.pass(Duration::from_secs(3));
    assert_eq!(
        (stage.state(first), stage.state(second)),
        (REPLACED, ClientState::Playing)
    );
}

#[test]
fn one_user_has_a_session_in_each_room_and_role() {
    let mut stage = Stage::new(8, 8);
    let ways = [
        (0, Role::Player),
        (0, Role::Spectator),
        (1, Role::Player),
        (1, Role::Spectator),
    ];
    let places = ways.map(|(room, role)| stage.come(7, room, role));
    assert!(
        places
            .iter()
            .all(|place| stage.state(*place) == ClientState::Playing)
    );
    assert_eq!(stage.server.sessions(), 4);
}

#[test]
fn spectators_take_no_players_place_and_players_no_spectators() {
    let full = ClientState::Ended(End::Disconnected(DisconnectReason::Full));
    let mut stage = Stage::new(2, 3);
    let watching: Vec<_> = (0..4)
        .map(|user| stage.come(user, 0, Role::Spectator))
        .collect();
    let playing: Vec<_> = (10..13)
        .map(|user| stage.come(user, 0, Role::Player))
        .collect();
    for (places, allowed) in [(&watching, 3), (&playing, 2)] {
        for (i, place) in places.iter().enumerate() {
            let expected = if i < allowed {
                ClientState::Playing
            } else {
                full
            };
            assert_eq!(stage.state(*place), expected, "{i} of {allowed}");
        }
    }
}

#[test]
fn who_takes_a_session_over_may_send_no_more_than_the_one_before() {
    let now = START;
    let mut peer = truetick_server::peer::Peer::new(Default::default(), 0, 1, false, now);
    let spent = (0..1_000).take_while(|_| peer.may_send(60, now)).count();
    assert!(spent > 10);
    let mut next = peer.successor(2, false, 60, now);
    assert!(!next.may_send(60, now), "a takeover refills the budget");
    assert!(next.may_send(60, now + Duration::from_millis(20)));
}
