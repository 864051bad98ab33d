//! Clients that watch: they see everything that everyone may see, and the world knows nothing of them.

use std::net::SocketAddr;
use std::time::Duration;

use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::command::write_commands;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::error::WireError;
use truetick_netcode::farewell::{DisconnectReason, Farewell};
use truetick_netcode::messages::{Body, ClientMessage, SESSION_STREAM, encode};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::schema::{Field, Schema, Visibility};
use truetick_netcode::session::client::SessionClient;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::token::Purpose;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::auction::entry::{Entry, HouseReplica};
use truetick_server::auction::room::{AuctionConfig, AuctionRoom};
use truetick_server::core::any_room::{AnyRoom, RoomConfig};
use truetick_server::core::room::Room;
use truetick_server::core::server::Server;
use truetick_server::core::world_room::WorldRoom;
use truetick_server::journal::Commits;
use truetick_shared::arena::{ArenaCommand, arena_schema};
use truetick_shared::auction::house::HouseRules;
use truetick_shared::auction::money::Currency;
use truetick_tests::entry::{SERVER, server, tokens, wall};
use truetick_tests::fault::Fault;
use truetick_tests::mark::Mark;
use truetick_tests::network::Ways;
use truetick_tests::onlooker::Onlooker;
use truetick_tests::scenario::Scenario;
use truetick_tests::tap::Tap;

/// An arena of eight players who see some metres far, and who else is there.
struct Watched {
    room: Room<ArenaGame>,
    schema: Schema,
    players: Vec<Onlooker>,
    spectators: Vec<Onlooker>,
    now: Timestamp,
}

impl Watched {
    fn new(spectators: u32) -> Self {
        let config = RoomConfig { relevance_radius_m: Some(10.0), ..RoomConfig::default() };
        let now = Timestamp::from_millis(1_000);
        let mut room = Room::new(ArenaGame::new(ArenaConfig::default()).unwrap(), config, now).unwrap();
        let players = (1..=8).map(|client| Onlooker::join(&mut room, client, Role::Player)).collect();
        let spectators =
            (100..100 + spectators).map(|client| Onlooker::join(&mut room, client, Role::Spectator));
        let spectators = spectators.collect();
        Self { room, schema: arena_schema().unwrap().schema, players, spectators, now }
    }

    fn command(&mut self, client: ClientId, tick: Tick) -> Result<(), WireError> {
        let command = ArenaCommand { thrust: [90, (client.0 % 16) as i8 * 7], ..ArenaCommand::default() };
        let mut writer = BitWriter::new();
        write_commands(&mut writer, tick, [command].iter());
        writer.pad_to_byte();
        self.room.receive_commands(client, BitReader::new(writer.bytes()), self.now)
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
    let visible = ring.entries().filter(|entry| watched.schema.kind(entry.kind).is_visible()).count();
    assert_eq!(held.entities().count(), visible);
    assert!(held.own().is_none() && held.entities().all(|entity| !entity.is_own()));
    for entry in ring.entries().filter(|entry| watched.schema.kind(entry.kind).is_visible()) {
        let (told, fields) = (held.entity(entry.id.slot).unwrap(), &watched.schema.kind(entry.kind).fields);
        for ((field, told), is) in fields.iter().zip(&told.newest().fields).zip(&entry.current().fields) {
            let may_know = |field: &Field| field.visibility == Visibility::Everyone;
            let expected = if may_know(field) { *is } else { 0 };
            assert_eq!(*told, expected, "{} of {:?}", field.name, entry.id);
        }
    }
    // A player sees its neighbourhood.
    assert!(watched.players[0].held().entities().count() < visible / 2);
}

#[test]
fn the_world_is_the_same_whoever_watches() {
    let hashes = [0, 3].map(|spectators| {
        let mut watched = Watched::new(spectators);
        watched.run(30);
        watched.spectators.drain(..).for_each(|gone| watched.room.leave(gone.client(), true));
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
    let (before, tick) = (watched.room.world_hash(), watched.room.timeline().next());
    let refused = watched.command(ClientId(100), tick);
    assert_eq!(refused, Err(WireError::Misbehaving("a spectator sends no commands")));
    assert_eq!(watched.room.world_hash(), before);
}

/// A journal of which nothing is asked.
struct NoJournal;

impl Commits<Entry> for NoJournal {
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

/// A server of one room.
fn serving(room: Box<dyn AnyRoom>, now: Timestamp) -> Server {
    let mut server = server(now);
    server.add_room(room);
    server
}

/// The farewell that a newcomer hears who says what it is; `None` where it is let in.
fn farewell_to(role: Role, server: &mut Server, now: Timestamp) -> Option<DisconnectReason> {
    let (address, mut tap) = (SocketAddr::from(([127, 0, 0, 1], 100)), Tap::default());
    let token = tokens(9).issue_for(UserId(7), Purpose { role, ..Purpose::default() }, wall(now));
    let mut session = SessionClient::new(token, PROTOCOL, 7, now);
    for _ in 0..2 {
        server.receive(address, &session.poll(now)?, now);
        server.send_replies(&mut tap);
        session.receive(SocketAddr::from(SERVER), &tap.0.pop()?.1, now).ok()?;
    }
    let (mut connection, mut writer) = (Connection::new(7, now), BitWriter::new());
    let schema = server.rooms()[0].schema_hash();
    connection.send(SESSION_STREAM, encode(&ClientMessage::Hello { schema })).ok()?;
    connection.begin(&mut writer, now, Messages::BesideState);
    writer.write(Body::Empty as u32, Body::BITS);
    connection.finish(&mut writer, now);
    server.receive(address, &session.seal(writer.bytes(), now), now);
    server.tick(&mut || now, &mut tap);
    tap.0.iter().find_map(|(_, datagram)| {
        let payload = session.receive(SocketAddr::from(SERVER), datagram, now).ok()?.payload()?.to_vec();
        let (_, mut reader) = connection.open(&payload, now).ok()?;
        let told = reader.read(Body::BITS) == Ok(Body::Farewell as u32);
        told.then(|| Farewell::read(reader).ok())?.map(|farewell| farewell.reason)
    })
}

#[test]
fn an_arena_takes_spectators_and_an_auction_tells_them_that_it_does_not() {
    let now = Timestamp::from_millis(1_000);
    let room =
        Room::new(ArenaGame::new(ArenaConfig::default()).unwrap(), RoomConfig::default(), now).unwrap();
    let mut arena = serving(Box::new(room), now);
    assert_eq!(farewell_to(Role::Spectator, &mut arena, now), None);
    assert_eq!(arena.rooms()[0].population(), 1);

    let rules = HouseRules { currency: Currency::EUR, admins: Vec::new(), retention: 1_000 };
    let config = AuctionConfig { room: RoomConfig::default(), rules, rate: Rate { per_second: 1, burst: 1 } };
    let room = || AuctionRoom::open(config.clone(), HouseReplica::default(), Box::new(NoJournal), now);
    let (mut auction, mut another) = (serving(Box::new(room()), now), serving(Box::new(room()), now));
    assert_eq!(farewell_to(Role::Spectator, &mut auction, now), Some(DisconnectReason::NoSpectators));
    assert_eq!(farewell_to(Role::Player, &mut another, now), None);
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
        .fault(1_500, 2_000, Fault::Cut { client: 3, ways: Ways::Both })
        .fault(4_000, 300, Fault::CrashClient(4))
        .fault(5_000, 900, Fault::Clog { client: 4, ways: Ways::Down })
        .must_hit(&[Mark::Watched, Mark::Resumed, Mark::TimedOut, Mark::TakenOver])
        .heals();
}
