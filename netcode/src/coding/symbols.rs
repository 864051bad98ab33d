//! Static frequencies of symbols, for the range coder: whole symbols in one step, nothing learned.

/// Frequencies of a context add up to this, as a power of two.
pub const TOTAL_BITS: u32 = 14;

const TOTAL: u32 = 1 << TOTAL_BITS;

/// Parts of the total for which the first symbol is looked up.
const PARTS_BITS: u32 = 6;

/// Frequencies of some contexts with the same symbols.
#[derive(Clone, Debug)]
pub struct SymbolTables {
    symbols: usize,
    /// For each context the sums of the frequencies before each symbol, and of all.
    sums: Vec<u16>,
    /// For each context and part of the total the first symbol that reaches into it.
    first: Vec<u8>,
}

impl SymbolTables {
    /// Tables of contexts with so many symbols (2 to 255), from the weights of all contexts' symbols, one after the other. No
    /// symbol is impossible, whatever its weight.
    pub fn new(symbols: usize, weights: &[u16]) -> Self {
        debug_assert!((2..256).contains(&symbols) && weights.len().is_multiple_of(symbols));
        let mut tables = Self { symbols, sums: Vec::new(), first: Vec::new() };
        for context in weights.chunks_exact(symbols) {
            tables.push(context);
        }
        tables
    }

    fn push(&mut self, weights: &[u16]) {
        let all: u64 = weights.iter().map(|weight| u64::from(*weight)).sum::<u64>().max(1);
        let free = u64::from(TOTAL) - self.symbols as u64;
        let start = self.sums.len();
        let mut before = 0u64;
        for (symbol, weight) in weights.iter().enumerate() {
            self.sums.push((symbol as u64 + before * free / all) as u16);
            before += u64::from(*weight);
        }
        self.sums.push(TOTAL as u16);
        let sums = &self.sums[start..];
        for part in 0..1u16 << PARTS_BITS {
            let value = part << (TOTAL_BITS - PARTS_BITS);
            let first = sums[1..self.symbols].iter().take_while(|sum| **sum <= value).count();
            self.first.push(first as u8);
        }
    }

    /// The sums of a context.
    #[inline]
    pub(super) fn sums(&self, context: usize) -> &[u16] {
        &self.sums[context * (self.symbols + 1)..][..self.symbols + 1]
    }

    /// The symbol of a context that a value below the total belongs to.
    #[inline]
    pub(super) fn find(&self, context: usize, value: u32) -> usize {
        let part = value.min(TOTAL - 1) >> (TOTAL_BITS - PARTS_BITS);
        let first = usize::from(self.first[(context << PARTS_BITS) + part as usize]);
        let sums = &self.sums(context)[..self.symbols];
        let above = sums[first + 1..].iter().take_while(|sum| u32::from(**sum) <= value).count();
        first + above
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coding::prior::Tables;
    use crate::coding::range::{Contexts, RangeDecoder, RangeEncoder};

    proptest! {
        #[test]
        fn symbols_return(
            weights in proptest::collection::vec(prop_oneof![Just(0u16), 0u16..9, any::<u16>()], 3 * 7),
            symbols in proptest::collection::vec((0usize..3, 0usize..7), 0..300),
        ) {
            let tables = SymbolTables::new(7, &weights);
            let (mut contexts, none, mut bytes) = (Contexts::default(), Tables::default(), Vec::new());
            let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, &none);
            symbols.iter().for_each(|(context, symbol)| encoder.symbol(&tables, *context, *symbol));
            encoder.finish();
            let mut decoder = RangeDecoder::new(&bytes, &mut contexts, &none);
            for (context, symbol) in &symbols {
                prop_assert_eq!(decoder.symbol(&tables, *context), *symbol);
            }
            prop_assert!(decoder.finish().is_ok());
        }
    }
}
