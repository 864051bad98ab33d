//! Encoding and decoding one player: whole, and as a change against a baseline two ticks old.

#![allow(missing_docs, reason = "criterion's macros define functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use players::moving_players;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::replication::delta::{hash, read_delta, read_whole, write_delta, write_whole};
use truetick_netcode::schema::Audience;
use truetick_shared::arena::arena_schema;

/// Players under thrust, before and after two steps.
mod players {
    use truetick_netcode::schema::Replicate;
    use truetick_shared::arena::components::PlayerBody;
    use truetick_shared::arena::{ArenaCommand, PlayerState, StepConfig, step_player};

    pub fn moving_players(count: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
        (0..count).map(moving_player).collect()
    }

    fn moving_player(i: usize) -> (Vec<u32>, Vec<u32>) {
        let thrust = [(i * 37 % 255) as i16 - 127, (i * 91 % 255) as i16 - 127].map(|axis| axis as i8);
        let command = ArenaCommand { thrust, ..ArenaCommand::default() };
        let mut state = PlayerState { body: start(i), ..PlayerState::default() };
        let mut run = |ticks| {
            for _ in 0..ticks {
                (state, _) = step_player(state, &command, &StepConfig::default());
            }
            fields(&state)
        };
        (run(20), run(2))
    }

    fn start(i: usize) -> PlayerBody {
        let mut grid = [0; 4];
        PlayerBody::default().quantise(&mut grid);
        grid[0] += (i as u32 * 977) % 40_000;
        grid[1] += (i as u32 * 661) % 40_000;
        PlayerBody::restore(&grid)
    }

    fn fields(state: &PlayerState) -> Vec<u32> {
        let mut fields = vec![0; 11];
        state.body.quantise(&mut fields[0..4]);
        state.abilities.quantise(&mut fields[4..8]);
        fields[8] = 100;
        fields
    }
}

const COUNT: usize = 256;

fn bench(criterion: &mut Criterion) {
    let arena = arena_schema().expect("a valid schema");
    let (schema, kind) = (&arena.schema, arena.schema.kind(arena.player));
    let crowd = moving_players(COUNT);
    let audience = Audience::Others;
    let encode = |writer: &mut BitWriter, whole: bool| {
        writer.clear();
        for (before, after) in &crowd {
            match whole {
                true => write_whole(kind, audience, after, writer),
                false => write_delta((schema, kind), audience, (before, after), writer),
            }
        }
        writer.pad_to_byte();
    };
    let mut group = criterion.benchmark_group("entity");
    group.throughput(Throughput::Elements(COUNT as u64));
    for (name, whole) in [("whole", true), ("delta", false)] {
        let mut writer = BitWriter::new();
        group.bench_function(format!("encode_{name}"), |bencher| bencher.iter(|| encode(&mut writer, whole)));
        println!("entity/{name}: {:.1} bytes each", writer.bytes().len() as f64 / COUNT as f64);
        group.bench_function(format!("decode_{name}"), |bencher| {
            bencher.iter(|| {
                let mut reader = BitReader::new(writer.bytes());
                for (before, _) in &crowd {
                    let fields = match whole {
                        true => read_whole(kind, audience, &mut reader),
                        false => read_delta((schema, kind), audience, before, &mut reader),
                    };
                    let _ = black_box(fields);
                }
            });
        });
    }
    group.bench_function("hash", |bencher| {
        bencher
            .iter(|| crowd.iter().map(|(_, after)| hash(kind, audience, after)).fold(0, u64::wrapping_add));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
