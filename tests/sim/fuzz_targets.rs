//! Fuzz targets: every decoder, alone and behind a genuine session. No input may panic, hang or grow without a
//! bound. `tests/fuzz.rs` runs each on its corpus and on random inputs; `tests/README.md` says how to run one for
//! long, guided by coverage.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use crate::script::script;
use crate::tap::Tap;
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::command::read_commands;
use truetick_netcode::connection::{Connection, read_disconnect};
use truetick_netcode::handshake::{ClientHandshake, Cookies, JoinRequest};
use truetick_netcode::limits::DATAGRAM_BYTES;
use truetick_netcode::messages::{ClientMessage, ServerMessage, decode};
use truetick_netcode::packet::{self, CHECKSUM_BYTES, PROTOCOL_KEY};
use truetick_netcode::replication::delta;
use truetick_netcode::replication::snapshot::SnapshotHeader;
use truetick_netcode::schema::Audience;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::config::ServerConfig;
use truetick_server::core::game::Game;
use truetick_server::core::room::{Room, RoomConfig};
use truetick_server::core::server::Server;
use truetick_server::core::simulation::{Keyframe, Simulation};
use truetick_server::recording::client_trace::ClientTrace;
use truetick_server::recording::frame::FrameWriter;
use truetick_server::recording::record::{HEADER, KEYFRAME, Segment, TICK};
use truetick_server::recording::recorder::{Recorder, RecorderConfig};
use truetick_server::recording::replay::{read_stages, replay};
use truetick_shared::arena::{ArenaCommand, ArenaSchema, arena_schema};

const FROM: ([u8; 4], u16) = ([127, 0, 0, 1], 100);
const START_MS: u64 = 1_000;

/// Milliseconds of genuine talk before the fuzzed part begins.
const GENUINE_MS: u64 = 400;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(START_MS + ms)
}

fn kinds() -> Arc<ArenaSchema> {
    static KINDS: OnceLock<Arc<ArenaSchema>> = OnceLock::new();
    KINDS.get_or_init(|| Arc::new(arena_schema().unwrap())).clone()
}

fn arena() -> ArenaGame {
    ArenaGame::new(ArenaConfig { drones: 3, pickups: 2, ..ArenaConfig::default() }).unwrap()
}

fn server() -> Server {
    let mut server = Server::new((1, 2));
    server.add_room(Box::new(Room::new(arena(), RoomConfig::default(), at(0)).unwrap()));
    server
}

fn client() -> BotClient {
    BotClient::new(kinds(), 4, at(0))
}

/// What server and client said to each other in each millisecond, and their session's key.
struct Talk {
    up: Vec<Vec<Vec<u8>>>,
    down: Vec<Vec<Vec<u8>>>,
    key: u64,
}

fn talk() -> &'static Talk {
    static TALK: OnceLock<Talk> = OnceLock::new();
    TALK.get_or_init(|| {
        let (mut server, mut client) = (server(), client());
        let mut talk = Talk { up: Vec::new(), down: Vec::new(), key: 0 };
        for ms in 0..GENUINE_MS + 200 {
            let mut tap = Tap::default();
            server.send_replies(&mut tap);
            server.tick(&mut || at(ms), &mut tap);
            let down: Vec<Vec<u8>> = tap.0.into_iter().map(|(_, bytes)| bytes).collect();
            down.iter().for_each(|bytes| client.receive(bytes, at(ms)));
            client.advance(at(ms));
            let up: Vec<Vec<u8>> = std::iter::from_fn(|| client.poll_transmit()).collect();
            up.iter().for_each(|bytes| server.receive(FROM.into(), bytes, at(ms)));
            talk.up.push(up);
            talk.down.push(down);
        }
        talk.key = client.runtime().connection().unwrap().key();
        talk
    })
}

/// A genuine datagram of the session, changed as `input` says and sealed again, so that it passes for one.
fn forge(genuine: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut body = genuine[..genuine.len() - CHECKSUM_BYTES].to_vec();
    for edit in edits.chunks_exact(4) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % body.len();
        match edit[2] % 4 {
            0 => body[place] = edit[3],
            1 => body[place] ^= 1 << (edit[3] % 8),
            2 => body.truncate(place.max(1)),
            _ => body.extend_from_slice(&edit[3..]),
        }
    }
    body.truncate(DATAGRAM_BYTES - CHECKSUM_BYTES);
    let mut writer = BitWriter::new();
    writer.write_bytes(&body);
    packet::seal(&mut writer, talk().key);
    writer.bytes().to_vec()
}

/// Splits an input into the edits of several datagrams.
fn edits(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input.chunks(16)
}

/// A whole recording, to be changed and framed again.
fn recorded() -> &'static [(u8, Vec<u8>)] {
    static FRAMES: OnceLock<Vec<(u8, Vec<u8>)>> = OnceLock::new();
    FRAMES.get_or_init(|| {
        let mut simulation = Simulation::new(Arc::new(arena()), 1).unwrap();
        let config = RecorderConfig {
            recording: 1,
            game: "a".into(),
            setup: Vec::new(),
            with_state: true,
            segment_bytes: usize::MAX,
        };
        let mut recorder = Recorder::begin(config, (60, 1), &simulation);
        for input in script(1, 40) {
            recorder.input(simulation.tick().next(), &input);
            simulation.step(input);
            recorder.outcome(&simulation);
        }
        recorder.finish();
        let bytes: Vec<u8> = std::iter::from_fn(|| recorder.poll()).flat_map(|chunk| chunk.bytes).collect();
        let mut frames = truetick_server::recording::frame::FrameReader::begin(&bytes).unwrap();
        std::iter::from_fn(|| frames.next_frame().unwrap())
            .map(|(kind, payload)| (kind, payload.to_vec()))
            .collect()
    })
}

/// What takes one input.
pub type Target = fn(&[u8]);

/// Every target by its name, with the longest input worth trying.
pub const TARGETS: [(&str, Target, usize); 8] = [
    ("server_session", server_session, 160),
    ("client_session", client_session, 160),
    ("any_datagram", any_datagram, 1200),
    ("handshake", handshake, 1200),
    ("messages", messages, 1200),
    ("snapshot", snapshot, 1200),
    ("recording", recording, 160),
    ("files", files, 1200),
];

/// A server takes anything from within a genuine session.
fn server_session(input: &[u8]) {
    let (mut server, talk, mut tap) = (server(), talk(), Tap::default());
    for ms in 0..GENUINE_MS {
        server.tick(&mut || at(ms), &mut tap);
        talk.up[ms as usize].iter().for_each(|bytes| server.receive(FROM.into(), bytes, at(ms)));
    }
    let genuine: Vec<&Vec<u8>> = talk.up[GENUINE_MS as usize..].iter().flatten().collect();
    for (i, edits) in edits(input).enumerate() {
        let now = at(GENUINE_MS + i as u64);
        server.receive(FROM.into(), &forge(genuine[i % genuine.len()], edits), now);
        server.tick(&mut || now, &mut tap);
    }
}

/// A client takes anything from within its genuine session.
fn client_session(input: &[u8]) {
    let (mut client, talk) = (client(), talk());
    for ms in 0..GENUINE_MS {
        talk.down[ms as usize].iter().for_each(|bytes| client.receive(bytes, at(ms)));
        client.advance(at(ms));
    }
    let genuine: Vec<&Vec<u8>> = talk.down[GENUINE_MS as usize..].iter().flatten().collect();
    for (i, edits) in edits(input).enumerate() {
        let now = at(GENUINE_MS + i as u64);
        client.receive(&forge(genuine[i % genuine.len()], edits), now);
        client.advance(now);
    }
}

/// Both sides take any datagram before a session.
fn any_datagram(bytes: &[u8]) {
    server().receive(SocketAddr::from(FROM), bytes, at(0));
    client().receive(bytes, at(0));
}

/// Every kind of packet outside of sessions, its checksum right.
fn handshake(bytes: &[u8]) {
    let mut writer = BitWriter::new();
    writer.write_bytes(&bytes[..bytes.len().min(DATAGRAM_BYTES - CHECKSUM_BYTES)]);
    packet::seal(&mut writer, PROTOCOL_KEY);
    let sealed = writer.bytes();
    let _ = packet::peek_kind(sealed);
    let cookies = Cookies::new((1, 2));
    let _ = cookies.challenge(sealed, FROM.into(), at(0));
    let _ = cookies.check(sealed, FROM.into(), at(0));
    let join = JoinRequest { nonce: 1, room: 0, schema: 2 };
    let _ = ClientHandshake::new(join, at(0)).receive(sealed, at(0));
    let _ = read_disconnect(sealed, PROTOCOL_KEY);
    if let Ok((_, reader)) = Connection::new(PROTOCOL_KEY, at(0)).open(sealed, at(0)) {
        let _ = reader.finish();
    }
}

/// Messages and commands.
fn messages(bytes: &[u8]) {
    let _ = decode::<ServerMessage>(bytes);
    let _ = decode::<ClientMessage>(bytes);
    let _ = read_commands::<ArenaCommand>(&mut BitReader::new(bytes));
}

/// Snapshot headers and entities.
fn snapshot(bytes: &[u8]) {
    let (kinds, mut reader) = (kinds(), BitReader::new(bytes));
    let _ = SnapshotHeader::read(&mut reader);
    for (_, kind) in kinds.schema.kinds() {
        for audience in [Audience::Others, Audience::Owner, Audience::Server] {
            let zeros = vec![0; kind.fields.len()];
            let _ = delta::read_whole(kind, audience, &mut BitReader::new(bytes));
            let _ = delta::read_delta((&kinds.schema, kind), audience, &zeros, &mut BitReader::new(bytes));
        }
    }
}

/// A recording whose frames are whole but changed.
fn recording(input: &[u8]) {
    let mut bytes = Vec::new();
    let mut writer = FrameWriter::begin(&mut bytes);
    for (i, (kind, payload)) in recorded().iter().enumerate() {
        let mut payload = payload.clone();
        for edit in input.chunks_exact(4).filter(|edit| usize::from(edit[0]) % recorded().len() == i) {
            let place = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % payload.len().max(1);
            payload.get_mut(place).into_iter().for_each(|byte| *byte ^= edit[3]);
        }
        writer.append(*kind, &payload, &mut bytes);
    }
    let _ = replay(&Arc::new(arena()), &[bytes], None, |_| {});
}

/// Files of any bytes: recordings, stages, keyframes, configuration.
fn files(bytes: &[u8]) {
    let registry = arena().registry().expect("the arena's schema is valid");
    let _ = bitcode::decode::<Keyframe>(bytes).map(|keyframe| keyframe.is_valid(registry.schema()));
    for kind in [HEADER, KEYFRAME, TICK, 4, 16, 17] {
        let mut file = Vec::new();
        let mut writer = FrameWriter::begin(&mut file);
        let (first, header) = &recorded()[0];
        writer.append(*first, header, &mut file);
        writer.append(kind, bytes, &mut file);
        if let Ok(mut segment) = Segment::<ArenaCommand>::open(&file) {
            let _ = segment.next_record(registry.schema());
        }
        let _ = ClientTrace::read(&file);
        let _ = read_stages(&file, registry.schema());
    }
    let _ = Segment::<ArenaCommand>::open(bytes).is_ok();
    let _ = std::str::from_utf8(bytes).map(toml::from_str::<ServerConfig>);
}
