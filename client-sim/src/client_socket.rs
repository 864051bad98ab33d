//! A client's end of its transport, with a relay in between where there is one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::carrier::Carrier;
use truetick_netcode::transport::{Event, Parcel, Route, Transport, wait_readable};

use crate::reach::Reach;

/// See the module.
pub struct ClientSocket {
    reach: Reach,
    carrier: Carrier,
    /// Stands for whatever server is talked to; connections know of it by themselves.
    relay: Option<SocketAddr>,
    server: SocketAddr,
}

impl ClientSocket {
    /// An end by which `server` is reached, directly or through a relay.
    pub fn open(reach: &Reach, server: SocketAddr, relay: Option<SocketAddr>) -> io::Result<Self> {
        let carrier = reach.open(any_port(relay.unwrap_or(server)), relay)?;
        Ok(Self {
            reach: reach.clone(),
            carrier,
            relay: relay.filter(|_| !reach.over().is_secured()),
            server,
        })
    }

    /// Goes over to another port of this host, as when a network changes under a client. Connections go along.
    pub fn move_to_another_port(&mut self) -> io::Result<()> {
        match &mut self.carrier {
            Carrier::Quic(end) => end.move_to_another_port(),
            other => {
                let any = SocketAddr::new(other.local_address()?.ip(), 0);
                *other = self.reach.open(any, self.relay)?;
                Ok(())
            }
        }
    }

    /// Sends what a client wants to send.
    pub fn send(&mut self, to: Route, parcel: &Parcel) {
        self.server = to.address;
        let address = self.relay.unwrap_or(to.address);
        parcel.send(Route { address, ..to }, &mut self.carrier);
    }

    /// Hands everything to the network.
    pub fn flush(&mut self) {
        self.carrier.flush();
    }

    /// Hands over what has come, with the time at which it came.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(Route, Event<'_>, Timestamp),
    ) -> io::Result<()> {
        let server = self.relay.map(|_| self.server);
        self.carrier.receive(now, |from, event, at| {
            take(Route { address: server.unwrap_or(from.address), ..from }, event, at);
        })?;
        Ok(())
    }
}

/// Waits until something came to one of them or a span is over; `ready` then holds the places of those to which something
/// did.
pub fn wait<'a>(
    sockets: impl Iterator<Item = &'a ClientSocket> + Clone,
    span: Duration,
    ready: &mut Vec<usize>,
) -> io::Result<()> {
    let waiting = sockets.clone().enumerate().filter(|(_, socket)| socket.carrier.has_waiting());
    let waiting: Vec<_> = waiting.map(|(place, _)| place).collect();
    let span = if waiting.is_empty() { span } else { Duration::ZERO };
    wait_readable(sockets, span, ready)?;
    ready.extend(waiting);
    Ok(())
}

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.carrier.as_fd()
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
