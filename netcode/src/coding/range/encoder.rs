//! The encoder of the range coder.

use std::ops::Range;

use super::super::prior::{Node, Tables, UNARY, second_bit};
use super::super::symbols::{SymbolTables, TOTAL_BITS};
use super::super::{Coder, Encoder};
use super::{Contexts, learn};
use crate::error::WireError;

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
