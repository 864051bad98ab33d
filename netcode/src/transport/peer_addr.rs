//! Where something comes from or goes to, and what travels there.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::Transport;

/// What carries a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportKind {
    /// Datagrams that the session seals itself, as the netcode standard says.
    #[default]
    Udp,
    /// The same, wrapped by laminar: for trusted networks.
    Laminar,
    /// Connections that keep what they carry secret by themselves: QUIC, WebTransport.
    Quic,
    /// Connections within one process.
    Memory,
}

impl TransportKind {
    /// Whether it opens connections, proves addresses and seals what it carries.
    pub fn is_connection_oriented(self) -> bool {
        matches!(self, Self::Quic | Self::Memory)
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Udp => "udp",
            Self::Laminar => "laminar",
            Self::Quic => "quic",
            Self::Memory => "memory",
        })
    }
}

/// The way to a peer. Where there are no connections its address is all there is to it, and may be
/// forged. A connection has a number, never used twice by one end, and stays the same when its
/// peer's address changes.
///
/// Two routes are equal if they lead to the same peer, by whatever address of this host.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddr {
    /// What carries it.
    pub kind: TransportKind,
    /// The connection; 0 where there are none.
    pub connection: u64,
    /// Where the peer is, or was when the connection began.
    pub address: SocketAddr,
    /// The address of this host that the peer talks to, and that answers leave from. `None` where
    /// the socket is bound to one address, or the system chooses. Only plain datagrams have it;
    /// QUIC keeps its own.
    pub local: Option<IpAddr>,
}

impl PeerAddr {
    /// The way to an address by datagrams.
    pub fn datagrams(kind: TransportKind, address: SocketAddr) -> Self {
        Self { kind, connection: 0, address, local: None }
    }

    /// A QUIC connection.
    pub fn quic(connection: u64, address: SocketAddr) -> Self {
        Self { kind: TransportKind::Quic, connection, address, local: None }
    }

    /// See [`TransportKind::is_connection_oriented`].
    pub fn is_connection_oriented(&self) -> bool {
        self.kind.is_connection_oriented()
    }

    fn identity(&self) -> (TransportKind, u64, SocketAddr) {
        (self.kind, self.connection, self.address)
    }
}

impl PartialEq for PeerAddr {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for PeerAddr {}

impl PartialOrd for PeerAddr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PeerAddr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for PeerAddr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl From<SocketAddr> for PeerAddr {
    fn from(address: SocketAddr) -> Self {
        Self::datagrams(TransportKind::Udp, address)
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TransportKind::Udp => write!(out, "{}", self.address),
            kind => write!(out, "{} ({kind})", self.address),
        }
    }
}

/// Something that came by a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A datagram.
    Datagram(&'a [u8]),
    /// A frame. Only on connections.
    Frame(&'a [u8]),
    /// A frame that came before the handshake was done (0-RTT, RFC 9001, section 9.2): whoever has
    /// seen it can have sent it again.
    Early(&'a [u8]),
    /// The handshake is done: it was the peer of this connection that sent what came early.
    Confirmed,
    /// The largest datagram that the connection carries from now on. The first event of each
    /// connection.
    DatagramBytes(usize),
    /// The connection is over, and nothing follows. `told`: the peer ended it, otherwise it was
    /// lost or never came about.
    Closed {
        /// See above.
        told: bool,
    },
}

impl<'a> From<&'a [u8]> for Event<'a> {
    fn from(datagram: &'a [u8]) -> Self {
        Self::Datagram(datagram)
    }
}

impl<'a> From<&'a Vec<u8>> for Event<'a> {
    fn from(datagram: &'a Vec<u8>) -> Self {
        Self::Datagram(datagram)
    }
}

/// Something that is to leave by a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A datagram.
    Datagram(Vec<u8>),
    /// A frame that opens a connection and is its first.
    Open(Vec<u8>),
    /// A frame.
    Frame(Vec<u8>),
    /// The end of the connection.
    Close,
}

impl Transmit {
    /// Hands it to a transport.
    pub fn send(&self, to: PeerAddr, transport: &mut dyn Transport) {
        match self {
            Self::Datagram(bytes) => transport.send(to, bytes),
            Self::Open(bytes) => transport.open(to, bytes),
            Self::Frame(bytes) => transport.send_frame(to, bytes),
            Self::Close => transport.close(to),
        }
    }

    /// How many bytes it carries.
    pub fn payload_len(&self) -> usize {
        match self {
            Self::Datagram(bytes) | Self::Open(bytes) | Self::Frame(bytes) => bytes.len(),
            Self::Close => 0,
        }
    }

    /// Bytes that it carries.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Datagram(bytes) | Self::Open(bytes) | Self::Frame(bytes) => bytes,
            Self::Close => Vec::new(),
        }
    }
}

/// What is to be sent, kept in order: for whoever carries it further, and for tests.
impl Transport for Vec<(PeerAddr, Transmit)> {
    fn send(&mut self, to: PeerAddr, datagram: &[u8]) {
        self.push((to, Transmit::Datagram(datagram.to_vec())));
    }

    fn open(&mut self, to: PeerAddr, frame: &[u8]) {
        self.push((to, Transmit::Open(frame.to_vec())));
    }

    fn send_frame(&mut self, to: PeerAddr, frame: &[u8]) {
        self.push((to, Transmit::Frame(frame.to_vec())));
    }

    fn close(&mut self, to: PeerAddr) {
        self.push((to, Transmit::Close));
    }

    fn flush(&mut self) {}
}

impl<'a> From<&'a Transmit> for Event<'a> {
    fn from(transmit: &'a Transmit) -> Self {
        match transmit {
            Transmit::Datagram(bytes) => Self::Datagram(bytes),
            Transmit::Open(bytes) | Transmit::Frame(bytes) => Self::Frame(bytes),
            Transmit::Close => Self::Closed { told: true },
        }
    }
}
