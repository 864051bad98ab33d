//! Clients that spectate: they see all that everyone may see, and the world does not know of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use truetick_arena::{ArenaCommand, arena_schema};
use truetick_auction::house::HouseRules;
use truetick_auction::money::Currency;
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::client::state::ClientState;
use truetick_netcode::command::write_commands;
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::error::WireError;
use truetick_netcode::messages::Body;
use truetick_netcode::schema::{Field, Schema, Visibility};
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::token::Purpose;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::auction::entry::{Entry, HouseReplica};
use truetick_server::auction::room::{AuctionConfig, AuctionRoom};
use truetick_server::drain::Drain;
use truetick_server::journal::CommitLog;
use truetick_server::room::{Room, RoomConfig};
use truetick_server::server::Server;
use truetick_server::world_access::WorldAccess;
use truetick_server::world_room::WorldRoom;
use truetick_tests::capture_transport::CaptureTransport;
use truetick_tests::fault::Fault;
use truetick_tests::loopback_client::LoopbackClient;
use truetick_tests::mark::Mark;
use truetick_tests::network::Ways;
use truetick_tests::newcomer::{ADDRESS, NOW, Newcomer};
use truetick_tests::scenario::Scenario;
use truetick_tests::tokens::{SERVER, server, tokens, wall};

/// An arena of eight players with a small interest radius, and spectators.
struct Watched {
    room: WorldRoom<ArenaGame>,
    schema: Schema,
    players: Vec<LoopbackClient>,
    spectators: Vec<LoopbackClient>,
    now: Timestamp,
}

impl Watched {
    fn new(spectators: u32) -> Self {
        let config = RoomConfig {
            relevance_radius_m: Some(10.0),
            ..RoomConfig::default()
        };
        let now = Timestamp::from_millis(1_000);
        let mut room =
            WorldRoom::new(ArenaGame::new(ArenaConfig::default()).unwrap(), config, now).unwrap();
        let players = (1..=8)
            .map(|client| LoopbackClient::join(&mut room, client, Role::Player))
            .collect();
        let spectators = (100..100 + spectators)
            .map(|client| LoopbackClient::join(&mut room, client, Role::Spectator));
        let spectators = spectators.collect();
        Self {
            room,
            schema: arena_schema().unwrap().schema,
            players,
            spectators,
            now,
        }
    }

    fn command(&mut self, client: ClientId, tick: Tick) -> Result<(), WireError> {
        let command = ArenaCommand {
            thrust: [90, (client.0 % 16) as i8 * 7],
            ..ArenaCommand::default()
        };
        let mut writer = BitWriter::new();
        write_commands(&mut writer, tick, [command].iter());
        writer.pad_to_byte();
        self.room
            .receive_commands(client, BitReader::new(writer.bytes()), self.now)
    }

    fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            let tick = self.room.timeline().next();
            (1..=8).for_each(|client| self.command(ClientId(client), tick).unwrap());
            self.room.simulate(self.now);
            for client in self.players.iter_mut().chain(&mut self.spectators) {
                for payload in client.payloads(&mut self.room, self.now) {
                    client.take(&self.schema, &payload, self.now).unwrap();
                }
                client.answer(&mut self.room, self.now);
            }
            self.now += Duration::from_micros(16_667);
        }
    }
}

#[test]
fn a_spectator_sees_everything_as_everyone_may_see_it() {
    let mut watched = Watched::new(1);
    watched.run(60);
    let (ring, held) = (watched.room.ring(), watched.spectators[0].held());
    let visible = ring
        .entries()
        .filter(|entry| watched.schema.kind(entry.kind).is_visible())
        .count();
    assert_eq!(held.entities().count(), visible);
    assert!(held.own().is_none() && held.entities().all(|entity| !entity.is_own()));
    for entry in ring
        .entries()
        .filter(|entry| watched.schema.kind(entry.kind).is_visible())
    {
        let (told, fields) = (
            held.entity(entry.id.slot).unwrap(),
            &watched.schema.kind(entry.kind).fields,
        );
        for ((field, told), is) in fields
            .iter()
            .zip(told.newest().fields)
            .zip(&entry.current().fields)
        {
            let may_know = |field: &Field| field.visibility == Visibility::Everyone;
            let expected = if may_know(field) { *is } else { 0 };
            assert_eq!(*told, expected, "{} of {:?}", field.name, entry.id);
        }
    }
    // A player sees only its surroundings.
    assert!(watched.players[0].held().entities().count() < visible / 2);
}

#[test]
fn the_world_is_the_same_whoever_watches() {
    let hashes = [0, 3].map(|spectators| {
        let mut watched = Watched::new(spectators);
        watched.run(30);
        watched
            .spectators
            .drain(..)
            .for_each(|gone| watched.room.leave(gone.client(), true));
        watched.run(30);
        assert_eq!(watched.room.population(), 8);
        watched.room.world_hash()
    });
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn spectators_share_what_is_encoded_for_them() {
    let [one, nine] = [1, 9].map(|spectators| {
        let mut watched = Watched::new(spectators);
        watched.run(60);
        watched.room.metrics().encode_sharing
    });
    let ((asked_by_one, made_for_one), (asked_by_nine, made_for_nine)) = (one, nine);
    assert_eq!(made_for_one, made_for_nine);
    assert!(asked_by_nine > asked_by_one);
}

#[test]
fn a_spectator_that_sends_commands_breaks_the_protocol() {
    let mut watched = Watched::new(1);
    watched.run(2);
    let mut unwatched = Watched::new(0);
    unwatched.run(2);
    for _ in 0..5 {
        let tick = watched.room.timeline().next();
        let refused = watched.command(ClientId(100), tick);
        assert_eq!(
            refused,
            Err(WireError::Misbehaving("a spectator sends no commands"))
        );
        watched.run(1);
        unwatched.run(1);
    }
    assert_eq!(watched.room.world_hash(), unwatched.room.world_hash());
}

/// A commit log that stores nothing.
struct NoJournal;

impl CommitLog<Entry> for NoJournal {
    fn submit(&mut self, _: Entry) -> bool {
        true
    }

    fn durable(&self) -> u64 {
        0
    }

    fn failure(&self) -> Option<&str> {
        None
    }
}

fn serving(room: impl Room + 'static) -> Server {
    let mut server = server(NOW);
    server.add_room(Box::new(room));
    server
}

fn arena() -> Server {
    let game = ArenaGame::new(ArenaConfig::default()).unwrap();
    serving(WorldRoom::new(game, RoomConfig::default(), NOW).unwrap())
}

fn auction() -> Server {
    let rules = HouseRules {
        currency: Currency::EUR,
        admins: Vec::new(),
        retention: 1_000,
    };
    let rate = Rate {
        per_second: 1,
        burst: 1,
    };
    let config = AuctionConfig {
        room: RoomConfig::default(),
        rules,
        rate,
        receipts: 1 << 20,
    };
    serving(AuctionRoom::open(
        config,
        HouseReplica::default(),
        Box::new(NoJournal),
        NOW,
    ))
}

#[test]
fn an_arena_takes_spectators_and_an_auction_tells_them_that_it_does_not() {
    let told = |role, mut server: Server| {
        let reason = Newcomer::join(&mut server, role).disconnect(&mut server);
        (reason, server.rooms()[0].population())
    };
    assert_eq!(told(Role::Spectator, arena()), (None, 1));
    assert_eq!(told(Role::Player, auction()), (None, 1));
    assert_eq!(
        told(Role::Spectator, auction()),
        (Some(DisconnectReason::NoSpectators), 0)
    );
}

#[test]
fn a_spectator_answers_each_tick_though_it_runs_only_when_it_is_due() {
    let mut server = arena();
    let token = tokens(9).issue_for(
        UserId(7),
        Purpose {
            role: Role::Spectator,
            ..Purpose::default()
        },
        wall(NOW),
    );
    let mut bot =
        BotClient::new(Arc::new(arena_schema().unwrap()), token, 4, NOW).as_role(Role::Spectator);
    for ms in 1_000..4_000 {
        let (now, mut capture_transport) =
            (Timestamp::from_millis(ms), CaptureTransport::default());
        server.send_replies(&mut capture_transport);
        server.tick(&mut || now, &mut capture_transport);
        capture_transport
            .0
            .iter()
            .for_each(|(_, bytes)| bot.receive(SocketAddr::from(SERVER), &bytes[..], now));
        if bot.next_timeout() <= now {
            bot.advance(now);
        }
        while let Some((_, bytes)) = bot.poll_transmit() {
            server.receive(ADDRESS, &bytes, now);
        }
    }
    let (_, connection) = server.session(ADDRESS).unwrap();
    let (ticks, answers) = (
        server.rooms()[0].metrics().ticks,
        connection.traffic().packets_in,
    );
    assert!(
        ticks > 170 && answers.abs_diff(ticks) < 12,
        "{answers} answers in {ticks} ticks"
    );
    assert_eq!(bot.runtime().state(), ClientState::Playing);
}

#[test]
fn commands_end_a_spectators_session() {
    for (role, expected) in [
        (Role::Player, None),
        (Role::Spectator, Some(DisconnectReason::Misbehaved)),
    ] {
        let mut server = arena();
        let mut client = Newcomer::join(&mut server, role);
        assert_eq!(client.disconnect(&mut server), None);
        client.send(&mut server, |writer| {
            writer.write(Body::Commands as u32, Body::BITS);
            write_commands(writer, Tick(9), [ArenaCommand::default()].iter());
        });
        assert_eq!(client.disconnect(&mut server), expected);
    }
}

#[test]
fn a_drained_server_waits_for_those_who_watch_only_as_long_as_they_have_to_leave() {
    for (role, waits) in [(Role::Player, true), (Role::Spectator, false)] {
        let mut server = arena();
        let mut client = Newcomer::join(&mut server, role);
        assert_eq!(client.disconnect(&mut server), None);
        let (within, limit) = (Duration::from_secs(10), Duration::from_secs(30));
        server.drain(Drain::new(1, within, limit, client.now));
        assert!(!server.is_drained(client.now) && !server.is_drained(client.now + within / 2));
        assert_eq!(server.is_drained(client.now + within), !waits);
    }
}

#[test]
fn a_spectator_goes_on_watching_through_whatever_befalls_it() {
    Scenario::new(11)
        .clients(5)
        .with(|config| {
            config.spectators = 2;
            config.timeout = Duration::from_secs(1);
        })
        .fault(600, 100, Fault::ChangeAddress(4))
        .fault(
            1_500,
            2_000,
            Fault::Cut {
                client: 3,
                ways: Ways::Both,
            },
        )
        .fault(4_000, 300, Fault::CrashClient(4))
        .fault(
            5_000,
            900,
            Fault::Clog {
                client: 4,
                ways: Ways::Down,
            },
        )
        .must_hit(&[
            Mark::Watched,
            Mark::Resumed,
            Mark::TimedOut,
            Mark::TakenOver,
        ])
        .heals();
}
