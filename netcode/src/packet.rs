//! The header of each payload of a session; `PROTOCOL.md` has it in prose. The session layer below
//! proves that a payload is genuine. Sequence numbers and acknowledgements belong to the session on
//! every transport.

use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;
use crate::limits::ACK_WINDOW;
use crate::sequence::{ReceiveWindow, Sequence, expand};
use crate::time::Timestamp;

/// Version of the wire format; the last byte of [`PROTOCOL`].
pub const WIRE_VERSION: u8 = 4;

/// Protocol id of tokens and packets: the bytes of `truetik`, then the version.
pub const PROTOCOL: u64 = 0x7472_7565_7469_6b00 | WIRE_VERSION as u64;

/// The header of a payload packet: its sequence number and the acknowledgement of the peer's
/// packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadHeader {
    /// Sequence number of this packet.
    pub sequence: Sequence,
    /// Acknowledgement of the peer's packets; `None` until the first of them has arrived.
    pub acks: Option<Acks>,
}

/// An acknowledgement: which of the peer's last [`ACK_WINDOW`] packets were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acks {
    /// Sequence number of the newest packet received from the peer.
    pub newest: Sequence,
    /// Accepted packets: `newest` in bit 0, the packet before it in bit 1, and so on.
    pub mask: u64,
    /// Time from the arrival of `newest` to the sending of this packet, in units of 128 us, at most
    /// 255.
    pub held: u8,
}

impl Acks {
    /// Returns the acknowledgement to send at `now` for the packets in `window`, the newest of
    /// which arrived at `newest_at`. `None` if none has arrived.
    pub fn of(window: &ReceiveWindow, newest_at: Timestamp, now: Timestamp) -> Option<Self> {
        let (newest, mask) = window.acks()?;
        let held = (now.since(newest_at).as_micros() / 128).min(255) as u8;
        Some(Self { newest, mask, held })
    }

    /// Returns whether `sequence` is acknowledged as accepted.
    #[inline]
    pub fn accepts(&self, sequence: Sequence) -> bool {
        let age = self.newest.wrapping_sub(sequence);
        age < ACK_WINDOW && self.mask >> age & 1 == 1
    }
}

impl PayloadHeader {
    /// Writes the header. Each mask byte of all ones costs one bit.
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

    /// Reads the header and expands its 16-bit numbers.
    ///
    /// `expected` is the peer's next sequence number, `sent` is ours.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if the header is truncated, [`WireError::Misbehaving`] if it
    /// acknowledges a packet that was never sent.
    pub fn read(
        reader: &mut BitReader<'_>,
        expected: Sequence,
        sent: Sequence,
    ) -> Result<Self, WireError> {
        let header = Self::read_any(reader, expected, sent)?;
        match header.acks.is_some_and(|acks| acks.newest >= sent) {
            true => Err(WireError::Misbehaving(
                "acknowledges a packet that was never sent",
            )),
            false => Ok(header),
        }
    }

    /// Reads the header without checking that the acknowledged packets were sent.
    ///
    /// Each 16-bit number expands to the full number nearest to `expected` (the packet's own) or
    /// `sent` (the acknowledged one). Serves readers that did not see what was sent, such as packet
    /// inspectors.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if the header is truncated.
    pub(crate) fn read_any(
        reader: &mut BitReader<'_>,
        expected: Sequence,
        sent: Sequence,
    ) -> Result<Self, WireError> {
        let sequence = expand(reader.read(16)? as u16, expected);
        if !reader.read_flag()? {
            return Ok(Self {
                sequence,
                acks: None,
            });
        }
        let newest = expand(reader.read(16)? as u16, sent);
        let held = reader.read(8)? as u8;
        let mut mask = [0xffu8; 8];
        for byte in &mut mask {
            if reader.read_flag()? {
                *byte = reader.read(8)? as u8;
            }
        }
        Ok(Self {
            sequence,
            acks: Some(Acks {
                newest,
                mask: u64::from_le_bytes(mask),
                held,
            }),
        })
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
        PayloadHeader {
            sequence: 1,
            acks: Some(Acks {
                newest: 70,
                mask: u64::MAX,
                held: 0,
            }),
        }
        .write(&mut writer);
        assert_eq!(writer.bit_len(), 16 + 1 + 16 + 8 + 8);
    }
}
