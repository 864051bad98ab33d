//! Checks the rules of the repository that clippy cannot: dependencies between crates, who asks the
//! clock, no game in the server's general modules, the length of files, and the words of comments.
//! `clippy.toml` holds the rules on clocks, files, sockets and random numbers.

#![allow(
    clippy::disallowed_methods,
    reason = "reads and writes files of its own"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// A crate of the workspace.
struct Crate {
    folder: &'static str,
    package: &'static str,
}

/// The chain of crates: each may use those before it.
const CRATES: [Crate; 9] = [
    named("netcode", "truetick-netcode"),
    named("netcode/rigid-body", "truetick-rigid-body"),
    named("netcode/transport", "truetick-transport"),
    named("shared/arena", "truetick-arena"),
    named("shared/auction", "truetick-auction"),
    named("server", "truetick-server"),
    named("client-sim", "truetick-client-sim"),
    named("benches", "truetick-benches"),
    named("tests", "truetick-tests"),
];

const fn named(folder: &'static str, package: &'static str) -> Crate {
    Crate { folder, package }
}

/// Maximum number of lines of a file.
const FILE_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Every Rust file of the workspace as (path from the root, text).
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let folders = [
        "netcode",
        "shared",
        "server",
        "client-sim",
        "benches",
        "tests",
    ];
    let mut folders: Vec<PathBuf> = folders.map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

/// Sources outside tests that contain any of these words in code, except in the allowed places.
fn offenders(words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources()
        .iter()
        .filter(|(name, _)| !allowed(name) && name != "tests/tidy.rs")
    {
        for (i, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{name}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn crates_depend_only_on_those_before_them() {
    for (place, user) in CRATES.iter().enumerate() {
        let manifest = fs::read_to_string(root().join(user.folder).join("Cargo.toml")).unwrap();
        for later in &CRATES[place..] {
            let dependency = format!("\n{}.", later.package);
            assert!(
                !manifest.contains(&dependency),
                "{} must not depend on {}",
                user.package,
                later.package
            );
        }
    }
}

#[test]
fn the_cores_do_not_even_ask_the_clock_module() {
    let hosts = [
        "server/src/host.rs",
        "server/src/host/",
        "server/src/http.rs",
        "server/src/main.rs",
        "server/src/page/mod.rs",
        "server/src/token_service.rs",
        "client-sim/src/",
        "client-sim/tests/",
        "netcode/transport/",
        "benches/",
        "server/tests/http.rs",
        "server/tests/processes.rs",
        "tests/real_udp.rs",
        "tests/cli/",
        "tests/crash/",
        "tests/transports/",
    ];
    let hosts = |name: &str| hosts.iter().any(|host| name.starts_with(host));
    assert_eq!(
        offenders(
            &[
                "crate::clock",
                "clock::now",
                "clock::sleep",
                "clock::thread_cpu"
            ],
            hosts
        ),
        Vec::<String>::new()
    );
    let sans_io = ["client-sim/src/bot.rs", "client-sim/src/bot_client.rs"];
    assert_eq!(
        offenders(&["clock"], |name| !sans_io.contains(&name)),
        Vec::<String>::new()
    );
}

/// Files and folders of the server that serve any game.
const GAME_FREE: [&str; 20] = [
    "command_feedback",
    "command_queue",
    "drain",
    "entity_table",
    "game",
    "game_fault",
    "guarded_room",
    "metrics",
    "peer",
    "registry",
    "relevance",
    "room",
    "server",
    "session_event",
    "simulation",
    "systems",
    "timeline",
    "transport_set",
    "world_access",
    "world_room",
];

#[test]
fn the_servers_core_knows_no_game() {
    let words = ["arena", "Arena", "truetick_auction"];
    let is_game_free = |name: &str| {
        let path = name.strip_prefix("server/src/").unwrap_or_default();
        GAME_FREE.contains(&path.split(['/', '.']).next().unwrap_or_default())
    };
    assert_eq!(
        offenders(&words, |name| !is_game_free(name)),
        Vec::<String>::new()
    );
    let game = ["arena", "Arena", "bevy", "truetick_auction"];
    assert_eq!(
        offenders(&game, |name| !name.starts_with("netcode/")),
        Vec::<String>::new()
    );
}

#[test]
fn the_host_alone_draws_seeds() {
    let host = |name: &str| name.starts_with("server/src/host");
    assert_eq!(offenders(&["SysRng"], host), Vec::<String>::new());
}

#[test]
fn every_crate_forbids_unsafe_code_and_shares_the_lints() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
    for Crate { folder, .. } in CRATES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{folder}");
    }
}

#[test]
fn files_have_a_readable_length() {
    for (name, text) in sources() {
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        let lines = code.lines().count();
        assert!(
            lines <= FILE_LINES,
            "{name} has {lines} lines: is it still one idea?"
        );
    }
}

/// Whether a text contains a word or phrase as whole words; a `*` at its end stands for any ending.
fn contains_word(text: &str, word: &str) -> bool {
    let (stem, is_open) = word
        .strip_suffix('*')
        .map_or((word, false), |stem| (stem, true));
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(stem).any(|(at, _)| {
        let after = text[at + stem.len()..].chars().next();
        !is_letter(text[..at].chars().next_back()) && (is_open || !is_letter(after))
    })
}

#[test]
fn a_word_is_found_as_a_whole() {
    assert!(contains_word("// sent anew, whole", "anew"));
    assert!(!contains_word("// renewed", "anew"));
    assert!(contains_word("// foreseen states", "foresee*"));
    assert!(!contains_word("// doorstep", "doors"));
}

#[test]
fn comments_use_no_retired_word() {
    let list = include_str!("../docs/retired-words.txt");
    let words: Vec<&str> = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut found = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| name != "tests/tidy.rs") {
        for (i, line) in text.lines().enumerate() {
            let comment = line.trim_start();
            if !comment.starts_with("//") {
                continue;
            }
            let comment = comment.to_lowercase();
            let retired = words.iter().filter(|word| contains_word(&comment, word));
            found.extend(retired.map(|word| format!("{name}:{}: {word}", i + 1)));
        }
    }
    assert_eq!(
        found,
        Vec::<String>::new(),
        "docs/glossary.md has the words to use"
    );
}

#[test]
fn comments_are_at_most_100_columns_wide() {
    let mut wide = Vec::new();
    for (name, text) in sources() {
        for (i, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") && line.chars().count() > 100 {
                wide.push(format!("{name}:{}", i + 1));
            }
        }
    }
    assert_eq!(wide, Vec::<String>::new());
}
