//! A server's end: which connections are accepted, and by which protocol.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ring::hkdf;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tracing::{debug, error};
use web_transport_quinn::quinn::crypto::rustls::HandshakeData;
use web_transport_quinn::quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, ServerConfig, ZeroRttAccepted,
};
use web_transport_quinn::{Request, http};

use super::certificate::Certificate;
use super::config::{self, ALPN, ALPN_WEB, ConfigError};
use super::connection::{ConnectionEvents, EndNotice, carry};
use super::driver::{DriverCommand, ServerSide};
use super::seats::{Seat, Seats};
use super::session::{BROKEN, Ended, Session, Streams};
use super::tickets::{ConnectionTickets, TlsSessions};
use super::unsent::UnsentFrames;
use crate::event_channel::EventSender;
use truetick_netcode::transport::PeerAddr;

/// The path that WebTransport clients request.
pub const PATH: &str = "/truetick";

/// Time for which a refused browser may close the connection itself.
const REFUSAL: Duration = Duration::from_secs(1);

/// Pages that may connect from a browser, by origin (RFC 6454), such as `https://game.example`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// Returns whether a page of this origin may connect. A client without an origin is not a
    /// browser and is refused.
    fn allows(&self, origin: Option<&str>) -> bool {
        origin.is_some_and(|origin| self.0.iter().any(|known| known == origin))
    }
}

/// Configuration of a server's QUIC end.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// The server's certificate.
    pub certificate: Certificate,
    /// Pages that may connect. If it is empty, WebTransport is disabled.
    pub origins: Origins,
    /// Most connections with a session at once, and separately most without one; 4,096 by default.
    pub connections: usize,
    /// Most connections with and, separately, without a session from one address (or IPv6 prefix of
    /// 64 bits); 128 by default.
    pub per_address: usize,
    /// Handshakes under way from which on an address must be proved before its handshake begins
    /// (Retry); 64 by default. At most [`Self::per_address`]; otherwise a sender of forged
    /// addresses could lock an address out with handshakes that never finish.
    pub handshakes: usize,
    /// Secret from which connection ids and stateless resets are derived, so that a restarted
    /// server can notify clients of the previous run that their connection is gone (RFC 9000,
    /// section 10.3).
    pub secret: [u8; 32],
}

impl ListenConfig {
    /// Returns the defaults for a server with this certificate and secret.
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

    pub(super) fn quinn(
        &self,
    ) -> Result<(EndpointConfig, ServerConfig, rustls::ServerConfig), ConfigError> {
        if self.handshakes > self.per_address {
            return Err(ConfigError::Handshakes(self.handshakes, self.per_address));
        }
        let protocols: &[&[u8]] = if self.origins.0.is_empty() {
            &[ALPN]
        } else {
            &[ALPN, ALPN_WEB]
        };
        let tls = config::server_tls(self.certificate.clone(), protocols)?;
        Ok((
            endpoint(&self.secret),
            config::server_with(tls.clone())?,
            tls,
        ))
    }
}

/// Returns an endpoint configuration with connection ids and stateless resets under keys derived
/// from `secret`.
fn endpoint(secret: &[u8; 32]) -> EndpointConfig {
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"truetick quic").extract(secret);
    let mut bytes = [0; 40];
    let filled = derived
        .expand(&[b"reset and ids"], Bytes(bytes.len()))
        .and_then(|key| key.fill(&mut bytes));
    debug_assert!(filled.is_ok(), "40 bytes are within what HKDF gives");
    let (reset, ids) = bytes.split_at(32);
    let mut config = EndpointConfig::new(Arc::new(ring::hmac::Key::new(
        ring::hmac::HMAC_SHA256,
        reset,
    )));
    let ids = ids
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    config.cid_generator(move || Box::new(quinn_proto::HashedConnectionIdGenerator::from_key(ids)));
    config
}

struct Bytes(usize);

impl hkdf::KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// Counts one more in a counter while it lives.
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

/// What a server's connection receives as soon as it carries a session: a seat, and tickets for TLS
/// resumption.
pub(super) struct Admission {
    seat: Seat,
    tickets: Arc<ConnectionTickets>,
}

impl Admission {
    pub(super) fn grant(&self) {
        self.seat.take();
        self.tickets.grant();
    }
}

/// State that all connections of a server share.
pub(super) struct Listener {
    pub config: ListenConfig,
    pub tls: rustls::ServerConfig,
    pub seats: Arc<Seats>,
    pub event_channel: EventSender,
    pub orders: UnboundedSender<DriverCommand>,
    /// Bytes of frames that wait to be sent on all connections.
    pub unsent: Arc<AtomicUsize>,
}

/// Accepts connections until the endpoint is closed.
pub(super) async fn listen(endpoint: Endpoint, listener: Listener) {
    let handshakes = Arc::new(AtomicUsize::new(0));
    let sessions = TlsSessions::new(listener.config.connections);
    let listener = Arc::new(listener);
    let mut number = 0;
    while let Some(incoming) = endpoint.accept().await {
        let is_proved = incoming.remote_address_validated();
        let busy = handshakes.load(Ordering::Relaxed) >= listener.config.handshakes;
        if busy && !is_proved {
            let _ = incoming.retry();
            continue;
        }
        let tickets = sessions.of_connection();
        let mut tls = listener.tls.clone();
        tls.session_storage = tickets.clone();
        let config = match config::server_with(tls) {
            Ok(config) => Arc::new(config),
            Err(error) => {
                error!(%error, "QUIC: cannot take a connection");
                incoming.refuse();
                continue;
            }
        };
        number += 1;
        let addr = PeerAddr::quic(number, incoming.remote_address());
        let seat = listener
            .seats
            .wait(incoming.remote_address().ip().into(), is_proved);
        let admission = Arc::new(Admission { seat, tickets });
        let handshake = Counted::new(&handshakes);
        tokio::spawn(serve(
            incoming,
            config,
            addr,
            listener.clone(),
            admission,
            handshake,
        ));
    }
}

/// Opens a connection and carries it for as long as it may live.
async fn serve(
    incoming: Incoming,
    config: Arc<ServerConfig>,
    addr: PeerAddr,
    listener: Arc<Listener>,
    admission: Arc<Admission>,
    handshake: Counted,
) {
    let made = OnceLock::new();
    let mut lost = Box::pin(admission.seat.lost());
    let opened = tokio::select! {
        opened = open(incoming, config, &listener.config.origins, &made, &admission) => opened,
        why = &mut lost => Err(why.into()),
    };
    drop(handshake);
    let why = match opened {
        Ok(opened) => return serve_opened(opened, addr, &listener, &admission, lost).await,
        Err(why) => why,
    };
    debug!(%addr, why, "no connection");
    // Other holders of the connection keep it open, so it must be closed explicitly.
    made.into_inner()
        .into_iter()
        .for_each(|connection: Connection| connection.close(BROKEN.into(), b"no session"));
}

async fn serve_opened(
    opened: Opened,
    addr: PeerAddr,
    listener: &Listener,
    admission: &Arc<Admission>,
    lost: Pin<Box<impl Future<Output = &'static str>>>,
) {
    let Opened {
        session,
        streams,
        established,
    } = opened;
    let (frames, taken) = UnsentFrames::new(&listener.unsent);
    // Sent before any received event, so that an answer finds the connection.
    let opened = DriverCommand::Opened(
        addr,
        Box::new(session.clone()),
        Some(ServerSide {
            frames,
            admission: admission.clone(),
        }),
    );
    let _ = listener.orders.send(opened);
    let mut notice = EndNotice::new(addr, &listener.event_channel, &listener.orders);
    let closing = async {
        let why = lost.await;
        debug!(%addr, why, "the connection has to go");
        session.close(BROKEN, b"no session");
        std::future::pending::<Ended>().await
    };
    let events = ConnectionEvents {
        addr,
        event_channel: &listener.event_channel,
    };
    let ended = tokio::select! {
        ended = carry(session.clone(), streams, taken, events, established) => ended,
        ended = closing => ended,
    };
    notice.told = ended.told;
}

/// A connection with its stream open.
struct Opened {
    session: Session,
    streams: Streams,
    /// Completes with the handshake, if that is not complete yet.
    established: Option<ZeroRttAccepted>,
}

async fn open(
    incoming: Incoming,
    config: Arc<ServerConfig>,
    origins: &Origins,
    made: &OnceLock<Connection>,
    admission: &Admission,
) -> Result<Opened, String> {
    let mut connecting = incoming
        .accept_with(config)
        .map_err(|error| error.to_string())?;
    let data = connecting
        .handshake_data()
        .await
        .map_err(|error| error.to_string())?;
    let protocol = data
        .downcast::<HandshakeData>()
        .ok()
        .and_then(|data| data.protocol);
    let is_web = protocol.is_some_and(|protocol| protocol == ALPN_WEB);
    let (session, established) = if is_web {
        let connection = connecting.await.map_err(|error| error.to_string())?;
        let _ = made.set(connection.clone());
        admission.seat.prove();
        (welcome(connection, origins).await?, None)
    } else {
        let (connection, established) = match connecting.into_0rtt() {
            Ok((connection, established)) => (connection, Some(established)),
            Err(connecting) => (connecting.await.map_err(|error| error.to_string())?, None),
        };
        let _ = made.set(connection.clone());
        (Session::Native(connection), established)
    };
    let streams = session.accept_streams().await.map_err(|ended| ended.why)?;
    Ok(Opened {
        session,
        streams,
        established,
    })
}

/// Accepts a WebTransport session if its page's origin is allowed; refuses others.
async fn welcome(connection: Connection, origins: &Origins) -> Result<Session, String> {
    let request = Request::accept(connection)
        .await
        .map_err(|error| error.to_string())?;
    let origin = request
        .headers
        .get("origin")
        .and_then(|origin| origin.to_str().ok());
    let refusal = match (origins.allows(origin), request.url.path()) {
        (true, PATH) => {
            let session = request.ok().await.map_err(|error| error.to_string())?;
            return Ok(Session::Web(Box::new(session)));
        }
        (true, _) => http::StatusCode::NOT_FOUND,
        (false, _) => http::StatusCode::FORBIDDEN,
    };
    let connection = request.conn().clone();
    let why = format!(
        "refused a page of {origin:?} that asks for {}: {refusal}",
        request.url.path()
    );
    let _ = request.reject(refusal).await;
    // The answer is in flight; the browser closes the connection when it arrives.
    let _ = timeout(REFUSAL, connection.closed()).await;
    Err(why)
}
