//! Decodes a snapshot packet's streams against the client's copy of the world. A decoder only
//! reuses memory from packet to packet.

use std::ops::Range;

use super::bit_cost::{BitLedger, Metered, MeteredEntity};
use super::snapshot_buffer::{SnapshotBuffer, SnapshotError};
use crate::bits::BitReader;
use crate::coding::range::{Contexts, RangeDecoder};
use crate::coding::{Coder, Decoder, Part};
use crate::error::WireError;
use crate::limits::PAYLOAD_BYTES;
use crate::mutant::{Mutant, is_planted};
use crate::replication::NetId;
use crate::replication::block_delta::{
    BaselineRef, Identity, Item, Place, begin, code_identity, code_mask, code_place, code_state,
    slots_of,
};
use crate::replication::delta_cache::{INDIVIDUAL_CLASS, class_of_base};
use crate::replication::entity::{self, Baselines};
use crate::replication::snapshot::{DeltaHeader, SnapshotHeader, fold, hash_part};
use crate::schema::{Audience, KindId, Schema};
use crate::tick::Tick;

/// An entity's state in a packet.
#[derive(Clone, Debug)]
pub(super) struct Update {
    pub slot: u16,
    pub generation: u16,
    pub kind: KindId,
    pub audience: Audience,
    pub baseline: Option<Tick>,
    /// Range of the entity's fields among those of the packet.
    fields: Range<usize>,
}

impl Update {
    pub(crate) fn metered(&self) -> MeteredEntity {
        let Self {
            slot,
            generation,
            kind,
            audience,
            baseline,
            ..
        } = *self;
        MeteredEntity {
            id: NetId { slot, generation },
            kind,
            audience,
            baseline,
        }
    }
}

/// Decodes the streams of one packet at a time.
#[derive(Debug, Default)]
pub(super) struct PacketDecoder {
    contexts: Contexts,
    updates: Vec<Update>,
    /// Fields of all updates, one entity after the other.
    fields: Vec<u32>,
}

impl PacketDecoder {
    /// The updates of the last packet, each with its fields.
    pub fn updates(&self) -> impl Iterator<Item = (&Update, &[u32])> {
        self.updates
            .iter()
            .map(|update| (update, &self.fields[update.fields.clone()]))
    }

    /// Decodes a packet whose header has been read. Returns whether its hash fits. The ledger
    /// records what the bits of the streams encode.
    pub fn decode(
        &mut self,
        buffer: &SnapshotBuffer,
        schema: &Schema,
        header: &SnapshotHeader,
        mut reader: BitReader<'_>,
        mut ledger: Option<&mut BitLedger>,
    ) -> Result<bool, SnapshotError> {
        reader.align()?;
        let Self {
            contexts,
            updates,
            fields,
        } = self;
        updates.clear();
        fields.clear();
        let mut updates = Updates {
            buffer,
            schema,
            now: header.tick,
            updates,
            fields,
            hash: 0,
        };
        if header.individual_items > 0 {
            let bytes = reader.read_slice(header.individual_bytes as usize)?;
            Stream::Individual(header).decode(
                contexts,
                &mut updates,
                bytes,
                ledger.as_deref_mut(),
            )?;
        }
        for block_delta in &header.block_deltas {
            let bytes = reader.read_slice(block_delta.bytes as usize)?;
            Stream::Block(block_delta).decode(
                contexts,
                &mut updates,
                bytes,
                ledger.as_deref_mut(),
            )?;
        }
        let hash = reader.read(16)?;
        reader.finish()?;
        Ok(fold(updates.hash) == hash)
    }
}

/// A stream of a packet; see [`crate::replication::block_delta`].
#[derive(Clone, Copy)]
enum Stream<'a> {
    Individual(&'a SnapshotHeader),
    Block(&'a DeltaHeader),
}

impl Stream<'_> {
    fn decode(
        self,
        contexts: &mut Contexts,
        updates: &mut Updates<'_>,
        bytes: &[u8],
        ledger: Option<&mut BitLedger>,
    ) -> Result<(), SnapshotError> {
        let tables = updates.schema.tables(match self {
            Self::Individual(_) => INDIVIDUAL_CLASS,
            Self::Block(block_delta) => class_of_base(updates.now, block_delta.base),
        });
        let mut decoder = RangeDecoder::new(bytes, contexts, tables);
        if let Some(ledger) = ledger {
            let mut metered = Metered::new(decoder, ledger);
            self.read(&mut metered, updates)?;
            return Ok(metered.finish()?);
        }
        self.read(&mut decoder, updates)?;
        Ok(decoder.finish()?)
    }

    fn read<C: Coder>(self, coder: &mut C, updates: &mut Updates<'_>) -> Result<(), SnapshotError> {
        begin(coder);
        match self {
            Self::Individual(header) => read_individual(coder, updates, header),
            Self::Block(block_delta) => read_block(coder, updates, block_delta),
        }
    }
}

fn read_individual<C: Coder>(
    coder: &mut C,
    updates: &mut Updates<'_>,
    header: &SnapshotHeader,
) -> Result<(), SnapshotError> {
    let (mut next, mut was_whole) = (0u16, false);
    for at in 0..header.individual_items {
        let own = at == 0 && header.has_own;
        let Place { slot, base } = code_place(
            coder,
            updates.now,
            next,
            was_whole,
            Place {
                slot: 0,
                base: None,
            },
        )?;
        (next, was_whole) = (slot + 1, base.is_none());
        updates.read(coder, Subject { slot, own }, base)?;
    }
    Ok(())
}

fn read_block<C: Coder>(
    coder: &mut C,
    updates: &mut Updates<'_>,
    block_delta: &DeltaHeader,
) -> Result<(), SnapshotError> {
    let mask = code_mask(coder, 0)?;
    for slot in slots_of(usize::from(block_delta.block), mask) {
        coder.note(Part::Entity);
        updates.read(coder, Subject { slot, own: false }, block_delta.base)?;
    }
    Ok(())
}

/// The entity that an update is about: its slot, and whether it is the owner's copy.
#[derive(Clone, Copy)]
struct Subject {
    slot: u16,
    own: bool,
}

/// The updates of a packet so far.
struct Updates<'a> {
    buffer: &'a SnapshotBuffer,
    schema: &'a Schema,
    now: Tick,
    updates: &'a mut Vec<Update>,
    fields: &'a mut Vec<u32>,
    hash: u32,
}

impl Updates<'_> {
    fn read<C: Coder>(
        &mut self,
        coder: &mut C,
        subject: Subject,
        base: Option<BaselineRef>,
    ) -> Result<(), SnapshotError> {
        // On average an entity takes at least a sixteenth of a byte. A packet that claims more
        // entities is malformed.
        if self.updates.len() > 16 * PAYLOAD_BYTES {
            return Err(WireError::Malformed("too many entities").into());
        }
        let update = match base {
            None => self.read_whole(coder, subject)?,
            Some(base) => self.read_change(coder, subject, base)?,
        };
        let id = NetId {
            slot: subject.slot,
            generation: update.generation,
        };
        let fields = &self.fields[update.fields.clone()];
        let hash = entity::hash(self.schema.kind(update.kind), update.audience, fields);
        self.hash = self.hash.wrapping_add(hash_part(hash, id));
        self.updates.push(update);
        Ok(())
    }

    fn read_whole<C: Coder>(
        &mut self,
        coder: &mut C,
        Subject { slot, own }: Subject,
    ) -> Result<Update, SnapshotError> {
        let audience = if own {
            Audience::Owner
        } else {
            Audience::Others
        };
        let unknown = Identity {
            audience,
            generation: 0,
            kind: KindId(0),
        };
        let Identity {
            audience,
            generation,
            kind,
        } = code_identity(coder, self.schema, unknown)?;
        let start = self.fields.len();
        self.fields
            .resize(start + self.schema.kind(kind).fields.len(), 0);
        code_state(
            coder,
            self.schema,
            &Item {
                kind,
                audience,
                past: None,
            },
            &mut self.fields[start..],
        )?;
        Ok(Update {
            slot,
            generation,
            kind,
            audience,
            baseline: None,
            fields: start..self.fields.len(),
        })
    }

    fn read_change<C: Coder>(
        &mut self,
        coder: &mut C,
        Subject { slot, own }: Subject,
        base: BaselineRef,
    ) -> Result<Update, SnapshotError> {
        let remote = if own {
            self.buffer.own()
        } else {
            self.buffer.public(slot)
        };
        let remote = remote
            .filter(|remote| remote.id.slot == slot)
            .ok_or(SnapshotError::Baseline)?;
        let before = remote.at(base.tick).ok_or(SnapshotError::Baseline)?.fields;
        let older = match base.older() {
            Some(tick) => Some((
                remote.at(tick).ok_or(SnapshotError::Baseline)?.fields,
                base.gap,
            )),
            None => None,
        };
        let past = Baselines {
            age: base.age(self.now),
            base: before,
            older,
        };
        let (kind, audience) = (remote.kind, remote.audience);
        let start = self.fields.len();
        self.fields.extend_from_slice(before);
        let fields = &mut self.fields[start..];
        code_state(
            coder,
            self.schema,
            &Item {
                kind,
                audience,
                past: Some(past),
            },
            fields,
        )?;
        if is_planted(Mutant::RotCopy) && !own {
            fields[0] ^= 1;
        }
        let (generation, fields) = (remote.id.generation, start..self.fields.len());
        Ok(Update {
            slot,
            generation,
            kind,
            audience,
            baseline: Some(base.tick),
            fields,
        })
    }
}
