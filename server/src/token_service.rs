//! An HTTP service that issues connect tokens, for a backend that authenticates its users.
//!
//! ```text
//! POST /v1/connect   Authorization: Bearer SECRET
//!     {"user": 7, "room": 0, "role": "player", "wire": 3, "transport": "quic"}
//! 200 {"token": BASE64, "expires_in_s": 30, "servers": ["203.0.113.5:40001"], "wire": 3,
//!      "fingerprint": HEX}
//! 401 no secret, or a wrong one            404 a transport that is not served
//! 426 another wire version                 429 too often, or too many wrong secrets
//! 400, 413, 415, 422 not such a request    408 a body that does not arrive
//! ```
//! `room` (0), `role` (`player`, or `spectator`), `wire` (unchecked) and `transport` (`udp`) may be
//! omitted. For QUIC the answer contains the SHA-256 of the server's certificate, for clients that
//! pin it. The secret allows its owner to admit anyone: it belongs to the backend, never to
//! players. The service should listen on loopback or behind a proxy with TLS.
//!
//! A rate-limit key that sent too many wrong secrets is refused, whatever it sends, until the
//! excess is forgiven, so that nobody finds the secret by trying. A key that presented the right
//! secret within the last hour is exempt: another client behind the same address, as behind a
//! proxy, must not lock the backend out.

#![allow(clippy::disallowed_types, reason = "serves HTTP")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use truetick_netcode::packet::WIRE_VERSION;
use truetick_netcode::session::rate::{Rate, TokenBuckets};
use truetick_netcode::session::token::{Issuer, Purpose};
use truetick_netcode::session::{RateLimitKey, Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::TransportKind;
use truetick_transport::clock;
use truetick_transport::quic::certificate::Fingerprint;

use crate::http;
use crate::listeners::Listeners;

/// Rate of tokens for one user: enough to reconnect repeatedly, too few to pass on.
const PER_USER: Rate = Rate {
    per_second: 1,
    burst: 10,
};

/// Rate of requests with a wrong secret from one rate-limit key.
const WRONG_SECRETS: Rate = Rate {
    per_second: 1,
    burst: 20,
};

/// Time for which a rate-limit key that presented the right secret is not locked out by wrong ones.
const TRUSTED_FOR: Duration = Duration::from_secs(3_600);

/// Maximum number of trusted rate-limit keys. The one whose last right secret is oldest is replaced
/// first.
const TRUSTED: usize = 1_024;

/// Maximum size of a request in bytes.
const REQUEST_BYTES: usize = 4 * 1_024;

/// Minimum length of a secret in bytes: 128 bits in hexadecimal.
pub const SECRET_BYTES: usize = 32;

/// Body of a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    user: u64,
    #[serde(default)]
    room: u16,
    #[serde(default, with = "AskedRole")]
    role: Role,
    wire: Option<u8>,
    #[serde(default, with = "Way")]
    transport: TransportKind,
}

/// The role that the client is to have.
#[derive(Deserialize)]
#[serde(remote = "Role", rename_all = "lowercase")]
enum AskedRole {
    Player,
    Spectator,
}

/// The transport by which the client is to connect.
#[derive(Deserialize)]
#[serde(remote = "TransportKind", rename_all = "lowercase")]
enum Way {
    Udp,
    Quic,
    Laminar,
}

#[derive(Clone, Debug, Serialize)]
struct Answer {
    token: String,
    expires_in_s: u64,
    servers: Vec<SocketAddr>,
    wire: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
}

struct Service {
    issuers: BTreeMap<TransportKind, Issuer>,
    fingerprint: Option<Fingerprint>,
    secret: String,
    rng: Mutex<StdRng>,
    users: Mutex<TokenBuckets<UserId>>,
    strangers: Mutex<Strangers>,
}

/// The rate-limit keys that presented wrong secrets, and those that presented the right one.
#[derive(Default)]
struct Strangers {
    wrong: TokenBuckets<RateLimitKey>,
    /// Time of the last right secret from each trusted key.
    trusted: BTreeMap<RateLimitKey, Timestamp>,
}

impl Strangers {
    /// Judges a secret from this rate-limit key: whether it is right, or `None` if the key sent too
    /// many wrong ones.
    fn judge(&mut self, from: RateLimitKey, is_right: bool, now: Timestamp) -> Option<bool> {
        let trusted = self
            .trusted
            .get(&from)
            .is_some_and(|last| now.since(*last) < TRUSTED_FOR);
        let may_try = self.wrong.may(&from, WRONG_SECRETS, now);
        if !trusted && !may_try {
            return None;
        }
        if !is_right {
            return self.wrong.allows(from, WRONG_SECRETS, now).then_some(false);
        }
        if !trusted && self.trusted.len() >= TRUSTED {
            let oldest = self
                .trusted
                .iter()
                .min_by_key(|(_, last)| **last)
                .map(|(from, _)| *from);
            oldest
                .into_iter()
                .for_each(|oldest| _ = self.trusted.remove(&oldest));
        }
        self.trusted.insert(from, now);
        Some(true)
    }
}

/// Routes of the token service: they issue tokens for a server's transports to clients that know
/// `secret`. The keys in the tokens derive from `seed`, which must be random.
pub fn routes(listeners: &Listeners, secret: String, seed: [u8; 32]) -> Router {
    let service = Service {
        issuers: listeners.issuers.clone(),
        fingerprint: listeners.fingerprint,
        secret,
        rng: Mutex::new(StdRng::from_seed(seed)),
        users: Mutex::default(),
        strangers: Mutex::default(),
    };
    let connect = post(connect).layer(DefaultBodyLimit::max(REQUEST_BYTES));
    Router::new()
        .route("/v1/connect", connect)
        .with_state(Arc::new(service))
}

/// Serves the routes within the limits of [`crate::http`], until the process ends.
///
/// # Errors
/// None at present: a failing `accept` is tried again.
pub async fn serve(listener: tokio::net::TcpListener, routes: Router) -> std::io::Result<()> {
    match http::serve(listener, routes).await {}
}

async fn connect(
    State(service): State<Arc<Service>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    // Only the head of an unauthorised request is read. The secret is compared in any case, so that
    // the timing reveals nothing.
    let is_right = service.is_authorised(request.headers());
    match lock(&service.strangers).judge(from.ip().into(), is_right, clock::now()) {
        None => return too_often(),
        Some(false) => {
            return refusal(
                StatusCode::UNAUTHORIZED,
                "this needs the header Authorization: Bearer SECRET",
            );
        }
        Some(true) => {}
    }
    let Json(ask): Json<Ask> = match Json::from_request(request, &()).await {
        Ok(ask) => ask,
        Err(rejection) => return refusal(rejection.status(), &rejection.body_text()),
    };
    if let Some(wire) = ask.wire.filter(|wire| *wire != WIRE_VERSION) {
        let what = format!("the client speaks wire version {wire}, the server {WIRE_VERSION}");
        return refusal(StatusCode::UPGRADE_REQUIRED, &what);
    }
    let over = ask.transport;
    let Some(issuer) = service.issuers.get(&over) else {
        return refusal(
            StatusCode::NOT_FOUND,
            &format!("this server does not serve {over}"),
        );
    };
    let now = clock::now();
    if !lock(&service.users).allows(UserId(ask.user), PER_USER, now) {
        return too_often();
    }
    let purpose = Purpose {
        room: ask.room,
        role: ask.role,
        ..Purpose::default()
    };
    let token = issuer.issue(
        UserId(ask.user),
        purpose,
        clock::unix_now(),
        &mut *lock(&service.rng),
    );
    let answer = Answer {
        token: BASE64_STANDARD.encode(*token.to_bytes()),
        expires_in_s: token.expires - token.created,
        servers: token.servers,
        wire: WIRE_VERSION,
        fingerprint: service
            .fingerprint
            .filter(|_| over == TransportKind::Quic)
            .map(|known| known.to_string()),
    };
    Json(answer).into_response()
}

impl Service {
    /// Compares in constant time, so that the secret cannot be found byte by byte.
    fn is_authorised(&self, headers: &HeaderMap) -> bool {
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let given = given
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        given.len() == self.secret.len()
            && bool::from(given.as_bytes().ct_eq(self.secret.as_bytes()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_often() -> Response {
    let refused = refusal(
        StatusCode::TOO_MANY_REQUESTS,
        "too often: try again in a second",
    );
    ([(RETRY_AFTER, "1")], refused).into_response()
}

fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(serde_json::json!({ "error": error }))).into_response()
}
