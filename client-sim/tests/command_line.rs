//! The command line of `truetick-sim`, with real sockets on loopback, a few seconds each.

#![allow(clippy::disallowed_methods, reason = "has files of its own")]

use std::process::{Command, Output, Stdio};

use bevy_ecs::world::World;
use glam::Vec2;
use serde_json::Value;
use tempfile::tempdir;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::command::Command as GameCommand;
use truetick_netcode::error::WireError;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{KindId, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_netcode::session::crypto::Key;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::config::ServerConfig;
use truetick_server::game::Game;
use truetick_server::host::Host;
use truetick_server::keys::KEY_VARIABLE;
use truetick_server::registry::Registry;
use truetick_server::room::RoomConfig;
use truetick_server::systems::Systems;
use truetick_server::world_room::WorldRoom;
use truetick_transport::clock;

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_truetick-sim"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Keys of the report on which scripts may rely.
const KEYS: &str = "
    server.ticks server.missed_ticks server.tick_ms.p50 server.tick_ms.p99 server.tick_ms.max
    server.cpu_ms_per_tick.mean server.bytes_out_per_client_s server.packets_out_per_tick server.rss_bytes
    latency.command_to_snapshot_ms.p50 latency.command_to_snapshot_ms.p99
    latency.arrival_to_sent_ms.p50 latency.arrival_to_sent_ms.p99
    latency.stages_ms.client_to_server.p50 latency.stages_ms.wait_for_tick.p99
    latency.stages_ms.simulate_and_encode.p50 latency.stages_ms.server_to_client.p99
    prediction.ticks prediction.mispredictions prediction.error_m_p99
    interpolation.delay_ms_p50 interpolation.starved_ms
    commands.received commands.late commands.missing commands.duplicate commands.rejected
    snapshot.entities_per_client_mean snapshot.bytes_per_entity snapshot.bytes_per_client_tick
    integrity.hash_mismatches integrity.decode_errors clients.joined clients.lost
    play.judged play.without_snapshots play.without_commands play.commands play.commands_judged play.commands_in_time
    play.lowest_in_time_share play.lowest_seen_share";

#[test]
fn a_short_demo_ends_cleanly_and_reports_every_key() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("demo.json");
    let json = path.to_str().unwrap();
    let mut run = vec![
        "demo",
        "--clients",
        "8",
        "--spectators",
        "2",
        "--drones",
        "8",
        "--seconds",
        "3",
    ];
    run.extend(["--max-missed", "100", "--json", json]);
    let output = sim(&run);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("8 bots join over secure UDP") && said.contains("2 more watch them"),
        "{said}"
    );
    assert!(
        said.contains("Watch the arena in Chromium, Chrome or Edge: http://127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains("10 joined, 0 lost"), "{said}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for key in KEYS.split_whitespace() {
        let found = key.split('.').fold(&report, |value, part| &value[part]);
        assert!(found.is_number(), "{key} is {found}");
    }
    assert_eq!(report["clients"]["joined"], 10);
    assert_eq!(report["integrity"]["hash_mismatches"], 0);
    assert!(
        report["prediction"]["ticks"].as_u64().unwrap() > 500,
        "{}",
        report["prediction"]
    );
}

#[test]
fn a_recorded_demo_runs_again_and_a_damaged_one_says_where() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("demo.rec");
    let (file, trace) = (path.to_str().unwrap(), path.with_extension("trace"));
    let held = trace.to_str().unwrap();
    let recorded = sim(&[
        "demo",
        "--clients",
        "4",
        "--seconds",
        "2",
        "--max-missed",
        "100",
        "--record",
        file,
        "--trace",
        held,
    ]);
    assert!(
        recorded.status.success(),
        "{}",
        String::from_utf8_lossy(&recorded.stderr)
    );
    let replay = sim(&["replay", file, "--until", "60", "--dump"]);
    let said = String::from_utf8_lossy(&replay.stdout);
    assert!(
        replay.status.success() && said.contains("Every tick's hash is equal."),
        "{said}"
    );
    assert!(
        said.contains("tick 60, world") && said.contains("player_body"),
        "{said}"
    );
    let replay = sim(&["replay", file, "--client", held]);
    let said = String::from_utf8_lossy(&replay.stdout);
    assert!(
        replay.status.success() && said.contains("Each is what the server had."),
        "{said}"
    );
    let stages = path.with_extension("stages");
    let out = stages.to_str().unwrap();
    assert!(
        sim(&["replay", file, "--until", "60", "--stages", out])
            .status
            .success()
    );
    for pair in [[file, file], [out, out]] {
        let said = sim(&["replay", "--diff", pair[0], pair[1]]);
        assert!(
            said.status.success()
                && String::from_utf8_lossy(&said.stdout).contains("They are equal")
        );
    }
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = sim(&["replay", file]);
    let said = [damaged.stdout.clone(), damaged.stderr.clone()].concat();
    assert!(!damaged.status.success() && String::from_utf8_lossy(&said).contains("is damaged"));
}

#[test]
fn captured_packets_are_taken_apart_to_the_field() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("demo.cap");
    let file = path.to_str().unwrap();
    let run = [
        "demo",
        "--clients",
        "4",
        "--seconds",
        "2",
        "--max-missed",
        "100",
        "--capture",
        file,
    ];
    assert!(sim(&run).status.success());
    let said = sim(&["inspect", file, "--client", "2", "--until", "100"]);
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(
        said.status.success() && !text.contains("could not be taken apart"),
        "{text}"
    );
    assert!(
        text.contains("(own), on tick") && text.contains("player_body.vx"),
        "{text}"
    );
    assert!(
        text.contains("where the bytes go") && text.contains("packets of 1 client(s)"),
        "{text}"
    );
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = sim(&["inspect", file]);
    assert_eq!(damaged.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("is damaged"));
}

#[test]
fn a_missed_budget_makes_the_exit_code_say_so() {
    let output = sim(&[
        "demo",
        "--clients",
        "2",
        "--seconds",
        "1",
        "--max-missed",
        "0",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("budget missed"));
}

#[test]
fn a_profile_goes_through_the_relay() {
    let output = sim(&[
        "demo",
        "--clients",
        "4",
        "--seconds",
        "3",
        "--profile",
        "wan",
        "--max-missed",
        "100",
    ]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("wan: 80 ms round trip") && said.contains("4 joined, 0 lost"),
        "{said}"
    );
}

#[test]
fn without_a_server_the_bots_say_that_they_were_lost() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truetick-sim"));
    command.args([
        "bots",
        "--server",
        "127.0.0.1:9",
        "--clients",
        "2",
        "--seconds",
        "1",
    ]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("truetick-server key"),
        "{said}"
    );
    let output = command.env(KEY_VARIABLE, "2a".repeat(32)).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 clients lost"));
}

/// A command of the client that every server drops as stale.
#[derive(Clone, Debug, Default, PartialEq)]
struct Unheard;

impl GameCommand for Unheard {
    fn write(&self, _: &mut BitWriter) {}

    fn read(_: &mut BitReader<'_>) -> Result<Self, WireError> {
        Err(WireError::Stale("a command that nobody hears"))
    }
}

/// The arena without entities of its own, in which every command is dropped as stale.
struct Deaf(ArenaGame);

impl Game for Deaf {
    type Command = Unheard;

    fn registry(&self) -> Result<Registry, SchemaError> {
        self.0.registry()
    }

    fn insert_resources(&self, world: &mut World) {
        self.0.insert_resources(world);
    }

    fn populate(&self, _: &mut World, _: u64) {}

    fn add_systems(&self, _: &mut Systems) {}

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        self.0.join(world, client)
    }

    fn leave(&self, world: &mut World, client: ClientId) {
        self.0.leave(world, client);
    }

    fn place(&self, kind: KindId, fields: &[u32]) -> Option<Vec2> {
        self.0.place(kind, fields)
    }
}

#[test]
fn bots_whose_commands_do_not_count_are_no_success() {
    let game = Deaf(ArenaGame::new(ArenaConfig::default()).unwrap());
    let room = WorldRoom::new(game, RoomConfig::default(), clock::now()).unwrap();
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..ServerConfig::default()
    };
    let host = Host::start_rooms(
        &config,
        Key::new([0x2a; 32]),
        vec![Box::new(room)],
        Vec::new(),
    )
    .unwrap();
    let folder = tempdir().unwrap();
    let (server, path) = (host.address().to_string(), folder.path().join("deaf.json"));
    let json = path.to_str().unwrap();
    for command in ["bots", "latency"] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_truetick-sim"));
        run.args([
            command,
            "--server",
            &server,
            "--clients",
            "3",
            "--spectators",
            "1",
            "--seconds",
            "3",
        ]);
        let output = run
            .args(["--json", json])
            .env(KEY_VARIABLE, "2a".repeat(32))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        assert!(
            said.contains("3 of 4 clients had fewer than one command in ten in time"),
            "{command}: {said}"
        );
        let report: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let play = &report["play"];
        assert_eq!(
            (&play["judged"], &play["without_commands"]),
            (&4.into(), &3.into()),
            "{play}"
        );
        assert!(
            play["commands"].as_u64().unwrap() > 200 && play["commands_in_time"] == 0,
            "{play}"
        );
        assert_eq!(
            (&report["clients"]["joined"], &report["clients"]["lost"]),
            (&4.into(), &0.into())
        );
    }
    host.stop().unwrap();
}

#[test]
fn a_demo_whose_output_nobody_reads_plays_to_its_end() {
    for close in [false, true] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_truetick-sim"));
        command.args([
            "demo",
            "--clients",
            "2",
            "--seconds",
            "2",
            "--max-missed",
            "101",
            "--no-auction",
        ]);
        let mut child = command
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if close {
            drop((child.stdout.take(), child.stderr.take()));
        }
        let ended = (0..300).find_map(|_| {
            clock::sleep(std::time::Duration::from_millis(100));
            child.try_wait().unwrap()
        });
        if ended.is_none() {
            child.kill().unwrap();
        }
        assert!(ended.expect("it stands still").success(), "closed: {close}");
    }
}
