//! Benchmark of packing and unpacking bits.

#![allow(missing_docs, reason = "criterion's macros define functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use truetick_netcode::bits::{BitReader, BitWriter};

const COUNT: u32 = 1_000;

fn width(i: u32) -> u32 {
    1 + i % 18
}

fn packed() -> BitWriter {
    let mut writer = BitWriter::new();
    for i in 0..COUNT {
        writer.write(i & ((1 << width(i)) - 1), width(i));
    }
    writer.pad_to_byte();
    writer
}

fn golomb() -> BitWriter {
    let mut writer = BitWriter::new();
    (0..COUNT).for_each(|i| writer.write_golomb(i % 200, 5));
    writer.pad_to_byte();
    writer
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bits");
    group.throughput(Throughput::Elements(u64::from(COUNT)));
    group.bench_function("write", |bencher| bencher.iter(|| black_box(packed())));
    group.bench_function("write_golomb", |bencher| {
        bencher.iter(|| black_box(golomb()))
    });
    let (fields, codes) = (packed(), golomb());
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let mut reader = BitReader::new(fields.bytes());
            (0..COUNT)
                .map(|i| reader.read(width(i)).unwrap_or(0))
                .fold(0, u32::wrapping_add)
        });
    });
    group.bench_function("read_golomb", |bencher| {
        bencher.iter(|| {
            let mut reader = BitReader::new(codes.bytes());
            (0..COUNT)
                .map(|_| reader.read_golomb(5).unwrap_or(0))
                .fold(0, u32::wrapping_add)
        });
    });
    group.bench_function("append", |bencher| {
        let mut target = BitWriter::new();
        bencher.iter(|| {
            target.clear();
            target.write(5, 3);
            target.append(fields.bytes(), 0, fields.bit_len());
            black_box(target.bit_len())
        });
    });
    group.finish();
    let mut reader = BitReader::new(fields.bytes());
    assert!((0..COUNT).all(|i| reader.read(width(i)) == Ok(i & ((1 << width(i)) - 1))));
}

criterion_group!(benches, bench);
criterion_main!(benches);
