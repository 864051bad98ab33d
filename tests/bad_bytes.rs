//! Strangers and misbehaving peers: random, damaged and well-formed but wrong datagrams, at server
//! and clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::arena_schema;
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::bits::BitWriter;
use truetick_netcode::client::state::ClientState;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::limits::PAYLOAD_BYTES;
use truetick_netcode::messages::{Body, ClientMessage, SESSION_STREAM, ServerMessage, encode};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::UserId;
use truetick_netcode::session::client::SessionClient;
use truetick_netcode::session::crypto::PacketKey;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::packet::{self, CHALLENGE_CONTENTS, Kind};
use truetick_netcode::time::Timestamp;
use truetick_server::files::resident_bytes;
use truetick_tests::capture_transport::CaptureTransport;
use truetick_tests::plan::SimConfig;
use truetick_tests::tokens::{self, tokens};
use truetick_tests::world::Sim;

fn random_bytes(rng: &mut Xoshiro256PlusPlus, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..=most)];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn damage(rng: &mut Xoshiro256PlusPlus, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..3) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes.truncate(at.max(1)),
            _ => bytes.extend_from_slice(&[rng.random_range(0..=255); 7]),
        }
    }
    bytes
}

#[test]
fn strangers_and_damaged_copies_disturb_nobody() {
    let mut config = SimConfig {
        seed: 5,
        ..SimConfig::default()
    };
    config.arena.ghosts = true;
    let mut sim = Sim::new(config);
    sim.run(Duration::from_secs(2));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
    let before = resident_bytes().unwrap_or(0);
    for _ in 0..600 {
        let genuine = sim.recent_datagrams();
        for (i, (from, to, bytes)) in genuine.iter().enumerate() {
            let stranger = SocketAddr::from(([127, 0, 0, 9], 1_000 + i as u16));
            for bytes in [damage(&mut rng, bytes), random_bytes(&mut rng, 1_400)] {
                for from in [*from, stranger] {
                    sim.inject(from, *to, &bytes);
                }
            }
        }
        sim.run(Duration::from_millis(10));
    }
    let (stats, drops) = (sim.stats(), *sim.core().drops());
    let wild = [
        DropReason::TooShort,
        DropReason::TooLong,
        DropReason::UnknownKind,
        DropReason::NumberLength,
    ];
    assert!(
        wild.iter().all(|reason| drops.count(*reason) > 300),
        "{drops:?}"
    );
    assert!(
        drops.count(DropReason::Forged) > 200 && stats.refused > 4_000,
        "{drops:?} {stats:?}"
    );
    assert_eq!(
        (drops.count(DropReason::Malformed), stats.decode_errors),
        (0, 0)
    );
    assert_eq!((sim.playing(), sim.core().sessions()), (8, 8));
    assert_eq!(
        (stats.mispredictions, stats.hash_mismatches),
        (0, 0),
        "{stats:?}"
    );
    assert!(stats.longest_gap_us < 17_000, "{stats:?}");
    assert_eq!(sim.room().metrics().commands.missing, 0);
    let grown = resident_bytes().unwrap_or(0).saturating_sub(before);
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
}

/// A client that sends invalid bodies in a genuine session.
struct Liar {
    address: SocketAddr,
    session: SessionClient,
    connection: Connection,
}

impl Liar {
    /// Joins the room from `address` with a user's token.
    fn join(sim: &mut Sim, address: SocketAddr, user: u64) -> Self {
        let now = sim.server_time();
        let token = tokens(user).issue(UserId(user), 0, sim.server.wall(sim.now));
        let mut session = SessionClient::new(token, PROTOCOL, user, now);
        let mut capture_transport = CaptureTransport::default();
        for _ in 0..2 {
            let bytes = session.poll(now).unwrap();
            sim.core_mut().receive(address, &bytes, now);
            sim.core_mut().send_replies(&mut capture_transport);
            session
                .receive(
                    SocketAddr::from(tokens::SERVER),
                    &capture_transport.0.pop().unwrap().1,
                    now,
                )
                .unwrap();
        }
        assert!(session.is_connected());
        let mut liar = Self {
            address,
            session,
            connection: Connection::new(user, now),
        };
        let schema = arena_schema().unwrap().schema.hash();
        liar.connection
            .send(SESSION_STREAM, encode(&ClientMessage::Hello { schema }))
            .unwrap();
        liar.send(sim, |writer| writer.write(Body::Empty as u32, Body::BITS));
        liar
    }

    fn send(&mut self, sim: &mut Sim, write: impl FnOnce(&mut BitWriter)) {
        let (now, mut writer) = (sim.server_time(), BitWriter::new());
        self.connection
            .begin(&mut writer, now, Messages::BesideState);
        write(&mut writer);
        self.connection.finish(&mut writer, now);
        let bytes = self.session.seal(writer.bytes(), now);
        sim.core_mut().receive(self.address, &bytes, now);
    }
}

/// Writes a body of this kind with random contents.
fn lie(writer: &mut BitWriter, rng: &mut Xoshiro256PlusPlus, body: Body) {
    writer.write(body as u32, Body::BITS);
    let room = PAYLOAD_BYTES - 8 - writer.bit_len().div_ceil(8);
    writer.write_bytes(&random_bytes(rng, room));
}

#[test]
fn a_client_that_lies_inside_its_session_disturbs_nobody_else() {
    let mut config = SimConfig {
        seed: 6,
        ..SimConfig::default()
    };
    config.arena.ghosts = true;
    let mut sim = Sim::new(config);
    sim.run(Duration::from_secs(2));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(10);
    for liar in 0..200u16 {
        let address = SocketAddr::from(([127, 0, 0, 3], 2_000 + liar));
        let mut client = Liar::join(&mut sim, address, 1_000_000 + u64::from(liar));
        for _ in 0..50 {
            let body = [Body::Commands, Body::Commands, Body::Empty, Body::Snapshot]
                [rng.random_range(0..4)];
            client.send(&mut sim, |writer| lie(writer, &mut rng, body));
        }
        sim.run(Duration::from_millis(20));
    }
    let stats = sim.stats();
    let drops = sim.core().drops();
    assert!(
        drops.count(DropReason::Malformed) > 500 && drops.count(DropReason::Misbehaving) > 100,
        "{drops:?}"
    );
    assert_eq!(
        (
            stats.mispredictions,
            stats.hash_mismatches,
            stats.decode_errors
        ),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(sim.playing(), 8);
    sim.run(Duration::from_secs(11));
    assert_eq!(sim.core().sessions(), 8);
}

/// A server with a client's keys that sends arbitrary packets.
struct LyingServer {
    key: PacketKey,
    next: u64,
    connection: Connection,
}

impl LyingServer {
    fn say(&mut self, client: &mut BotClient, kind: Kind, contents: &[u8], now: Timestamp) {
        let mut datagram = Vec::new();
        packet::seal(
            kind,
            self.next,
            PROTOCOL,
            &self.key,
            contents,
            &mut datagram,
        );
        self.next += 1;
        client.receive(SocketAddr::from(tokens::SERVER), &datagram, now);
    }

    fn pay(&mut self, client: &mut BotClient, write: impl FnOnce(&mut BitWriter), now: Timestamp) {
        let mut writer = BitWriter::new();
        self.connection
            .begin(&mut writer, now, Messages::BesideState);
        write(&mut writer);
        self.connection.finish(&mut writer, now);
        self.say(client, Kind::Payload, writer.bytes(), now);
    }
}

#[test]
fn a_server_that_lies_cannot_make_a_client_panic_or_grow() {
    let kinds = Arc::new(arena_schema().unwrap());
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    let before = resident_bytes().unwrap_or(0);
    for seed in 0..60 {
        let mut now = Timestamp::from_millis(50);
        let token = tokens::token(seed, 0, now);
        let mut client = BotClient::new(kinds.clone(), token.clone(), seed, now);
        let mut server = LyingServer {
            key: PacketKey::new(&token.server_key),
            next: 0,
            connection: Connection::new(3, now),
        };
        client.advance(now);
        server.say(&mut client, Kind::Challenge, &[0; CHALLENGE_CONTENTS], now);
        client.advance(now);
        server.say(&mut client, Kind::KeepAlive, &[0; 8], now);
        let welcome = ServerMessage::Welcome {
            client: 1,
            tick_rate: 60,
            epoch_us: 0,
        };
        server
            .connection
            .send(SESSION_STREAM, encode(&welcome))
            .unwrap();
        server.pay(
            &mut client,
            |writer| writer.write(Body::Empty as u32, Body::BITS),
            now,
        );
        assert_eq!(client.runtime().state(), ClientState::Playing);
        for _ in 0..500 {
            now += Duration::from_millis(3);
            let body = if rng.random_bool(0.9) {
                Body::Snapshot
            } else {
                Body::Commands
            };
            server.pay(&mut client, |writer| lie(writer, &mut rng, body), now);
            client.advance(now);
            while client.poll_transmit().is_some() {}
        }
    }
    let grown = resident_bytes().unwrap_or(0).saturating_sub(before);
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
}

#[test]
fn a_flood_of_commands_is_cut_to_the_budget() {
    let mut sim = Sim::new(SimConfig {
        clients: 2,
        ..SimConfig::default()
    });
    sim.run(Duration::from_secs(1));
    let address = SocketAddr::from(([127, 0, 0, 3], 2_000));
    let mut flooder = Liar::join(&mut sim, address, 1_000_000);
    for _ in 0..200 {
        for _ in 0..20 {
            flooder.send(&mut sim, |writer| {
                writer.write(Body::Empty as u32, Body::BITS)
            });
        }
        sim.run(Duration::from_micros(16_667));
    }
    let drops = sim.core().drops();
    assert!(
        (3_300..3_700).contains(&drops.count(DropReason::Flood)),
        "{drops:?}"
    );
    assert_eq!(sim.core().sessions(), 3);
}
