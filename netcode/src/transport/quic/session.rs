//! A connection of either protocol: QUIC's own with quinn's streams, which may begin before the
//! handshake is done (0-RTT), or WebTransport, which never does.

use bytes::Bytes;
use web_transport_quinn as web;
use web_transport_quinn::quinn::{self, Connection, ConnectionError, SendDatagramError, VarInt};

/// What either end says when it closes a connection whose session is over.
pub(super) const OVER: u32 = 0;

/// What it says when the other one breaks the protocol.
pub(super) const BROKEN: u32 = 1;

/// What it says when it had to drop frames that it was to send: the session goes on by another
/// connection.
pub(super) const UNSENT: u32 = 2;

/// A connection, shared by all who hold one.
#[derive(Clone)]
pub(super) enum Session {
    Native(Connection),
    Web(Box<web::Session>),
}

/// The two halves of the connection's stream.
pub(super) type Streams = (SendHalf, ReceiveHalf);

pub(super) enum SendHalf {
    Native(quinn::SendStream),
    Web(web::SendStream),
}

pub(super) enum ReceiveHalf {
    Native(quinn::RecvStream),
    Web(web::RecvStream),
}

/// How a connection ended, or why there is none.
#[derive(Debug)]
pub(super) struct Ended {
    /// Whether the peer ended its session on purpose, or refused one.
    pub told: bool,
    pub why: String,
}

impl From<ConnectionError> for Ended {
    fn from(error: ConnectionError) -> Self {
        let told = match &error {
            ConnectionError::ApplicationClosed(close) => {
                close.error_code != VarInt::from_u32(UNSENT)
            }
            _ => false,
        };
        Self { told, why: error.to_string() }
    }
}

impl From<web::SessionError> for Ended {
    fn from(error: web::SessionError) -> Self {
        match error {
            web::SessionError::ConnectionError(error) => error.into(),
            web::SessionError::WebTransportError(web::WebTransportError::Closed(UNSENT, why)) => {
                Self { told: false, why }
            }
            web::SessionError::WebTransportError(error) => {
                Self { told: true, why: error.to_string() }
            }
            web::SessionError::SendDatagramError(error) => {
                Self { told: false, why: error.to_string() }
            }
        }
    }
}

impl From<web::ClientError> for Ended {
    fn from(error: web::ClientError) -> Self {
        let told = matches!(error, web::ClientError::HttpError(web::ConnectError::ErrorStatus(_)));
        Self { told, why: error.to_string() }
    }
}

impl Session {
    pub(super) async fn open_streams(&self) -> Result<Streams, Ended> {
        Ok(match self {
            Self::Native(connection) => {
                let (send, receive) = connection.open_bi().await?;
                (SendHalf::Native(send), ReceiveHalf::Native(receive))
            }
            Self::Web(session) => {
                let (send, receive) = session.open_bi().await?;
                (SendHalf::Web(send), ReceiveHalf::Web(receive))
            }
        })
    }

    pub(super) async fn accept_streams(&self) -> Result<Streams, Ended> {
        Ok(match self {
            Self::Native(connection) => {
                let (send, receive) = connection.accept_bi().await?;
                (SendHalf::Native(send), ReceiveHalf::Native(receive))
            }
            Self::Web(session) => {
                let (send, receive) = session.accept_bi().await?;
                (SendHalf::Web(send), ReceiveHalf::Web(receive))
            }
        })
    }

    /// The next datagram; none once the connection is over.
    pub(super) async fn read_datagram(&self) -> Option<Bytes> {
        match self {
            Self::Native(connection) => connection.read_datagram().await.ok(),
            Self::Web(session) => session.read_datagram().await.ok(),
        }
    }

    /// Queues a datagram. False if it is too large for the path.
    pub(super) fn send_datagram(&self, bytes: Bytes) -> bool {
        match self {
            Self::Native(connection) => {
                !matches!(connection.send_datagram(bytes), Err(SendDatagramError::TooLarge))
            }
            Self::Web(session) => !matches!(
                session.send_datagram(bytes),
                Err(web::SessionError::SendDatagramError(SendDatagramError::TooLarge))
            ),
        }
    }

    /// The largest datagram that the path carries now; 0 where the peer takes none.
    pub(super) fn max_datagram_size(&self) -> usize {
        match self {
            Self::Native(connection) => connection.max_datagram_size().unwrap_or(0),
            Self::Web(session) => session.max_datagram_size(),
        }
    }

    /// Bytes that are free in the buffer of datagrams to be sent.
    pub(super) fn datagram_send_buffer_space(&self) -> usize {
        match self {
            Self::Native(connection) => connection.datagram_send_buffer_space(),
            Self::Web(session) => session.datagram_send_buffer_space(),
        }
    }

    /// Bytes of UDP payload sent so far.
    pub(super) fn bytes_sent(&self) -> u64 {
        match self {
            Self::Native(connection) => connection.stats().udp_tx.bytes,
            Self::Web(session) => Connection::stats(session).udp_tx.bytes,
        }
    }

    /// Closes it, unless it is over: the first reason stays.
    pub(super) fn close(&self, code: u32, reason: &[u8]) {
        match self {
            Self::Native(connection) if connection.close_reason().is_some() => {}
            Self::Native(connection) => connection.close(code.into(), reason),
            Self::Web(session) => session.close(code, reason),
        }
    }

    /// Whether the connection is over.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Native(connection) => connection.close_reason().is_some(),
            Self::Web(session) => session.close_reason().is_some(),
        }
    }

    /// Waits for its end.
    pub(super) async fn closed(&self) -> Ended {
        match self {
            Self::Native(connection) => connection.closed().await.into(),
            Self::Web(session) => session.closed().await.into(),
        }
    }
}

impl SendHalf {
    /// Writes all of it, or nothing can be written any more.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Option<()> {
        match self {
            Self::Native(stream) => stream.write_all(bytes).await.ok(),
            Self::Web(stream) => stream.write_all(bytes).await.ok(),
        }
    }
}

impl ReceiveHalf {
    /// Fills the buffer, or the stream is over.
    pub(super) async fn read_exact(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self {
            Self::Native(stream) => stream.read_exact(bytes).await.ok(),
            Self::Web(stream) => stream.read_exact(bytes).await.ok(),
        }
    }
}
