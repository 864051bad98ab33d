//! The page over HTTP, as a browser requests it.

#![allow(clippy::disallowed_types, reason = "speaks HTTP to a server")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use truetick_arena::arena_schema;
use truetick_netcode::messages::{ClientMessage, decode};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::Role;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::{ConnectToken, Issuer, PrivateToken, Purpose};
use truetick_netcode::transport::TransportKind;
use truetick_server::config::ServerConfig;
use truetick_server::listeners::Listeners;
use truetick_server::page::{PageError, PageListener};
use truetick_server::quic_settings::QuicSettings;
use truetick_transport::quic::certificate::Fingerprint;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn listeners() -> Listeners {
    let issuer = Issuer {
        key: Key::new([3; 32]),
        protocol: PROTOCOL,
        servers: vec!["127.0.0.1:40001".parse().unwrap()],
        lifetime: Duration::from_secs(30),
        timeout: Duration::from_secs(10),
    };
    let issuers = [(TransportKind::Quic, issuer)].into_iter().collect();
    Listeners {
        issuers,
        addresses: BTreeMap::new(),
        fingerprint: Some(Fingerprint([0xab; 32])),
    }
}

/// Starts a page on a thread of its own, which ends with the process.
fn page() -> SocketAddr {
    let (say, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let control = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        control.block_on(async {
            let page = PageListener::bind(ANY).await.unwrap();
            say.send(page.address()).unwrap();
            page.serve(&listeners(), 60, [4; 32]).unwrap();
            std::future::pending::<()>().await;
        });
    });
    hear.recv().unwrap()
}

/// Requests a path with a host name; returns the status, the head and the body.
fn ask(page: SocketAddr, method: &str, path: &str, host: &str) -> (u16, String, String) {
    ask_with(page, method, path, &format!("Host: {host}\r\n"))
}

/// Requests a path with these headers; returns the status, the head and the body.
fn ask_with(page: SocketAddr, method: &str, path: &str, headers: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(page).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, head.to_lowercase(), body.into())
}

fn get(page: SocketAddr, path: &str) -> String {
    let (status, _, body) = ask(page, "GET", path, &page.to_string());
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Paths that a file refers to: those in quotes after `from`, `src=` and `href=`.
fn asked_for(text: &str) -> impl Iterator<Item = &str> {
    ["from \"", "src=\"", "href=\""]
        .into_iter()
        .flat_map(move |before| {
            let quoted = text
                .split(before)
                .skip(1)
                .filter_map(|rest| rest.split('"').next());
            quoted.filter(|path| !path.starts_with("data:"))
        })
}

#[test]
fn whatever_the_page_asks_for_is_served() {
    let page = page();
    let (mut left, mut seen) = (vec!["/".to_string()], Vec::new());
    while let Some(path) = left.pop() {
        let text = get(page, &path);
        let folder = &path[..=path.rfind('/').unwrap()];
        left.extend(asked_for(&text).map(|name| match name.strip_prefix("./") {
            Some(beside) => format!("{folder}{beside}"),
            None => format!("/{}", name.trim_start_matches("../")),
        }));
        left.retain(|path| !seen.contains(path));
        seen.push(path);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 16, "{seen:?}");
    let (_, head, _) = ask(page, "GET", "/netcode/xxh3.js", &page.to_string());
    assert!(
        head.contains("content-type: text/javascript") && head.contains("cache-control: no-cache"),
        "{head}"
    );
    assert!(head.contains("frame-ancestors 'none'"), "{head}");
}

#[test]
fn no_answer_of_the_page_may_be_guessed_at_or_used_by_another_site() {
    let page = page();
    let own = page.to_string();
    for (method, path, host) in [
        ("GET", "/", &*own),
        ("GET", "/arena.json", &own),
        ("POST", "/connect", &own),
        ("GET", "/nothing", &own),
        ("DELETE", "/", &own),
        ("GET", "/", "evil.example"),
    ] {
        let (_, head, _) = ask(page, method, path, host);
        for header in [
            "x-content-type-options: nosniff",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(header), "{method} {path} of {host}: {head}");
        }
    }
}

#[test]
fn whoever_opens_the_page_is_given_a_token_to_watch_with() {
    let page = page();
    let tokens = [0, 1].map(|_| {
        let (status, _, body) = ask(page, "POST", "/connect", &page.to_string());
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["url"], "https://127.0.0.1:40001/truetick");
        assert_eq!(answer["fingerprint"], "ab".repeat(32));
        let token = BASE64_STANDARD
            .decode(answer["token"].as_str().unwrap())
            .unwrap();
        let token = ConnectToken::from_bytes(&token).unwrap();
        let open = PrivateToken::open(
            &token.sealed,
            &Key::new([3; 32]),
            PROTOCOL,
            token.expires,
            &token.nonce,
        );
        open.unwrap()
    });
    assert_ne!(tokens[0].user, tokens[1].user);
    for token in tokens {
        let purpose = Purpose::read(&token.user_data).unwrap();
        assert_eq!(
            (purpose.role, purpose.room, purpose.resume),
            (Role::Spectator, 0, None)
        );
    }
}

#[test]
fn the_page_is_told_what_it_must_know_of_the_arena() {
    let arena: Value = serde_json::from_str(&get(page(), "/arena.json")).unwrap();
    let schema = arena_schema().unwrap().schema;
    assert_eq!(arena["schema"]["hash"], format!("{:016x}", schema.hash()));
    assert_eq!(
        arena["schema"]["kinds"].as_array().unwrap().len(),
        schema.kinds().count()
    );
    assert_eq!(arena["tick_rate"], 60);
    let message = |name: &str| {
        BASE64_STANDARD
            .decode(arena[name].as_str().unwrap())
            .unwrap()
    };
    assert_eq!(
        decode(&message("hello")),
        Ok(ClientMessage::Hello {
            schema: schema.hash()
        })
    );
    assert_eq!(decode(&message("resync")), Ok(ClientMessage::Resync));
    assert_eq!(
        arena["disconnectReasons"][12],
        "the room takes no spectators"
    );
}

#[test]
fn another_sites_name_that_leads_here_is_refused() {
    let page = page();
    for host in [
        "evil.example".to_string(),
        format!("evil.example:{}", page.port()),
        String::new(),
    ] {
        let (status, _, body) = ask(page, "POST", "/connect", &host);
        assert!(
            status >= 400 && !body.contains("token"),
            "{host}: {status} {body}"
        );
    }
    assert_eq!(
        ask(page, "GET", "/", &format!("localhost:{}", page.port())).0,
        200
    );
}

#[test]
fn another_site_cannot_ask_in_the_pages_name() {
    let page = page();
    let from = |origin: &str| {
        ask_with(
            page,
            "POST",
            "/connect",
            &format!("Host: {page}\r\nOrigin: {origin}\r\n"),
        )
        .0
    };
    assert_eq!(from(&format!("http://{page}")), 200);
    for other in [
        "https://evil.example",
        "null",
        "http://127.0.0.1",
        &format!("https://{page}"),
    ] {
        assert_eq!(from(other), 403, "{other}");
    }
}

#[test]
fn a_server_that_has_a_page_lets_it_connect() {
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let quic = QuicSettings {
        origins: vec!["https://game.example".into()],
        ..QuicSettings::default()
    };
    let mut config = ServerConfig {
        quic: Some(quic),
        ..ServerConfig::default()
    };
    assert!(
        control
            .block_on(PageListener::of(&mut config))
            .unwrap()
            .is_none()
    );
    config.page = Some(ANY);
    let page = control
        .block_on(PageListener::of(&mut config))
        .unwrap()
        .unwrap();
    let port = page.address().port();
    let own = ["127.0.0.1", "localhost"].map(|name| format!("http://{name}:{port}"));
    assert_eq!(
        config.quic.unwrap().origins,
        [&["https://game.example".into()], &own[..]].concat()
    );
}

#[test]
fn a_page_for_everyone_or_without_a_way_to_the_server_is_refused() {
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    control.block_on(async {
        let refused = PageListener::bind("0.0.0.0:0".parse().unwrap())
            .await
            .map(|_| ());
        assert!(matches!(refused, Err(PageError::NotLoopback(_))));
        let page = PageListener::bind(ANY).await.unwrap();
        let nowhere = Listeners {
            issuers: BTreeMap::new(),
            ..listeners()
        };
        assert!(matches!(
            page.serve(&nowhere, 60, [4; 32]),
            Err(PageError::NoQuic)
        ));
    });
}
