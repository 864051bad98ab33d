//! A breakdown of a server's packets: what each of their bits encodes. For tools; clients use
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

/// The parts of a packet.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketBreakdown {
    /// Low 16 bits of the packet's number.
    pub number: u16,
    /// Bits of the number and the acknowledgements.
    pub header_bits: usize,
    /// Number of messages, complete ones or slices.
    pub messages: usize,
    /// Bits of the messages.
    pub message_bits: usize,
    /// Kind of the body.
    pub body: Body,
    /// Bits of the body, its tag and the zeros at the end included.
    pub body_bits: usize,
    /// The state, if the body is a snapshot.
    pub snapshot: Option<SnapshotBreakdown>,
}

/// The parts of a snapshot's packet.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotBreakdown {
    /// Header of the snapshot.
    pub header: SnapshotHeader,
    /// Bits of the header without the places of the block deltas.
    pub header_bits: usize,
    /// Bits of the places of the block deltas.
    pub units_bits: usize,
    /// The entities, and what the bits of the streams encode.
    pub ledger: BitLedger,
    /// Why the state could not be applied, if it failed.
    pub failed: Option<SnapshotError>,
}

/// Breaks down the packets of one session, in their order.
#[derive(Debug, Default)]
pub struct Inspector {
    buffer: SnapshotBuffer,
}

impl Inspector {
    /// The copy of the world after the packets so far.
    pub fn buffer(&self) -> &SnapshotBuffer {
        &self.buffer
    }

    /// Breaks down the next packet, which must be unsealed.
    ///
    /// # Errors
    /// The packet is malformed before its snapshot's streams. An error in the streams is in
    /// [`SnapshotBreakdown::failed`].
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
        let taken = self
            .buffer
            .take_metered(schema, reader.clone(), Some(&mut ledger));
        let befores = std::iter::once(0).chain(
            header
                .block_deltas
                .iter()
                .map(|block_delta| block_delta.block),
        );
        let block_deltas = header.block_deltas.iter().zip(befores);
        let units_bits = block_deltas
            .map(|(block_delta, before)| block_delta.bits(header.tick, before))
            .sum();
        let header_bits = reader.remaining() - rest.remaining() - units_bits;
        Ok(SnapshotBreakdown {
            header,
            header_bits,
            units_bits,
            ledger,
            failed: taken.err(),
        })
    }
}
