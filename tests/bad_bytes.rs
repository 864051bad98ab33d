//! Strangers and liars: random, damaged and well-formed but wrong datagrams, at server and clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::bits::BitWriter;
use truetick_netcode::client::runtime::ClientState;
use truetick_netcode::connection::Connection;
use truetick_netcode::handshake::{
    ClientHandshake, ClientId, Cookies, HandshakeState, JoinRequest, Ticket, accepted_datagram,
};
use truetick_netcode::limits::DATAGRAM_BYTES;
use truetick_netcode::messages::Body;
use truetick_netcode::time::Timestamp;
use truetick_server::files::resident_bytes;
use truetick_shared::arena::arena_schema;
use truetick_tests::plan::SimConfig;
use truetick_tests::tap::Tap;
use truetick_tests::world::Sim;

fn random_bytes(chances: &mut Xoshiro256PlusPlus, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; chances.random_range(0..=most)];
    chances.fill_bytes(&mut bytes);
    bytes
}

fn damage(chances: &mut Xoshiro256PlusPlus, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..chances.random_range(1..4) {
        let at = chances.random_range(0..bytes.len());
        match chances.random_range(0..3) {
            0 => bytes[at] ^= 1 << chances.random_range(0..8),
            1 => bytes.truncate(at.max(1)),
            _ => bytes.extend_from_slice(&[chances.random_range(0..=255); 7]),
        }
    }
    bytes
}

#[test]
fn strangers_and_damaged_copies_disturb_nobody() {
    let mut config = SimConfig { seed: 5, ..SimConfig::default() };
    config.arena.ghosts = true;
    let mut sim = Sim::new(config);
    sim.run(Duration::from_secs(2));
    let mut chances = Xoshiro256PlusPlus::seed_from_u64(9);
    let before = resident_bytes().unwrap_or(0);
    for _ in 0..600 {
        let genuine = sim.recent_datagrams();
        for (i, (from, to, bytes)) in genuine.iter().enumerate() {
            let stranger = SocketAddr::from(([127, 0, 0, 9], 1_000 + i as u16));
            for bytes in [damage(&mut chances, bytes), random_bytes(&mut chances, 1_400)] {
                for from in [*from, stranger] {
                    sim.inject(from, *to, &bytes);
                }
            }
        }
        sim.run(Duration::from_millis(10));
    }
    let (stats, drops) = (sim.stats(), sim.core().drops());
    assert!(drops.malformed > 4_000 && stats.decode_errors > 10_000, "{drops:?} {stats:?}");
    assert_eq!((sim.playing(), sim.core().sessions()), (8, 8));
    assert_eq!((stats.mispredictions, stats.hash_mismatches), (0, 0), "{stats:?}");
    assert!(stats.longest_gap_us < 17_000, "{stats:?}");
    assert_eq!(sim.room().metrics().commands.missing, 0);
    let grown = resident_bytes().unwrap_or(0).saturating_sub(before);
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
}

/// Opens a genuine session from `address`, as a client that then tells lies.
fn open_session(sim: &mut Sim, address: SocketAddr) -> Connection {
    let now = sim.server_time();
    let join = JoinRequest { nonce: 77, room: 0, schema: arena_schema().unwrap().schema.hash() };
    let mut handshake = ClientHandshake::new(join, now);
    let mut tap = Tap::default();
    for _ in 0..2 {
        let bytes = handshake.poll(now).unwrap();
        sim.core_mut().receive(address, &bytes, now);
        sim.core_mut().send_replies(&mut tap);
        handshake.receive(&tap.0.pop().unwrap().1, now).unwrap();
    }
    let HandshakeState::Open(ticket) = handshake.state() else { panic!("{:?}", handshake.state()) };
    Connection::new(ticket.key, now)
}

fn lie(connection: &mut Connection, chances: &mut Xoshiro256PlusPlus, now: Timestamp, body: Body) -> Vec<u8> {
    let mut writer = BitWriter::new();
    connection.begin(&mut writer, now, true);
    writer.write(body as u32, Body::BITS);
    let room = DATAGRAM_BYTES - 8 - writer.bit_len().div_ceil(8);
    writer.write_bytes(&random_bytes(chances, room));
    connection.finish(&mut writer, now);
    writer.bytes().to_vec()
}

#[test]
fn a_client_that_lies_inside_its_session_disturbs_nobody_else() {
    let mut config = SimConfig { seed: 6, ..SimConfig::default() };
    config.arena.ghosts = true;
    let mut sim = Sim::new(config);
    sim.run(Duration::from_secs(2));
    let mut chances = Xoshiro256PlusPlus::seed_from_u64(10);
    for liar in 0..200u16 {
        let address = SocketAddr::from(([127, 0, 0, 3], 2_000 + liar));
        let mut connection = open_session(&mut sim, address);
        let now = sim.server_time();
        for _ in 0..50 {
            let body =
                [Body::Commands, Body::Commands, Body::Empty, Body::Snapshot][chances.random_range(0..4)];
            let bytes = lie(&mut connection, &mut chances, now, body);
            sim.core_mut().receive(address, &bytes, now);
        }
        sim.run(Duration::from_millis(20));
    }
    let stats = sim.stats();
    assert!(sim.core().drops().malformed > 1_000 && sim.core().drops().misbehaving > 100);
    assert_eq!((stats.mispredictions, stats.hash_mismatches, stats.decode_errors), (0, 0, 0), "{stats:?}");
    assert_eq!(sim.playing(), 8);
    sim.run(Duration::from_secs(11));
    assert_eq!(sim.core().sessions(), 8);
}

#[test]
fn a_server_that_lies_cannot_make_a_client_panic_or_grow() {
    let kinds = Arc::new(arena_schema().unwrap());
    let mut chances = Xoshiro256PlusPlus::seed_from_u64(11);
    let before = resident_bytes().unwrap_or(0);
    for seed in 0..60 {
        let mut now = Timestamp::from_millis(50);
        let mut client = BotClient::new(kinds.clone(), seed, now);
        let (cookies, from) = (Cookies::new((1, 2)), SocketAddr::from(([127, 0, 0, 1], 5)));
        client.advance(now);
        let challenge = cookies.challenge(&client.poll_transmit().unwrap(), from, now).unwrap();
        client.receive(&challenge, now);
        client.advance(now);
        let join = cookies.check(&client.poll_transmit().unwrap(), from, now).unwrap();
        let ticket = Ticket { key: 3, client: ClientId(1) };
        client.receive(&accepted_datagram(join.nonce, ticket), now);
        assert_eq!(client.runtime().state(), ClientState::Playing);
        let mut connection = Connection::new(3, now);
        for _ in 0..500 {
            now += Duration::from_millis(3);
            let body = if chances.random_bool(0.9) { Body::Snapshot } else { Body::Commands };
            client.receive(&lie(&mut connection, &mut chances, now, body), now);
            client.advance(now);
            while client.poll_transmit().is_some() {}
        }
    }
    let grown = resident_bytes().unwrap_or(0).saturating_sub(before);
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
}

#[test]
fn a_flood_of_commands_is_cut_to_the_budget() {
    let mut sim = Sim::new(SimConfig { clients: 2, ..SimConfig::default() });
    sim.run(Duration::from_secs(1));
    let address = SocketAddr::from(([127, 0, 0, 3], 2_000));
    let mut connection = open_session(&mut sim, address);
    let mut writer = BitWriter::new();
    for _ in 0..200 {
        let now = sim.server_time();
        for _ in 0..20 {
            connection.begin(&mut writer, now, true);
            writer.write(Body::Empty as u32, Body::BITS);
            connection.finish(&mut writer, now);
            sim.core_mut().receive(address, writer.bytes(), now);
        }
        sim.run(Duration::from_micros(16_667));
    }
    let drops = sim.core().drops();
    assert!((3_300..3_700).contains(&drops.flood), "{drops:?}");
    assert_eq!(sim.core().sessions(), 3);
}
