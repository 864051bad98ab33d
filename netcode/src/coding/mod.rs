//! How numbers become bits: the trait of coders, and the tables that they start from.
//!
//! [`range`] is an adaptive binary range coder (Martin 1979; probabilities as in LZMA). It starts
//! each stream from the schema's priors and adapts within the stream, so it keeps no state between
//! packets. [`symbols`] holds static frequency tables with which it codes whole symbols.
//!
//! [`crate::replication::entity`] describes the coded fields once, for both directions.

pub mod prior;
pub mod range;
pub mod symbols;

use std::ops::Range;

use crate::error::WireError;

/// Number of contexts per number. The context depends on the residual that was coded before in the
/// same entity.
pub const CONTEXTS: usize = 4;

/// Selects the context from the residual coded before: 0 for 0, 1 for a magnitude of 1, 2 for 2 to
/// 5, 3 for more.
#[inline]
pub(crate) fn context_after(residual: i32) -> usize {
    match residual.unsigned_abs() {
        0 => 0,
        1 => 1,
        2..=5 => 2,
        _ => 3,
    }
}

/// One direction of a coder. An encoder writes each argument and returns it; a decoder ignores the
/// argument and returns the value that it reads.
pub trait Coder {
    /// Whether this is a decoder.
    const DECODES: bool;

    /// Codes a flag in the context `at` of [`prior::Tables::flags`].
    ///
    /// # Errors
    /// A decoder returns [`WireError::Malformed`] for bits that no encoder writes.
    fn flag(&mut self, at: usize, flag: bool) -> Result<bool, WireError>;

    /// Codes a signed number, mostly a small one, in the context `at` of
    /// [`prior::Tables::numbers`].
    ///
    /// # Errors
    /// A decoder returns [`WireError::Malformed`] for bits that no encoder writes.
    fn number(&mut self, at: usize, number: i32) -> Result<i32, WireError>;

    /// Codes the low `bits` (0 to 32) of a number with equal probabilities.
    ///
    /// # Errors
    /// A decoder returns [`WireError::Malformed`] for bits that no encoder writes.
    fn raw(&mut self, value: u32, bits: u32) -> Result<u32, WireError>;

    /// Marks the purpose of the bits that follow, for coders that count bits. The default ignores
    /// it.
    #[inline]
    fn note(&mut self, _part: Part) {}

    /// Initialises the contexts of `part` (0 to 63), which are these ranges of numbers and flags,
    /// unless this stream has done so before.
    fn prepare(&mut self, part: usize, numbers: &Range<usize>, flags: &Range<usize>);
}

/// Purpose of the bits in a stream, for bit accounting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The mask of the slots that a block delta holds.
    Mask,
    /// Start of an entity in an individual stream: its slot and its baseline.
    Place,
    /// Start of an entity in a block delta.
    Entity,
    /// Identity of an entity that is sent whole: audience, generation and kind.
    Identity,
    /// Whether any field of a component differs from its estimate; holds the index of the
    /// component's first coded field in the kind.
    Change(usize),
    /// A field; holds its index in the kind.
    Field(usize),
}

/// A coder that reads.
pub trait Decoder: Coder {
    /// Bits read so far, measured as information; not necessarily a whole number.
    fn spent(&self) -> f64;

    /// Checks that the stream ends here.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if bytes are left over.
    fn finish(self) -> Result<(), WireError>;
}

/// A coder that writes.
pub trait Encoder: Coder {
    /// Length of the stream so far, in bytes. Finishing it may add up to four bytes.
    fn bytes(&self) -> usize;
}
