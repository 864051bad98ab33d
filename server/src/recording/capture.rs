//! Captures of packets, unsealed and with their times: what a server sent to its clients, or what
//! clients received.
//!
//! A capture is a file of frames: first the hash of the schema, then packets in batches. A client's
//! session is decoded from its first packet on (see [`truetick_netcode::client::inspect`]), so a
//! capture has no segments: it ends at [`CAPTURE_BYTES`]. It includes the clients' tickets. Anyone
//! who reads it within their lifetime can take a session over.

use bitcode::{Decode, Encode};
use truetick_netcode::time::Timestamp;

use super::record::RecordError;
use super::rows::{Kind, read_rows};
use crate::frame::FrameWriter;

const CAPTURE: Kind = Kind {
    tag: 24,
    content: "capture",
};
const PACKETS: Kind = Kind {
    tag: 25,
    content: "packets",
};

/// Number of bytes after which a capture takes no more packets.
pub const CAPTURE_BYTES: usize = 1 << 30;

/// Number of bytes of packets after which a frame of them is made.
const BATCH_BYTES: usize = 1 << 20;

/// One captured packet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Captured {
    /// The session of the packet: the client's number if a server captures, else the client's
    /// index.
    pub client: u32,
    /// Time at which the packet was sent or received, in microseconds of the writer's clock.
    pub at_us: u64,
    /// Payload of the packet; empty where a session begins.
    pub payload: Vec<u8>,
}

/// Writes a capture, as bytes for the caller to store.
#[derive(Debug)]
pub struct CaptureWriter {
    frames: FrameWriter,
    out: Vec<u8>,
    packets: Vec<Captured>,
    pending: usize,
    written: usize,
}

impl CaptureWriter {
    /// Begins a capture of packets of the schema with this hash.
    pub fn begin(schema: u64) -> Self {
        let mut out = Vec::new();
        let mut frames = FrameWriter::begin(&mut out);
        frames.append(CAPTURE.tag, &bitcode::encode(&schema), &mut out);
        Self {
            frames,
            out,
            packets: Vec::new(),
            pending: 0,
            written: 0,
        }
    }

    /// Records that a client's session begins without earlier state.
    pub fn session(&mut self, client: u32, now: Timestamp) {
        self.packet(client, now, &[]);
    }

    /// Records a packet. It is ignored if the capture is full.
    pub fn packet(&mut self, client: u32, now: Timestamp, payload: &[u8]) {
        if self.is_full() {
            return;
        }
        self.packets.push(Captured {
            client,
            at_us: now.as_micros(),
            payload: payload.to_vec(),
        });
        self.pending += payload.len();
        if self.pending >= BATCH_BYTES {
            self.batch();
        }
    }

    /// Whether the capture takes no more packets.
    pub fn is_full(&self) -> bool {
        self.written >= CAPTURE_BYTES
    }

    fn batch(&mut self) {
        let before = self.out.len();
        self.frames
            .append(PACKETS.tag, &bitcode::encode(&self.packets), &mut self.out);
        self.written += self.out.len() - before;
        self.packets.clear();
        self.pending = 0;
    }

    /// Takes the bytes written since the last call, to be stored.
    pub fn take(&mut self) -> Vec<u8> {
        if !self.packets.is_empty() {
            self.batch();
        }
        std::mem::take(&mut self.out)
    }
}

/// A capture that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Hash of the schema of the packets.
    pub schema: u64,
    /// The packets, in their order.
    pub packets: Vec<Captured>,
}

impl Capture {
    /// Reads a capture. An incomplete end is left out.
    ///
    /// # Errors
    /// If the file is damaged or not a capture.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let (schema, batches): (_, Vec<Vec<Captured>>) = read_rows(bytes, CAPTURE, PACKETS)?;
        Ok(Self {
            schema,
            packets: batches.into_iter().flatten().collect(),
        })
    }
}
