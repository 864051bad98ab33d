//! Messages within a packet, and slices of messages that are too large for one packet.
//!
//! ```text
//! per packet:  { 1, message } ... 0
//! message:     channel:3  [ id:16  sliced:1 [ slice:6 slices-1:6 ] ]  length:10  bytes
//! ```
//! The part in brackets exists on reliable channels only.

use super::Channel;
use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;
use crate::limits::{MESSAGES_PER_PACKET, SLICE_BYTES};

pub(super) const LENGTH_BITS: u32 = 10;
const SLICE_INDEX_BITS: u32 = 6;

/// A message, or one slice of it, as read from a packet.
#[derive(Debug)]
pub struct Incoming {
    pub(super) channel: Channel,
    /// Id of the message, and which slice of it this is; reliable channels only.
    pub(super) piece: Option<(u16, SliceIndex)>,
    pub(super) bytes: Vec<u8>,
}

/// Which slice of its message a piece is.
#[derive(Clone, Copy, Debug)]
pub(super) struct SliceIndex {
    /// Index of the slice, from 0.
    pub at: usize,
    /// Number of slices of the message, 1 or more.
    pub count: usize,
}

/// The space that a packet has left for messages, and the writer of the packet.
pub(super) struct PacketSpace<'a> {
    writer: &'a mut BitWriter,
    /// Length of the packet, in bits, that messages may fill; the closing flag follows.
    end: usize,
    /// Number of messages that the packet may still carry.
    messages: usize,
}

impl<'a> PacketSpace<'a> {
    /// Creates the space of a packet whose messages take at most `budget` bits (1 or more) after
    /// what `writer` holds, including the closing flag.
    pub(super) fn new(writer: &'a mut BitWriter, budget: usize) -> Self {
        let end = writer.bit_len() + budget - 1;
        Self {
            writer,
            end,
            messages: MESSAGES_PER_PACKET,
        }
    }

    /// Writes an unreliable message if it fits; returns whether it was written.
    pub(super) fn write_unreliable(&mut self, bytes: &[u8]) -> bool {
        let fits = self.take(1 + 3 + LENGTH_BITS as usize + bytes.len() * 8);
        if fits {
            self.writer.write_flag(true);
            self.writer.write(0, 3);
            self.writer.write(bytes.len() as u32, LENGTH_BITS);
            self.writer.write_bytes(bytes);
        }
        fits
    }

    /// Writes a slice of message `id` of the reliable channel with index `channel` if it fits;
    /// returns whether it was written.
    pub(super) fn write_slice(
        &mut self,
        channel: usize,
        id: u64,
        slice: SliceIndex,
        bytes: &[u8],
    ) -> bool {
        let fits = self.take(slice_bits(bytes, slice.count));
        if fits {
            self.writer.write_flag(true);
            self.writer.write(channel as u32 + 1, 3);
            self.writer.write(u32::from(id as u16), 16);
            self.writer.write_flag(slice.count > 1);
            if slice.count > 1 {
                self.writer.write(slice.at as u32, SLICE_INDEX_BITS);
                self.writer.write(slice.count as u32 - 1, SLICE_INDEX_BITS);
            }
            self.writer.write(bytes.len() as u32, LENGTH_BITS);
            self.writer.write_bytes(bytes);
        }
        fits
    }

    /// Writes the flag that no further message follows.
    pub(super) fn close(self) {
        self.writer.write_flag(false);
    }

    /// Takes the space of one message of `bits` bits; returns whether there is enough of it.
    fn take(&mut self, bits: usize) -> bool {
        if self.messages == 0 || self.writer.bit_len() + bits > self.end {
            return false;
        }
        self.messages -= 1;
        true
    }
}

/// Returns the size of a slice in a packet, in bits, for a message of `count` slices.
pub(super) fn slice_bits(bytes: &[u8], count: usize) -> usize {
    let slicing = if count > 1 { 2 * SLICE_INDEX_BITS } else { 0 };
    (1 + 3 + 16 + 1 + slicing + LENGTH_BITS) as usize + bytes.len() * 8
}

impl Channel {
    pub(super) fn from_index(index: u32) -> Result<Self, WireError> {
        match index {
            0 => Ok(Self::Unreliable),
            1 => Ok(Self::Reliable),
            2..=5 => Ok(Self::Ordered(index as u8 - 2)),
            _ => Err(WireError::Malformed("unknown channel")),
        }
    }
}

/// Reads the messages of one packet without delivering them.
///
/// # Errors
/// [`WireError::Malformed`] if they are truncated, too many or too long, or name an unknown
/// channel.
pub fn read_messages(reader: &mut BitReader<'_>) -> Result<Vec<Incoming>, WireError> {
    let mut messages = Vec::new();
    while reader.read_flag()? {
        if messages.len() == MESSAGES_PER_PACKET {
            return Err(WireError::Malformed("too many messages in a packet"));
        }
        messages.push(read_message(reader)?);
    }
    Ok(messages)
}

fn read_message(reader: &mut BitReader<'_>) -> Result<Incoming, WireError> {
    let channel = Channel::from_index(reader.read(3)?)?;
    if channel == Channel::Unreliable {
        return Ok(Incoming {
            channel,
            piece: None,
            bytes: read_body(reader)?,
        });
    }
    let id = reader.read(16)? as u16;
    let slice = match reader.read_flag()? {
        false => SliceIndex { at: 0, count: 1 },
        true => SliceIndex {
            at: reader.read(SLICE_INDEX_BITS)? as usize,
            count: reader.read(SLICE_INDEX_BITS)? as usize + 1,
        },
    };
    Ok(Incoming {
        channel,
        piece: Some((id, slice)),
        bytes: read_body(reader)?,
    })
}

fn read_body(reader: &mut BitReader<'_>) -> Result<Vec<u8>, WireError> {
    let length = reader.read(LENGTH_BITS)? as usize;
    if length > SLICE_BYTES {
        return Err(WireError::Malformed("message piece too long"));
    }
    reader.read_bytes(length)
}
