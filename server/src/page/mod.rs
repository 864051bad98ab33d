//! A page that shows the arena in a browser: its files, its configuration, and a spectator's token
//! for every visitor.
//!
//! ```text
//! GET  /              the page, and the files that it asks for
//! GET  /arena.json    the schema (see describe) and what else the page needs (see arena)
//! POST /connect       { url: "https://127.0.0.1:40001/truetick", fingerprint: HEX, token: BASE64 }
//! ```
//! The page is for trying out and for watching: everyone who opens it becomes a spectator. It is
//! therefore served on loopback only, and only to requests that name it so; a foreign host name
//! that resolves to this address is refused. No other site can embed it in a frame or send requests
//! in its name. Browsers recognise the server by the hash of its self-signed certificate, which
//! they accept for two weeks at most. A game's own page is served by the game's own site, which
//! gets tokens from [`crate::token_service`].

#![allow(clippy::disallowed_types, reason = "serves HTTP")]

pub mod describe;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rust_embed::Embed;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::TcpListener;
use truetick_arena::arena_schema;
use truetick_arena::map::{HALF_SIZE, PILLARS};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::messages::{ClientMessage, encode};
use truetick_netcode::session::denial::Denial;
use truetick_netcode::session::token::{Issuer, Purpose};
use truetick_netcode::session::{Role, UserId};
use truetick_netcode::time::UnixTime;
use truetick_netcode::transport::TransportKind;
use truetick_transport::clock;
use truetick_transport::quic::PATH;
use truetick_transport::quic::certificate::{Fingerprint, SELF_SIGNED_DAYS};

use self::describe::describe;
use crate::config::ServerConfig;
use crate::http;
use crate::listeners::Listeners;

/// Files of the page, embedded in the program.
#[derive(Embed)]
#[folder = "page/"]
struct Files;

/// Content type of a file of the page; `None` for a file that is not served.
fn content_type(file: &str) -> Option<&'static str> {
    match file.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        _ => None,
    }
}

/// Why the page could not be served.
#[derive(Debug, Error)]
pub enum PageError {
    /// The address is not on loopback, where anyone who reaches it could watch.
    #[error("the page lets whoever opens it watch: serve it on loopback, as 127.0.0.1:{}, not on {_0}", _0.port())]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot serve the page on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
    /// QUIC is not served, by which browsers connect (WebTransport).
    #[error("the page reaches the server by WebTransport: serve QUIC, too")]
    NoQuic,
    /// The schema of the arena is not valid.
    #[error(transparent)]
    Schema(#[from] truetick_netcode::schema::SchemaError),
}

/// The bound address of the page, not served yet: the server must know the page's origin before it
/// starts.
pub struct PageListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl PageListener {
    /// Binds the page's address, if one is configured, and adds the page's origins to those that
    /// may connect.
    ///
    /// # Errors
    /// If the address is not on loopback or cannot be bound, or QUIC is not configured.
    pub async fn of(config: &mut ServerConfig) -> Result<Option<Self>, PageError> {
        let Some(address) = config.page else {
            return Ok(None);
        };
        let page = Self::bind(address).await?;
        config
            .quic
            .as_mut()
            .ok_or(PageError::NoQuic)?
            .origins
            .extend(page.origins());
        Ok(Some(page))
    }

    /// Binds the page's address. Port 0 takes a free port.
    ///
    /// # Errors
    /// [`PageError::NotLoopback`] or [`PageError::Bind`].
    pub async fn bind(address: SocketAddr) -> Result<Self, PageError> {
        if !address.ip().is_loopback() {
            return Err(PageError::NotLoopback(address));
        }
        let wrong = |error| PageError::Bind(address, error);
        let listener = TcpListener::bind(address).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        Ok(Self { listener, address })
    }

    /// The address at which the page is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The origins of the page, as browsers name them to the server.
    fn origins(&self) -> [String; 2] {
        hosts(self.address).map(|host| format!("http://{host}"))
    }

    /// Begins to serve the page, on which visitors watch room 0, an arena of this tick rate. The
    /// keys in the tokens derive from `seed`, which must be random.
    ///
    /// # Errors
    /// [`PageError::NoQuic`] if the server does not serve QUIC, or an error of the schema.
    pub fn serve(
        self,
        listeners: &Listeners,
        tick_rate: u32,
        seed: [u8; 32],
    ) -> Result<(), PageError> {
        let router = self.router(listeners, tick_rate, seed)?;
        tokio::spawn(async move { match http::serve(self.listener, router).await {} });
        Ok(())
    }

    fn router(
        &self,
        listeners: &Listeners,
        tick_rate: u32,
        seed: [u8; 32],
    ) -> Result<Router, PageError> {
        let known = listeners
            .issuers
            .get(&TransportKind::Quic)
            .zip(listeners.fingerprint);
        let (issuer, fingerprint) = known.ok_or(PageError::NoQuic)?;
        let gate = Gate {
            issuer: issuer.clone(),
            fingerprint,
            since: clock::unix_now(),
            rng: Mutex::new(StdRng::from_seed(seed)),
            arena: arena(tick_rate)?,
        };
        let mut router = Router::new();
        for file in Files::iter() {
            let (Some(sort), Some(content)) = (content_type(&file), Files::get(&file)) else {
                continue;
            };
            let path = format!("/{}", file.strip_suffix("index.html").unwrap_or(&file));
            router = router.route(&path, get(([(CONTENT_TYPE, sort)], content.data)));
        }
        let router = router
            .route("/arena.json", get(tell))
            .route("/connect", post(connect));
        let hosts = Arc::new(hosts(self.address));
        Ok(router
            .layer(from_fn_with_state(hosts, guard))
            .with_state(Arc::new(gate)))
    }
}

/// The host names by which a browser may request the page. Browsers omit port 80.
fn hosts(address: SocketAddr) -> [String; 2] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    [ip, "localhost".into()].map(|name| match address.port() {
        80 => name,
        port => format!("{name}:{port}"),
    })
}

struct Gate {
    issuer: Issuer,
    fingerprint: Fingerprint,
    /// When the service began; the server's certificate is about as old.
    since: UnixTime,
    rng: Mutex<StdRng>,
    arena: Value,
}

/// What the page needs to decode the arena and to draw it.
fn arena(tick_rate: u32) -> Result<Value, PageError> {
    let schema = arena_schema()?.schema;
    let message = |message: ClientMessage| BASE64_STANDARD.encode(encode(&message));
    let pillars = PILLARS
        .iter()
        .map(|(middle, radius)| [middle.x, middle.y, *radius]);
    Ok(json!({
        "hello": message(ClientMessage::Hello { schema: schema.hash() }),
        "resync": message(ClientMessage::Resync),
        "disconnectReasons": DisconnectReason::ALL.map(|reason| reason.to_string()),
        "denials": Denial::ALL.map(|denial| denial.to_string()),
        "tick_rate": tick_rate,
        "map": { "half_size": HALF_SIZE, "pillars": pillars.collect::<Vec<_>>() },
        "schema": describe(&schema),
    }))
}

/// Content security policy: what the page may load and which sites may embed it. `https:` allows
/// the connection to the server.
const POLICY: &str =
    "default-src 'self'; img-src data:; connect-src 'self' https:; frame-ancestors 'none'";

async fn guard(State(hosts): State<Arc<[String; 2]>>, request: Request, next: Next) -> Response {
    if let Some(refusal) = refusal(&hosts, request.headers()) {
        return refusal.into_response();
    }
    // The files change with the server, so browsers must ask for them each time.
    let headers = [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, next.run(request).await).into_response()
}

/// Refuses requests under a foreign host name (DNS rebinding) and requests from other sites.
fn refusal(hosts: &[String; 2], headers: &HeaderMap) -> Option<(StatusCode, String)> {
    let header = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let is_ours = |name: &str| hosts.iter().any(|host| host == name);
    if !header(HOST).is_some_and(is_ours) {
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            format!("open http://{}/", hosts[0]),
        ));
    }
    let origin = header(ORIGIN).map(|origin| origin.strip_prefix("http://").unwrap_or_default());
    let is_foreign = !origin.is_none_or(is_ours);
    is_foreign.then(|| {
        (
            StatusCode::FORBIDDEN,
            "the page answers no other site".into(),
        )
    })
}

async fn tell(State(gate): State<Arc<Gate>>) -> Json<Value> {
    Json(gate.arena.clone())
}

/// Whether browsers no longer accept a certificate that was made at this time.
fn is_expired(made: UnixTime, now: UnixTime) -> bool {
    let days = now.as_secs().saturating_sub(made.as_secs()) / (24 * 3_600);
    i64::try_from(days).is_ok_and(|days| days >= SELF_SIGNED_DAYS)
}

/// Issues a spectator's token. Each request gets a user id of its own, so that one person can watch
/// in several windows.
async fn connect(State(gate): State<Arc<Gate>>) -> Result<Json<Value>, (StatusCode, &'static str)> {
    if is_expired(gate.since, clock::unix_now()) {
        let why = "the server's certificate is older than browsers take: start the server again";
        return Err((StatusCode::SERVICE_UNAVAILABLE, why));
    }
    let mut rng = gate.rng.lock().unwrap_or_else(PoisonError::into_inner);
    let user = UserId(rng.random());
    let purpose = Purpose {
        role: Role::Spectator,
        ..Purpose::default()
    };
    let token = gate
        .issuer
        .issue(user, purpose, clock::unix_now(), &mut *rng);
    let server = token.servers[0];
    Ok(Json(json!({
        "url": format!("https://{server}{PATH}"),
        "fingerprint": gate.fingerprint.to_string(),
        "token": BASE64_STANDARD.encode(*token.to_bytes()),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_serves_for_thirteen_days() {
        let (made, day) = (UnixTime::from_millis(1_700_000_000_000), 24 * 3_600 * 1_000);
        let after = |ms: u64| UnixTime::from_millis(made.as_millis() + ms);
        assert!(!is_expired(made, made) && !is_expired(after(1), made));
        assert!(!is_expired(made, after(13 * day - 1_000)) && is_expired(made, after(13 * day)));
    }

    #[test]
    fn hosts_are_as_browsers_write_them() {
        let of = |address: &str| hosts(address.parse().unwrap());
        assert_eq!(of("127.0.0.1:8080"), ["127.0.0.1:8080", "localhost:8080"]);
        assert_eq!(of("127.0.0.1:80"), ["127.0.0.1", "localhost"]);
        assert_eq!(of("[::1]:8080"), ["[::1]:8080", "localhost:8080"]);
    }
}
