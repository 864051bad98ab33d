//! A connection of either protocol: native QUIC, whose streams may begin before the handshake is
//! complete (0-RTT), or WebTransport, whose streams may not.

use bytes::Bytes;
use web_transport_quinn as web;
use web_transport_quinn::quinn::{self, Connection, ConnectionError, SendDatagramError, VarInt};

/// Close code of a connection whose session is over.
pub(super) const OVER: u32 = 0;

/// Close code of a connection whose peer broke the protocol.
pub(super) const BROKEN: u32 = 1;

/// Close code of a connection whose frames had to be dropped. The session continues on another
/// connection.
pub(super) const UNSENT: u32 = 2;

/// A connection, shared by all its holders.
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

/// How a connection ended, or why it could not be opened.
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
        Self {
            told,
            why: error.to_string(),
        }
    }
}

impl From<web::SessionError> for Ended {
    fn from(error: web::SessionError) -> Self {
        match error {
            web::SessionError::ConnectionError(error) => error.into(),
            web::SessionError::WebTransportError(web::WebTransportError::Closed(UNSENT, why)) => {
                Self { told: false, why }
            }
            web::SessionError::WebTransportError(error) => Self {
                told: true,
                why: error.to_string(),
            },
            web::SessionError::SendDatagramError(error) => Self {
                told: false,
                why: error.to_string(),
            },
        }
    }
}

impl From<web::ClientError> for Ended {
    fn from(error: web::ClientError) -> Self {
        let told = matches!(
            error,
            web::ClientError::HttpError(web::ConnectError::ErrorStatus(_))
        );
        Self {
            told,
            why: error.to_string(),
        }
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

    /// Returns the next datagram; `None` once the connection is over.
    pub(super) async fn read_datagram(&self) -> Option<Bytes> {
        match self {
            Self::Native(connection) => connection.read_datagram().await.ok(),
            Self::Web(session) => session.read_datagram().await.ok(),
        }
    }

    /// Queues a datagram. Returns false if it is too large for the path.
    pub(super) fn send_datagram(&self, bytes: Bytes) -> bool {
        match self {
            Self::Native(connection) => !matches!(
                connection.send_datagram(bytes),
                Err(SendDatagramError::TooLarge)
            ),
            Self::Web(session) => !matches!(
                session.send_datagram(bytes),
                Err(web::SessionError::SendDatagramError(
                    SendDatagramError::TooLarge
                ))
            ),
        }
    }

    /// Returns the largest datagram that the path carries now, in bytes; 0 if the peer accepts
    /// none.
    pub(super) fn max_datagram_size(&self) -> usize {
        match self {
            Self::Native(connection) => connection.max_datagram_size().unwrap_or(0),
            Self::Web(session) => session.max_datagram_size(),
        }
    }

    /// Returns the free bytes in the buffer of datagrams to be sent.
    pub(super) fn datagram_send_buffer_space(&self) -> usize {
        match self {
            Self::Native(connection) => connection.datagram_send_buffer_space(),
            Self::Web(session) => session.datagram_send_buffer_space(),
        }
    }

    /// Returns the bytes of UDP payload sent so far.
    pub(super) fn bytes_sent(&self) -> u64 {
        match self {
            Self::Native(connection) => connection.stats().udp_tx.bytes,
            Self::Web(session) => Connection::stats(session).udp_tx.bytes,
        }
    }

    /// Closes the connection, unless it is closed already: the first reason stays.
    pub(super) fn close(&self, code: u32, reason: &[u8]) {
        match self {
            Self::Native(connection) if connection.close_reason().is_some() => {}
            Self::Native(connection) => connection.close(code.into(), reason),
            Self::Web(session) => session.close(code, reason),
        }
    }

    /// Returns whether the connection is closed.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Native(connection) => connection.close_reason().is_some(),
            Self::Web(session) => session.close_reason().is_some(),
        }
    }

    /// Waits for the end of the connection.
    pub(super) async fn closed(&self) -> Ended {
        match self {
            Self::Native(connection) => connection.closed().await.into(),
            Self::Web(session) => session.closed().await.into(),
        }
    }
}

impl SendHalf {
    /// Writes all bytes; `None` if the stream is over.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Option<()> {
        match self {
            Self::Native(stream) => stream.write_all(bytes).await.ok(),
            Self::Web(stream) => stream.write_all(bytes).await.ok(),
        }
    }
}

impl ReceiveHalf {
    /// Fills the buffer; `None` if the stream is over.
    pub(super) async fn read_exact(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self {
            Self::Native(stream) => stream.read_exact(bytes).await.ok(),
            Self::Web(stream) => stream.read_exact(bytes).await.ok(),
        }
    }
}
