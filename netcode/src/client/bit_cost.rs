//! What the bits of a packet's streams are for: a coder that counts while it reads.

use std::ops::Range;

use crate::coding::{Coder, Decoder, Part};
use crate::error::WireError;
use crate::replication::NetId;
use crate::schema::{Audience, KindId};
use crate::tick::Tick;

/// Bits that went to one part of one entity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitCost {
    /// Which entity, by its place in the packet; `None` for what tells which entities there are.
    pub entity: Option<usize>,
    /// What for.
    pub part: Part,
    /// How many: their information, not a whole number where the range coder is used.
    pub bits: f64,
}

/// An entity that a packet told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeteredEntity {
    /// Which.
    pub id: NetId,
    /// Its kind.
    pub kind: KindId,
    /// Whose copy it was.
    pub audience: Audience,
    /// Tick of the state that it built on; `None` where it was whole.
    pub baseline: Option<Tick>,
}

/// What the bits of a packet's streams were for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BitLedger {
    /// In the order of the packet.
    pub bit_costs: Vec<BitCost>,
    /// The entities, in that order too; none if the packet could not be decoded.
    pub entities: Vec<MeteredEntity>,
    begun: usize,
}

impl BitLedger {
    fn bit_cost(&mut self, part: Part, bits: f64) {
        let entity = self.begun.checked_sub(1).filter(|_| part != Part::Mask);
        self.bit_costs.push(BitCost { entity, part, bits });
    }
}

/// Reads as `D` does, and notes what for.
pub(super) struct Metered<'a, D> {
    decoder: D,
    ledger: &'a mut BitLedger,
    part: Part,
    /// What `part` does not answer for.
    before: f64,
}

impl<'a, D: Decoder> Metered<'a, D> {
    pub fn new(decoder: D, ledger: &'a mut BitLedger) -> Self {
        Self { before: decoder.spent(), decoder, ledger, part: Part::Mask }
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
