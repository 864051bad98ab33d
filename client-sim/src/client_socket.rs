//! A client's socket on its transport, with a relay in between where there is one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr, Transmit, Transport};
use truetick_transport::server_transport::ServerTransport;
use truetick_transport::wait_readable;

use crate::connect_options::ConnectOptions;

/// A client's socket. Where there is a relay, events appear to come from the server itself.
pub struct ClientSocket {
    connect_options: ConnectOptions,
    server_transport: ServerTransport,
    /// Relay that stands for the server; `None` for connections, which handle the relay themselves.
    relay: Option<SocketAddr>,
    server: SocketAddr,
}

impl ClientSocket {
    /// Opens a socket that reaches `server`, directly or through a relay.
    ///
    /// # Errors
    /// The socket cannot be opened.
    pub fn open(
        connect_options: &ConnectOptions,
        server: SocketAddr,
        relay: Option<SocketAddr>,
    ) -> io::Result<Self> {
        let server_transport = connect_options.open(any_port(relay.unwrap_or(server)), relay)?;
        Ok(Self {
            connect_options: connect_options.clone(),
            server_transport,
            relay: relay.filter(|_| !connect_options.transport().is_connection_oriented()),
            server,
        })
    }

    /// Moves to another port of this host, as when a client's network changes. Connections survive
    /// it.
    ///
    /// # Errors
    /// The new socket cannot be opened.
    pub fn move_to_another_port(&mut self) -> io::Result<()> {
        match &mut self.server_transport {
            ServerTransport::Quic(end) => end.move_to_another_port(),
            other => {
                let any = SocketAddr::new(other.local_address()?.ip(), 0);
                *other = self.connect_options.open(any, self.relay)?;
                Ok(())
            }
        }
    }

    /// Sends a packet to the server, or to the relay in its place.
    pub fn send(&mut self, to: PeerAddr, transmit: &Transmit) {
        self.server = to.address;
        let address = self.relay.unwrap_or(to.address);
        transmit.send(PeerAddr { address, ..to }, &mut self.server_transport);
    }

    /// Hands all packets to the network.
    pub fn flush(&mut self) {
        self.server_transport.flush();
    }

    /// Passes each received event to `take`, with its sender and the time of its arrival.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(PeerAddr, Event<'_>, Timestamp),
    ) -> io::Result<()> {
        let server = self.relay.map(|_| self.server);
        self.server_transport.receive(now, |from, event, at| {
            take(
                PeerAddr {
                    address: server.unwrap_or(from.address),
                    ..from
                },
                event,
                at,
            );
        })?;
        Ok(())
    }
}

/// Waits until a socket has received something or `span` is over. Then `ready` holds the indices of
/// the sockets that have received something.
///
/// # Errors
/// The sockets cannot be waited for.
pub fn wait<'a>(
    sockets: impl Iterator<Item = &'a ClientSocket> + Clone,
    span: Duration,
    ready: &mut Vec<usize>,
) -> io::Result<()> {
    let waiting = sockets
        .clone()
        .enumerate()
        .filter(|(_, socket)| socket.server_transport.has_waiting());
    let waiting: Vec<_> = waiting.map(|(place, _)| place).collect();
    let span = if waiting.is_empty() {
        span
    } else {
        Duration::ZERO
    };
    wait_readable(sockets, span, ready)?;
    ready.extend(waiting);
    Ok(())
}

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.server_transport.as_fd()
    }
}

/// Any port of a local address from which the server can be reached.
fn any_port(server: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match (server.ip().is_loopback(), server.is_ipv4()) {
        (true, true) => Ipv4Addr::LOCALHOST.into(),
        (true, false) => Ipv6Addr::LOCALHOST.into(),
        (false, true) => Ipv4Addr::UNSPECIFIED.into(),
        (false, false) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}
