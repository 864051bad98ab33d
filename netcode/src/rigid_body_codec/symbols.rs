//! What a block is made of: symbols in contexts, and raw bits.

use super::Body;
use super::inputs::Inputs;
use crate::coding::range::{RangeDecoder, RangeEncoder};
use crate::coding::symbols::SymbolTables;
use crate::error::WireError;

/// Kinds of symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whether the block builds upon the usual past.
    Past,
    /// Whether one of a row of bodies at rest wakes.
    Rest,
    /// Whether a body moved, and its mark: the one in bit 0, the other in bit 1.
    Presence,
    /// Which of a rotation's components, sorted as expected, is the largest.
    Rank,
    /// What is left over of a position or a rotation.
    Residual,
}

/// All kinds.
pub const PARTS: [Part; 5] = [Part::Past, Part::Rest, Part::Presence, Part::Rank, Part::Residual];

impl Part {
    /// Contexts and symbols of each.
    pub const fn size(self) -> (usize, usize) {
        match self {
            Part::Past | Part::Rest => (1, 2),
            Part::Presence => (PRESENCE_CONTEXTS, 4),
            Part::Rank => (RANK_CONTEXTS, 4),
            Part::Residual => (RESIDUAL_CONTEXTS, RESIDUAL_SYMBOLS),
        }
    }
}

/// Distances from the player that count for presence.
pub const DISTANCES: usize = 16;
const PRESENCE_CONTEXTS: usize = 8 * DISTANCES;

/// Margins between the two largest components of a rotation, and degrees of certainty that count
/// for its rank.
pub const MARGINS: usize = 16;
/// See [`MARGINS`].
pub const RANK_DEGREES: usize = 7;
const RANK_CONTEXTS: usize = MARGINS * RANK_DEGREES;

/// Degrees of certainty: quarters of the natural logarithm of the size of what is left over, from
/// minus 1.5.
pub const DEGREES: usize = 28;
/// Degrees in which it matters where between two grid values the expected one is.
pub const FINE: usize = 8;
/// How wrong the residuals before were for their degree.
pub const SURPRISES: usize = 7;
/// Numbers that are told apart: z, x and y, the first of a rotation, its others.
pub const SETS: usize = 4;
const RESIDUAL_CONTEXTS: usize = SETS * SURPRISES * (DEGREES + FINE);

/// Residuals up to this have a symbol each.
const SMALL: u32 = 7;
/// Larger ones have four symbols for each doubling, up to this many doublings of 1; what is more
/// has one symbol.
const DOUBLINGS: u32 = 12;
const SMALL_SYMBOLS: usize = 2 * SMALL as usize + 1;
/// Symbols of a residual.
pub const RESIDUAL_SYMBOLS: usize = SMALL_SYMBOLS + 4 * (DOUBLINGS as usize - 3) + 1;
const HUGE: usize = RESIDUAL_SYMBOLS - 1;
/// More doublings than a residual within the limits of a body can have.
const TOO_MANY: u32 = 21;

/// One direction: it writes what it is given, or reads; it gives back what it wrote or read.
pub trait SymbolCoder {
    /// Whether it reads.
    const DECODES: bool;

    /// A symbol in a context.
    fn symbol(&mut self, part: Part, context: usize, symbol: usize) -> usize;

    /// The low `bits` of a number of which nothing is known.
    fn raw(&mut self, value: u32, bits: u32) -> Result<u32, WireError>;

    /// A body that changed will come next, which can be no lower than `floor`. Trainers look,
    /// others have no use for it.
    fn look(&mut self, _inputs: &Inputs, _floor: i32, _before: Body, _now: Body) {}
}

/// The tables of all kinds.
#[derive(Clone, Debug)]
pub struct Tables(pub [SymbolTables; PARTS.len()]);

/// Writes a block.
pub struct Writer<'a> {
    /// The stream.
    pub coder: RangeEncoder<'a>,
    /// The tables.
    pub tables: &'a Tables,
}

/// Reads a block.
pub struct Reader<'a> {
    /// The stream.
    pub coder: RangeDecoder<'a>,
    /// The tables.
    pub tables: &'a Tables,
}

impl SymbolCoder for Writer<'_> {
    const DECODES: bool = false;

    #[inline(always)]
    fn symbol(&mut self, part: Part, context: usize, symbol: usize) -> usize {
        self.coder.symbol(&self.tables.0[part as usize], context, symbol);
        symbol
    }

    #[inline]
    fn raw(&mut self, value: u32, bits: u32) -> Result<u32, WireError> {
        crate::coding::Coder::raw(&mut self.coder, value, bits)
    }
}

impl SymbolCoder for Reader<'_> {
    const DECODES: bool = true;

    #[inline(always)]
    fn symbol(&mut self, part: Part, context: usize, _: usize) -> usize {
        self.coder.symbol(&self.tables.0[part as usize], context)
    }

    #[inline]
    fn raw(&mut self, _: u32, bits: u32) -> Result<u32, WireError> {
        crate::coding::Coder::raw(&mut self.coder, 0, bits)
    }
}

/// A grid value, of which a value between grid values was expected. `set` tells which number it is,
/// `degree` how sure, `surprise` how wrong those before were.
#[inline(always)]
pub fn code_residual<C: SymbolCoder>(
    coder: &mut C,
    (set, degree, surprise): (usize, usize, usize),
    expected: f32,
    actual: i32,
) -> Result<i32, WireError> {
    let near = (expected + 0.5).floor();
    let (above, away) = (expected >= near, (expected - near).abs() > 0.25);
    let near = near as i32;
    let fine = if degree < FINE { 2 * degree + usize::from(away) } else { degree + FINE };
    let context = (set * SURPRISES + surprise) * (DEGREES + FINE) + fine;
    let toward = if above { actual.wrapping_sub(near) } else { near.wrapping_sub(actual) };
    let toward = code_signed(coder, context, toward)?;
    Ok(if above { near.wrapping_add(toward) } else { near.wrapping_sub(toward) })
}

/// A number whose positive side is a bit more likely than its negative one.
#[inline]
fn code_signed<C: SymbolCoder>(
    coder: &mut C,
    context: usize,
    number: i32,
) -> Result<i32, WireError> {
    let magnitude = number.unsigned_abs();
    let doublings = 31 - magnitude.max(1).leading_zeros();
    let symbol = match magnitude {
        0..=SMALL => 2 * magnitude as usize - usize::from(number > 0),
        _ if doublings < DOUBLINGS => {
            SMALL_SYMBOLS
                + 4 * (doublings as usize - 3)
                + (magnitude >> (doublings - 2) & 3) as usize
        }
        _ => HUGE,
    };
    let symbol = coder.symbol(Part::Residual, context, symbol);
    if symbol < SMALL_SYMBOLS {
        let magnitude = symbol.div_ceil(2) as i32;
        return Ok(if symbol % 2 == 1 { magnitude } else { -magnitude });
    }
    let (doublings, known, top) = match symbol {
        HUGE => (coder.raw(doublings, 5)?, 0, 1),
        _ => {
            let large = (symbol - SMALL_SYMBOLS) as u32;
            (large / 4 + 3, 2, 4 + large % 4)
        }
    };
    if doublings >= TOO_MANY {
        return Err(WireError::Malformed("a body too far away"));
    }
    let left = doublings - known.min(doublings);
    let low_and_sign = (magnitude & ((1 << left) - 1)) << 1 | u32::from(number < 0);
    let low_and_sign = coder.raw(low_and_sign, left + 1)?;
    let (low, negative) = (low_and_sign >> 1, low_and_sign & 1 == 1);
    let magnitude = (top << left | low) as i32;
    Ok(if negative { -magnitude } else { magnitude })
}
