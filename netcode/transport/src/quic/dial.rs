//! A client's connections: how they are opened.

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
use super::connection::{ConnectionEvents, EndNotice, add_frame, carry};
use super::driver::DriverCommand;
use super::listener::PATH;
use super::session::{Ended, Session, Streams};
use super::unsent::UnsentFrame;
use crate::event_channel::EventSender;
use truetick_netcode::limits::DATAGRAM_BYTES;
use truetick_netcode::transport::PeerAddr;

/// A handshake that takes longer is logged, once per end.
const SLOW_HANDSHAKE: Duration = Duration::from_secs(2);

/// How a client reaches servers.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The servers that the client trusts.
    pub trust: Trust,
    /// Selects WebTransport, as a page of this origin; `None` (the default) selects native QUIC.
    pub web_origin: Option<String>,
    /// Address of a relay to send to in place of the server's; `None` by default.
    pub relay: Option<SocketAddr>,
}

/// A [`Dial`] with its QUIC configuration.
pub(super) struct Ready {
    dial: Dial,
    config: ClientConfig,
    /// Whether an unanswered handshake was logged.
    has_warned: AtomicBool,
}

impl Dial {
    /// Creates the settings for native QUIC connections to trusted servers.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            web_origin: None,
            relay: None,
        }
    }

    pub(super) fn quinn(self) -> Result<Ready, ConfigError> {
        let alpn = if self.web_origin.is_some() {
            ALPN_WEB
        } else {
            ALPN
        };
        let config = config::client(&self.trust, alpn)?;
        Ok(Ready {
            config,
            dial: self,
            has_warned: AtomicBool::new(false),
        })
    }
}

/// Opens a connection, carries it until it ends, and reports its end.
pub(super) async fn open(
    endpoint: Endpoint,
    ready: Arc<Ready>,
    mut frames: Receiver<UnsentFrame>,
    addr: PeerAddr,
    event_channel: EventSender,
    orders: UnboundedSender<DriverCommand>,
) {
    let mut notice = EndNotice::new(addr, &event_channel, &orders);
    let ended = match connect(&endpoint, &ready, addr).await {
        Ok((session, early)) => {
            let opened = DriverCommand::Opened(addr, Box::new(session.clone()), None);
            let _ = orders.send(opened);
            match begin(&session, early, &mut frames).await {
                Ok(streams) => {
                    let events = ConnectionEvents {
                        addr,
                        event_channel: &event_channel,
                    };
                    carry(session, streams, frames, events, None).await
                }
                Err(ended) => ended,
            }
        }
        Err(ended) => ended,
    };
    debug!(%addr, ended.why, ended.told, "no connection any more");
    notice.told = ended.told;
}

/// Opens a connection. If a TLS session of the server is known, it is usable before its handshake
/// is complete.
async fn connect(
    endpoint: &Endpoint,
    ready: &Ready,
    addr: PeerAddr,
) -> Result<(Session, Option<ZeroRttAccepted>), Ended> {
    let address = ready.dial.relay.unwrap_or(addr.address);
    let name = ready.dial.trust.server_name();
    let connecting = endpoint.connect_with(ready.config.clone(), address, name);
    let connecting = connecting.map_err(|error| Ended {
        told: false,
        why: error.to_string(),
    })?;
    let Some(origin) = &ready.dial.web_origin else {
        return match connecting.into_0rtt() {
            Ok((connection, early)) => Ok((Session::Native(connection), Some(early))),
            Err(connecting) => Ok((
                Session::Native(ready.establish(connecting, addr).await?),
                None,
            )),
        };
    };
    let connection = ready.establish(connecting, addr).await?;
    let why = format!("`{origin}` is no origin");
    let request = request(origin, addr).ok_or(Ended { told: true, why })?;
    Ok((
        Session::Web(Box::new(web::Session::connect(connection, request).await?)),
        None,
    ))
}

/// Opens the stream. If possible, the first packet carries the first frame as early data. If the
/// server rejects early data, the frame is sent again after the handshake on a new stream, because
/// the server discards those opened before.
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
    first
        .iter()
        .for_each(|frame| add_frame(&mut bytes, &frame.bytes));
    // The write fails if early data is rejected; the bytes are sent again below.
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
                // Usually the server's certificate is not the trusted one, and nothing else would
                // report that.
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
