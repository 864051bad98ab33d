//! Tests of the header of a snapshot's packet.

use super::*;

/// A header with a value in every field.
fn full_header(lates: Lates) -> SnapshotHeader {
    SnapshotHeader {
        tick: Tick(1_000),
        index: 0,
        last: true,
        feedback: Feedback {
            margin: Some(70),
            lates,
            missing: 200,
            processing: 4,
            skipped: 700,
        },
        removals: vec![NetId {
            slot: 16_383,
            generation: 65_535,
        }],
        deferred: Deferred::These(vec![1, 5, 900]),
        individual_items: 3,
        has_own: true,
        individual_bytes: 77,
        block_deltas: vec![
            DeltaHeader {
                block: 0,
                base: None,
                bytes: 1_000,
            },
            DeltaHeader {
                block: 9,
                base: Some(BaselineRef {
                    tick: Tick(997),
                    gap: 2,
                }),
                bytes: 90,
            },
            DeltaHeader {
                block: 9,
                base: Some(BaselineRef {
                    tick: Tick(3),
                    gap: 0,
                }),
                bytes: 0,
            },
        ],
    }
}

#[test]
fn header_returns() {
    let mut lates = Lates::default();
    (1..=5).for_each(|back| lates.push(Late { back, by: 9 }));
    assert_eq!(
        lates.as_slice().first(),
        Some(&Late { back: 2, by: 9 }),
        "the oldest makes room"
    );
    let header = full_header(lates);
    let mut writer = BitWriter::new();
    header.write(&mut writer);
    writer.pad_to_byte();
    let mut reader = BitReader::new(writer.bytes());
    assert_eq!(SnapshotHeader::read(&mut reader).as_ref(), Ok(&header));
    reader.finish().unwrap();
    let (empty, mut writer) = (
        SnapshotHeader {
            individual_items: 0,
            block_deltas: vec![],
            ..header
        },
        BitWriter::new(),
    );
    empty.write(&mut writer);
    assert_eq!(
        writer.bit_len(),
        empty.bits() + 2 * golomb_bits(0, 2) as usize
    );
}

#[test]
fn a_units_header_takes_the_bits_that_it_says() {
    for (age, gap, bytes) in [(0, 0, 5), (1, 0, 63), (1, 2, 64), (40, 15, 900)] {
        let base = (age > 0).then(|| BaselineRef {
            tick: Tick(100).back(age),
            gap,
        });
        let (block_delta, mut writer) = (
            DeltaHeader {
                block: 7,
                base,
                bytes,
            },
            BitWriter::new(),
        );
        block_delta.write(&mut writer, Tick(100), 4);
        assert_eq!(writer.bit_len(), block_delta.bits(Tick(100), 4));
    }
}
