//! What each payload of a session begins with; `PROTOCOL.md` has it in prose. The session below it
//! proves that it is genuine; numbers and acknowledgements are a session's own on every transport.

use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;
use crate::limits::ACK_WINDOW;
use crate::sequence::{ReceiveWindow, Sequence, expand};
use crate::time::Timestamp;

/// Version of the wire format.
pub const WIRE_VERSION: u8 = 4;

/// The protocol that tokens and packets are for: the bytes of `truetik` and the version.
pub const PROTOCOL: u64 = 0x7472_7565_7469_6b00 | WIRE_VERSION as u64;

/// What each payload packet starts with: its number, and which of the peer's packets were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadHeader {
    /// Number of this packet.
    pub sequence: Sequence,
    /// Newest packet that came from the peer, the accepted ones from there back (newest in bit 0),
    /// and for how long the newest was held, in units of 128 us.
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

    /// Whether a sequence is acknowledged.
    #[inline]
    pub fn accepts(&self, sequence: Sequence) -> bool {
        let age = self.newest.wrapping_sub(sequence);
        age < ACK_WINDOW && self.mask >> age & 1 == 1
    }
}

impl PayloadHeader {
    /// Writes the header. The mask's bytes that are all ones cost one bit each.
    pub fn write(&self, writer: &mut BitWriter) {
        writer.write(u32::from(self.sequence as u16), 16);
        writer.write_flag(self.acks.is_some());
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
        expected: Sequence,
        sent: Sequence,
    ) -> Result<Self, WireError> {
        let header = Self::read_any(reader, expected, sent)?;
        match header.acks.is_some_and(|acks| acks.newest >= sent) {
            true => Err(WireError::Misbehaving("acknowledges a packet that was never sent")),
            false => Ok(header),
        }
    }

    /// The same for who does not know what was sent: numbers are those nearest to the two given.
    pub fn read_any(
        reader: &mut BitReader<'_>,
        expected: Sequence,
        sent: Sequence,
    ) -> Result<Self, WireError> {
        let sequence = expand(reader.read(16)? as u16, expected);
        if !reader.read_flag()? {
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
            header.write(&mut writer);
            writer.pad_to_byte();
            let mut reader = BitReader::new(writer.bytes());
            prop_assert_eq!(PayloadHeader::read(&mut reader, sequence, newest + 1).unwrap(), header);
            prop_assert!(PayloadHeader::read(&mut BitReader::new(writer.bytes()), sequence, newest).is_err());
        }
    }

    #[test]
    fn a_full_mask_costs_a_byte() {
        let mut writer = BitWriter::new();
        PayloadHeader { sequence: 1, acks: Some(Acks { newest: 70, mask: u64::MAX, held: 0 }) }
            .write(&mut writer);
        assert_eq!(writer.bit_len(), 16 + 1 + 16 + 8 + 8);
    }
}
