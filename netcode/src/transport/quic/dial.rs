//! How a client's connection begins.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tokio::time::timeout;
use tracing::{debug, warn};
use url::Url;
use web_transport_quinn as web;
use web_transport_quinn::proto::ConnectRequest;
use web_transport_quinn::quinn::{self, ClientConfig, ConnectionError, Endpoint, ZeroRttAccepted};

use super::config::{self, ALPN, ALPN_WEB, ConfigError, Trust};
use super::connection::{EndNotice, add_frame, carry};
use super::driver::DriverCommand;
use super::listener::PATH;
use super::session::{Ended, Session, Streams};
use super::unsent::UnsentFrame;
use crate::limits::DATAGRAM_BYTES;
use crate::transport::PeerAddr;
use crate::transport::event_channel::EventSender;

/// A handshake that takes longer is mentioned in the log, once for each end.
const SLOW_HANDSHAKE: Duration = Duration::from_secs(2);

/// How a client reaches servers.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Whom it trusts.
    pub trust: Trust,
    /// Goes over WebTransport instead, as a page of this origin.
    pub web_origin: Option<String>,
    /// Sends to this address in place of the server's: a relay.
    pub relay: Option<SocketAddr>,
}

/// The same, ready to be used.
pub(super) struct Ready {
    dial: Dial,
    config: ClientConfig,
    /// Whether the log mentions a handshake that nobody answers.
    has_warned: AtomicBool,
}

impl Dial {
    /// Connections to servers that are trusted so.
    pub fn new(trust: Trust) -> Self {
        Self { trust, web_origin: None, relay: None }
    }

    pub(super) fn quinn(self) -> Result<Ready, ConfigError> {
        let alpn = if self.web_origin.is_some() { ALPN_WEB } else { ALPN };
        let config = config::client(&self.trust, alpn)?;
        Ok(Ready { config, dial: self, has_warned: AtomicBool::new(false) })
    }
}

/// Opens a connection, carries it to its end, and tells how it ended.
pub(super) async fn open(
    endpoint: Endpoint,
    ready: Arc<Ready>,
    mut frames: Receiver<UnsentFrame>,
    (addr, event_channel): (PeerAddr, EventSender),
    orders: UnboundedSender<DriverCommand>,
) {
    let mut notice = EndNotice::new(addr, &event_channel, &orders);
    let ended = match connect(&endpoint, &ready, addr).await {
        Ok((session, early)) => {
            let opened = DriverCommand::Opened(addr, Box::new(session.clone()), None);
            let _ = orders.send(opened);
            match begin(&session, early, &mut frames).await {
                Ok(streams) => carry(session, streams, frames, (addr, &event_channel), None).await,
                Err(ended) => ended,
            }
        }
        Err(ended) => ended,
    };
    debug!(%addr, ended.why, ended.told, "no connection any more");
    notice.told = ended.told;
}

/// Where the server is known already, a connection serves before its handshake is done.
async fn connect(
    endpoint: &Endpoint,
    ready: &Ready,
    addr: PeerAddr,
) -> Result<(Session, Option<ZeroRttAccepted>), Ended> {
    let address = ready.dial.relay.unwrap_or(addr.address);
    let name = ready.dial.trust.server_name();
    let connecting = endpoint.connect_with(ready.config.clone(), address, name);
    let connecting = connecting.map_err(|error| Ended { told: false, why: error.to_string() })?;
    let Some(origin) = &ready.dial.web_origin else {
        return match connecting.into_0rtt() {
            Ok((connection, early)) => Ok((Session::Native(connection), Some(early))),
            Err(connecting) => {
                Ok((Session::Native(ready.establish(connecting, addr).await?), None))
            }
        };
    };
    let connection = ready.establish(connecting, addr).await?;
    let why = format!("`{origin}` is no origin");
    let request = request(origin, addr).ok_or(Ended { told: true, why })?;
    Ok((Session::Web(Box::new(web::Session::connect(connection, request).await?)), None))
}

/// Opens the stream. The first frame goes along with the first packet, where it can; a server that
/// refuses what came early is told it again once the handshake is done, on a stream of its own,
/// since it forgets whatever was opened before.
async fn begin(
    session: &Session,
    early: Option<ZeroRttAccepted>,
    frames: &mut Receiver<UnsentFrame>,
) -> Result<Streams, Ended> {
    let mut streams = session.open_streams().await?;
    let Some(early) = early else {
        return Ok(streams);
    };
    let mut bytes = Vec::new();
    let first = frames.recv().await;
    first.iter().for_each(|frame| add_frame(&mut bytes, &frame.bytes));
    // It fails where early data is refused: then it is said again.
    let _ = streams.0.write_all(&bytes).await;
    if early.await {
        return Ok(streams);
    }
    let mut streams = session.open_streams().await?;
    debug!("early data was refused; it is sent again");
    match streams.0.write_all(&bytes).await {
        Some(()) => Ok(streams),
        None => Err(session.closed().await),
    }
}

impl Ready {
    async fn establish(
        &self,
        connecting: quinn::Connecting,
        addr: PeerAddr,
    ) -> Result<quinn::Connection, Ended> {
        let mut connecting = std::pin::pin!(connecting);
        let made = match timeout(SLOW_HANDSHAKE, connecting.as_mut()).await {
            Ok(made) => made,
            Err(_) => {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    warn!(
                        %addr,
                        "no answer by QUIC yet: nobody serves there, a firewall is in between, or the path carries no datagrams of {DATAGRAM_BYTES} bytes"
                    );
                }
                connecting.await
            }
        };
        made.map_err(|error| {
            if let ConnectionError::TransportError(error) = &error {
                // Most often the server's certificate is not the one that is trusted: nothing else
                // would tell.
                warn!(%addr, "QUIC: {error}");
            }
            error.into()
        })
    }
}

fn request(origin: &str, addr: PeerAddr) -> Option<ConnectRequest> {
    let url = Url::parse(&format!("https://{}{PATH}", addr.address)).ok()?;
    Some(ConnectRequest::new(url).with_header("origin".parse().ok()?, origin.parse().ok()?))
}
