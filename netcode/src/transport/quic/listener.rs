//! A server's end: who may open a connection, and as what.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ring::hkdf;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::timeout;
use tracing::debug;
use web_transport_quinn::quinn::crypto::rustls::HandshakeData;
use web_transport_quinn::quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, ServerConfig, ZeroRttAccepted,
};
use web_transport_quinn::{RecvStream, Request, SendStream, Session, http};

use super::certificate::Certificate;
use super::config::{self, ALPN, ALPN_WEB, ConfigError};
use super::connection::{BROKEN, FRAMES_UNSENT, carry};
use super::post::Order;
use crate::limits::HELLO_TIME;
use crate::session::Neighbourhood;
use crate::transport::Route;
use crate::transport::inbox::Inbox;

/// The path that WebTransport clients ask for.
pub const PATH: &str = "/truetick";

/// For so long a browser that is refused may take to hang up.
const REFUSAL: Duration = Duration::from_secs(1);

/// Which pages may connect from a browser, by their origin (RFC 6454), as `https://game.example`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// Whether a page of this origin may. Who names none is no browser and may not, either.
    fn allows(&self, origin: Option<&str>) -> bool {
        origin.is_some_and(|origin| self.0.iter().any(|known| known == origin))
    }
}

/// How a server listens.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// By what it is known.
    pub certificate: Certificate,
    /// Pages that may connect; without any there is no WebTransport.
    pub origins: Origins,
    /// Connections at once.
    pub connections: usize,
    /// Those of one address, or IPv6 prefix of 64 bits.
    pub per_address: usize,
    /// With more handshakes under way than this, an address must be proved before the next one begins (Retry).
    pub handshakes: usize,
    /// Secret from which connection ids and resets follow, so that a server that starts again can tell clients of the one
    /// before that their connection is gone (stateless reset, RFC 9000, section 10.3).
    pub secret: [u8; 32],
}

impl ListenConfig {
    /// The defaults.
    pub fn new(certificate: Certificate, secret: [u8; 32]) -> Self {
        Self {
            certificate,
            origins: Origins::default(),
            connections: 4_096,
            per_address: 128,
            handshakes: 64,
            secret,
        }
    }

    pub(super) fn quinn(&self) -> Result<(EndpointConfig, ServerConfig), ConfigError> {
        let protocols: &[&[u8]] = if self.origins.0.is_empty() { &[ALPN] } else { &[ALPN, ALPN_WEB] };
        Ok((endpoint(&self.secret), config::server(self.certificate.clone(), protocols)?))
    }
}

/// Connection ids and stateless resets under keys that follow from a secret.
fn endpoint(secret: &[u8; 32]) -> EndpointConfig {
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"truetick quic").extract(secret);
    let mut bytes = [0; 40];
    let filled = derived.expand(&[b"reset and ids"], Bytes(bytes.len())).and_then(|key| key.fill(&mut bytes));
    debug_assert!(filled.is_ok(), "40 bytes are within what HKDF gives");
    let (reset, ids) = bytes.split_at(32);
    let mut config = EndpointConfig::new(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, reset)));
    let ids = ids.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    config.cid_generator(move || Box::new(quinn_proto::HashedConnectionIdGenerator::from_key(ids)));
    config
}

struct Bytes(usize);

impl hkdf::KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// One more of something while this lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who is connected, from where.
#[derive(Default)]
struct Crowd {
    all: usize,
    by_neighbourhood: BTreeMap<Neighbourhood, usize>,
}

/// One of them, while it lives.
struct Seat(Arc<Mutex<Crowd>>, Neighbourhood);

impl Seat {
    fn take(crowd: &Arc<Mutex<Crowd>>, from: Neighbourhood, config: &ListenConfig) -> Option<Self> {
        let mut inside = crowd.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.by_neighbourhood.get(&from).copied().unwrap_or(0);
        if inside.all >= config.connections || own >= config.per_address {
            return None;
        }
        inside.all += 1;
        inside.by_neighbourhood.insert(from, own + 1);
        Some(Self(crowd.clone(), from))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inside.all -= 1;
        if let Some(own) = inside.by_neighbourhood.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                inside.by_neighbourhood.remove(&self.1);
            }
        }
    }
}

/// Takes connections until the end is closed.
pub(super) async fn listen(
    endpoint: Endpoint,
    config: ListenConfig,
    inbox: Inbox,
    orders: UnboundedSender<Order>,
) {
    let (crowd, handshakes) = (Arc::new(Mutex::new(Crowd::default())), Arc::new(AtomicUsize::new(0)));
    let origins = Arc::new(config.origins.clone());
    let mut number = 0;
    while let Some(incoming) = endpoint.accept().await {
        let busy = handshakes.load(Ordering::Relaxed) >= config.handshakes;
        if busy && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            continue;
        }
        let Some(seat) = Seat::take(&crowd, incoming.remote_address().ip().into(), &config) else {
            incoming.refuse();
            continue;
        };
        number += 1;
        let route = Route::quic(number, incoming.remote_address());
        let counted = (seat, Counted::new(&handshakes));
        let serve = serve(incoming, (route, inbox.clone()), origins.clone(), orders.clone(), counted);
        tokio::spawn(serve);
    }
}

async fn serve(
    incoming: Incoming,
    (route, inbox): (Route, Inbox),
    origins: Arc<Origins>,
    orders: UnboundedSender<Order>,
    (_seat, handshake): (Seat, Counted),
) {
    let made = OnceLock::new();
    let opened = timeout(HELLO_TIME, open(incoming, &origins, &made)).await;
    drop(handshake);
    let why = match opened {
        Ok(Ok(opened)) => return serve_opened(opened, (route, inbox), orders).await,
        Ok(Err(why)) => why,
        Err(_) => "too slow".into(),
    };
    debug!(%route, why, "no connection");
    // Others may hold it, too: it ends only when it is told to.
    made.into_inner()
        .into_iter()
        .for_each(|connection: Connection| connection.close(BROKEN.into(), b"no session"));
}

async fn serve_opened(
    (session, streams, established): Opened,
    (route, inbox): (Route, Inbox),
    orders: UnboundedSender<Order>,
) {
    let (frames, taken) = mpsc::channel(FRAMES_UNSENT);
    // Before anything that came: whoever answers it finds the connection.
    let _ = orders.send(Order::Opened(route, Box::new(session.clone()), Some(frames)));
    carry(session, streams, taken, (route, &inbox), established).await;
    let _ = orders.send(Order::Ended(route));
}

type Opened = (Session, (SendStream, RecvStream), Option<ZeroRttAccepted>);

async fn open(incoming: Incoming, origins: &Origins, made: &OnceLock<Connection>) -> Result<Opened, String> {
    let mut connecting = incoming.accept().map_err(|error| error.to_string())?;
    let data = connecting.handshake_data().await.map_err(|error| error.to_string())?;
    let protocol = data.downcast::<HandshakeData>().ok().and_then(|data| data.protocol);
    let is_web = protocol.is_some_and(|protocol| protocol == ALPN_WEB);
    let (session, established) = if is_web {
        let connection = connecting.await.map_err(|error| error.to_string())?;
        let _ = made.set(connection.clone());
        (welcome(connection, origins).await?, None)
    } else {
        match connecting.into_0rtt() {
            Ok((connection, established)) => (Session::raw(connection), Some(established)),
            Err(connecting) => (Session::raw(connecting.await.map_err(|error| error.to_string())?), None),
        }
    };
    let streams = session.accept_bi().await.map_err(|error| error.to_string())?;
    Ok((session, streams, established))
}

/// A browser says which page it is; pages that are not known are refused.
async fn welcome(connection: Connection, origins: &Origins) -> Result<Session, String> {
    let request = Request::accept(connection).await.map_err(|error| error.to_string())?;
    let origin = request.headers.get("origin").and_then(|origin| origin.to_str().ok());
    let refusal = match (origins.allows(origin), request.url.path()) {
        (true, PATH) => return request.ok().await.map_err(|error| error.to_string()),
        (true, _) => http::StatusCode::NOT_FOUND,
        (false, _) => http::StatusCode::FORBIDDEN,
    };
    let connection = request.conn().clone();
    let why = format!("refused a page of {origin:?} that asks for {}: {refusal}", request.url.path());
    let _ = request.reject(refusal).await;
    // The answer is on its way; the browser hangs up when it has it.
    let _ = timeout(REFUSAL, connection.closed()).await;
    Err(why)
}
