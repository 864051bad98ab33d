//! A client's end of its transport, with a relay in between where there is one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::server_transport::ServerTransport;
use truetick_netcode::transport::{Event, PeerAddr, Transmit, Transport, wait_readable};

use crate::connect_options::ConnectOptions;

/// See the module.
pub struct ClientSocket {
    connect_options: ConnectOptions,
    server_transport: ServerTransport,
    /// Stands for whatever server is talked to; connections know of it by themselves.
    relay: Option<SocketAddr>,
    server: SocketAddr,
}

impl ClientSocket {
    /// An end by which `server` is reached, directly or through a relay.
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

    /// Goes over to another port of this host, as when a network changes under a client.
    /// Connections go along.
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

    /// Sends what a client wants to send.
    pub fn send(&mut self, to: PeerAddr, transmit: &Transmit) {
        self.server = to.address;
        let address = self.relay.unwrap_or(to.address);
        transmit.send(PeerAddr { address, ..to }, &mut self.server_transport);
    }

    /// Hands everything to the network.
    pub fn flush(&mut self) {
        self.server_transport.flush();
    }

    /// Hands over what has come, with the time at which it came.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(PeerAddr, Event<'_>, Timestamp),
    ) -> io::Result<()> {
        let server = self.relay.map(|_| self.server);
        self.server_transport.receive(now, |from, event, at| {
            take(PeerAddr { address: server.unwrap_or(from.address), ..from }, event, at);
        })?;
        Ok(())
    }
}

/// Waits until something came to one of them or a span is over; `ready` then holds the places of
/// those to which something did.
pub fn wait<'a>(
    sockets: impl Iterator<Item = &'a ClientSocket> + Clone,
    span: Duration,
    ready: &mut Vec<usize>,
) -> io::Result<()> {
    let waiting =
        sockets.clone().enumerate().filter(|(_, socket)| socket.server_transport.has_waiting());
    let waiting: Vec<_> = waiting.map(|(place, _)| place).collect();
    let span = if waiting.is_empty() { span } else { Duration::ZERO };
    wait_readable(sockets, span, ready)?;
    ready.extend(waiting);
    Ok(())
}

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.server_transport.as_fd()
    }
}

/// Any port of this host's by which a server is reached.
fn any_port(server: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match (server.ip().is_loopback(), server.is_ipv4()) {
        (true, true) => Ipv4Addr::LOCALHOST.into(),
        (true, false) => Ipv6Addr::LOCALHOST.into(),
        (false, true) => Ipv4Addr::UNSPECIFIED.into(),
        (false, false) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}
