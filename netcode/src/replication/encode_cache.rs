//! Encode once: the bits of (entity, baseline version, audience) are the same for all clients that share them.
//!
//! ```text
//! whole:  generation:16  kind:5  age  fields      age: golomb(tick - version), 0 where it changed this tick
//! delta:  age  changes
//! ```

use super::delta;
use super::state_ring::{Entry, StateRing};
use crate::bits::BitWriter;
use crate::schema::{Audience, Schema};
use crate::tick::Tick;

/// Bits of an entity kind on the wire.
pub const KIND_BITS: u32 = 5;

#[derive(Clone, Copy, Debug)]
struct Encoded {
    baseline: Option<Tick>,
    audience: Audience,
    bits: BitRange,
}

/// Where an encoded entity stands in [`EncodeCache::bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitRange {
    /// First bit.
    pub start: usize,
    /// Number of bits.
    pub len: usize,
}

/// The entities encoded so far in this tick.
#[derive(Debug, Default)]
pub struct EncodeCache {
    writer: BitWriter,
    slots: Vec<Vec<Encoded>>,
    lookups: u64,
    encodes: u64,
}

impl EncodeCache {
    /// Forgets the tick before.
    pub fn begin_tick(&mut self, slots: usize) {
        self.writer.clear();
        self.slots.iter_mut().for_each(Vec::clear);
        if self.slots.len() < slots {
            self.slots.resize_with(slots, Vec::new);
        }
    }

    /// The bits of this entity against that baseline; whole if the baseline is `None` or no longer kept. The
    /// second part is the baseline that was used.
    pub fn encode(
        &mut self,
        schema: &Schema,
        ring: &StateRing,
        entry: &Entry,
        baseline: Option<Tick>,
        audience: Audience,
    ) -> (BitRange, Option<Tick>) {
        self.lookups += 1;
        let known = &self.slots[usize::from(entry.id.slot)];
        if let Some(hit) = known.iter().find(|e| e.baseline == baseline && e.audience == audience) {
            return (hit.bits, hit.baseline);
        }
        let version = baseline.and_then(|tick| entry.version(tick));
        if baseline.is_some() && version.is_none() {
            return self.encode(schema, ring, entry, None, audience);
        }
        self.encodes += 1;
        let start = self.writer.bit_len();
        let current = entry.current();
        let (kind, age) = (schema.kind(entry.kind), ring.tick().distance(current.tick) as u32);
        match version {
            None => {
                self.writer.write(u32::from(entry.id.generation), 16);
                self.writer.write(u32::from(entry.kind.0), KIND_BITS);
                self.writer.write_golomb(age, 0);
                delta::write_whole(kind, audience, &current.fields, &mut self.writer);
            }
            Some(version) => {
                self.writer.write_golomb(age, 0);
                let states = (&*version.fields, &*current.fields);
                delta::write_delta((schema, kind), audience, states, &mut self.writer);
            }
        }
        let bits = BitRange { start, len: self.writer.bit_len() - start };
        self.writer.pad_to_byte();
        self.slots[usize::from(entry.id.slot)].push(Encoded { baseline, audience, bits });
        (bits, baseline)
    }

    /// The buffer that the ranges point into.
    pub fn bytes(&self) -> &[u8] {
        self.writer.bytes()
    }

    /// How many encoded entities were asked for and how many of them had to be encoded, since the start.
    pub fn sharing(&self) -> (u64, u64) {
        (self.lookups, self.encodes)
    }
}
