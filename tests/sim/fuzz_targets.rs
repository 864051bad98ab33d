//! Fuzz targets: every decoder, alone and behind a genuine session. No input may cause a panic, a
//! hang or unbounded growth. `tests/fuzz.rs` runs each on its corpus and on random inputs;
//! `docs/testing.md` describes long runs guided by coverage.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use crate::capture_transport::CaptureTransport;
use crate::genuine_session::{FROM, GENUINE_MS, arena, at, client, kinds, server, talk, token};
use crate::script::script;
use crate::tokens;
use truetick_arena::ArenaCommand;
use truetick_arena::event::ArenaEvent;
use truetick_auction::house::House;
use truetick_auction::wire::{Reply, Request};
use truetick_netcode::bits::BitReader;
use truetick_netcode::client::inspect::Inspector;
use truetick_netcode::client::snapshot_buffer::SnapshotBuffer;
use truetick_netcode::coding::Coder;
use truetick_netcode::coding::range::{Contexts, RangeDecoder};
use truetick_netcode::command::read_commands;
use truetick_netcode::connection::Connection;
use truetick_netcode::disconnect::DisconnectNotice;
use truetick_netcode::messages::{ClientMessage, ServerMessage, decode, decode_client_message};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::replication::entity::{Baselines, code_change, code_whole};
use truetick_netcode::replication::snapshot::SnapshotHeader;
use truetick_netcode::schema::Audience;
use truetick_netcode::session::client::SessionClient;
use truetick_netcode::session::crypto::{Key, PacketKey};
use truetick_netcode::session::packet::{self, Kind, Outer, PAYLOAD_BYTES};
use truetick_netcode::session::server::SessionServer;
use truetick_netcode::session::token::ConnectToken;
use truetick_server::arena::ArenaConfig;
use truetick_server::auction::entry::Entry;
use truetick_server::config::ServerConfig;
use truetick_server::frame::FrameWriter;
use truetick_server::game::Game;
use truetick_server::recording::capture::Capture;
use truetick_server::recording::client_trace::ClientTrace;
use truetick_server::recording::record::{HEADER, KEYFRAME, Segment, TICK};
use truetick_server::recording::recorder::{Recorder, RecorderConfig};
use truetick_server::recording::replay::{read_stages, replay};
use truetick_server::simulation::{Keyframe, Simulation};

/// Edits a genuine payload of the session and seals it again, so that it passes as one; `None` for
/// a datagram that is no payload.
fn forge(genuine: &[u8], key: &Key, edits: &[u8]) -> Option<Vec<u8>> {
    let Ok(Outer::Sealed(header)) = packet::read_outer(genuine) else {
        return None;
    };
    let (key, mut genuine) = (PacketKey::new(key), genuine.to_vec());
    let mut body = packet::open(header, PROTOCOL, &key, &mut genuine)
        .ok()?
        .to_vec();
    if header.kind != Kind::Payload {
        return None;
    }
    for edit in edits.chunks_exact(4) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % body.len();
        match edit[2] % 4 {
            0 => body[place] = edit[3],
            1 => body[place] ^= 1 << (edit[3] % 8),
            2 => body.truncate(place.max(1)),
            _ => body.extend_from_slice(&edit[3..]),
        }
    }
    body.truncate(PAYLOAD_BYTES);
    let mut datagram = Vec::new();
    packet::seal(
        Kind::Payload,
        header.sequence,
        PROTOCOL,
        &key,
        &body,
        &mut datagram,
    );
    Some(datagram)
}

/// The payloads that one side sent after the genuine part.
fn payloads(said: &[Vec<Vec<u8>>], key: &Key) -> Vec<Vec<u8>> {
    let later = said[GENUINE_MS as usize..].iter().flatten();
    later
        .filter(|bytes| forge(bytes, key, &[]).is_some())
        .cloned()
        .collect()
}

/// Splits an input into the edits of several datagrams.
fn edits(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input.chunks(16)
}

/// The frames of a whole recording, to be changed and framed again.
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
        let mut recorder = Recorder::begin(config, 60, 1, &simulation);
        for input in script(1, 40) {
            recorder.input(simulation.tick().next(), &input);
            simulation.step(input);
            recorder.outcome(&simulation);
        }
        recorder.finish();
        let bytes: Vec<u8> = std::iter::from_fn(|| recorder.poll())
            .flat_map(|chunk| chunk.bytes)
            .collect();
        let mut frames = truetick_server::frame::FrameReader::begin(&bytes).unwrap();
        std::iter::from_fn(|| frames.next_frame().unwrap())
            .map(|(kind, payload)| (kind, payload.to_vec()))
            .collect()
    })
}

/// A function that runs one input.
pub type Target = fn(&[u8]);

/// Every target by name, with the maximum useful length of an input.
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

/// A server receives forged payloads in a genuine session.
fn server_session(input: &[u8]) {
    let (mut server, talk, mut capture_transport) = (server(), talk(), CaptureTransport::default());
    for ms in 0..GENUINE_MS {
        server.tick(&mut || at(ms), &mut capture_transport);
        talk.up[ms as usize]
            .iter()
            .for_each(|bytes| server.receive(SocketAddr::from(FROM), bytes, at(ms)));
    }
    assert_eq!(server.sessions(), 1);
    let key = token().client_key.clone();
    let genuine = payloads(&talk.up, &key);
    for (i, edits) in edits(input).enumerate() {
        let now = at(GENUINE_MS + i as u64);
        let forged = forge(&genuine[i % genuine.len()], &key, edits);
        server.receive(SocketAddr::from(FROM), &forged.expect("a payload"), now);
        server.tick(&mut || now, &mut capture_transport);
        tokens::expect_rooms(&server);
    }
}

/// A client receives forged payloads in its genuine session.
fn client_session(input: &[u8]) {
    let (mut client, talk) = (client(), talk());
    for ms in 0..GENUINE_MS {
        talk.down[ms as usize]
            .iter()
            .for_each(|bytes| client.receive(SocketAddr::from(tokens::SERVER), bytes, at(ms)));
        client.advance(at(ms));
    }
    assert!(client.runtime().id().is_some());
    let key = token().server_key.clone();
    let genuine = payloads(&talk.down, &key);
    for (i, edits) in edits(input).enumerate() {
        let now = at(GENUINE_MS + i as u64);
        let forged = forge(&genuine[i % genuine.len()], &key, edits);
        client.receive(
            SocketAddr::from(tokens::SERVER),
            &forged.expect("a payload"),
            now,
        );
        client.advance(now);
    }
}

/// Both sides receive an arbitrary datagram before a session.
fn any_datagram(bytes: &[u8]) {
    server().receive(SocketAddr::from(FROM), bytes, at(0));
    client().receive(SocketAddr::from(tokens::SERVER), bytes, at(0));
}

/// Both sides of an opening session receive every kind of sealed packet with arbitrary contents.
fn handshake(bytes: &[u8]) {
    let Some((kind, contents)) = bytes.split_first() else {
        return;
    };
    let kinds = [
        Kind::Denied,
        Kind::Challenge,
        Kind::Response,
        Kind::KeepAlive,
        Kind::Payload,
        Kind::Disconnect,
    ];
    let seal = |key: &Key, sequence| {
        let (mut datagram, kind) = (Vec::new(), kinds[usize::from(kind % 6)]);
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
    };
    let (token, mut capture_transport) = (token(), CaptureTransport::default());
    let mut server = SessionServer::new(
        tokens::session_config(),
        [7; 32],
        at(0),
        tokens::wall(at(0)),
    );
    let mut client = SessionClient::new(token.clone(), PROTOCOL, 1, at(0));
    for step in 0..4 {
        let _ = server.receive(
            SocketAddr::from(FROM),
            &seal(&token.client_key, 1_000 + step),
            at(step),
        );
        let _ = client.receive(
            SocketAddr::from(tokens::SERVER),
            &seal(&token.server_key, 1_000 + step),
            at(step),
        );
        if let Some(sent) = client.poll(at(step)) {
            let _ = server.receive(SocketAddr::from(FROM), &sent, at(step));
        }
        server.update(at(step));
        server.send_replies(&mut capture_transport);
        for (_, sent) in capture_transport.0.drain(..) {
            let _ = client.receive(SocketAddr::from(tokens::SERVER), &sent, at(step));
        }
    }
    let _ = ConnectToken::from_bytes(bytes);
    if let Ok((_, reader)) = Connection::new(1, at(0)).open(bytes, at(0)) {
        let _ = DisconnectNotice::read(reader);
    }
}

/// Decoders of messages and commands.
fn messages(bytes: &[u8]) {
    let _ = decode::<ServerMessage>(bytes);
    let _ = decode::<ClientMessage>(bytes);
    let _ = decode_client_message(bytes);
    let _ = decode::<Request>(bytes);
    let _ = decode::<Reply>(bytes);
    let _ = decode::<Entry>(bytes);
    let _ = decode::<ArenaEvent>(bytes);
    let _ = decode::<ArenaConfig>(bytes);
    let _ = decode::<House>(bytes);
    let _ = read_commands::<ArenaCommand>(&mut BitReader::new(bytes));
}

/// Decoders of snapshot packets and entities.
fn snapshot(bytes: &[u8]) {
    let (kinds, mut reader) = (kinds(), BitReader::new(bytes));
    let _ = SnapshotHeader::read(&mut reader);
    let _ = SnapshotBuffer::new().take(&kinds.schema, BitReader::new(bytes));
    let _ = Inspector::default().take(&kinds.schema, bytes);
    let mut contexts = Contexts::default();
    for (_, kind) in kinds.schema.kinds() {
        for (class, audience) in [Audience::Others, Audience::Owner, Audience::Server]
            .into_iter()
            .enumerate()
        {
            let (zeros, mut fields) = (vec![0; kind.fields.len()], vec![0; kind.fields.len()]);
            let past = Baselines {
                age: 1 + class as u32,
                base: &zeros,
                older: (class > 0).then_some((&zeros, 2)),
            };
            let tables = kinds.schema.tables(class * 3);
            let mut decoder = RangeDecoder::new(bytes, &mut contexts, tables);
            decoder.prepare(0, &kind.contexts.numbers, &kind.contexts.flags);
            let _ = code_change(&mut decoder, kind, audience, &past, &mut fields);
            let _ = code_whole(&mut decoder, kind, audience, &mut fields);
        }
    }
}

/// A recording of whole but changed frames.
fn recording(input: &[u8]) {
    let mut bytes = Vec::new();
    let mut writer = FrameWriter::begin(&mut bytes);
    for (i, (kind, payload)) in recorded().iter().enumerate() {
        let mut payload = payload.clone();
        for edit in input
            .chunks_exact(4)
            .filter(|edit| usize::from(edit[0]) % recorded().len() == i)
        {
            let place = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % payload.len().max(1);
            payload
                .get_mut(place)
                .into_iter()
                .for_each(|byte| *byte ^= edit[3]);
        }
        writer.append(*kind, &payload, &mut bytes);
    }
    let _ = replay(&Arc::new(arena()), &[bytes], None, |_| {});
}

/// Files of arbitrary bytes: recordings, stages, keyframes, configuration.
fn files(bytes: &[u8]) {
    let registry = arena().registry().expect("the arena's schema is valid");
    let _ = bitcode::decode::<Keyframe>(bytes).map(|keyframe| keyframe.is_valid(registry.schema()));
    for kind in [HEADER, KEYFRAME, TICK, 4, 16, 17, 24, 25] {
        let mut file = Vec::new();
        let mut writer = FrameWriter::begin(&mut file);
        let (first, header) = &recorded()[0];
        writer.append(*first, header, &mut file);
        writer.append(kind, bytes, &mut file);
        if let Ok(mut segment) = Segment::<ArenaCommand>::open(&file) {
            let _ = segment.next_record(registry.schema());
        }
        let _ = ClientTrace::read(&file);
        let _ = Capture::read(&file);
        let _ = read_stages(&file, registry.schema());
    }
    let _ = Segment::<ArenaCommand>::open(bytes).is_ok();
    let _ = std::str::from_utf8(bytes).map(toml::from_str::<ServerConfig>);
}
