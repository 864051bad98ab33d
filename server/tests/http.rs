//! Limits of `truetick_server::http`, which the token service and the page share, under crowds of
//! strangers.

#![allow(clippy::disallowed_types, reason = "speaks HTTP to a server")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use truetick_server::descriptors::raise_limit;
use truetick_server::files::resident_bytes;
use truetick_server::http::serve;
use truetick_server::http::{HTTP_CONNECTIONS_PER_ADDRESS, HTTP_HEAD_TIME, HTTP_REQUEST_TIME};
use truetick_transport::clock;

/// Number of connections beyond any limit.
const CROWD: usize = 1_100;

/// Starts a service on a thread of its own, which ends with the process.
fn service() -> SocketAddr {
    raise_limit();
    let (say, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let control = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        control.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            say.send(listener.local_addr().unwrap()).unwrap();
            let echo = post(|body: Bytes| async move { body });
            let router = Router::new()
                .route("/", get(|| async { "well" }))
                .route("/echo", echo);
            match serve(listener, router).await {}
        });
    });
    hear.recv().unwrap()
}

fn connect(service: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(service).unwrap();
    stream
        .set_read_timeout(Some(3 * (HTTP_HEAD_TIME + HTTP_REQUEST_TIME)))
        .unwrap();
    stream
}

fn ask(mut stream: TcpStream) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Reads until the other side closes; a reset counts as an end.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_crowd_of_silent_connections_keeps_nobody_out() {
    let service = service();
    let crowd: Vec<_> = (0..CROWD).map(|_| connect(service)).collect();
    for _ in 0..5 {
        let answer = ask(connect(service));
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("well"),
            "{answer}"
        );
    }
    let open = crowd.iter().filter(|stream| {
        stream.set_nonblocking(true).unwrap();
        let mut byte = [0];
        (&**stream)
            .read(&mut byte)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    });
    let open = open.count();
    assert!(
        open <= HTTP_CONNECTIONS_PER_ADDRESS,
        "{open} of {CROWD} are still open"
    );
}

#[test]
fn unfinished_heads_take_little_memory() {
    let service = service();
    let before = resident_bytes().unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: test\r\nX-Long: {}",
        "x".repeat(300_000)
    );
    let crowd: Vec<_> = (0..600)
        .map(|_| {
            let mut stream = connect(service);
            stream.set_nonblocking(true).unwrap();
            let _ = stream.write(head.as_bytes());
            stream
        })
        .collect();
    assert!(ask(connect(service)).starts_with("HTTP/1.1 200"));
    let grown = resident_bytes().unwrap().saturating_sub(before);
    assert!(
        grown < 64 << 20,
        "{} MB for {} connections",
        grown >> 20,
        crowd.len()
    );
}

#[test]
fn a_head_a_body_and_a_pause_that_never_end_are_ended() {
    let service = service();
    let begun = clock::now();
    let mut head = connect(service);
    head.write_all(b"GET / HTTP/1.1\r\nHost: te").unwrap();
    let mut body = connect(service);
    body.write_all(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nabc")
        .unwrap();
    let mut chunked = connect(service);
    chunked
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        )
        .unwrap();
    let mut pause = connect(service);
    pause
        .write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    let silent = connect(service);
    for slow in [body, chunked] {
        let said = rest(slow);
        assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    }
    let said = rest(pause);
    assert!(
        said.starts_with("HTTP/1.1 200") && said.ends_with("well"),
        "{said}"
    );
    for nothing in [rest(head), rest(silent)] {
        assert!(!nothing.contains("200"), "{nothing}");
    }
    let took = clock::now().since(begun);
    assert!(took < 2 * (HTTP_HEAD_TIME + HTTP_REQUEST_TIME), "{took:?}");
}

#[test]
fn one_that_trickles_its_head_has_no_longer_than_one_that_says_nothing() {
    let service = service();
    let mut stream = connect(service);
    let (begun, mut sent) = (clock::now(), 0);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: test\r\n")
        .unwrap();
    while clock::now().since(begun) < 3 * HTTP_HEAD_TIME {
        if stream.write_all(b"X: y\r\n").is_err() {
            break;
        }
        sent += 1;
        clock::sleep(Duration::from_millis(200));
    }
    assert!(
        clock::now().since(begun) < 2 * HTTP_HEAD_TIME,
        "{sent} lines were taken"
    );
}

#[test]
fn every_answer_says_what_browsers_must_not_do_with_it() {
    let service = service();
    let answer = ask(connect(service)).to_lowercase();
    assert!(
        answer.contains("x-content-type-options: nosniff"),
        "{answer}"
    );
    assert!(
        answer.contains("cross-origin-resource-policy: same-origin"),
        "{answer}"
    );
}
