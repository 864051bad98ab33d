//! How numbers become bits: the coder's trait, and the tables that it starts from.
//!
//! [`range`] is an adaptive binary range coder (Martin 1979; probabilities as in LZMA). It starts
//! each stream from the schema's priors and learns within the stream, so that it keeps no state
//! between packets. With [`symbols`] it codes whole symbols of static frequencies instead.
//!
//! [`crate::replication::entity`] writes what is coded once, for both directions.

pub mod prior;
pub mod range;
pub mod symbols;

use std::ops::Range;

use crate::error::WireError;

/// Contexts of one number: which of them depends on what was coded before it in the same entity.
pub const CONTEXTS: usize = 4;

/// The context that follows from the residual before: 0, about 1, a few, more.
#[inline]
pub fn context_after(residual: i32) -> usize {
    match residual.unsigned_abs() {
        0 => 0,
        1 => 1,
        2..=5 => 2,
        _ => 3,
    }
}

/// One direction of one coder. An encoder writes what it is given and gives it back; a decoder
/// ignores what it is given and returns what it reads.
pub trait Coder {
    /// Whether this is a decoder.
    const DECODES: bool;

    /// A yes or no, in the context `at` of [`prior::Tables::flags`].
    fn flag(&mut self, at: usize, flag: bool) -> Result<bool, WireError>;

    /// A signed number, mostly small, in the context `at` of [`prior::Tables::numbers`].
    fn number(&mut self, at: usize, number: i32) -> Result<i32, WireError>;

    /// The low `bits` (0 to 32) of a number of which nothing is known.
    fn raw(&mut self, value: u32, bits: u32) -> Result<u32, WireError>;

    /// Says what the bits from here on are for. Only who counts them listens.
    #[inline]
    fn note(&mut self, _part: Part) {}

    /// Makes a part of the contexts ready, if it is not in this stream: the `part`th of 64, which
    /// has these numbers and flags.
    fn prepare(&mut self, part: usize, numbers: &Range<usize>, flags: &Range<usize>);
}

/// What bits of a stream are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Which slots of a block there are.
    Mask,
    /// An entity of a loose stream begins: its slot and what it builds on.
    Place,
    /// An entity of a block begins.
    Entity,
    /// Who an entity is that is whole.
    Identity,
    /// Whether a component is otherwise than foreseen: the one whose first field has this place in
    /// the kind.
    Change(usize),
    /// A field, by its place in the kind.
    Field(usize),
}

/// A coder that reads.
pub trait Decoder: Coder {
    /// Bits read so far: their information, which need not be whole.
    fn spent(&self) -> f64;

    /// Checks that the stream ends here.
    fn finish(self) -> Result<(), WireError>;
}

/// A coder that writes.
pub trait Encoder: Coder {
    /// Bytes of the stream so far; its end may add four.
    fn bytes(&self) -> usize;
}
