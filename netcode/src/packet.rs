//! The outer layout of a datagram; `PROTOCOL.md` has it in prose.
//!
//! ```text
//! byte 0        kind (bits 0-3), has-ack (bit 4), wire version (bits 5-7)
//! ...           per kind
//! last 4 bytes  checksum over all before it, keyed by protocol or session
//! ```
//!
//! The checksum recognises damage and strangers; it is no protection against an attacker who reads along.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;
use crate::limits::{ACK_WINDOW, DATAGRAM_BYTES};
use crate::sequence::{ReceiveWindow, Sequence, expand};
use crate::time::Timestamp;

/// Version of the wire format, in each datagram's first byte.
pub const WIRE_VERSION: u8 = 1;

/// Seeds the checksum of datagrams outside a session: the bytes of `truetik` and the version.
pub const PROTOCOL_KEY: u64 = 0x7472_7565_7469_6b00 | WIRE_VERSION as u64;

/// Bytes at a datagram's end that hold its checksum.
pub const CHECKSUM_BYTES: usize = 4;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// Client asks for a session.
    Request = 0,
    /// Server asks the client to prove its address.
    Challenge = 1,
    /// Client returns the cookie.
    Response = 2,
    /// Server opened a session.
    Accepted = 3,
    /// Server opens no session, and why.
    Denied = 4,
    /// Anything inside a session.
    Payload = 5,
    /// Either side ends the session.
    Disconnect = 6,
}

impl PacketKind {
    const ALL: [Self; 7] = [
        Self::Request,
        Self::Challenge,
        Self::Response,
        Self::Accepted,
        Self::Denied,
        Self::Payload,
        Self::Disconnect,
    ];
}

/// The kind in a datagram's first byte, its length and version checked.
pub fn peek_kind(datagram: &[u8]) -> Result<PacketKind, WireError> {
    if datagram.len() <= CHECKSUM_BYTES {
        return Err(WireError::Malformed("shorter than any packet"));
    }
    if datagram.len() > DATAGRAM_BYTES {
        return Err(WireError::Malformed("longer than any packet"));
    }
    if datagram[0] >> 5 != WIRE_VERSION {
        return Err(WireError::Incompatible("another wire version"));
    }
    let kind = usize::from(datagram[0] & 0x0f);
    PacketKind::ALL.get(kind).copied().ok_or(WireError::Malformed("unknown packet kind"))
}

/// Starts a datagram of this kind.
pub fn begin(writer: &mut BitWriter, kind: PacketKind, has_ack: bool) {
    writer.clear();
    writer.write(kind as u32, 4);
    writer.write_flag(has_ack);
    writer.write(u32::from(WIRE_VERSION), 3);
}

/// Ends a datagram: pads it to a byte and appends the checksum under `key`.
pub fn seal(writer: &mut BitWriter, key: u64) {
    writer.pad_to_byte();
    let sum = xxh3_64_with_seed(writer.bytes(), key) as u32;
    writer.write(sum, 32);
    writer.pad_to_byte();
    debug_assert!(writer.bytes().len() <= DATAGRAM_BYTES, "{} bytes", writer.bytes().len());
}

/// A reader behind the first byte of a datagram whose checksum under `key` is right, and its has-ack bit.
pub fn open(datagram: &[u8], key: u64) -> Result<(bool, BitReader<'_>), WireError> {
    let Some((body, sum)) = datagram.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(WireError::Malformed("shorter than any packet"));
    };
    if xxh3_64_with_seed(body, key) as u32 != u32::from_le_bytes(*sum) {
        return Err(WireError::Malformed("wrong checksum"));
    }
    let mut reader = BitReader::new(body);
    reader.read(4)?;
    let has_ack = reader.read_flag()?;
    reader.read(3)?;
    Ok((has_ack, reader))
}

/// What each payload packet starts with: its number, and which of the peer's packets were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadHeader {
    /// Number of this packet.
    pub sequence: Sequence,
    /// Newest packet that came from the peer, the accepted ones from there back (newest in bit 0), and for
    /// how long the newest was held, in units of 128 us.
    pub acks: Option<Acks>,
}

/// See [`PayloadHeader::acks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acks {
    /// Newest packet that came from the peer.
    pub newest: Sequence,
    /// Accepted packets, `newest` in bit 0, the one before in bit 1 and so on.
    pub mask: u64,
    /// Time from that packet's arrival to this one's sending, in units of 128 us, at most 255.
    pub held: u8,
}

impl Acks {
    /// What to say now of the packets in `window`, whose newest came at `newest_at`.
    pub fn of(window: &ReceiveWindow, newest_at: Timestamp, now: Timestamp) -> Option<Self> {
        let (newest, mask) = window.acks()?;
        let held = (now.since(newest_at).as_micros() / 128).min(255) as u8;
        Some(Self { newest, mask, held })
    }

    /// The acknowledged sequences, newest first.
    pub fn accepted(&self) -> impl Iterator<Item = Sequence> {
        let (newest, mask) = (self.newest, self.mask);
        (0..ACK_WINDOW).filter(move |age| mask >> age & 1 == 1 && *age <= newest).map(move |age| newest - age)
    }
}

impl PayloadHeader {
    /// Writes the header behind the first byte. The mask's bytes that are all ones cost one bit each.
    pub fn write(&self, writer: &mut BitWriter) {
        writer.write(u32::from(self.sequence as u16), 16);
        let Some(acks) = self.acks else { return };
        writer.write(u32::from(acks.newest as u16), 16);
        writer.write(u32::from(acks.held), 8);
        for byte in acks.mask.to_le_bytes() {
            writer.write_flag(byte != 0xff);
            if byte != 0xff {
                writer.write(u32::from(byte), 8);
            }
        }
    }

    /// Reads the header; `expected` and `sent` are the next sequences in either direction.
    pub fn read(
        reader: &mut BitReader<'_>,
        has_ack: bool,
        expected: Sequence,
        sent: Sequence,
    ) -> Result<Self, WireError> {
        let sequence = expand(reader.read(16)? as u16, expected);
        if !has_ack {
            return Ok(Self { sequence, acks: None });
        }
        let newest = expand(reader.read(16)? as u16, sent);
        let held = reader.read(8)? as u8;
        let mut mask = [0xffu8; 8];
        for byte in &mut mask {
            if reader.read_flag()? {
                *byte = reader.read(8)? as u8;
            }
        }
        if newest >= sent {
            return Err(WireError::Misbehaving("acknowledges a packet that was never sent"));
        }
        Ok(Self { sequence, acks: Some(Acks { newest, mask: u64::from_le_bytes(mask), held }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn header_returns(sequence in 0u64..1 << 40, newest in 0u64..1 << 40, mask in any::<u64>(), held in any::<u8>()) {
            let header = PayloadHeader { sequence, acks: Some(Acks { newest, mask, held }) };
            let mut writer = BitWriter::new();
            begin(&mut writer, PacketKind::Payload, true);
            header.write(&mut writer);
            seal(&mut writer, 7);
            prop_assert_eq!(peek_kind(writer.bytes()), Ok(PacketKind::Payload));
            let (has_ack, mut reader) = open(writer.bytes(), 7).unwrap();
            let read = PayloadHeader::read(&mut reader, has_ack, sequence, newest + 1).unwrap();
            prop_assert_eq!(read, header);
        }

        #[test]
        fn one_flipped_bit_is_noticed(bit in 0usize..100) {
            let mut writer = BitWriter::new();
            begin(&mut writer, PacketKind::Payload, false);
            writer.write_bytes(b"some contents");
            seal(&mut writer, 7);
            let mut bytes = writer.bytes().to_vec();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(&bytes, 7).is_err());
        }
    }

    #[test]
    fn a_full_mask_costs_a_byte() {
        let mut writer = BitWriter::new();
        PayloadHeader { sequence: 1, acks: Some(Acks { newest: 70, mask: u64::MAX, held: 0 }) }
            .write(&mut writer);
        assert_eq!(writer.bit_len(), 16 + 16 + 8 + 8);
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert!(peek_kind(&[]).is_err());
        assert!(peek_kind(&[0; 4]).is_err());
        assert_eq!(peek_kind(&[0; 40]), Err(WireError::Incompatible("another wire version")));
        assert!(peek_kind(&[0x2f; 40]).is_err());
        assert!(peek_kind(&[0x25; DATAGRAM_BYTES + 1]).is_err());
        assert!(peek_kind(&[0x25; DATAGRAM_BYTES]).is_ok());
    }
}
