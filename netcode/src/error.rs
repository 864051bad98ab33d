//! What can be wrong with bytes from outside, and whose fault it is.

use thiserror::Error;

/// Why a datagram or message was refused. Refusing never changes state beyond a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// The bytes are not what the format says: truncated, out of range, bad checksum, non-zero
    /// padding.
    #[error("malformed datagram: {0}")]
    Malformed(&'static str),
    /// The bytes are in order, but speak another protocol version or schema.
    #[error("incompatible peer: {0}")]
    Incompatible(&'static str),
    /// The bytes are in order, but an honest peer would not send them now.
    #[error("misbehaving peer: {0}")]
    Misbehaving(&'static str),
    /// A repeated or far too old datagram: the network does that, nobody is at fault.
    #[error("stale datagram: {0}")]
    Stale(&'static str),
}
