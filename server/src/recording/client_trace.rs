//! What one client held, state by state, to be compared with a replay of the server's recording.
//!
//! A trace is a file of frames: first the client, then reports like those that a client sends of a
//! mismatch, each with what was new in the client's copy.

use bitcode::{Decode, Encode};
use truetick_netcode::client::snapshot_buffer::SnapshotBuffer;
use truetick_netcode::limits::REPORTED_ENTITIES;
use truetick_netcode::messages::{MismatchReport, ReportedEntity};
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;

use super::record::RecordError;
use super::rows::{Kind, read_rows};
use crate::frame::FrameWriter;

const CLIENT: Kind = Kind {
    tag: 16,
    content: "client",
};
const HELD: Kind = Kind {
    tag: 17,
    content: "client's state",
};

/// First frame of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct TraceHeader {
    client: u32,
    schema: u64,
}

/// Writes a trace, as bytes for the caller to store.
#[derive(Debug)]
pub struct TraceWriter {
    frames: FrameWriter,
    out: Vec<u8>,
    /// Per slot, the generation and tick that were recorded last.
    noted: Vec<Option<(u16, Tick)>>,
}

impl TraceWriter {
    /// Begins the trace of the client with this number. `schema` is the hash of the client's
    /// schema.
    pub fn begin(client: ClientId, schema: u64) -> Self {
        let mut out = Vec::new();
        let mut frames = FrameWriter::begin(&mut out);
        frames.append(
            CLIENT.tag,
            &bitcode::encode(&TraceHeader {
                client: client.0,
                schema,
            }),
            &mut out,
        );
        Self {
            frames,
            out,
            noted: Vec::new(),
        }
    }

    /// Records what is new in the client's copy.
    pub fn note(&mut self, buffer: &SnapshotBuffer) {
        let Some(tick) = buffer.newest() else { return };
        let mut entities = Vec::new();
        for remote in buffer.entities() {
            let (at, newest) = (usize::from(remote.id.slot), remote.newest());
            self.noted.resize(self.noted.len().max(at + 1), None);
            let now = Some((remote.id.generation, newest.tick));
            if std::mem::replace(&mut self.noted[at], now) != now {
                entities.push(ReportedEntity {
                    slot: remote.id.slot,
                    generation: remote.id.generation,
                    own: remote.is_own(),
                    tick: newest.tick.0,
                    fields: newest.fields.to_vec(),
                });
            }
        }
        for entities in entities.chunks(REPORTED_ENTITIES) {
            let report = MismatchReport {
                tick: tick.0,
                entities: entities.to_vec(),
            };
            self.frames
                .append(HELD.tag, &bitcode::encode(&report), &mut self.out);
        }
    }

    /// Takes the bytes written since the last call, to be stored.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

/// A trace that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTrace {
    /// Number of the client.
    pub client: ClientId,
    /// Hash of the client's schema.
    pub schema: u64,
    /// What the client held, in the order of its arrival.
    pub held: Vec<MismatchReport>,
}

impl ClientTrace {
    /// Reads a trace. An incomplete end is left out.
    ///
    /// # Errors
    /// If the file is damaged or not a trace.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let (header, held): (TraceHeader, _) = read_rows(bytes, CLIENT, HELD)?;
        Ok(Self {
            client: ClientId(header.client),
            schema: header.schema,
            held,
        })
    }
}
