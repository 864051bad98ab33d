//! The token service over HTTP, as a backend uses it.

#![allow(clippy::disallowed_types, reason = "speaks HTTP to a server")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use truetick_netcode::packet::{PROTOCOL, WIRE_VERSION};
use truetick_netcode::session::Role;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::{ConnectToken, Issuer, PrivateToken, Purpose};
use truetick_netcode::transport::TransportKind;
use truetick_server::listeners::Listeners;
use truetick_server::token_service::{routes, serve};
use truetick_transport::clock;
use truetick_transport::quic::certificate::Fingerprint;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Starts a service on a thread of its own, which ends with the process.
fn service() -> SocketAddr {
    let issuer = |server: &str| Issuer {
        key: Key::new([3; 32]),
        protocol: PROTOCOL,
        servers: vec![server.parse().unwrap()],
        lifetime: Duration::from_secs(30),
        timeout: Duration::from_secs(10),
    };
    let issuers = [
        (TransportKind::Udp, issuer("203.0.113.5:40000")),
        (TransportKind::Quic, issuer("203.0.113.5:40001")),
    ];
    let listeners = Listeners {
        issuers: issuers.into_iter().collect(),
        addresses: BTreeMap::new(),
        fingerprint: Some(Fingerprint([0xab; 32])),
    };
    let (say, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let control = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        control.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            say.send(listener.local_addr().unwrap()).unwrap();
            serve(listener, routes(&listeners, SECRET.into(), [4; 32]))
                .await
                .unwrap();
        });
    });
    hear.recv().unwrap()
}

/// Sends a request; returns the status and the body.
fn ask(service: SocketAddr, secret: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(service).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let request = format!(
        "POST /v1/connect HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {secret}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.into())
}

#[test]
fn a_backend_gets_a_short_lived_token_for_its_user() {
    let service = service();
    let (status, body) = ask(
        service,
        SECRET,
        &format!(r#"{{"user": 7, "room": 3, "wire": {WIRE_VERSION}}}"#),
    );
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&answer["expires_in_s"], &answer["servers"][0]),
        (&30.into(), &"203.0.113.5:40000".into())
    );
    let token = BASE64_STANDARD
        .decode(answer["token"].as_str().unwrap())
        .unwrap();
    let token = ConnectToken::from_bytes(&token).unwrap();
    assert!(token.created.abs_diff(clock::unix_now().as_secs()) < 5);
    let private = PrivateToken::open(
        &token.sealed,
        &Key::new([3; 32]),
        PROTOCOL,
        token.expires,
        &token.nonce,
    );
    let private = private.unwrap();
    assert_eq!(
        (
            private.user.0,
            Purpose::read(&private.user_data).unwrap().room
        ),
        (7, 3)
    );
}

#[test]
fn a_user_may_be_let_in_to_watch_only() {
    let service = service();
    for (role, expected) in [
        ("", Role::Player),
        (r#", "role": "spectator""#, Role::Spectator),
    ] {
        let (status, body) = ask(service, SECRET, &format!(r#"{{"user": 7{role}}}"#));
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let token = BASE64_STANDARD
            .decode(answer["token"].as_str().unwrap())
            .unwrap();
        let token = ConnectToken::from_bytes(&token).unwrap();
        let private = PrivateToken::open(
            &token.sealed,
            &Key::new([3; 32]),
            PROTOCOL,
            token.expires,
            &token.nonce,
        );
        assert_eq!(
            Purpose::read(&private.unwrap().user_data).unwrap().role,
            expected
        );
    }
    assert_eq!(ask(service, SECRET, r#"{"user": 7, "role": "god"}"#).0, 422);
}

#[test]
fn a_client_that_comes_by_quic_learns_where_and_by_what_it_knows_the_server() {
    let service = service();
    let (status, body) = ask(service, SECRET, r#"{"user": 7, "transport": "quic"}"#);
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["servers"][0], "203.0.113.5:40001");
    assert_eq!(answer["fingerprint"], "ab".repeat(32));
    let (status, body) = ask(service, SECRET, r#"{"user": 7, "transport": "laminar"}"#);
    assert!(
        status == 404 && body.contains("does not serve laminar"),
        "{status} {body}"
    );
    assert!(
        !ask(service, SECRET, r#"{"user": 7}"#)
            .1
            .contains("fingerprint")
    );
}

#[test]
fn strangers_other_versions_and_nonsense_are_refused_with_a_reason() {
    let service = service();
    let good = r#"{"user": 7}"#;
    assert_eq!(ask(service, SECRET, good).0, 200);
    for secret in ["", "wrong", &SECRET[1..], &SECRET.replace('0', "1")] {
        let (status, body) = ask(service, secret, good);
        assert!(
            status == 401 && body.contains("Authorization"),
            "{status} {body}"
        );
    }
    assert_eq!(ask(service, "wrong", "{").0, 401);
    let (status, body) = ask(service, SECRET, r#"{"user": 7, "wire": 1}"#);
    let ours = format!("server {WIRE_VERSION}");
    assert!(
        status == 426 && body.contains("wire version 1") && body.contains(&ours),
        "{status} {body}"
    );
    for nonsense in [
        "",
        "{",
        r#"{"user": -1}"#,
        r#"{"user": 1, "admin": true}"#,
        &"x".repeat(10_000),
    ] {
        assert!((400..500).contains(&ask(service, SECRET, nonsense).0));
    }
}

#[test]
fn of_a_stranger_only_the_head_is_read() {
    let mut stream = TcpStream::connect(service()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let head = "POST /v1/connect HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
                Authorization: Bearer wrong\r\nContent-Length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

#[test]
fn one_user_and_one_stranger_are_limited_and_others_are_not() {
    let service = service();
    let statuses = |secret: &str, user: u64| -> Vec<u16> {
        (0..30)
            .map(|_| ask(service, secret, &format!("{{\"user\": {user}}}")).0)
            .collect()
    };
    let own = statuses(SECRET, 7);
    assert!(
        own[..10].iter().all(|status| *status == 200) && own.contains(&429),
        "{own:?}"
    );
    assert_eq!(ask(service, SECRET, r#"{"user": 8}"#).0, 200);
    assert!(statuses("wrong", 9).contains(&429));
    assert_eq!(ask(service, SECRET, r#"{"user": 10}"#).0, 200);
}

#[test]
fn who_tried_too_many_secrets_learns_nothing_of_the_right_one_for_a_while() {
    let service = service();
    let good = r#"{"user": 7}"#;
    let statuses: Vec<u16> = (0..30).map(|_| ask(service, "wrong", good).0).collect();
    assert!(
        statuses[..20].iter().all(|status| *status == 401) && statuses.contains(&429),
        "{statuses:?}"
    );
    assert_eq!(ask(service, SECRET, good).0, 429);
    // The limit recovers within a second.
    assert!((0..100_000).any(|_| ask(service, SECRET, good).0 == 200));
    // After that a stranger behind the backend's address cannot lock the backend out.
    (0..30).for_each(|_| _ = ask(service, "wrong", good));
    assert_eq!(ask(service, SECRET, good).0, 200);
}
