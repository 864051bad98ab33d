//! Static symbol frequencies for the range coder: it codes a whole symbol in one step and does not
//! adapt.

/// Binary logarithm of the sum of all frequencies of a context.
pub(crate) const TOTAL_BITS: u32 = 14;

const TOTAL: u32 = 1 << TOTAL_BITS;

/// Number of sums that are compared side by side in SIMD lanes.
const ACKED_SETS: usize = 8;

/// Frequencies of several contexts that share one set of symbols.
#[derive(Clone, Debug)]
pub struct SymbolTables {
    symbols: usize,
    /// For each context: the cumulative frequency before each symbol, then the total, padded to
    /// whole SIMD lanes with `i16::MAX`.
    sums: Vec<i16>,
}

impl SymbolTables {
    /// Creates tables of contexts with `symbols` symbols each (2 to 255). `weights` holds the
    /// weights of the first context's symbols, then those of the second one, and so on. Every
    /// symbol stays possible, even with a weight of zero.
    ///
    /// # Panics
    /// In debug builds, if `symbols` is out of range or does not divide the number of weights.
    pub fn new(symbols: usize, weights: &[u16]) -> Self {
        debug_assert!((2..256).contains(&symbols) && weights.len().is_multiple_of(symbols));
        let mut tables = Self {
            symbols,
            sums: Vec::new(),
        };
        for context in weights.chunks_exact(symbols) {
            tables.push(context);
        }
        tables
    }

    fn push(&mut self, weights: &[u16]) {
        let all: u64 = weights
            .iter()
            .map(|weight| u64::from(*weight))
            .sum::<u64>()
            .max(1);
        let free = u64::from(TOTAL) - self.symbols as u64;
        let mut before = 0u64;
        for (symbol, weight) in weights.iter().enumerate() {
            self.sums.push((symbol as u64 + before * free / all) as i16);
            before += u64::from(*weight);
        }
        self.sums.push(TOTAL as i16);
        self.sums
            .resize(self.sums.len().next_multiple_of(ACKED_SETS), i16::MAX);
    }

    /// Number of symbols in each context.
    #[inline]
    pub(super) fn symbols(&self) -> usize {
        self.symbols
    }

    /// Cumulative frequencies of a context, with padding.
    #[inline]
    pub(super) fn sums(&self, context: usize) -> &[i16] {
        let stride = (self.symbols + 1).next_multiple_of(ACKED_SETS);
        &self.sums[context * stride..][..stride]
    }

    /// Finds the symbol whose interval contains a value. It compares all sums, because a loop with
    /// an early exit would cost more in branch mispredictions.
    #[inline(always)]
    pub(super) fn find(sums: &[i16], value: u32) -> usize {
        let value = value.min(TOTAL - 1) as i16;
        let mut reached = [0i16; ACKED_SETS];
        for sums in sums.chunks_exact(ACKED_SETS) {
            for lane in 0..ACKED_SETS {
                reached[lane] += i16::from(sums[lane] <= value);
            }
        }
        reached.iter().sum::<i16>() as usize - 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coding::Decoder;
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
