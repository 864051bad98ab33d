//! Tests of the bit writer and reader.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Item {
    Bits(u32, u32),
    Golomb(u32, u32),
    Bytes(Vec<u8>),
    Wide(u64),
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        (any::<u32>(), 0u32..=32)
            .prop_map(|(v, b)| Item::Bits(if b == 32 { v } else { v & ((1 << b) - 1) }, b)),
        (any::<u32>(), 0u32..=31).prop_map(|(v, k)| Item::Golomb(v, k)),
        (0u32..300, 0u32..=12).prop_map(|(v, k)| Item::Golomb(v, k)),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Item::Bytes),
        any::<u64>().prop_map(Item::Wide),
    ]
}

fn write(items: &[Item]) -> BitWriter {
    let mut writer = BitWriter::new();
    for item in items {
        match item {
            Item::Bits(v, b) => writer.write(*v, *b),
            Item::Golomb(v, k) => {
                let before = writer.bit_len();
                writer.write_golomb(*v, *k);
                assert_eq!(writer.bit_len() - before, golomb_bits(*v, *k) as usize);
            }
            Item::Bytes(b) => writer.write_bytes(b),
            Item::Wide(v) => writer.write_u64(*v),
        }
    }
    writer
}

proptest! {
    #[test]
    fn what_was_written_is_read(items in proptest::collection::vec(item(), 0..60), skew in 0u32..32) {
        let mut inner = write(&items);
        let len = inner.bit_len();
        inner.pad_to_byte();
        let mut writer = BitWriter::new();
        writer.write(0, skew);
        writer.append(inner.bytes(), 0, len);
        writer.pad_to_byte();
        let mut reader = BitReader::new(writer.bytes());
        prop_assert_eq!(reader.read(skew).unwrap(), 0);
        for item in items {
            match item {
                Item::Bits(v, b) => prop_assert_eq!(reader.read(b).unwrap(), v),
                Item::Golomb(v, k) => prop_assert_eq!(reader.read_golomb(k).unwrap(), v),
                Item::Bytes(b) => prop_assert_eq!(reader.read_bytes(b.len()).unwrap(), b),
                Item::Wide(v) => prop_assert_eq!(reader.read_u64().unwrap(), v),
            }
        }
        reader.finish().unwrap();
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), k in 0u32..=31) {
        let mut reader = BitReader::new(&bytes);
        while reader.read_golomb(k).is_ok() {}
        prop_assert!(reader.read_bytes(65).is_err());
    }

    #[test]
    fn zigzag_returns(value in any::<i32>()) {
        prop_assert_eq!(unzigzag(zigzag(value)), value);
    }
}

#[test]
fn line_30_numbers_and_lengths_beyond_their_bounds_are_refused_before_anything_is_made() {
    for k in 0..=31 {
        let mut longest = BitWriter::new();
        longest.write_golomb(u32::MAX, k);
        longest.pad_to_byte();
        assert_eq!(BitReader::new(longest.bytes()).read_golomb(k), Ok(u32::MAX));
        assert!(BitReader::new(&[0; 16]).read_golomb(k).is_err());
        assert!(
            BitReader::new(&[0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])
                .read_golomb(k.max(1))
                .is_err()
        );
    }
    assert!(BitReader::new(&[1, 2, 3]).read_bytes(4).is_err());
}

#[test]
fn line_32_non_zero_padding_is_refused() {
    assert!(BitReader::new(&[0b1000_0000]).finish().is_err());
    let mut reader = BitReader::new(&[0b1000_0001]);
    reader.read(1).unwrap();
    assert!(reader.finish().is_err());
}
