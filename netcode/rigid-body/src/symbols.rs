//! The elements of a block: symbols in contexts, and raw bits.

use super::Body;
use super::inputs::Inputs;
use truetick_netcode::coding::range::{RangeDecoder, RangeEncoder};
use truetick_netcode::coding::symbols::SymbolTables;
use truetick_netcode::error::WireError;

/// Kinds of symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whether the block builds on the usual baselines: 0 if it does.
    Past,
    /// Whether one of a row of bodies at rest moves or changes.
    Rest,
    /// Whether a body moved (bit 0), and its mark (bit 1).
    Presence,
    /// Rank of a rotation's largest component in the estimated order.
    Rank,
    /// Residual of a coordinate or of a rotation's component.
    Residual,
}

/// All kinds of symbols, in the order of their tables.
pub const PARTS: [Part; 5] = [
    Part::Past,
    Part::Rest,
    Part::Presence,
    Part::Rank,
    Part::Residual,
];

impl Part {
    /// Numbers of contexts and of symbols of this kind.
    pub const fn size(self) -> (usize, usize) {
        match self {
            Part::Past | Part::Rest => (1, 2),
            Part::Presence => (PRESENCE_CONTEXTS, 4),
            Part::Rank => (RANK_CONTEXTS, 4),
            Part::Residual => (RESIDUAL_CONTEXTS, RESIDUAL_SYMBOLS),
        }
    }
}

/// Number of classes of distance from the player in presence contexts.
pub(crate) const DISTANCES: usize = 16;
const PRESENCE_CONTEXTS: usize = 8 * DISTANCES;

/// Number of classes of the margin between the two largest components of a rotation, in rank
/// contexts.
pub const MARGINS: usize = 16;
/// Number of classes of certainty in rank contexts, each of four degrees.
pub(crate) const RANK_DEGREES: usize = 7;
const RANK_CONTEXTS: usize = MARGINS * RANK_DEGREES;

/// Number of degrees of certainty: quarters of the natural logarithm of a residual's expected size,
/// from -1.5.
pub const DEGREES: usize = 28;
/// Number of the lowest degrees in which the context includes where the estimate is between two
/// grid values.
pub const FINE: usize = 8;
/// Number of classes of surprise: how wrong the previous estimates were for their degree.
pub const SURPRISES: usize = 7;
/// Number of kinds of residuals: z; x and y; the first component of a rotation; its others.
pub(crate) const SETS: usize = 4;
const RESIDUAL_CONTEXTS: usize = SETS * SURPRISES * (DEGREES + FINE);

/// Largest magnitude of a residual that has its own symbol.
const SMALL: u32 = 7;
/// Larger residuals have four symbols for each doubling, below 2 to this power; all beyond share
/// one symbol.
const DOUBLINGS: u32 = 12;
const SMALL_SYMBOLS: usize = 2 * SMALL as usize + 1;
/// Number of symbols of a residual.
pub(crate) const RESIDUAL_SYMBOLS: usize = SMALL_SYMBOLS + 4 * (DOUBLINGS as usize - 3) + 1;
const HUGE: usize = RESIDUAL_SYMBOLS - 1;
/// Number of doublings that no residual of a body within its limits has.
const TOO_MANY: u32 = 21;

/// One direction of a symbol coder: an encoder writes each argument and returns it; a decoder
/// returns what it reads.
pub trait SymbolCoder {
    /// Whether this is a decoder.
    const DECODES: bool;

    /// Codes a symbol in a context.
    fn symbol(&mut self, part: Part, context: usize, symbol: usize) -> usize;

    /// Codes the low `bits` (0 to 32) of a number with equal probabilities.
    ///
    /// # Errors
    /// A decoder returns [`WireError::Malformed`] for bits that no encoder writes.
    fn raw(&mut self, value: u32, bits: u32) -> Result<u32, WireError>;

    /// Announces a changed body that is coded next and is no lower than `floor`. Trainers use it;
    /// the default ignores it.
    fn look(&mut self, _inputs: &Inputs, _floor: i32, _before: Body, _now: Body) {}
}

/// Frequency tables of all kinds of symbols, indexed as [`PARTS`].
#[derive(Clone, Debug)]
pub struct Tables(pub [SymbolTables; PARTS.len()]);

/// Encodes a block.
pub struct Writer<'a> {
    /// Stream that is written.
    pub coder: RangeEncoder<'a>,
    /// Frequency tables of the model.
    pub tables: &'a Tables,
}

/// Decodes a block.
pub struct Reader<'a> {
    /// Stream that is read.
    pub coder: RangeDecoder<'a>,
    /// Frequency tables of the model.
    pub tables: &'a Tables,
}

impl SymbolCoder for Writer<'_> {
    const DECODES: bool = false;

    #[inline(always)]
    fn symbol(&mut self, part: Part, context: usize, symbol: usize) -> usize {
        self.coder
            .symbol(&self.tables.0[part as usize], context, symbol);
        symbol
    }

    #[inline]
    fn raw(&mut self, value: u32, bits: u32) -> Result<u32, WireError> {
        truetick_netcode::coding::Coder::raw(&mut self.coder, value, bits)
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
        truetick_netcode::coding::Coder::raw(&mut self.coder, 0, bits)
    }
}

/// What selects the distribution of a residual.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResidualContext {
    /// Kind of the number: 0 the height, 1 the horizontal position, 2 the first and 3 the further
    /// components of a rotation.
    pub set: usize,
    /// Degree of certainty of the estimate, 0 to [`DEGREES`] - 1; 0 is the most certain.
    pub degree: usize,
    /// How wrong the previous estimates of the same body were, 0 to [`SURPRISES`] - 1.
    pub surprise: usize,
}

/// Codes a grid value whose estimate is between grid values.
///
/// # Errors
/// [`WireError::Malformed`] if the residual is larger than any of a body within its limits.
#[inline(always)]
pub(crate) fn code_residual<C: SymbolCoder>(
    coder: &mut C,
    context: ResidualContext,
    expected: f32,
    actual: i32,
) -> Result<i32, WireError> {
    let ResidualContext {
        set,
        degree,
        surprise,
    } = context;
    let near = (expected + 0.5).floor();
    let (above, away) = (expected >= near, (expected - near).abs() > 0.25);
    let near = near as i32;
    let fine = if degree < FINE {
        2 * degree + usize::from(away)
    } else {
        degree + FINE
    };
    let context = (set * SURPRISES + surprise) * (DEGREES + FINE) + fine;
    let toward = if above {
        actual.wrapping_sub(near)
    } else {
        near.wrapping_sub(actual)
    };
    let toward = code_signed(coder, context, toward)?;
    Ok(if above {
        near.wrapping_add(toward)
    } else {
        near.wrapping_sub(toward)
    })
}

/// Codes a number whose positive values are slightly more likely than its negative ones.
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
        return Ok(if symbol % 2 == 1 {
            magnitude
        } else {
            -magnitude
        });
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
