//! Static prefix codes: no probabilities, no state.

use std::ops::Range;

use super::prior::{Golomb, Tables};
use super::{Coder, Decoder, Encoder};
use crate::bits::{BitReader, BitWriter, unzigzag, zigzag};
use crate::error::WireError;

/// Writes bits.
pub struct PrefixEncoder<'a> {
    writer: &'a mut BitWriter,
    tables: &'a Tables,
}

impl<'a> PrefixEncoder<'a> {
    /// Appends to what `writer` holds.
    pub fn new(writer: &'a mut BitWriter, tables: &'a Tables) -> Self {
        Self { writer, tables }
    }
}

impl Coder for PrefixEncoder<'_> {
    const DECODES: bool = false;

    #[inline]
    fn flag(&mut self, _: usize, flag: bool) -> Result<bool, WireError> {
        self.writer.write_flag(flag);
        Ok(flag)
    }

    #[inline]
    fn number(&mut self, at: usize, number: i32) -> Result<i32, WireError> {
        let Golomb { flagged, order } = self.tables.golomb[at];
        if flagged {
            self.writer.write_flag(number != 0);
            if number == 0 {
                return Ok(0);
            }
        }
        self.writer.write_golomb(zigzag(number), u32::from(order));
        Ok(number)
    }

    #[inline]
    fn raw(&mut self, value: u32, bits: u32) -> Result<u32, WireError> {
        self.writer.write(value, bits);
        Ok(value)
    }

    #[inline]
    fn prepare(&mut self, _: usize, _: &Range<usize>, _: &Range<usize>) {}
}

impl Encoder for PrefixEncoder<'_> {
    fn bytes(&self) -> usize {
        self.writer.bit_len().div_ceil(8)
    }
}

/// Reads bits.
pub struct PrefixDecoder<'a> {
    reader: BitReader<'a>,
    start: usize,
    tables: &'a Tables,
}

impl<'a> PrefixDecoder<'a> {
    /// Reads the stream that `bytes` is.
    pub fn new(bytes: &'a [u8], tables: &'a Tables) -> Self {
        let reader = BitReader::new(bytes);
        Self { start: reader.remaining(), reader, tables }
    }
}

impl Decoder for PrefixDecoder<'_> {
    fn spent(&self) -> f64 {
        (self.start - self.reader.remaining()) as f64
    }

    fn finish(self) -> Result<(), WireError> {
        self.reader.finish()
    }
}

impl Coder for PrefixDecoder<'_> {
    const DECODES: bool = true;

    #[inline]
    fn flag(&mut self, _: usize, _: bool) -> Result<bool, WireError> {
        self.reader.read_flag()
    }

    #[inline]
    fn number(&mut self, at: usize, _: i32) -> Result<i32, WireError> {
        let Golomb { flagged, order } = self.tables.golomb[at];
        if flagged && !self.reader.read_flag()? {
            return Ok(0);
        }
        Ok(unzigzag(self.reader.read_golomb(u32::from(order))?))
    }

    #[inline]
    fn raw(&mut self, _: u32, bits: u32) -> Result<u32, WireError> {
        self.reader.read(bits)
    }

    #[inline]
    fn prepare(&mut self, _: usize, _: &Range<usize>, _: &Range<usize>) {}
}

#[cfg(test)]
mod tests {
    use super::super::prior::Prior;
    use super::super::range::{Contexts, RangeDecoder, RangeEncoder};
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Item {
        Flag(usize, bool),
        Number(usize, i32),
        Raw(u32, u32),
    }

    fn item() -> impl Strategy<Value = Item> {
        prop_oneof![
            (0usize..2, any::<bool>()).prop_map(|(at, flag)| Item::Flag(at, flag)),
            (0usize..3, -40i32..40).prop_map(|(at, n)| Item::Number(at, n)),
            (0usize..3, any::<i32>()).prop_map(|(at, n)| Item::Number(at, n)),
            (any::<u32>(), 0u32..=32)
                .prop_map(|(v, b)| Item::Raw((u64::from(v) & ((1u64 << b) - 1)) as u32, b)),
        ]
    }

    fn tables() -> Tables {
        let mut tables = Tables::default();
        for prior in [None, Some(Prior([250, 9, 9, 9, 9, 200, 9, 9, 9, 9])), Some(Prior([3; 10]))] {
            tables.push(prior);
        }
        tables.flags = vec![super::super::prior::node(0.5, 0), super::super::prior::node(0.99, 15)];
        tables
    }

    fn code(coder: &mut impl Coder, items: &[Item]) -> Result<Vec<i64>, WireError> {
        coder.prepare(0, &(0..3), &(0..2));
        items
            .iter()
            .map(|item| match *item {
                Item::Flag(at, flag) => coder.flag(at, flag).map(i64::from),
                Item::Number(at, number) => coder.number(at, number).map(i64::from),
                Item::Raw(value, bits) => coder.raw(value, bits).map(i64::from),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn what_was_coded_is_decoded(items in proptest::collection::vec(item(), 0..200), before in 0usize..3) {
            let (tables, mut contexts) = (tables(), Contexts::default());
            let mut bytes = vec![0xff; before];
            let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, &tables);
            let sent = code(&mut encoder, &items).unwrap();
            encoder.finish();
            prop_assert!(bytes[..before].iter().all(|byte| *byte == 0xff));
            let mut decoder = RangeDecoder::new(&bytes[before..], &mut contexts, &tables);
            prop_assert_eq!(&code(&mut decoder, &items).unwrap(), &sent);
            decoder.finish().unwrap();

            let mut writer = BitWriter::new();
            code(&mut PrefixEncoder::new(&mut writer, &tables), &items).unwrap();
            writer.pad_to_byte();
            let mut decoder = PrefixDecoder::new(writer.bytes(), &tables);
            prop_assert_eq!(&code(&mut decoder, &items).unwrap(), &sent);
            decoder.finish().unwrap();
        }

        #[test]
        fn random_bytes_decode_to_something_or_fail(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            items in proptest::collection::vec(item(), 0..100),
        ) {
            let (tables, mut contexts) = (tables(), Contexts::default());
            let _ = code(&mut RangeDecoder::new(&bytes, &mut contexts, &tables), &items);
            let _ = code(&mut PrefixDecoder::new(&bytes, &tables), &items);
        }
    }

    #[test]
    fn what_is_expected_costs_little() {
        let (tables, mut contexts, mut bytes) = (tables(), Contexts::default(), Vec::new());
        let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, &tables);
        encoder.prepare(0, &(0..3), &(0..2));
        for _ in 0..800 {
            encoder.flag(1, true).unwrap();
        }
        encoder.finish();
        assert!(bytes.len() <= 3, "{}", bytes.len());
    }
}
