//! The server's program as its user meets it.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn server(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truetick-server"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn config_file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("truetick-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs a server that must refuse its configuration; returns what it says.
fn refused(arguments: &[&str]) -> String {
    let output = server(arguments).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn bad_configuration_names_file_key_and_what_is_allowed() {
    let path = config_file("rate", "tick_rate = 500\n");
    let said = refused(&["--config", path.to_str().unwrap()]);
    assert!(said.contains("rate.toml: `tick_rate` is 500, but must be from 10 to 128"), "{said}");
    let path = config_file("key", "tick_rat = 60\n");
    let said = refused(&["--config", path.to_str().unwrap()]);
    assert!(said.contains("key.toml") && said.contains("tick_rat") && said.contains("tick_rate"), "{said}");
    let said = refused(&["--config", "no-such-file.toml"]);
    assert!(said.contains("no-such-file.toml"), "{said}");
}

#[test]
fn nothing_but_loopback_is_served() {
    let said = refused(&["--listen", "0.0.0.0:0"]);
    assert!(said.contains("`listen`") && said.contains("loopback"), "{said}");
}

fn wait_until_serving(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("serving") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before it served");
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
