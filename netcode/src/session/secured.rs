//! The frames that open a session on an encrypted connection, and the kinds of all its frames.
//!
//! ```text
//! frame      kind:8
//!   join       0  request:1,078 B  proof:32 B     first frame of a client: the standard's request,
//!                                                 and proof that its token's keys are known
//!   accepted   1  index:32 most:32                answer of the server
//!   message    2  ...                             see `channel::stream`
//!   received   3  ...
//!   refused    4  denial:8                        the other answer, to the holder of a genuine
//!                                                 token; the connection is closed after it
//! datagram   0:8: keep-alive; any longer one is a payload
//! ```
//! The proof is HMAC-SHA-256 (RFC 2104) under the client's sending key. An observer of a request in
//! the clear, as plain datagrams carry it, has the token but not its keys.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::crypto::Key;
use super::denial::Denial;
use super::drops::DropReason;
use super::packet::{self, Outer, REQUEST_BYTES, Request};

/// Length of a proof, in bytes.
pub(crate) const PROOF_BYTES: usize = 32;

/// The keep-alive datagram.
pub(crate) const KEEP_ALIVE: [u8; 1] = [0];

/// The kind of a frame; its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// A client requests a session.
    Join = 0,
    /// The server has admitted the client to a session.
    Accepted = 1,
    /// A reliable message of the session's channels.
    Message = 2,
    /// The number of messages that the sender received.
    Received = 3,
    /// The server refuses the client a session.
    Refused = 4,
}

impl FrameKind {
    /// Returns the kind of a frame.
    ///
    /// # Errors
    /// [`DropReason::UnknownKind`] for an unknown first byte, [`DropReason::TooShort`] for an empty
    /// frame.
    pub fn of(frame: &[u8]) -> Result<Self, DropReason> {
        match frame.first() {
            Some(0) => Ok(Self::Join),
            Some(1) => Ok(Self::Accepted),
            Some(2) => Ok(Self::Message),
            Some(3) => Ok(Self::Received),
            Some(4) => Ok(Self::Refused),
            Some(_) => Err(DropReason::UnknownKind),
            None => Err(DropReason::TooShort),
        }
    }
}

fn mac(key: &Key, request: &[u8]) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.bytes()) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac.update(b"truetick join");
    mac.update(request);
    mac
}

/// Writes the frame by which a client requests a session. `key` is the client's sending key.
pub fn write_join(request: &[u8], key: &Key) -> Vec<u8> {
    let proof = mac(key, request).finalize().into_bytes();
    [&[FrameKind::Join as u8], request, &proof].concat()
}

/// A client's request for a session, with its token not opened yet.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// The standard's connection request.
    pub request: Request<'a>,
    bytes: &'a [u8],
    proof: &'a [u8; PROOF_BYTES],
}

impl<'a> Join<'a> {
    /// Reads the first frame of a client.
    ///
    /// # Errors
    /// The reason to drop the frame if it is not a valid join.
    pub fn read(frame: &'a [u8]) -> Result<Self, DropReason> {
        if FrameKind::of(frame)? != FrameKind::Join {
            return Err(DropReason::Unexpected);
        }
        let (bytes, proof) = frame[1..]
            .split_at_checked(REQUEST_BYTES)
            .ok_or(DropReason::RequestLength)?;
        let proof = proof.try_into().map_err(|_| DropReason::RequestLength)?;
        match packet::read_outer(bytes)? {
            Outer::Request(request) => Ok(Self {
                request,
                bytes,
                proof,
            }),
            Outer::Sealed(_) => Err(DropReason::Unexpected),
        }
    }

    /// Returns whether the sender knows `key`, the client's sending key.
    pub(crate) fn is_proved(&self, key: &Key) -> bool {
        mac(key, self.bytes).verify_slice(self.proof).is_ok()
    }
}

/// Writes the answer to an admitted client: its index and the most sessions of the server.
pub(crate) fn write_accepted(index: u32, most: u32) -> Vec<u8> {
    [
        &[FrameKind::Accepted as u8][..],
        &index.to_le_bytes(),
        &most.to_le_bytes(),
    ]
    .concat()
}

/// Reads an `accepted` frame: the client's index and the most sessions of the server. `None` if its
/// length is wrong.
pub(crate) fn read_accepted(frame: &[u8]) -> Option<(u32, u32)> {
    let numbers: &[u8; 8] = frame.get(1..)?.try_into().ok()?;
    let (index, most) = numbers.split_first_chunk()?;
    Some((
        u32::from_le_bytes(*index),
        u32::from_le_bytes(most.try_into().ok()?),
    ))
}

/// Writes the answer to a client whose token is refused.
pub(crate) fn write_refused(denial: Denial) -> Vec<u8> {
    vec![FrameKind::Refused as u8, denial as u8]
}

/// Reads a `refused` frame. `None` if its length is wrong.
pub(crate) fn read_refused(frame: &[u8]) -> Option<Denial> {
    match frame {
        [_, code] => Some(Denial::from_code(*code)),
        _ => None,
    }
}
