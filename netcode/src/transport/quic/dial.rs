//! How a client's connection begins.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tracing::{debug, warn};
use url::Url;
use web_transport_quinn::proto::ConnectRequest;
use web_transport_quinn::quinn::{ClientConfig, ConnectionError, Endpoint};
use web_transport_quinn::{ClientError, ConnectError as WebError, Session, SessionError};

use super::config::{self, ALPN, ALPN_WEB, ConfigError, Trust};
use super::connection::{carry, is_told};
use super::listener::PATH;
use super::post::Order;
use crate::transport::Route;
use crate::transport::inbox::{Came, Inbox};

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
}

impl Dial {
    /// Connections to servers that are trusted so.
    pub fn new(trust: Trust) -> Self {
        Self { trust, web_origin: None, relay: None }
    }

    pub(super) fn quinn(self) -> Result<Ready, ConfigError> {
        let alpn = if self.web_origin.is_some() { ALPN_WEB } else { ALPN };
        Ok(Ready { config: config::client(&self.trust, alpn)?, dial: self })
    }
}

/// Opens a connection, carries it to its end, and tells how it ended.
pub(super) async fn open(
    endpoint: Endpoint,
    ready: Arc<Ready>,
    frames: Receiver<Vec<u8>>,
    (route, inbox): (Route, Inbox),
    orders: UnboundedSender<Order>,
) {
    match connect(&endpoint, &ready, route).await {
        Ok((session, streams)) => {
            let _ = orders.send(Order::Opened(route, Box::new(session.clone()), None));
            carry(session, streams, frames, (route, &inbox), None).await;
        }
        Err(Failed { told, why }) => {
            debug!(%route, why, "no connection");
            inbox.put(route, Came::Closed { told });
        }
    }
    let _ = orders.send(Order::Ended(route));
}

type Opened = (Session, (web_transport_quinn::SendStream, web_transport_quinn::RecvStream));

/// Why there is no connection, and whether the server has refused it.
struct Failed {
    told: bool,
    why: String,
}

impl From<SessionError> for Failed {
    fn from(error: SessionError) -> Self {
        if let SessionError::ConnectionError(ConnectionError::TransportError(error)) = &error {
            // Most often the server's certificate is not the one that is trusted: nothing else would tell.
            warn!("QUIC: {error}");
        }
        Self { told: is_told(&error), why: error.to_string() }
    }
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        let told = matches!(error, ClientError::HttpError(WebError::ErrorStatus(_)));
        Self { told, why: error.to_string() }
    }
}

async fn connect(endpoint: &Endpoint, ready: &Ready, route: Route) -> Result<Opened, Failed> {
    let address = ready.dial.relay.unwrap_or(route.address);
    let name = ready.dial.trust.server_name();
    let connecting = endpoint.connect_with(ready.config.clone(), address, name);
    let connecting = connecting.map_err(|error| Failed { told: false, why: error.to_string() })?;
    // Where the server is known already, the first frame goes along with the first packet.
    let connection = match connecting.into_0rtt() {
        Ok((connection, _)) if ready.dial.web_origin.is_none() => connection,
        Ok((connection, established)) => {
            established.await;
            connection
        }
        Err(connecting) => connecting.await.map_err(SessionError::from)?,
    };
    let session = match &ready.dial.web_origin {
        None => Session::raw(connection),
        Some(origin) => {
            let why = format!("`{origin}` is no origin");
            let request = request(origin, route).ok_or(Failed { told: true, why })?;
            Session::connect(connection, request).await?
        }
    };
    let streams = session.open_bi().await?;
    Ok((session, streams))
}

fn request(origin: &str, route: Route) -> Option<ConnectRequest> {
    let url = Url::parse(&format!("https://{}{PATH}", route.address)).ok()?;
    Some(ConnectRequest::new(url).with_header("origin".parse().ok()?, origin.parse().ok()?))
}
