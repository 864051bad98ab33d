//! Rooms of different games in one server, and the refusal of a client that joins the wrong one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use truetick_arena::arena_schema;
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::client::runtime::ClientRuntime;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::command::write_commands;
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::replication::snapshot::{FEEDBACK_UNIT_US, Late, SnapshotHeader};
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::game::Game;
use truetick_server::room::{Room, RoomConfig};
use truetick_server::server::Server;
use truetick_server::world_access::WorldAccess;
use truetick_server::world_room::WorldRoom;
use truetick_tests::capture_transport::CaptureTransport;
use truetick_tests::second_game::{Push, Race};
use truetick_tests::tokens::{SERVER, server, token};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn two_rooms() -> Server {
    let mut server = server(NOW);
    let arena = ArenaGame::new(ArenaConfig {
        ghosts: true,
        ..ArenaConfig::default()
    })
    .unwrap();
    server.add_room(Box::new(
        WorldRoom::new(arena, RoomConfig::default(), NOW).unwrap(),
    ));
    let race = RoomConfig {
        tick_rate: 20,
        max_clients: 1,
        ..RoomConfig::default()
    };
    server.add_room(Box::new(WorldRoom::new(Race, race, NOW).unwrap()));
    server
}

fn address(i: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 100 + i))
}

fn race_client(room: u16, seed: u64) -> ClientRuntime<Race> {
    let schema = Race.registry().unwrap().schema().clone();
    ClientRuntime::new(Race, Arc::new(schema), token(seed, room, NOW), seed, NOW)
}

#[test]
fn two_games_run_side_by_side_in_one_server() {
    let mut server = two_rooms();
    let mut bot = BotClient::new(Arc::new(arena_schema().unwrap()), token(4, 0, NOW), 4, NOW);
    let mut runner = race_client(1, 5);
    for ms in 1_000..11_000 {
        let now = Timestamp::from_millis(ms);
        let mut capture_transport = CaptureTransport::default();
        server.send_replies(&mut capture_transport);
        server.tick(&mut || now, &mut capture_transport);
        for (to, bytes) in capture_transport.0 {
            if to == address(0) {
                bot.receive(SocketAddr::from(SERVER), &bytes, now)
            } else {
                runner.receive(SocketAddr::from(SERVER), &bytes, now)
            }
        }
        bot.advance(now);
        while let Some(tick) = runner.poll_tick(now) {
            runner.submit(tick, Push(if tick.0 % 50 < 30 { 1 } else { -1 }), now);
        }
        while let Some((_, bytes)) = bot.poll_transmit() {
            server.receive(address(0), &bytes, now);
        }
        while let Some((_, bytes)) = runner.poll_transmit() {
            server.receive(address(1), &bytes, now);
        }
    }
    assert_eq!(
        (bot.runtime().state(), runner.state()),
        (ClientState::Playing, ClientState::Playing)
    );
    let (arena, race) = (server.rooms()[0].metrics(), server.rooms()[1].metrics());
    assert!(
        (599..=600).contains(&arena.ticks) && (199..=200).contains(&race.ticks),
        "{} {}",
        arena.ticks,
        race.ticks
    );
    assert!(bot.runtime().stats().compared > 500 && runner.stats().compared > 150);
    assert_eq!(
        (
            bot.runtime().stats().mispredictions,
            runner.stats().mispredictions
        ),
        (0, 0)
    );
    let own = runner.buffer().own().unwrap();
    assert!(
        own.newest().fields[2] > 0,
        "the runner made no lap: {:?}",
        own.newest()
    );
}

/// Lets a client try to join for a second; returns its state.
fn answer(server: &mut Server, client: &mut ClientRuntime<Race>, from: SocketAddr) -> ClientState {
    for ms in 0..1_000 {
        let (now, mut capture_transport) =
            (NOW + Duration::from_millis(ms), CaptureTransport::default());
        client.poll_tick(now);
        while let Some((_, bytes)) = client.poll_transmit() {
            server.receive(from, &bytes, now);
        }
        server.tick(&mut || now, &mut capture_transport);
        let own = capture_transport
            .0
            .into_iter()
            .filter(|(to, _)| *to == from);
        own.for_each(|(_, bytes)| client.receive(SocketAddr::from(SERVER), &bytes, now));
        if !matches!(client.state(), ClientState::Connecting) {
            break;
        }
    }
    client.state()
}

#[test]
fn a_client_of_another_schema_is_told_both_versions() {
    let mut server = two_rooms();
    let state = answer(&mut server, &mut race_client(0, 1), address(1));
    let (theirs, own) = (
        arena_schema().unwrap().schema.hash(),
        Race.registry().unwrap().schema().hash(),
    );
    let ClientState::Ended(end) = state else {
        panic!("{state:?}")
    };
    assert_eq!(
        end,
        End::OtherSchema {
            server: theirs,
            client: own
        }
    );
    let said = end.to_string();
    assert!(
        said.contains(&format!("{theirs:016x}")) && said.contains(&format!("{own:016x}")),
        "{said}"
    );
}

#[test]
fn a_full_or_absent_room_says_so() {
    let mut server = two_rooms();
    let ended = |reason| ClientState::Ended(End::Disconnected(reason));
    assert_eq!(
        answer(&mut server, &mut race_client(1, 1), address(1)),
        ClientState::Playing
    );
    assert_eq!(
        answer(&mut server, &mut race_client(1, 2), address(2)),
        ended(DisconnectReason::Full)
    );
    assert_eq!(
        answer(&mut server, &mut race_client(9, 3), address(3)),
        ended(DisconnectReason::NoSuchRoom)
    );
}

#[test]
fn a_server_far_behind_slips_and_tells_its_clients() {
    let mut server = two_rooms();
    let mut client = race_client(1, 1);
    assert_eq!(
        answer(&mut server, &mut client, address(1)),
        ClientState::Playing
    );
    let mut capture_transport = CaptureTransport::default();
    let before = server.rooms()[1].timeline().epoch_us();
    let ticks = server.rooms()[1].metrics().ticks;
    let stalled = NOW + Duration::from_secs(5);
    server.tick(&mut || stalled, &mut capture_transport);
    let room = &server.rooms()[1];
    assert_eq!(
        (room.metrics().ticks, room.metrics().missed_ticks),
        (ticks + 1, 1)
    );
    assert!(room.timeline().epoch_us() > before + 2_900_000);
}

#[test]
fn a_late_copy_of_a_handshake_opens_no_second_session() {
    let mut server = two_rooms();
    let mut client = race_client(1, 1);
    let mut said = Vec::new();
    for ms in 0..100 {
        let (now, mut capture_transport) =
            (NOW + Duration::from_millis(ms), CaptureTransport::default());
        client.poll_tick(now);
        let sent: Vec<_> = std::iter::from_fn(|| client.poll_transmit())
            .map(|(_, bytes)| bytes)
            .collect();
        sent.iter()
            .for_each(|bytes| server.receive(address(1), bytes, now));
        said.extend(sent);
        server.tick(&mut || now, &mut capture_transport);
        capture_transport
            .0
            .iter()
            .for_each(|(_, bytes)| client.receive(SocketAddr::from(SERVER), bytes, now));
    }
    assert_eq!(server.sessions(), 1);
    client.leave();
    let later = NOW + Duration::from_millis(200);
    while let Some((_, bytes)) = client.poll_transmit() {
        server.receive(address(1), &bytes, later);
    }
    assert_eq!(server.sessions(), 0);
    said.iter()
        .for_each(|bytes| server.receive(address(1), bytes, later));
    assert_eq!(
        (server.sessions(), server.session_server().half_open()),
        (0, 0)
    );
    assert!(
        server.drops().count(DropReason::Consumed) > 0,
        "{:?}",
        server.drops()
    );
}

#[test]
fn line_41_a_clients_commands_move_its_own_entity_alone() {
    let mut room = WorldRoom::new(Race, RoomConfig::default(), NOW).unwrap();
    let clients = [ClientId(1), ClientId(2)];
    clients
        .iter()
        .for_each(|client| room.join(*client, UserId(u64::from(client.0)), Role::Player));
    let places = |room: &WorldRoom<Race>| {
        clients.map(|client| {
            let own = room.simulation().owned_by(client).unwrap();
            room.ring().entry(own.slot).unwrap().current().fields[0]
        })
    };
    let mut before = [0; 2];
    for tick in 1..60 {
        let now = room.timeline().deadline(Tick(tick));
        let mut writer = BitWriter::new();
        write_commands(&mut writer, Tick(tick), [Push(1)].iter());
        writer.pad_to_byte();
        room.receive_commands(clients[0], BitReader::new(writer.bytes()), now)
            .unwrap();
        room.simulate(now);
        before = if tick == 2 { places(&room) } else { before };
    }
    let after = places(&room);
    assert!(
        after[0] != before[0] && after[1] == before[1],
        "{before:?} {after:?}"
    );
}

/// Only the last of several due ticks is sent, and the notice of a late command waits for it.
#[test]
fn a_late_command_is_told_of_though_its_tick_is_not_sent() {
    let config = RoomConfig {
        relevance_radius_m: None,
        ..RoomConfig::default()
    };
    let (mut room, client) = (WorldRoom::new(Race, config, NOW).unwrap(), ClientId(1));
    room.join(client, UserId(1), Role::Player);
    for (tick, is_sent, told) in [
        (1, true, None),
        (2, false, None),
        (3, false, None),
        (
            4,
            true,
            Some(Late {
                back: 3,
                by: 9_000 / FEEDBACK_UNIT_US as u16,
            }),
        ),
        (5, true, None),
    ] {
        let now = room.timeline().deadline(Tick(tick));
        if tick == 2 {
            // The command of tick 1 arrives 9 ms after its tick's deadline.
            let arrived = room.timeline().deadline(Tick(1)) + Duration::from_millis(9);
            let mut writer = BitWriter::new();
            write_commands(&mut writer, Tick(1), [Push(1)].iter());
            writer.pad_to_byte();
            room.receive_commands(client, BitReader::new(writer.bytes()), arrived)
                .unwrap();
        }
        assert_eq!(room.timeline().next(), Tick(tick));
        room.simulate(now);
        if !is_sent {
            continue;
        }
        assert!(room.plan_snapshot(client, 8_000, Duration::ZERO));
        let mut writer = BitWriter::new();
        room.write_snapshot(client, (u64::from(tick), 1_000), now, &mut writer);
        writer.pad_to_byte();
        room.snapshot_sent(client, 1, 100, now);
        let header = SnapshotHeader::read(&mut BitReader::new(writer.bytes())).unwrap();
        assert_eq!(
            header.feedback.lates.as_slice(),
            told.as_slice(),
            "tick {tick}"
        );
    }
}
