//! Fuzz targets of sessions: no external input may cause a panic, a hang or unbounded growth.
//! `fuzz.rs` runs each on its corpus and on random inputs; `fuzz/` runs them for long, guided by
//! coverage.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::disconnect::DisconnectNotice;
use truetick_netcode::limits::HALF_OPEN;
use truetick_netcode::messages::{Body, ClientMessage, ServerMessage, decode};
use truetick_netcode::session::UserId;
use truetick_netcode::session::crypto::{Key, PacketKey};
use truetick_netcode::session::packet::{self, Kind, PAYLOAD_BYTES, write_request};
use truetick_netcode::session::token::{ConnectToken, PrivateToken, Purpose, UserData};
use truetick_netcode::time::Timestamp;

use crate::world::{PROTOCOL, Player, World, address};

/// A function that runs one input.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 4] = [
    ("server_packet", server_packet),
    ("client_packet", client_packet),
    ("token", token),
    ("payload", payload),
];

const KINDS: [Kind; 6] = [
    Kind::Denied,
    Kind::Challenge,
    Kind::Response,
    Kind::KeepAlive,
    Kind::Payload,
    Kind::Disconnect,
];

/// Splits an input into steps: the action, its target and its contents.
fn steps(input: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    let mut rest = input;
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_first_chunk::<3>()?;
        let (contents, after) = tail.split_at(usize::from(head[2]).min(tail.len()));
        rest = after;
        Some((head[0], head[1], contents))
    })
}

fn sealed(key: &Key, what: u8, contents: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    let kind = KINDS[usize::from(what % 6)];
    let sequence = contents
        .first_chunk::<8>()
        .map_or(u64::from(what), |bytes| u64::from_le_bytes(*bytes));
    let sequence = if what < 128 { sequence % 512 } else { sequence };
    let contents = &contents[..contents.len().min(PAYLOAD_BYTES)];
    packet::seal(
        kind,
        sequence,
        PROTOCOL,
        &PacketKey::new(key),
        contents,
        &mut datagram,
    );
    datagram
}

/// A server in any state receives arbitrary packets as time passes: raw, damaged, and well sealed
/// but wrong, from any address.
pub fn server_packet(input: &[u8]) {
    let mut world = World::with(|config| config.history = 8);
    let mut players: Vec<Player> = (0..3).map(|user| world.player(user)).collect();
    for (what, which, contents) in steps(input) {
        let at = usize::from(which) % players.len();
        let from = if which < 200 {
            players[at].address
        } else {
            address(which, 9)
        };
        match what % 9 {
            0 => world.give(from, contents),
            1 => world.step(&mut players[at]),
            2 => world.finish_joining(&mut players[at]),
            3 => world.give(
                from,
                &sealed(&players[at].token.client_key, which, contents),
            ),
            4 => world.pass(Duration::from_millis(u64::from(which) * 100)),
            5 => {
                let mut request = players[at].request();
                for (place, byte) in contents.iter().enumerate() {
                    request[(place * 7 + usize::from(which)) % 1_078] ^= byte;
                }
                world.give(from, &request);
            }
            6 => world.set_wall_clock(i64::from(which as i8) * 5_000),
            7 => players[at] = world.player(u64::from(which % 4)),
            _ => {
                let client = world.server.roster().at(players[at].address);
                let ticket = client.and_then(|client| world.server.ticket(client, world.now));
                if let Some(ticket) = ticket {
                    let seed = u64::from(which);
                    players[at] = world.player_of(ticket, seed);
                }
            }
        }
        world.changes.clear();
    }
    assert!(world.server.half_open() <= HALF_OPEN && world.server.roster().sessions() <= 256);
    assert!(world.server.roster().live() <= world.server.roster().sessions());
}

/// A client in any state receives arbitrary packets.
pub fn client_packet(input: &[u8]) {
    let mut world = World::new();
    let mut player = world.player(1);
    for (what, which, contents) in steps(input) {
        match what % 6 {
            0 => drop(
                player
                    .session
                    .receive(address(1, 1), contents, world.now)
                    .is_ok(),
            ),
            1 => world.step(&mut player),
            2 => {
                let bytes = sealed(&player.token.server_key, which, contents);
                let _ = player.session.receive(address(1, 1), &bytes, world.now);
            }
            3 => world.pass(Duration::from_millis(u64::from(which) * 100)),
            4 if player.session.is_connected() && !contents.is_empty() => {
                let bytes = player.session.seal(contents, world.now).into_bytes();
                world.give(player.address, &bytes);
            }
            _ => drop(player.session.next_timeout()),
        }
    }
    let _ = player.session.disconnect();
}

/// Decoders of tokens: the public part with arbitrary contents, the private part as sealed by a
/// holder of the key.
pub fn token(input: &[u8]) {
    if let Ok(token) = ConnectToken::from_bytes(input) {
        assert_eq!(
            ConnectToken::from_bytes(&*token.to_bytes()),
            Ok(token.clone())
        );
        assert_eq!(ConnectToken::from_bytes(&token.to_short_bytes()), Ok(token));
    }
    let mut user_data: UserData = [0; 256];
    let length = input.len().min(256);
    user_data[..length].copy_from_slice(&input[..length]);
    if let Some(purpose) = Purpose::read(&user_data).filter(|_| user_data[0] != 0) {
        let mut again = user_data;
        purpose.write(&mut again);
        assert_eq!(Purpose::read(&again), Some(purpose));
    }
    let mut world = World::new();
    let wall = world.wall();
    let genuine =
        world
            .issuer
            .issue_with(UserId(1), user_data, wall, &mut StdRng::seed_from_u64(1));
    let mut request = write_request(
        genuine.protocol,
        genuine.expires,
        &genuine.nonce,
        &genuine.sealed,
    );
    world.give(address(3, 3), &request);
    for (place, byte) in input.iter().enumerate() {
        request[place % 1_078] ^= byte;
    }
    world.give(address(3, 4), &request);
    let sealed = request.last_chunk().unwrap();
    let _ = PrivateToken::open(
        sealed,
        &world.issuer.key,
        PROTOCOL,
        genuine.expires,
        &genuine.nonce,
    );
}

/// Decoders of a connection's payloads: headers, messages, bodies.
pub fn payload(input: &[u8]) {
    let mut connection = Connection::new(1, Timestamp::default());
    let mut writer = BitWriter::new();
    for (i, (what, _, contents)) in steps(input).enumerate() {
        let now = Timestamp::from_millis(i as u64 * 20);
        if what % 4 == 0 {
            connection.begin(&mut writer, now, Messages::BesideState);
            connection.finish(&mut writer, now);
        }
        if let Ok((sequence, mut reader)) = connection.open(contents, now) {
            while let Some((_, message)) = connection.receive() {
                let _ = decode::<ServerMessage>(&message);
                let _ = decode::<ClientMessage>(&message);
            }
            if reader.read(Body::BITS) == Ok(Body::DisconnectNotice as u32) {
                let _ = DisconnectNotice::read(reader);
            }
            connection.accept(sequence);
        }
        while connection.poll_acked().is_some() {}
    }
    let _ = DisconnectNotice::read(BitReader::new(input));
}
