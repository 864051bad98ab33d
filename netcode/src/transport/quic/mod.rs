//! QUIC (RFC 9000) with datagrams (RFC 9221), and WebTransport over HTTP/3 on the same port: connections that prove who the
//! server is and keep what they carry secret. Both ends run on a thread of their own ([`QuicRuntime`]) and talk to whoever
//! uses them through queues, so that a room never waits for them.
//!
//! ```text
//! room thread     -- send, send_frame, close; flush -->  [ batch ]  --> post --> connections --> socket
//!                 <-- receive ------------------------  [ inbox ]  <---------- connections <-- socket
//! ```
//! Datagrams that do not leave at once wait in a small buffer in which new ones displace old ones. Clients of the one
//! protocol and of the other differ in nothing but how their connection begins.

pub mod certificate;
pub mod config;
mod congestion;
mod connection;
mod dial;
mod listener;
mod post;
mod runtime;

use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc::{self, UnboundedSender};
use web_transport_quinn::quinn::{self, Endpoint, EndpointConfig, TokioRuntime};

pub use dial::Dial;
pub use listener::{ListenConfig, Origins, PATH};
pub use runtime::QuicRuntime;

use self::config::ConfigError;
use self::post::Order;
use super::inbox::{Inbox, Outlet, inbox};
use super::{Event, Parcel, Route, Transport};
use crate::limits::SOCKET_BUFFER_BYTES;
use crate::time::Timestamp;

/// For so long an end that is dropped tries to tell its peers.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why an end could not be made.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// The socket could not be had.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// The settings do not serve.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// One end of any number of connections, behind one socket.
pub struct QuicTransport {
    runtime: QuicRuntime,
    orders: UnboundedSender<Order>,
    batch: Vec<(Route, Parcel)>,
    outlet: Outlet,
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl QuicTransport {
    /// A server's end.
    pub fn listen(
        runtime: QuicRuntime,
        address: SocketAddr,
        config: ListenConfig,
    ) -> Result<Self, QuicError> {
        let (endpoint_config, server_config) = config.quinn()?;
        let end = |socket| quinn_endpoint(&runtime, endpoint_config, Some(server_config), socket);
        let (endpoint, address) = end(bind(address)?)?;
        let this = Self::start(runtime, &endpoint, address, None)?;
        let listening = listener::listen(endpoint, config, this.1, this.0.orders.clone());
        this.0.runtime.handle().spawn(listening);
        Ok(this.0)
    }

    /// A client's end; each connection begins as `dial` says.
    pub fn dial(runtime: QuicRuntime, address: SocketAddr, dial: Dial) -> Result<Self, QuicError> {
        let dial = dial.quinn()?;
        let (endpoint, address) = quinn_endpoint(&runtime, EndpointConfig::default(), None, bind(address)?)?;
        Ok(Self::start(runtime, &endpoint, address, Some(dial))?.0)
    }

    fn start(
        runtime: QuicRuntime,
        endpoint: &Endpoint,
        address: SocketAddr,
        dial: Option<dial::Ready>,
    ) -> Result<(Self, Inbox), QuicError> {
        let (inbox, outlet) = inbox()?;
        let (orders, taken) = mpsc::unbounded_channel();
        let (post, bytes) =
            post::Post::new(endpoint.clone(), dial.map(Arc::new), inbox.clone(), orders.clone());
        runtime.handle().spawn(post.run(taken));
        Ok((Self { runtime, orders, batch: Vec::new(), outlet, address, bytes }, inbox))
    }

    /// Where it is.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of UDP payload sent so far, up to a fraction of a second ago.
    pub fn bytes_sent(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Processor time of the thread that it runs on, which it may share with others.
    pub fn cpu(&self) -> Duration {
        self.runtime.cpu()
    }

    /// Goes over to another port of this host, as when a network changes under a client; connections go along.
    pub fn move_to_another_port(&mut self) -> io::Result<()> {
        let socket = bind(SocketAddr::new(self.address.ip(), 0))?;
        self.address = socket.local_addr()?;
        let _ = self.orders.send(Order::Rebind(socket));
        Ok(())
    }

    /// Whether something waits of which the descriptor does not tell.
    pub fn has_waiting(&self) -> bool {
        self.outlet.has_waiting()
    }

    /// Hands over what has come, up to a batch; returns how much.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(Route, Event<'_>, Timestamp),
    ) -> io::Result<usize> {
        self.outlet.take(|route, event, at| take(route, event, at.min(now)))
    }
}

impl Transport for QuicTransport {
    fn send(&mut self, to: Route, datagram: &[u8]) {
        self.batch.send(to, datagram);
    }

    fn open(&mut self, to: Route, frame: &[u8]) {
        self.batch.open(to, frame);
    }

    fn send_frame(&mut self, to: Route, frame: &[u8]) {
        self.batch.send_frame(to, frame);
    }

    fn close(&mut self, to: Route) {
        self.batch.close(to);
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            let _ = self.orders.send(Order::Send(std::mem::take(&mut self.batch)));
        }
    }
}

impl AsFd for QuicTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outlet.as_fd()
    }
}

impl Drop for QuicTransport {
    /// Peers are told, for a moment at the most.
    fn drop(&mut self) {
        self.flush();
        let (told, waits) = std::sync::mpsc::channel();
        if self.orders.send(Order::End(told)).is_ok() {
            let _ = waits.recv_timeout(FAREWELL);
        }
    }
}

/// A socket; one that is bound to `[::]` serves IPv4, too.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn quinn_endpoint(
    runtime: &QuicRuntime,
    config: EndpointConfig,
    server: Option<quinn::ServerConfig>,
    socket: UdpSocket,
) -> io::Result<(Endpoint, SocketAddr)> {
    let _inside = runtime.handle().enter();
    let address = socket.local_addr()?;
    Ok((Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?, address))
}
