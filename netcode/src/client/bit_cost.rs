//! Bit accounting: a decoder that records what the bits of a packet's streams encode.

use std::ops::Range;

use crate::coding::{Coder, Decoder, Part};
use crate::error::WireError;
use crate::replication::NetId;
use crate::schema::{Audience, KindId};
use crate::tick::Tick;

/// Bits that encode one part of one entity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitCost {
    /// Index of the entity in [`BitLedger::entities`]; `None` for bits that encode which entities a
    /// block holds.
    pub entity: Option<usize>,
    /// What the bits encode.
    pub part: Part,
    /// Number of bits. Arithmetic coding makes this a real number: the information content.
    pub bits: f64,
}

/// An entity in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeteredEntity {
    /// Identity of the entity.
    pub id: NetId,
    /// Kind of the entity.
    pub kind: KindId,
    /// Whether this is the owner's copy of the entity or the one for others.
    pub audience: Audience,
    /// Tick of the entity's baseline; `None` for a full state.
    pub baseline: Option<Tick>,
}

/// What the bits of a packet's streams encode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BitLedger {
    /// Bits by entity and part, in the order of the packet.
    pub bit_costs: Vec<BitCost>,
    /// The entities, in the order of the packet; empty if the packet could not be decoded.
    pub entities: Vec<MeteredEntity>,
    begun: usize,
}

impl BitLedger {
    fn bit_cost(&mut self, part: Part, bits: f64) {
        let entity = self.begun.checked_sub(1).filter(|_| part != Part::Mask);
        self.bit_costs.push(BitCost { entity, part, bits });
    }
}

/// Decodes by `D` and records what the bits encode.
pub(super) struct Metered<'a, D> {
    decoder: D,
    ledger: &'a mut BitLedger,
    part: Part,
    /// Bits that were read before the current part.
    before: f64,
}

impl<'a, D: Decoder> Metered<'a, D> {
    pub fn new(decoder: D, ledger: &'a mut BitLedger) -> Self {
        Self {
            before: decoder.spent(),
            decoder,
            ledger,
            part: Part::Mask,
        }
    }

    fn settle(&mut self) {
        let spent = self.decoder.spent();
        let bits = spent - std::mem::replace(&mut self.before, spent);
        if bits > 0.0 {
            self.ledger.bit_cost(self.part, bits);
        }
    }

    /// Ends the stream.
    pub fn finish(mut self) -> Result<(), WireError> {
        self.settle();
        self.decoder.finish()
    }
}

impl<D: Decoder> Coder for Metered<'_, D> {
    const DECODES: bool = true;

    fn flag(&mut self, at: usize, flag: bool) -> Result<bool, WireError> {
        self.decoder.flag(at, flag)
    }

    fn number(&mut self, at: usize, number: i32) -> Result<i32, WireError> {
        self.decoder.number(at, number)
    }

    fn raw(&mut self, value: u32, bits: u32) -> Result<u32, WireError> {
        self.decoder.raw(value, bits)
    }

    fn note(&mut self, part: Part) {
        self.settle();
        self.ledger.begun += usize::from(matches!(part, Part::Place | Part::Entity));
        self.part = part;
    }

    fn prepare(&mut self, part: usize, numbers: &Range<usize>, flags: &Range<usize>) {
        self.decoder.prepare(part, numbers, flags);
    }
}
