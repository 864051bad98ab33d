//! The command line of the server.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::{NamedTempFile, TempPath};
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::{ConnectToken, PrivateToken};

use rustix::process::{Pid, Signal, kill_process};
use truetick_server::keys::KEY_VARIABLE;

fn server(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truetick-server"));
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env(KEY_VARIABLE, "2a".repeat(32));
    command
}

/// A file that ends in `name.toml` and is removed on drop.
fn config_file(name: &str, text: &str) -> TempPath {
    let mut file = NamedTempFile::with_suffix(format!("-{name}.toml")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.into_temp_path()
}

/// Runs a server that must refuse its configuration; returns its output.
fn refused(arguments: &[&str]) -> String {
    let output = server(arguments).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn bad_configuration_names_file_key_and_what_is_allowed() {
    let path = config_file("rate", "tick_rate = 500\n");
    let said = refused(&["--config", path.to_str().unwrap()]);
    assert!(
        said.contains("rate.toml: `tick_rate` is 500, but must be from 10 to 128"),
        "{said}"
    );
    let path = config_file("key", "tick_rat = 60\n");
    let said = refused(&["--config", path.to_str().unwrap()]);
    assert!(
        said.contains("key.toml") && said.contains("tick_rat") && said.contains("tick_rate"),
        "{said}"
    );
    let said = refused(&["--config", "no-such-file.toml"]);
    assert!(said.contains("no-such-file.toml"), "{said}");
}

#[test]
fn a_flag_comes_before_its_variable_and_the_variable_before_the_file() {
    let path = config_file("order", "tick_rate = 50\n");
    let file = ["--config", path.to_str().unwrap()];
    let said = |more: &[&str]| {
        let output = server(&[&file, more].concat())
            .env("TRUETICK_TICK_RATE", "300")
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let variable = said(&[]);
    assert!(
        variable.contains("environment: `tick_rate` is 300, but must be from 10 to 128"),
        "{variable}"
    );
    let flag = said(&["--tick-rate", "400"]);
    assert!(flag.contains("`tick_rate` is 400"), "{flag}");
}

#[test]
fn a_server_that_listens_everywhere_must_say_where_it_is_reached() {
    let said = refused(&["--listen", "0.0.0.0:0"]);
    assert!(said.contains("`public`"), "{said}");
}

#[test]
fn without_a_key_nothing_is_served_and_how_to_make_one_is_said() {
    let output = server(&["--listen", "127.0.0.1:0"])
        .env_remove(KEY_VARIABLE)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !output.status.success() && said.contains("truetick-server key"),
        "{said}"
    );
    let path = config_file("bad-key", "not a key");
    let said = refused(&["--key-file", path.to_str().unwrap()]);
    assert!(
        said.contains("64 hexadecimal digits") && !said.contains("not a key"),
        "{said}"
    );
}

/// Runs a command to its end; returns its output.
fn printed(arguments: &[&str]) -> String {
    let output = server(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().into()
}

#[test]
fn keys_and_tokens_are_printed_alone() {
    let key = printed(&["key"]);
    assert!(Key::from_hex(&key).is_ok() && printed(&["key"]) != key);
    let path = config_file("token-key", &key);
    let token = printed(&[
        "token",
        "--key-file",
        path.to_str().unwrap(),
        "--server",
        "127.0.0.1:5",
        "--user",
        "9",
    ]);
    let token = ConnectToken::from_bytes(&BASE64_STANDARD.decode(token).unwrap()).unwrap();
    assert_eq!(token.servers, ["127.0.0.1:5".parse().unwrap()]);
    let key = Key::from_hex(&key).unwrap();
    let private = PrivateToken::open(
        &token.sealed,
        &key,
        token.protocol,
        token.expires,
        &token.nonce,
    )
    .unwrap();
    assert_eq!((private.user.0, token.expires - token.created), (9, 30));
}

fn wait_until_serving(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("serving") {
        line.clear();
        assert!(
            lines.read_line(&mut line).unwrap() > 0,
            "it ended before it served"
        );
    }
    lines
}

fn end(child: &mut Child, signal: Signal) -> ExitStatus {
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    kill_process(pid, signal).unwrap();
    child.wait().unwrap()
}

#[test]
fn both_signals_end_it_cleanly() {
    for (signal, listen) in [(Signal::INT, "127.0.0.1:0"), (Signal::TERM, "[::1]:0")] {
        let mut child = server(&["--listen", listen]).spawn().unwrap();
        let mut lines = wait_until_serving(&mut child);
        assert!(end(&mut child, signal).success(), "{signal:?}");
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("stopped"), "{rest}");
    }
}
