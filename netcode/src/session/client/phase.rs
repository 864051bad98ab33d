//! The phases of a client's session, why it fails, and what its events carry.

use super::super::denial::Denial;
use super::super::token::TokenError;
use crate::limits::SMALLEST_PAYLOAD;

/// Why no session was opened, or why it ended other than by a disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token expired before a server accepted it.
    #[error("the token expired before a server took it: ask for a new one")]
    TokenExpired,
    /// No server answered a request. A path with a small MTU looks the same: a request has 1,078
    /// bytes over UDP, and QUIC begins with 1,200.
    #[error(
        "no server answered: nobody serves there, a firewall is in between, or the path carries no datagrams of 1,078 bytes (QUIC: 1,200)"
    )]
    RequestTimedOut,
    /// The server did not answer the response to its challenge.
    #[error("the server asked for a proof of the address and then fell silent")]
    ResponseTimedOut,
    /// The server refused the token: it is full or stopping, or has the token or the user already.
    #[error(
        "the server refused the token: it is full or stopping, or has the token or the user already"
    )]
    Denied,
    /// The server refused the token for this reason.
    #[error("{0}")]
    Refused(Denial),
    /// The path to the server carries too small datagrams, or the server accepts none.
    #[error(
        "the path to the server carries {bytes} bytes in a datagram, and {SMALLEST_PAYLOAD} are needed"
    )]
    NarrowPath {
        /// Largest payload that the path carries, in bytes.
        bytes: usize,
    },
    /// The server fell silent.
    #[error("the server fell silent, or the path carries no datagrams of 1,200 bytes")]
    TimedOut,
    /// The connection broke, and the session cannot be resumed.
    #[error("the connection to the server was lost")]
    ConnectionLost,
}

/// The phase of a client's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The client requests a session.
    Requesting,
    /// The client answers a challenge to prove its address.
    Responding,
    /// The session is open.
    Connected {
        /// The client's index at the server.
        index: u32,
        /// Most sessions of the server.
        most: u32,
    },
    /// The session failed or could not be opened.
    Failed(Failure),
    /// The server or the client ended the session.
    Disconnected,
}

/// What a received event carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A step of the session itself.
    Step,
    /// A payload of the layers above.
    Payload(&'a [u8]),
    /// A frame of the session's messages.
    Frame(&'a [u8]),
}

impl<'a> Received<'a> {
    /// Returns the payload, if it is one.
    pub fn payload(self) -> Option<&'a [u8]> {
        match self {
            Self::Payload(payload) => Some(payload),
            Self::Step | Self::Frame(_) => None,
        }
    }
}
