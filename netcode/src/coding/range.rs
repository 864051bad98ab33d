//! An adaptive binary range coder: 32 bits of range, probabilities of 12 bits that adapt with use.
//!
//! Trailing zero bytes are omitted from a stream: the decoder reads zeros past the end.

use std::ops::Range;

use super::prior::{NODES, Node, Tables, UNARY, second_bit};
use super::symbols::{SymbolTables, TOTAL_BITS};
use super::{Coder, Decoder, Encoder};
use crate::error::WireError;

/// Adaptation rate by use count: a node moves towards the outcome by 1/2^rate of the distance.
const RATE: [u16; 16] = [1, 2, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5];

#[inline]
fn learn(node: &mut Node, one: bool) {
    let (p, uses) = (*node >> 4, *node & 15);
    let rate = RATE[usize::from(uses)];
    let p = if one {
        p + ((4096 - p) >> rate)
    } else {
        p - (p >> rate)
    };
    *node = p.clamp(32, 4064) << 4 | (uses + 1).min(15);
}

/// Contexts of one stream, initialised from the tables. Only the parts that are used are copied.
#[derive(Clone, Debug, Default)]
pub struct Contexts {
    numbers: Vec<[Node; NODES]>,
    flags: Vec<Node>,
    /// Bit mask of the parts that are initialised.
    ready: u64,
}

impl Contexts {
    fn begin(&mut self, tables: &Tables) {
        self.numbers.resize(tables.numbers.len(), [0; NODES]);
        self.flags.resize(tables.flags.len(), 0);
        self.ready = 0;
    }

    #[inline]
    fn prepare(
        &mut self,
        tables: &Tables,
        part: usize,
        numbers: &Range<usize>,
        flags: &Range<usize>,
    ) {
        if self.ready >> part & 1 == 0 {
            self.ready |= 1 << part;
            self.numbers[numbers.clone()].copy_from_slice(&tables.numbers[numbers.clone()]);
            self.flags[flags.clone()].copy_from_slice(&tables.flags[flags.clone()]);
        }
    }
}

/// Encodes a stream and appends it to a buffer.
pub struct RangeEncoder<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    low: u32,
    range: u32,
    contexts: &'a mut Contexts,
    tables: &'a Tables,
}

impl<'a> RangeEncoder<'a> {
    /// Begins a stream at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, contexts: &'a mut Contexts, tables: &'a Tables) -> Self {
        let start = out.len();
        contexts.begin(tables);
        Self {
            out,
            start,
            low: 0,
            range: u32::MAX,
            contexts,
            tables,
        }
    }

    #[inline]
    fn add(&mut self, low: u32) {
        let (sum, carried) = self.low.overflowing_add(low);
        self.low = sum;
        if carried {
            carry(&mut self.out[self.start..]);
        }
    }

    #[inline]
    fn widen(&mut self) {
        // Branchless, because the number of finished bytes is hard for the branch predictor to
        // guess.
        let due = self.range.leading_zeros() & !7;
        self.out.extend_from_slice(&self.low.to_be_bytes());
        self.out.truncate(self.out.len() - 4 + due as usize / 8);
        self.low <<= due;
        self.range <<= due;
    }

    #[inline]
    fn bit(&mut self, node: Node, one: bool) {
        let bound = (self.range >> 12) * u32::from(node >> 4);
        if one {
            self.range = bound;
        } else {
            self.add(bound);
            self.range -= bound;
        }
        self.widen();
    }

    /// Encodes a symbol with static frequencies, in a context of its tables.
    #[inline(always)]
    pub fn symbol(&mut self, tables: &SymbolTables, context: usize, symbol: usize) {
        let sums = tables.sums(context);
        let unit = self.range >> TOTAL_BITS;
        let below = unit * sums[symbol] as u32;
        self.add(below);
        // The remainder of the division belongs to the last symbol.
        let last = symbol + 1 == tables.symbols();
        self.range = if last {
            self.range
        } else {
            unit * sums[symbol + 1] as u32
        } - below;
        self.widen();
    }

    /// Ends the stream with the fewest bytes that identify it.
    pub fn finish(mut self) {
        for zeros in [24, 16, 8, 0] {
            let mask = (1u32 << zeros) - 1;
            let Some(up) = self.low.checked_add(mask).map(|sum| sum & !mask) else {
                // The next multiple is past the top of `low`: it is a carry and nothing else.
                if (u64::from(self.low) + u64::from(self.range)) > 1 << 32 {
                    carry(&mut self.out[self.start..]);
                    self.low = 0;
                    break;
                }
                continue;
            };
            if up - self.low < self.range {
                self.low = up;
                break;
            }
        }
        while self.low != 0 {
            self.out.push((self.low >> 24) as u8);
            self.low <<= 8;
        }
        while self.out.len() > self.start && self.out.last() == Some(&0) {
            self.out.pop();
        }
    }
}

#[cold]
fn carry(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
}

impl Coder for RangeEncoder<'_> {
    const DECODES: bool = false;

    #[inline]
    fn flag(&mut self, at: usize, flag: bool) -> Result<bool, WireError> {
        self.bit(self.contexts.flags[at], flag);
        learn(&mut self.contexts.flags[at], flag);
        Ok(flag)
    }

    #[inline]
    fn number(&mut self, at: usize, number: i32) -> Result<i32, WireError> {
        let magnitude = number.unsigned_abs();
        let length = (32 - magnitude.leading_zeros()) as usize;
        self.node(at, 0, length == 0);
        if length == 0 {
            return Ok(0);
        }
        let unary = length.min(UNARY);
        for shorter in 1..unary {
            self.node(at, shorter, true);
        }
        if unary < UNARY {
            self.node(at, unary, false);
        } else {
            self.raw(length as u32 - UNARY as u32, 5)?;
        }
        // The bits below the highest one: the first of them in a context, the others raw, then the
        // sign.
        let mut rest = length as u32 - 1;
        if (2..UNARY).contains(&length) {
            rest -= 1;
            self.node(at, second_bit(length), magnitude >> rest & 1 == 1);
        }
        self.raw(magnitude & ((1u64 << rest) - 1) as u32, rest)?;
        self.raw(u32::from(number < 0), 1)?;
        Ok(number)
    }

    #[inline]
    fn raw(&mut self, value: u32, bits: u32) -> Result<u32, WireError> {
        let mut left = bits;
        while left > 0 {
            let take = left.min(8);
            left -= take;
            self.range >>= take;
            self.add((value >> left & ((1 << take) - 1)) * self.range);
            self.widen();
        }
        Ok(value)
    }

    #[inline]
    fn prepare(&mut self, part: usize, numbers: &Range<usize>, flags: &Range<usize>) {
        self.contexts.prepare(self.tables, part, numbers, flags);
    }
}

impl Encoder for RangeEncoder<'_> {
    fn bytes(&self) -> usize {
        self.out.len() - self.start
    }
}

impl RangeEncoder<'_> {
    #[inline]
    fn node(&mut self, at: usize, node: usize, one: bool) {
        let p = self.contexts.numbers[at][node];
        self.bit(p, one);
        learn(&mut self.contexts.numbers[at][node], one);
    }
}

/// Decodes a stream.
pub struct RangeDecoder<'a> {
    bytes: &'a [u8],
    at: usize,
    code: u32,
    range: u32,
    contexts: &'a mut Contexts,
    tables: &'a Tables,
}

/// In tables of at most this many symbols, the first symbol is the most likely and is tested first.
const FEW: usize = 4;

const OUT_OF_RANGE: WireError = WireError::Malformed("a code that no encoder makes");

impl<'a> RangeDecoder<'a> {
    /// Begins to read the stream in `bytes`. `contexts` may be reused; `tables` must equal the
    /// encoder's.
    pub fn new(bytes: &'a [u8], contexts: &'a mut Contexts, tables: &'a Tables) -> Self {
        contexts.begin(tables);
        let mut decoder = Self {
            bytes,
            at: 0,
            code: 0,
            range: u32::MAX,
            contexts,
            tables,
        };
        decoder.code = decoder.next_four();
        decoder.at = 4;
        decoder
    }

    /// Returns the next four bytes, with zeros past the end.
    #[inline]
    fn next_four(&self) -> u32 {
        match self.bytes.get(self.at..self.at + 4) {
            Some(four) => u32::from_be_bytes([four[0], four[1], four[2], four[3]]),
            None => self.last_bytes(),
        }
    }

    #[cold]
    fn last_bytes(&self) -> u32 {
        let byte = |at: usize| self.bytes.get(self.at + at).copied().unwrap_or(0);
        u32::from_be_bytes([byte(0), byte(1), byte(2), byte(3)])
    }

    #[inline]
    fn widen(&mut self) {
        let due = self.range.leading_zeros() & !7;
        let next = u64::from(self.next_four()) << due >> 32;
        self.code = self.code << due | next as u32;
        self.range <<= due;
        self.at += due as usize / 8;
    }

    #[inline]
    fn bit(&mut self, node: Node) -> bool {
        let bound = (self.range >> 12) * u32::from(node >> 4);
        let one = self.code < bound;
        if one {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        self.widen();
        one
    }

    /// Decodes a symbol with static frequencies, in a context of its tables.
    #[inline(always)]
    pub fn symbol(&mut self, tables: &SymbolTables, context: usize) -> usize {
        let sums = tables.sums(context);
        let unit = self.range >> TOTAL_BITS;
        let first = unit * sums[1] as u32;
        if tables.symbols() <= FEW && self.code < first {
            self.range = first;
            self.widen();
            return 0;
        }
        let symbol = SymbolTables::find(sums, self.code / unit);
        let below = unit * sums[symbol] as u32;
        let last = symbol + 1 == tables.symbols();
        self.code -= below;
        self.range = if last {
            self.range
        } else {
            unit * sums[symbol + 1] as u32
        } - below;
        self.widen();
        symbol
    }

    #[inline]
    fn node(&mut self, at: usize, node: usize) -> bool {
        let one = self.bit(self.contexts.numbers[at][node]);
        learn(&mut self.contexts.numbers[at][node], one);
        one
    }
}

impl Coder for RangeDecoder<'_> {
    const DECODES: bool = true;

    #[inline]
    fn flag(&mut self, at: usize, _: bool) -> Result<bool, WireError> {
        let flag = self.bit(self.contexts.flags[at]);
        learn(&mut self.contexts.flags[at], flag);
        Ok(flag)
    }

    #[inline]
    fn number(&mut self, at: usize, _: i32) -> Result<i32, WireError> {
        if self.node(at, 0) {
            return Ok(0);
        }
        let mut length = 1;
        while length < UNARY && self.node(at, length) {
            length += 1;
        }
        if length == UNARY {
            length += self.raw(0, 5)? as usize;
            if length > 32 {
                return Err(OUT_OF_RANGE);
            }
        }
        let mut magnitude = 1u32;
        let mut rest = length as u32 - 1;
        if (2..UNARY).contains(&length) {
            rest -= 1;
            magnitude = magnitude << 1 | u32::from(self.node(at, second_bit(length)));
        }
        magnitude = (u64::from(magnitude) << rest) as u32 | self.raw(0, rest)?;
        let negative = self.raw(0, 1)? == 1;
        Ok(if negative {
            (magnitude as i32).wrapping_neg()
        } else {
            magnitude as i32
        })
    }

    #[inline]
    fn raw(&mut self, _: u32, bits: u32) -> Result<u32, WireError> {
        let (mut left, mut value) = (bits, 0u32);
        while left > 0 {
            let take = left.min(8);
            left -= take;
            self.range >>= take;
            let part = self.code / self.range;
            if part >> take != 0 {
                return Err(OUT_OF_RANGE);
            }
            self.code -= part * self.range;
            self.widen();
            value = value << take | part;
        }
        Ok(value)
    }

    #[inline]
    fn prepare(&mut self, part: usize, numbers: &Range<usize>, flags: &Range<usize>) {
        self.contexts.prepare(self.tables, part, numbers, flags);
    }
}

impl Decoder for RangeDecoder<'_> {
    fn spent(&self) -> f64 {
        8.0 * self.at as f64 - f64::from(self.range).log2()
    }

    fn finish(self) -> Result<(), WireError> {
        let canonical = self.bytes.last() != Some(&0);
        match canonical && self.at >= self.bytes.len() {
            true => Ok(()),
            false => Err(WireError::Malformed("trailing bytes")),
        }
    }
}
