//! How a client's connection begins.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use url::Url;
use web_transport_quinn::Session;
use web_transport_quinn::proto::ConnectRequest;
use web_transport_quinn::quinn::{ClientConfig, Endpoint};

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
    frames: UnboundedReceiver<Vec<u8>>,
    (route, inbox): (Route, Inbox),
    orders: UnboundedSender<Order>,
) {
    match connect(&endpoint, &ready, route).await {
        Ok((session, streams)) => {
            let _ = orders.send(Order::Opened(route, Box::new(session.clone()), None));
            carry(session, streams, frames, (route, &inbox), None).await;
        }
        Err(told) => inbox.put(route, Came::Closed { told }),
    }
    let _ = orders.send(Order::Ended(route));
}

type Opened = (Session, (web_transport_quinn::SendStream, web_transport_quinn::RecvStream));

/// An error says whether the server has refused.
async fn connect(endpoint: &Endpoint, ready: &Ready, route: Route) -> Result<Opened, bool> {
    let address = ready.dial.relay.unwrap_or(route.address);
    let name = ready.dial.trust.server_name();
    let connecting = endpoint.connect_with(ready.config.clone(), address, name).map_err(|_| false)?;
    // Where the server is known already, the first frame goes along with the first packet.
    let connection = match connecting.into_0rtt() {
        Ok((connection, _)) if ready.dial.web_origin.is_none() => connection,
        Ok((connection, established)) => {
            established.await;
            connection
        }
        Err(connecting) => connecting.await.map_err(|error| is_told(&error.into()))?,
    };
    let session = match &ready.dial.web_origin {
        None => Session::raw(connection),
        Some(origin) => {
            Session::connect(connection, request(origin, route).ok_or(true)?).await.map_err(|_| true)?
        }
    };
    let streams = session.open_bi().await.map_err(|error| is_told(&error))?;
    Ok((session, streams))
}

fn request(origin: &str, route: Route) -> Option<ConnectRequest> {
    let url = Url::parse(&format!("https://{}{PATH}", route.address)).ok()?;
    Some(ConnectRequest::new(url).with_header("origin".parse().ok()?, origin.parse().ok()?))
}
