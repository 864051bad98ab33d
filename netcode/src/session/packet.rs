//! The netcode standard's packets: a request in the clear, and six sealed kinds.
//!
//! ```text
//! request   0:8  version:13 B  protocol:8 B  expires:8 B  nonce:24 B  sealed private token:1,024 B
//! others    kind:4 length-of-number:4  number:1 to 8 B  { contents }sealed  tag:16 B
//! ```

use super::crypto::{PacketKey, TAG_BYTES, TOKEN_NONCE_BYTES};
use super::drops::DropReason;
use super::token::{PRIVATE_BYTES, SealedToken, VERSION_INFO};

/// Length of a request, in bytes.
pub const REQUEST_BYTES: usize = 1 + 13 + 8 + 8 + TOKEN_NONCE_BYTES + PRIVATE_BYTES;

/// Largest payload that the standard allows, in bytes.
pub const PAYLOAD_BYTES: usize = 1_200;

/// Most bytes that a sealed packet has in addition to its contents.
pub const OVERHEAD_BYTES: usize = 1 + 8 + TAG_BYTES;

/// Longest packet, in bytes.
pub const PACKET_BYTES: usize = PAYLOAD_BYTES + OVERHEAD_BYTES;

/// Shortest sealed packet, in bytes: prefix, a number of one byte and the tag.
const SHORTEST: usize = 1 + 1 + TAG_BYTES;

/// The kind of a sealed packet. The discriminants are the codes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The server refuses the client's token.
    Denied = 1,
    /// The server asks the client to prove its address.
    Challenge = 2,
    /// The client returns the challenge.
    Response = 3,
    /// Either side is alive.
    KeepAlive = 4,
    /// Data of the layers above.
    Payload = 5,
    /// Either side ends the session.
    Disconnect = 6,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Denied,
        Self::Challenge,
        Self::Response,
        Self::KeepAlive,
        Self::Payload,
        Self::Disconnect,
    ];

    /// Returns whether contents of this length are valid for the kind.
    fn fits(self, length: usize) -> bool {
        match self {
            Self::Denied | Self::Disconnect => length == 0,
            Self::Challenge | Self::Response => length == CHALLENGE_CONTENTS,
            Self::KeepAlive => length == 8,
            Self::Payload => (1..=PAYLOAD_BYTES).contains(&length),
        }
    }

    /// Returns whether packets of this kind are checked against the replay window.
    pub(crate) fn is_replay_protected(self) -> bool {
        matches!(self, Self::KeepAlive | Self::Payload | Self::Disconnect)
    }
}

/// Length of a sealed challenge token, in bytes.
pub(crate) const CHALLENGE_BYTES: usize = 300;

/// Length of the contents of challenge and response, in bytes: the challenge's number and its
/// sealed token.
pub const CHALLENGE_CONTENTS: usize = 8 + CHALLENGE_BYTES;

/// The part of a packet that is readable before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer<'a> {
    /// A request for a session.
    Request(Request<'a>),
    /// The header of a sealed packet.
    Sealed(Header),
}

/// A request with its token not opened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Protocol id of the client.
    pub protocol: u64,
    /// When the token expires, in seconds since 1970.
    pub expires: u64,
    /// Nonce of the token's private part.
    pub nonce: &'a [u8; TOKEN_NONCE_BYTES],
    /// The token's sealed private part.
    pub sealed: &'a SealedToken,
}

/// Kind and number of a sealed packet, not authenticated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Kind that the packet claims.
    pub kind: Kind,
    /// Number that the packet claims.
    pub sequence: u64,
    prefix: u8,
    /// Length of prefix and number, in bytes; the sealed contents follow.
    length: usize,
}

/// Reads the part of a packet that is in the clear. The order of the checks is the standard's.
///
/// # Errors
/// The reason to drop the packet if its length, kind or version is invalid.
pub fn read_outer(packet: &[u8]) -> Result<Outer<'_>, DropReason> {
    let Some(prefix) = packet.first().copied() else {
        return Err(DropReason::TooShort);
    };
    if packet.len() > PACKET_BYTES {
        return Err(DropReason::TooLong);
    }
    if prefix == 0 {
        return read_request(packet).map(Outer::Request);
    }
    read_header(prefix, packet).map(Outer::Sealed)
}

fn read_request(packet: &[u8]) -> Result<Request<'_>, DropReason> {
    if packet.len() != REQUEST_BYTES {
        return Err(DropReason::RequestLength);
    }
    let wrong = DropReason::RequestLength;
    let (version, rest) = packet[1..].split_first_chunk::<13>().ok_or(wrong)?;
    if *version != VERSION_INFO {
        return Err(DropReason::OtherVersion);
    }
    let (protocol, rest) = rest.split_first_chunk::<8>().ok_or(wrong)?;
    let (expires, rest) = rest.split_first_chunk::<8>().ok_or(wrong)?;
    let (nonce, rest) = rest.split_first_chunk::<TOKEN_NONCE_BYTES>().ok_or(wrong)?;
    let sealed = rest.first_chunk::<PRIVATE_BYTES>().ok_or(wrong)?;
    let (protocol, expires) = (u64::from_le_bytes(*protocol), u64::from_le_bytes(*expires));
    Ok(Request {
        protocol,
        expires,
        nonce,
        sealed,
    })
}

fn read_header(prefix: u8, packet: &[u8]) -> Result<Header, DropReason> {
    if packet.len() < SHORTEST {
        return Err(DropReason::TooShort);
    }
    let kind = usize::from(prefix & 0x0f);
    let kind = kind
        .checked_sub(1)
        .and_then(|at| Kind::ALL.get(at))
        .copied()
        .ok_or(DropReason::UnknownKind)?;
    let length = usize::from(prefix >> 4);
    if !(1..=8).contains(&length) {
        return Err(DropReason::NumberLength);
    }
    if packet.len() < 1 + length + TAG_BYTES {
        return Err(DropReason::TooShort);
    }
    let mut number = [0; 8];
    number[..length].copy_from_slice(&packet[1..1 + length]);
    Ok(Header {
        kind,
        sequence: u64::from_le_bytes(number),
        prefix,
        length: 1 + length,
    })
}

/// Writes a request; `expires` is in seconds since 1970.
pub fn write_request(
    protocol: u64,
    expires: u64,
    nonce: &[u8; TOKEN_NONCE_BYTES],
    sealed: &SealedToken,
) -> Vec<u8> {
    let mut packet = Vec::with_capacity(REQUEST_BYTES);
    packet.push(0);
    packet.extend_from_slice(&VERSION_INFO);
    packet.extend_from_slice(&protocol.to_le_bytes());
    packet.extend_from_slice(&expires.to_le_bytes());
    packet.extend_from_slice(nonce);
    packet.extend_from_slice(sealed);
    packet
}

/// Returns the associated data of a sealed packet.
fn about(protocol: u64, prefix: u8) -> [u8; 22] {
    let mut about = [0; 22];
    about[..13].copy_from_slice(&VERSION_INFO);
    about[13..21].copy_from_slice(&protocol.to_le_bytes());
    about[21] = prefix;
    about
}

/// Writes a sealed packet into `packet`, replacing its contents. A number must not be used twice
/// under one key.
pub fn seal(
    kind: Kind,
    sequence: u64,
    protocol: u64,
    key: &PacketKey,
    contents: &[u8],
    packet: &mut Vec<u8>,
) {
    let length = (8 - sequence.leading_zeros() as usize / 8).max(1);
    let prefix = kind as u8 | (length as u8) << 4;
    packet.clear();
    packet.push(prefix);
    packet.extend_from_slice(&sequence.to_le_bytes()[..length]);
    packet.extend_from_slice(contents);
    let tag = key.seal(
        sequence,
        &about(protocol, prefix),
        &mut packet[1 + length..],
    );
    packet.extend_from_slice(&tag);
}

/// Opens a sealed packet in place and returns its contents. `header` is the one that [`read_outer`]
/// read from it.
///
/// # Errors
/// [`DropReason::Forged`] if it was not sealed with this key, protocol and header.
pub fn open<'a>(
    header: Header,
    protocol: u64,
    key: &PacketKey,
    packet: &'a mut [u8],
) -> Result<&'a mut [u8], DropReason> {
    let about = about(protocol, header.prefix);
    let contents = key.open(header.sequence, &about, &mut packet[header.length..]);
    contents.map_err(|_| DropReason::Forged)
}

/// Checks that a genuine packet's contents have the length of its kind. Call it after the replay
/// window has moved.
///
/// # Errors
/// [`DropReason::ContentsLength`] if they do not.
pub(crate) fn check_size(kind: Kind, contents: &[u8]) -> Result<(), DropReason> {
    if kind.fits(contents.len()) {
        Ok(())
    } else {
        Err(DropReason::ContentsLength)
    }
}

#[cfg(test)]
mod tests {
    use super::super::crypto::Key;
    use super::*;
    use proptest::prelude::*;

    fn key() -> PacketKey {
        PacketKey::new(&Key::new([3; 32]))
    }

    proptest! {
        #[test]
        fn a_packet_returns(sequence in prop_oneof![any::<u64>(), 0u64..1 << 20], contents in proptest::collection::vec(any::<u8>(), 1..=PAYLOAD_BYTES)) {
            let mut packet = Vec::new();
            seal(Kind::Payload, sequence, 7, &key(), &contents, &mut packet);
            prop_assert!(packet.len() <= PACKET_BYTES);
            let Ok(Outer::Sealed(header)) = read_outer(&packet) else { panic!("no header") };
            prop_assert_eq!((header.kind, header.sequence), (Kind::Payload, sequence));
            let mut other = packet.clone();
            prop_assert_eq!(open(header, 8, &key(), &mut other), Err(DropReason::Forged));
            prop_assert_eq!(open(header, 7, &key(), &mut packet).unwrap(), &contents[..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut packet in proptest::collection::vec(any::<u8>(), 0..PACKET_BYTES + 9)) {
            if let Ok(Outer::Sealed(header)) = read_outer(&packet.clone()) {
                prop_assert_eq!(open(header, 7, &key(), &mut packet), Err(DropReason::Forged));
            }
        }
    }

    #[test]
    fn a_number_takes_no_more_bytes_than_it_needs() {
        for (sequence, bytes) in [
            (0, 1),
            (255, 1),
            (256, 2),
            (1_000, 2),
            (u64::MAX >> 8, 7),
            (u64::MAX, 8),
        ] {
            let mut packet = Vec::new();
            seal(Kind::Disconnect, sequence, 7, &key(), &[], &mut packet);
            assert_eq!(
                (packet.len(), packet[0]),
                (1 + bytes + TAG_BYTES, 6 | (bytes as u8) << 4)
            );
            assert_eq!(packet[1..=bytes], sequence.to_le_bytes()[..bytes]);
        }
    }
}
