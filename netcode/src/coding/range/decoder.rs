//! The decoder of the range coder, which reads zeros past the end of a stream.

use std::ops::Range;

use super::super::prior::{Node, Tables, UNARY, second_bit};
use super::super::symbols::{SymbolTables, TOTAL_BITS};
use super::super::{Coder, Decoder};
use super::{Contexts, learn};
use crate::error::WireError;

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
