//! HTTP within limits of connections, time and memory, whatever its clients do.
//!
//! | what | limit |
//! |---|---|
//! | connections, in total | [`HTTP_CONNECTIONS`] |
//! | connections of one rate-limit key | [`HTTP_CONNECTIONS_PER_ADDRESS`] |
//! | a request's head, and the pause before it | [`HTTP_HEAD_TIME`] |
//! | a request's body, and the making of its answer | [`HTTP_REQUEST_TIME`], then status 408 |
//! | a connection | [`HTTP_CONNECTION_TIME`] |
//! | bytes buffered for a connection | [`HTTP_BUFFER_BYTES`] |
//!
//! A connection over a limit replaces another one: the one that has waited longest, first of those
//! without a successful answer, at its own address if that has too many, else at the address that
//! has most. So a crowd of silent connections shuts nobody out, not even clients at the same
//! address. A failing `accept` is logged at a limited rate and tried again after a pause.

#![allow(clippy::disallowed_types, reason = "serves HTTP")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{sleep, timeout};
use tracing::warn;
use truetick_transport::clock;

use truetick_netcode::session::RateLimitKey;
use truetick_netcode::session::rate::{Rate, TokenBucket};

use crate::descriptors::share_for_http;

/// HTTP connections of one listener at once; the process's limit of open files also applies.
pub const HTTP_CONNECTIONS: usize = 512;

/// HTTP connections from one address (or IPv6 prefix of 64 bits) at once: enough for a backend's
/// pool.
pub const HTTP_CONNECTIONS_PER_ADDRESS: usize = 128;

/// Time within which an HTTP request's head must arrive, from the start of the connection or from
/// the previous answer.
pub const HTTP_HEAD_TIME: Duration = Duration::from_secs(5);

/// Time within which an HTTP request's body must arrive and its answer be ready.
pub const HTTP_REQUEST_TIME: Duration = Duration::from_secs(5);

/// Time after which an HTTP connection is closed in any case.
pub const HTTP_CONNECTION_TIME: Duration = Duration::from_secs(60);

/// Bytes that an HTTP connection buffers in each direction: hyper's minimum, enough for any
/// expected head.
pub const HTTP_BUFFER_BYTES: usize = 8 * 1_024;

/// Pause after a failing `accept`, because the lack of descriptors that caused it may pass.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(100);

/// Rate of log lines on failing `accept`s.
const ACCEPT_LINES: Rate = Rate {
    per_second: 1,
    burst: 1,
};

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Serves the routes at a listener until the process ends. Handlers find the peer's address as
/// `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, routes: Router) -> Infallible {
    let most = share_for_http(HTTP_CONNECTIONS);
    let places = Arc::new(Mutex::new(Places::new(
        most,
        HTTP_CONNECTIONS_PER_ADDRESS.min(most),
    )));
    let (mut lines, mut failures) = (TokenBucket::default(), 0u64);
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_peer(&error) => continue,
            Err(error) => {
                failures += 1;
                if lines.allows(ACCEPT_LINES, clock::now()) {
                    warn!(%error, failures, "cannot accept HTTP connections; trying on");
                }
                sleep(ACCEPT_INTERVAL).await;
                continue;
            }
        };
        let number = lock(&places).reserve(RateLimitKey::from(from.ip()));
        let place = Place {
            number,
            places: places.clone(),
        };
        let task = tokio::spawn(serve_connection(stream, from, routes.clone(), place));
        lock(&places).seat(number, task.abort_handle());
        // Lets connections that were replaced close before the next one is accepted.
        yield_now().await;
    }
}

/// Whether an `accept` failed because of the connection that it would have accepted.
fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

async fn serve_connection(stream: TcpStream, from: SocketAddr, routes: Router, place: Place) {
    let routes = TowerToHyperService::new(routes);
    let place = &place;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        let answer = timeout(HTTP_REQUEST_TIME, routes.call(request));
        async move {
            let mut response = match answer.await {
                Ok(Ok(response)) => response,
                Err(_) => too_slow(),
            };
            let headers = response.headers_mut();
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.insert(CORP, HeaderValue::from_static("same-origin"));
            place.note_answer(response.status());
            Ok::<_, Infallible>(response)
        }
    });
    let mut settings = http1::Builder::new();
    settings
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_TIME)
        .max_buf_size(HTTP_BUFFER_BYTES);
    let mut connection = std::pin::pin!(settings.serve_connection(TokioIo::new(stream), service));
    // An error of a connection concerns its peer only.
    if timeout(HTTP_CONNECTION_TIME, connection.as_mut())
        .await
        .is_err()
    {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(HTTP_REQUEST_TIME, connection).await;
    }
}

fn too_slow() -> Response {
    (
        StatusCode::REQUEST_TIMEOUT,
        [(CONNECTION, "close")],
        "the request took too long\n",
    )
        .into_response()
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The open connections of one listener.
struct Places {
    most: usize,
    most_per_address: usize,
    next: u64,
    open: BTreeMap<u64, Open>,
}

struct Open {
    from: RateLimitKey,
    /// Whether the connection has had a successful answer.
    served: bool,
    /// Rises with each connection and each answer; the connection with the lowest value has waited
    /// longest.
    last: u64,
    task: Option<AbortHandle>,
}

impl Places {
    fn new(most: usize, most_per_address: usize) -> Self {
        Self {
            most,
            most_per_address,
            next: 0,
            open: BTreeMap::new(),
        }
    }

    fn count(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Reserves a place for a connection and ends the connection that it replaces, if any.
    fn reserve(&mut self, from: RateLimitKey) -> u64 {
        let mut counts: BTreeMap<RateLimitKey, usize> = BTreeMap::new();
        self.open
            .values()
            .for_each(|open| *counts.entry(open.from).or_default() += 1);
        let crowded = match counts.get(&from) {
            Some(own) if *own >= self.most_per_address => Some(from),
            _ if self.open.len() < self.most => None,
            _ => counts
                .into_iter()
                .max_by_key(|(_, count)| *count)
                .map(|(address, _)| address),
        };
        let there = self
            .open
            .iter()
            .filter(|(_, open)| Some(open.from) == crowded);
        if let Some(number) = there
            .min_by_key(|(_, open)| (open.served, open.last))
            .map(|(number, _)| *number)
            && let Some(task) = self.open.remove(&number).and_then(|open| open.task)
        {
            task.abort();
        }
        let number = self.count();
        self.open.insert(
            number,
            Open {
                from,
                served: false,
                last: number,
                task: None,
            },
        );
        number
    }

    fn seat(&mut self, number: u64, task: AbortHandle) {
        if let Some(open) = self.open.get_mut(&number) {
            open.task = Some(task);
        }
    }
}

/// The place of a connection, freed when the connection ends.
struct Place {
    number: u64,
    places: Arc<Mutex<Places>>,
}

impl Place {
    fn note_answer(&self, status: StatusCode) {
        let mut places = lock(&self.places);
        let last = places.count();
        if let Some(open) = places.open.get_mut(&self.number) {
            open.last = last;
            open.served |= status.is_success();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places).open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> RateLimitKey {
        std::net::IpAddr::from([10, 0, 0, last]).into()
    }

    fn open(places: &Places) -> Vec<u64> {
        places.open.keys().copied().collect()
    }

    #[test]
    fn a_crowd_at_one_address_displaces_its_own_oldest() {
        let mut places = Places::new(10, 3);
        let other = places.reserve(address(2));
        let crowd: Vec<_> = (0..5).map(|_| places.reserve(address(1))).collect();
        assert_eq!(open(&places), [&[other], &crowd[2..]].concat());
    }

    #[test]
    fn where_all_is_full_the_address_with_most_gives_way() {
        let mut places = Places::new(4, 3);
        let few = places.reserve(address(2));
        let many: Vec<_> = (0..3).map(|_| places.reserve(address(1))).collect();
        let newest = places.reserve(address(3));
        assert_eq!(open(&places), [few, many[1], many[2], newest]);
    }

    #[test]
    fn whoever_was_answered_gives_way_last() {
        let places = Arc::new(Mutex::new(Places::new(10, 2)));
        let first = lock(&places).reserve(address(1));
        let place = Place {
            number: first,
            places: places.clone(),
        };
        place.note_answer(StatusCode::OK);
        let silent: Vec<_> = (0..4).map(|_| lock(&places).reserve(address(1))).collect();
        assert_eq!(open(&lock(&places)), [first, silent[3]]);
        drop(place);
        assert_eq!(open(&lock(&places)), [silent[3]]);
    }
}
