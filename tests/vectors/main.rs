//! `vectors FILE`: test vectors for a decoder in another language, as JSON. They contain a room's
//! packets to a client over a network that loses, delays and reorders, the client's answers and
//! copies; hashes; streams of the range coder.
//!
//! ```text
//! { joins: [{ token: BASE64, join: BASE64 }],
//!   hashes: [{ bytes: BASE64, seed, hash: HEX }],
//!   streams: [{ tables, bytes: BASE64, coded: [{ flag | number | raw, context | bits }] }],
//!   ages: [{ schema, kind,
//!     changes: [{ age, gap, base, older, now, audience, bytes: BASE64 }] }],
//!   plays: [{ name, schema, steps: [
//!     { take: BASE64, held: bool, newest } | { answer: BASE64, sequence } |
//!     { since, states }] }] }
//! ```
//!
//! `held` is whether the packet builds on what the client has. `newest` is, now and then, the list
//! of all entities held, by rising slot, the own copy last: `[slot, generation, kind, own, tick,
//! until, ...fields]`. `states` is the list of all states after the tick `since`, in the format of
//! `newest`.

mod schema_zoo;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use schema_zoo::Melee;
use serde_json::{Value, json};
use truetick_arena::ArenaCommand;
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::client::{
    remote_entity::RemoteEntity,
    snapshot_buffer::{HeldState, SnapshotError},
};
use truetick_netcode::coding::Coder;
use truetick_netcode::coding::range::{Contexts, RangeEncoder};
use truetick_netcode::command::write_commands;
use truetick_netcode::limits::INTERPOLATION_TICKS;
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::replication::entity::{Baselines, code_change};
use truetick_netcode::schema::{Audience, KindId, Schema, class_of};
use truetick_netcode::session::client::SessionClient;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Transmit, TransportKind};
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::files::write_text;
use truetick_server::game::Game;
use truetick_server::page::describe::describe;
use truetick_server::room::{Room, RoomConfig};
use truetick_server::world_room::WorldRoom;
use truetick_tests::loopback_client::LoopbackClient;
use truetick_tests::tokens::wall;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Number of ticks of each play.
const TICKS: u32 = 240;

/// Number of steps after which the held entities are output.
const TOLD_EACH: usize = 25;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: vectors FILE");
        return ExitCode::FAILURE;
    };
    match write_text(path.as_ref(), &vectors().to_string()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn vectors() -> Value {
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64(0x7472_7565);
    let config = ArenaConfig {
        drones: 24,
        ..ArenaConfig::default()
    };
    let arena = || ArenaGame::new(config).expect("a valid schema");
    json!({
        "joins": (1..=3).map(join).collect::<Vec<_>>(),
        "hashes": (0..=60).map(|words| hash(words * 4, rng)).collect::<Vec<_>>(),
        "streams": (0..40).map(|_| stream(rng)).collect::<Vec<_>>(),
        "ages": [ages(rng)],
        "plays": [
            play("a spectator of the arena", arena(), Role::Spectator, steer, rng),
            play("a player in the arena", arena(), Role::Player, steer, rng),
            play("a spectator of every sort of field", Melee, Role::Spectator, |_, _| Default::default(), rng),
            play("a player among every sort of field", Melee, Role::Player, |_, _| Default::default(), rng),
        ],
    })
}

/// A token for `servers` servers, and the frame by which its client joins over a connection.
fn join(servers: u64) -> Value {
    let now = Timestamp::from_millis(1_000);
    let addresses = [
        SocketAddr::from(([127, 0, 0, 1], 1)),
        SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 2)),
    ];
    let issuer = Issuer {
        key: Key::new([5; 32]),
        protocol: PROTOCOL,
        servers: addresses
            .into_iter()
            .cycle()
            .take(servers as usize)
            .collect(),
        lifetime: Duration::from_secs(30),
        timeout: Duration::from_secs(10),
    };
    let token = TokenSource::new(issuer, [6; 32]).issue(UserId(servers), 0, wall(now));
    let mut client =
        SessionClient::new(token.clone(), PROTOCOL, 1, now).transport(TransportKind::Quic, 1);
    let Some(Transmit::Open(join)) = client.poll(now) else {
        panic!("a client joins first")
    };
    json!({ "token": BASE64_STANDARD.encode(*token.to_bytes()), "join": BASE64_STANDARD.encode(join) })
}

fn hash(length: usize, rng: &mut impl Rng) -> Value {
    let (mut bytes, seed) = (vec![0; length], rng.random_range(0..u64::from(u32::MAX)));
    rng.fill_bytes(&mut bytes);
    let hash = format!("{:016x}", xxh3_64_with_seed(&bytes, seed));
    json!({ "bytes": BASE64_STANDARD.encode(bytes), "seed": seed, "hash": hash })
}

/// Flags, numbers and raw bits of all sizes in the contexts from which the schema starts.
fn stream(rng: &mut impl Rng) -> Value {
    let registry = Melee.registry().expect("a valid schema");
    let schema = registry.schema();
    let (mut contexts, mut bytes, mut coded) = (Contexts::default(), Vec::new(), Vec::new());
    let class = rng.random_range(0..10usize);
    let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, schema.tables(class));
    encoder.prepare(0, &(0..5), &(0..6));
    for _ in 0..rng.random_range(0..200) {
        let context = rng.random_range(0..5usize);
        let size = rng.random_range(0..=32);
        let value = (u64::from(rng.random::<u32>()) & ((1 << size) - 1)) as u32;
        coded.push(match rng.random_range(0..4) {
            0 => {
                let flag = encoder.flag(context, value & 1 == 1).expect("room");
                json!({ "flag": flag, "context": context })
            }
            1 => {
                let raw = encoder.raw(value, size).expect("room");
                json!({ "raw": raw, "bits": size })
            }
            _ => {
                let number = encoder.number(context, value as i32).expect("room");
                json!({ "number": number, "context": context })
            }
        });
    }
    encoder.finish();
    let tables = &describe(schema)["tables"][class];
    json!({ "tables": tables, "bytes": BASE64_STANDARD.encode(bytes), "coded": coded })
}

/// Deltas against states of all ages, including those that no play reaches.
fn ages(rng: &mut impl Rng) -> Value {
    let registry = Melee.registry().expect("a valid schema");
    let (schema, kind) = (registry.schema(), registry.schema().kind(KindId(0)));
    let mut contexts = Contexts::default();
    let mut change = || {
        let audience = Audience::ALL[rng.random_range(0..3)];
        let mut any = || {
            let numbers = kind
                .fields
                .iter()
                .map(|field| match audience.sees(field.visibility) {
                    true => rng.random_range(0..=field.max),
                    false => 0,
                });
            numbers.collect::<Vec<_>>()
        };
        let (base, older, mut now) = (any(), any(), any());
        let (age, gap) = (1 << rng.random_range(0..30), rng.random_range(0..=15));
        let past = Baselines {
            age,
            base: &base,
            older: (gap > 0).then_some((older.as_slice(), gap)),
        };
        let mut bytes = Vec::new();
        let tables = schema.tables(class_of(age, gap > 0));
        let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, tables);
        encoder.prepare(0, &kind.contexts.numbers, &kind.contexts.flags);
        code_change(&mut encoder, kind, audience, &past, &mut now).expect("values in range");
        encoder.finish();
        let (audience, bytes) = (audience as u8, BASE64_STANDARD.encode(bytes));
        json!({
            "age": age, "gap": gap, "base": base, "older": older, "now": now, "audience": audience, "bytes": bytes,
        })
    };
    let changes: Vec<_> = (0..400).map(|_| change()).collect();
    json!({ "schema": describe(schema), "kind": 0, "changes": changes })
}

/// The command of a player of the arena in a tick.
fn steer(client: u32, tick: u32) -> ArenaCommand {
    let turn = (tick / 20 + client) as f32;
    ArenaCommand::new(
        glam::Vec2::from_angle(turn),
        turn,
        tick.is_multiple_of(50),
        tick.is_multiple_of(9),
    )
}

/// One client's session with a room in which eight others play.
fn play<G: Game>(
    name: &str,
    game: G,
    role: Role,
    command: impl Fn(u32, u32) -> G::Command,
    rng: &mut impl Rng,
) -> Value {
    let mut now = Timestamp::from_millis(1_000);
    let config = RoomConfig {
        relevance_radius_m: Some(25.0),
        ..RoomConfig::default()
    };
    let mut room = WorldRoom::new(game, config, now).expect("a valid schema");
    let schema = room.simulation().registry().schema().clone();
    let players: Vec<_> = (1..=8)
        .map(|client| LoopbackClient::join(&mut room, client, Role::Player))
        .collect();
    let mut client = LoopbackClient::join(&mut room, 99, role);
    let (mut steps, mut coming) = (Vec::new(), BTreeMap::<(u32, u32), Vec<u8>>::new());
    for tick in 1..=TICKS {
        for player in &players {
            let command = command(player.client().0, tick);
            send_command(&mut room, player.client(), Tick(tick), &command, now);
        }
        room.simulate(now);
        for payload in client.payloads(&mut room, now) {
            // One in eight is lost, and some are reordered.
            if !rng.random_bool(0.125) {
                coming.insert((tick + rng.random_range(3..6), rng.random()), payload);
            }
        }
        let later = coming.split_off(&(tick + 1, 0));
        for payload in std::mem::replace(&mut coming, later).into_values() {
            steps.push(take(
                &mut client,
                &schema,
                &payload,
                now,
                steps.len().is_multiple_of(TOLD_EACH),
            ));
        }
        let answer = client.answer(&mut room, now);
        let sequence = BitReader::new(&answer).read(16).expect("a number");
        steps.push(json!({ "answer": BASE64_STANDARD.encode(answer), "sequence": sequence }));
        now += Duration::from_micros(16_667);
    }
    let since = client
        .held()
        .newest()
        .map_or(Tick(0), |newest| newest.back(INTERPOLATION_TICKS));
    let states = entities(&client, |remote| {
        remote
            .state_history()
            .filter(|held| held.tick.is_after(since))
            .collect()
    });
    steps.push(json!({ "since": since.0, "states": states }));
    json!({ "name": name, "schema": describe(&schema), "steps": steps })
}

fn send_command<G: Game>(
    room: &mut WorldRoom<G>,
    client: ClientId,
    tick: Tick,
    command: &G::Command,
    now: Timestamp,
) {
    let mut writer = BitWriter::new();
    write_commands(&mut writer, tick, [command].into_iter());
    writer.pad_to_byte();
    room.receive_commands(client, BitReader::new(writer.bytes()), now)
        .expect("a genuine command");
}

fn take(
    client: &mut LoopbackClient,
    schema: &Schema,
    payload: &[u8],
    now: Timestamp,
    tell: bool,
) -> Value {
    let held = match client.take(schema, payload, now) {
        Ok(_) => true,
        Err(SnapshotError::Baseline) => false,
        Err(error) => panic!("{error}"),
    };
    let mut step = json!({ "take": BASE64_STANDARD.encode(payload), "held": held });
    if tell {
        step["newest"] = entities(client, |remote| vec![remote.newest()]);
    }
    step
}

/// The held entities: all as others see them, then the own one as its owner does.
fn entities<'a>(
    client: &'a LoopbackClient,
    states: impl Fn(&'a RemoteEntity) -> Vec<HeldState<'a>>,
) -> Value {
    let held = client.held();
    let public = (0..=u16::from(u8::MAX)).filter_map(|slot| held.public(slot));
    let numbers = public.chain(held.own()).flat_map(|entity| {
        let identity = [
            entity.id.slot.into(),
            entity.id.generation.into(),
            entity.kind.0.into(),
        ];
        let own = u32::from(entity.is_own());
        states(entity).into_iter().map(move |state| {
            let ticks = [own, state.tick.0, state.until.0];
            identity
                .into_iter()
                .chain(ticks)
                .chain(state.fields.iter().copied())
                .collect::<Vec<u32>>()
        })
    });
    json!(numbers.collect::<Vec<_>>())
}
