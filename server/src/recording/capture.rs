//! Packets as they were, unsealed, with their times: what a server sent to its clients, or what
//! came to clients.
//!
//! A file of frames: first which schema they are of, then packets by the hundred. Each session of a
//! client is taken apart from its first packet on (see [`truetick_netcode::client::inspect`]), so a
//! capture has no segments: it ends at [`CAPTURE_BYTES`]. It holds the clients' tickets, too:
//! whoever reads it within their lifetime can take a session over.

use bitcode::{Decode, Encode};
use truetick_netcode::time::Timestamp;

use super::record::RecordError;
use super::rows::read_rows;
use crate::frame::FrameWriter;

const CAPTURE: u8 = 24;
const PACKETS: u8 = 25;

/// A capture takes no more packets after so many bytes.
pub const CAPTURE_BYTES: usize = 1 << 30;

/// Bytes of packets after which a frame of them is made.
const BATCH_BYTES: usize = 1 << 20;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Captured {
    /// Whose session: the client's number where a server captures, else its place among the
    /// clients.
    pub client: u32,
    /// When it left or came, in microseconds of the writer's clock.
    pub at_us: u64,
    /// Its payload; empty where a session begins anew.
    pub payload: Vec<u8>,
}

/// Writes a capture, as bytes for someone else to keep.
#[derive(Debug)]
pub struct CaptureWriter {
    frames: FrameWriter,
    out: Vec<u8>,
    packets: Vec<Captured>,
    pending: usize,
    written: usize,
}

impl CaptureWriter {
    /// Begins a capture of packets of this schema, given by its hash.
    pub fn begin(schema: u64) -> Self {
        let mut out = Vec::new();
        let mut frames = FrameWriter::begin(&mut out);
        frames.append(CAPTURE, &bitcode::encode(&schema), &mut out);
        Self { frames, out, packets: Vec::new(), pending: 0, written: 0 }
    }

    /// Notes that a client's session begins and knows nothing of one before.
    pub fn session(&mut self, client: u32, now: Timestamp) {
        self.packet(client, now, &[]);
    }

    /// Notes a packet.
    pub fn packet(&mut self, client: u32, now: Timestamp, payload: &[u8]) {
        if self.is_full() {
            return;
        }
        self.packets.push(Captured { client, at_us: now.as_micros(), payload: payload.to_vec() });
        self.pending += payload.len();
        if self.pending >= BATCH_BYTES {
            self.batch();
        }
    }

    /// Whether it takes no more.
    pub fn is_full(&self) -> bool {
        self.written >= CAPTURE_BYTES
    }

    fn batch(&mut self) {
        let before = self.out.len();
        self.frames.append(PACKETS, &bitcode::encode(&self.packets), &mut self.out);
        self.written += self.out.len() - before;
        self.packets.clear();
        self.pending = 0;
    }

    /// What is to be kept since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        if !self.packets.is_empty() {
            self.batch();
        }
        std::mem::take(&mut self.out)
    }
}

/// A capture as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Hash of the schema of its packets.
    pub schema: u64,
    /// Its packets, in their order.
    pub packets: Vec<Captured>,
}

impl Capture {
    /// Reads a capture; an end that is not whole is left out.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let (schema, batches): (_, Vec<Vec<Captured>>) =
            read_rows(bytes, (CAPTURE, "capture"), (PACKETS, "packets"))?;
        Ok(Self { schema, packets: batches.into_iter().flatten().collect() })
    }
}
