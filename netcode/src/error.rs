//! The error type for bytes that arrive from outside. Its variants name the side at fault.

use thiserror::Error;

/// Why a datagram or message was refused. A refusal changes no state but a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// The bytes violate the format: truncated, out of range, wrong checksum or non-zero padding.
    #[error("malformed datagram: {0}")]
    Malformed(&'static str),
    /// The bytes are well formed but use another protocol version or schema.
    #[error("incompatible peer: {0}")]
    Incompatible(&'static str),
    /// The bytes are well formed, but an honest peer would not send them now.
    #[error("misbehaving peer: {0}")]
    Misbehaving(&'static str),
    /// The datagram is repeated or too old. The network causes this; no peer is at fault.
    #[error("stale datagram: {0}")]
    Stale(&'static str),
}
