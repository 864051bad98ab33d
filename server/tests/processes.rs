//! The server's process under adverse conditions of its host: logs without a reader, signals, few
//! descriptors.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "talks to programs by files and sockets"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::tempdir;
use truetick_server::keys::{KEY_VARIABLE, SECRET_VARIABLE};
use truetick_transport::clock;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A running server, which ends with the test.
struct Server {
    child: Child,
    /// The unread part of its log.
    log: Option<BufReader<ChildStdout>>,
    tokens: SocketAddr,
    quic: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(shell: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_truetick-server"));
    command
        .args(arguments)
        .env(KEY_VARIABLE, "2a".repeat(32))
        .env(SECRET_VARIABLE, SECRET);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The value after `name=` in a line.
fn field<T: std::str::FromStr>(line: &str, name: &str) -> Option<T> {
    line.split_once(name)?
        .1
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

impl Server {
    /// Starts a server after the shell commands `shell`, and reads its log until it serves.
    fn start(shell: &str, filter: &str) -> (Self, String) {
        Self::start_with(shell, filter, &[])
    }

    fn start_with(shell: &str, filter: &str, more: &[&str]) -> (Self, String) {
        let any = "127.0.0.1:0";
        let arguments = [
            &["--listen", any, "--quic", any, "--token-service", any],
            more,
        ]
        .concat();
        let mut child = command(shell, &arguments)
            .env("RUST_LOG", filter)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self {
            child,
            log: None,
            tokens: nowhere,
            quic: nowhere,
        };
        let mut said = String::new();
        while server.tokens == nowhere {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended: {said}");
            if line.contains("serving") && line.contains("over=quic") {
                server.quic = field(&line, "address=").unwrap();
            }
            if line.contains("making tokens") {
                server.tokens = field(&line, "address=").unwrap();
            }
            said += &line;
        }
        assert_ne!(server.quic, nowhere, "no QUIC: {said}");
        server.log = Some(log);
        (server, said)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// Makes QUIC log many lines if everything is logged.
    fn chatter(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..4_000u32 {
            // A long header of an unknown version.
            let mut bytes = vec![0u8; 1_200];
            bytes[..5].copy_from_slice(&[0xc0, 0x0a, 0x0a, 0x0a, 0x0a]);
            bytes[5] = 8;
            bytes[6..10].copy_from_slice(&number.to_be_bytes());
            bytes[14] = 8;
            socket.send_to(&bytes, self.quic).unwrap();
            if number % 100 == 0 {
                clock::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Requests a token and returns the status line.
    fn ask(&self) -> String {
        let mut stream = TcpStream::connect(self.tokens).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let body = r#"{"user": 7}"#;
        let request = format!(
            "POST /v1/connect HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {SECRET}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap_or_default().into()
    }

    /// Ends the process and returns its exit status, or `None` if it does not end within 20 s.
    fn end(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        for _ in 0..200 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            clock::sleep(Duration::from_millis(100));
        }
        None
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let (mut server, _) = Server::start("", "trace");
    server.chatter();
    assert_eq!(server.ask(), "HTTP/1.1 200 OK");
    assert!(server.end().expect("it stands still").success());
    // The log contains what could be written, up to a pipe's length.
    let mut log = String::new();
    server.log.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.len() > 30_000, "{} bytes", log.len());
}

#[test]
fn a_log_that_is_closed_ends_nothing_and_neither_does_a_hangup() {
    let (mut server, _) = Server::start("", "trace");
    server.log = None;
    server.child.stderr = None;
    server.chatter();
    for _ in 0..3 {
        server.signal(Signal::HUP);
        assert_eq!(server.ask(), "HTTP/1.1 200 OK");
    }
    assert!(server.end().expect("it stands still").success());
}

#[test]
fn the_limit_of_open_files_is_raised_and_a_small_one_warned_of() {
    let (server, said) = Server::start("ulimit -Sn 128;", "info");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let [soft, hard] = [3, 4].map(|place| line.split_whitespace().nth(place).unwrap());
    assert!(soft == hard && soft != "128", "{line}");
    assert!(!said.contains("open at once"), "{said}");
    let (_server, said) = Server::start("ulimit -n 100;", "info");
    assert!(
        said.contains("limit=100") && said.contains("ulimit -n"),
        "{said}"
    );
}

#[test]
fn silent_connections_take_no_descriptors_from_anything_else() {
    let (mut server, _) = Server::start("ulimit -n 100;", "info");
    let crowd: Vec<_> = (0..300)
        .map(|_| TcpStream::connect(server.tokens).unwrap())
        .collect();
    assert_eq!(server.ask(), "HTTP/1.1 200 OK");
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.child.id()))
        .unwrap()
        .count();
    assert!(open < 60, "{open} of 100 descriptors are in use");
    assert!(server.end().expect("it stands still").success());
    drop(crowd);
}

/// A limit of file sizes acts as a full disk for this process alone.
#[test]
fn a_disk_that_takes_no_more_is_told_once_and_ends_nothing() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("full.rec");
    let (mut server, _) = Server::start_with(
        "ulimit -f 2;",
        "info",
        &["--record", path.to_str().unwrap()],
    );
    clock::sleep(Duration::from_secs(4));
    assert_eq!(server.ask(), "HTTP/1.1 200 OK");
    assert!(server.end().expect("it stands still").success());
    let mut log = String::new();
    server.log.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(log.matches("cannot write for now").count(), 1, "{log}");
    assert!(
        log.contains("the recording is not whole") && log.contains("stopped"),
        "{log}"
    );
}

#[test]
fn a_key_of_a_certificate_that_others_can_read_is_warned_of() {
    let folder = tempdir().unwrap();
    let files = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    for (mode, warned) in [(0o644, true), (0o640, true), (0o600, false)] {
        for file in &files {
            std::fs::write(file, "no certificate").unwrap();
            std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
        }
        let [chain, key] = [&files[0], &files[1]].map(|file| file.to_str().unwrap());
        let any = "127.0.0.1:0";
        let arguments = [
            "--listen",
            any,
            "--quic",
            any,
            "--certificate",
            chain,
            "--certificate-key",
            key,
        ];
        let output = command("", &arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{said}");
        assert_eq!(
            said.contains("key.pem") && said.contains("chmod 600"),
            warned,
            "{mode:o}: {said}"
        );
    }
}

#[test]
fn what_a_command_prints_into_nothing_is_an_error_and_no_panic() {
    let mut child = command("", &["key"]).spawn().unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    child.wait().unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
}
