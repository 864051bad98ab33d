//! What is said to open a session on a connection that is secret already, beside the session's
//! messages.
//!
//! ```text
//! frame      kind:8
//!   join       0  request:1,078 B  proof:32 B     the client's first: the standard's request, and that its token's keys are known
//!   accepted   1  index:32 most:32                the server's answer
//!   message    2  ...                             see `channel::stream`
//!   received   3  ...
//!   refused    4  denial:8                        the other answer, to who holds a genuine token; the connection is closed after it
//! datagram   0:8: the sender is there; anything longer is a payload
//! ```
//! The proof is HMAC-SHA-256 (RFC 2104) under the key of what the client sends: whoever has seen a
//! request travel in the clear, as it does over plain datagrams, holds the token but not its keys.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::crypto::Key;
use super::denial::Denial;
use super::drops::DropReason;
use super::packet::{self, Outer, REQUEST_BYTES, Request};

/// Bytes of a proof.
pub const PROOF_BYTES: usize = 32;

/// The datagram that says no more than that its sender is there.
pub const KEEP_ALIVE: [u8; 1] = [0];

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A client asks for a session.
    Join = 0,
    /// It has one.
    Accepted = 1,
    /// A message.
    Message = 2,
    /// How many messages came.
    Received = 3,
    /// It gets none.
    Refused = 4,
}

impl FrameKind {
    /// What a frame is; nothing else is taken.
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

/// The frame by which a client asks for a session.
pub fn write_join(request: &[u8], key: &Key) -> Vec<u8> {
    let proof = mac(key, request).finalize().into_bytes();
    [&[FrameKind::Join as u8], request, &proof].concat()
}

/// A client's wish for a session, its token not yet opened.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// The request.
    pub request: Request<'a>,
    bytes: &'a [u8],
    proof: &'a [u8; PROOF_BYTES],
}

impl<'a> Join<'a> {
    /// Reads a frame that a client sends first.
    pub fn read(frame: &'a [u8]) -> Result<Self, DropReason> {
        if FrameKind::of(frame)? != FrameKind::Join {
            return Err(DropReason::Unexpected);
        }
        let (bytes, proof) =
            frame[1..].split_at_checked(REQUEST_BYTES).ok_or(DropReason::RequestLength)?;
        let proof = proof.try_into().map_err(|_| DropReason::RequestLength)?;
        match packet::read_outer(bytes)? {
            Outer::Request(request) => Ok(Self { request, bytes, proof }),
            Outer::Sealed(_) => Err(DropReason::Unexpected),
        }
    }

    /// Whether who sent it knows the key of what the client sends.
    pub fn is_proved(&self, key: &Key) -> bool {
        mac(key, self.bytes).verify_slice(self.proof).is_ok()
    }
}

/// The answer to a client that has its session: its index, and how many the server can hold.
pub fn write_accepted(index: u32, most: u32) -> Vec<u8> {
    [&[FrameKind::Accepted as u8][..], &index.to_le_bytes(), &most.to_le_bytes()].concat()
}

/// Reads that answer.
pub fn read_accepted(frame: &[u8]) -> Option<(u32, u32)> {
    let numbers: &[u8; 8] = frame.get(1..)?.try_into().ok()?;
    let (index, most) = numbers.split_first_chunk()?;
    Some((u32::from_le_bytes(*index), u32::from_le_bytes(most.try_into().ok()?)))
}

/// The answer to a client whose token is refused.
pub fn write_refused(denial: Denial) -> Vec<u8> {
    vec![FrameKind::Refused as u8, denial as u8]
}

/// Reads that answer.
pub fn read_refused(frame: &[u8]) -> Option<Denial> {
    match frame {
        [_, code] => Some(Denial::from_code(*code)),
        _ => None,
    }
}
