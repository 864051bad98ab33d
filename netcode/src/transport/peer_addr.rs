//! Addresses of peers, received events and packets to send.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::Transport;

/// The kind of transport that carries a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportKind {
    /// Plain UDP datagrams that the session seals itself, by the netcode standard.
    #[default]
    Udp,
    /// Sealed datagrams that laminar wraps, for trusted networks.
    Laminar,
    /// Encrypted connections: QUIC and WebTransport.
    Quic,
    /// Connections within one process.
    Memory,
}

impl TransportKind {
    /// Returns whether the transport has connections, which prove addresses and encrypt their
    /// contents.
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

/// The address of a peer. Without connections it is the socket address only, which may be forged. A
/// connection has a number that one end never uses twice, and keeps its value when the peer's
/// address changes.
///
/// Two values are equal if they name the same peer, independent of [`Self::local`].
#[derive(Clone, Copy, Debug)]
pub struct PeerAddr {
    /// The transport's kind.
    pub kind: TransportKind,
    /// Number of the connection; 0 on a transport without connections.
    pub connection: u64,
    /// The peer's socket address, at present or when the connection began.
    pub address: SocketAddr,
    /// The address of this host that the peer uses and that answers leave from. `None` if the
    /// socket is bound to one address or the system chooses. Only plain datagrams have it; QUIC
    /// keeps its own.
    pub local: Option<IpAddr>,
}

impl PeerAddr {
    /// Creates the address of a peer on a transport without connections.
    pub fn datagrams(kind: TransportKind, address: SocketAddr) -> Self {
        Self {
            kind,
            connection: 0,
            address,
            local: None,
        }
    }

    /// Creates the address of a QUIC connection.
    pub fn quic(connection: u64, address: SocketAddr) -> Self {
        Self {
            kind: TransportKind::Quic,
            connection,
            address,
            local: None,
        }
    }

    /// Returns whether the transport has connections; see
    /// [`TransportKind::is_connection_oriented`].
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

/// An event received from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A datagram arrived, with these contents.
    Datagram(&'a [u8]),
    /// A frame arrived. Only on connections.
    Frame(&'a [u8]),
    /// A frame arrived before the handshake was complete (0-RTT, RFC 9001, section 9.2). It may be
    /// a replay by an observer.
    Early(&'a [u8]),
    /// The handshake is complete: the early frame was sent by the peer of this connection.
    Confirmed,
    /// The largest datagram that the connection carries from now on, in bytes. The first event of
    /// each connection.
    DatagramBytes(usize),
    /// The connection is closed. No event follows.
    Closed {
        /// Whether the peer closed the connection; otherwise it was lost or never established.
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

/// Something to send to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A datagram, sealed already if the transport does not encrypt.
    Datagram(Vec<u8>),
    /// The first frame of a connection, which opens it.
    Open(Vec<u8>),
    /// A frame on an open connection.
    Frame(Vec<u8>),
    /// The close of the connection.
    Close,
}

impl Transmit {
    /// Sends it to `to` by `transport`.
    pub fn send(&self, to: PeerAddr, transport: &mut dyn Transport) {
        match self {
            Self::Datagram(bytes) => transport.send(to, bytes),
            Self::Open(bytes) => transport.open(to, bytes),
            Self::Frame(bytes) => transport.send_frame(to, bytes),
            Self::Close => transport.close(to),
        }
    }

    /// Returns the length of its contents in bytes; 0 for a close.
    pub fn payload_len(&self) -> usize {
        match self {
            Self::Datagram(bytes) | Self::Open(bytes) | Self::Frame(bytes) => bytes.len(),
            Self::Close => 0,
        }
    }

    /// Returns its contents; empty for a close.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Datagram(bytes) | Self::Open(bytes) | Self::Frame(bytes) => bytes,
            Self::Close => Vec::new(),
        }
    }
}

/// Collects what is sent, in order, for callers that forward it and for tests.
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
