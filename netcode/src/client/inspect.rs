//! A server's packet taken apart: what each of its bits is for. For tools; clients use
//! [`super::runtime`].

use super::bit_cost::BitLedger;
use super::snapshot_buffer::{SnapshotBuffer, SnapshotError};
use crate::bits::BitReader;
use crate::channel::read_messages;
use crate::error::WireError;
use crate::messages::Body;
use crate::packet::PayloadHeader;
use crate::replication::snapshot::SnapshotHeader;
use crate::schema::Schema;

/// A packet's parts.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketBreakdown {
    /// The low 16 bits of its number.
    pub number: u16,
    /// Bits of its number and its acknowledgements.
    pub header_bits: usize,
    /// Messages, whole ones or pieces.
    pub messages: usize,
    /// Their bits.
    pub message_bits: usize,
    /// What it carries beside them.
    pub body: Body,
    /// Bits of that, the tag and the zeros at the end included.
    pub body_bits: usize,
    /// The state, if that is what it carries.
    pub snapshot: Option<SnapshotBreakdown>,
}

/// The parts of a packet's state.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotBreakdown {
    /// Its header.
    pub header: SnapshotHeader,
    /// Bits of the header without the units' places.
    pub header_bits: usize,
    /// Bits of the units' places.
    pub units_bits: usize,
    /// Entities, and what their bits are for.
    pub ledger: BitLedger,
    /// Why it could not be taken over, if it could not.
    pub failed: Option<SnapshotError>,
}

/// Takes the packets of one session apart, in their order.
#[derive(Debug, Default)]
pub struct Inspector {
    buffer: SnapshotBuffer,
}

impl Inspector {
    /// The copy of the world that the packets so far make.
    pub fn buffer(&self) -> &SnapshotBuffer {
        &self.buffer
    }

    /// Takes in the next packet, unsealed.
    pub fn take(&mut self, schema: &Schema, payload: &[u8]) -> Result<PacketBreakdown, WireError> {
        let mut reader = BitReader::new(payload);
        let header = PayloadHeader::read_any(&mut reader, 0, 0)?;
        let after_header = reader.remaining();
        let messages = read_messages(&mut reader)?.len();
        let after_messages = reader.remaining();
        let body = Body::from_tag(reader.read(Body::BITS)?)?;
        Ok(PacketBreakdown {
            number: header.sequence as u16,
            header_bits: payload.len() * 8 - after_header,
            messages,
            message_bits: after_header - after_messages,
            body,
            body_bits: after_messages,
            snapshot: match body {
                Body::Snapshot => Some(self.take_snapshot(schema, reader)?),
                _ => None,
            },
        })
    }

    fn take_snapshot(
        &mut self,
        schema: &Schema,
        reader: BitReader<'_>,
    ) -> Result<SnapshotBreakdown, WireError> {
        let mut rest = reader.clone();
        let header = SnapshotHeader::read(&mut rest)?;
        let mut ledger = BitLedger::default();
        let taken = self.buffer.take_metered(schema, reader.clone(), Some(&mut ledger));
        let befores = std::iter::once(0)
            .chain(header.block_deltas.iter().map(|block_delta| block_delta.block));
        let block_deltas = header.block_deltas.iter().zip(befores);
        let units_bits =
            block_deltas.map(|(block_delta, before)| block_delta.bits(header.tick, before)).sum();
        let header_bits = reader.remaining() - rest.remaining() - units_bits;
        Ok(SnapshotBreakdown { header, header_bits, units_bits, ledger, failed: taken.err() })
    }
}
