//! Benchmark of encoding and decoding one player, whole and as a delta against states two and four
//! ticks old.

#![allow(missing_docs, reason = "criterion's macros define functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use players::moving_players;
use truetick_arena::arena_schema;
use truetick_netcode::coding::Coder;
use truetick_netcode::coding::range::{Contexts, RangeDecoder, RangeEncoder};
use truetick_netcode::replication::entity::{Baselines, code_change, code_whole, hash};
use truetick_netcode::schema::{Audience, KindInfo, class_of};

/// Players under thrust, at three ticks.
mod players {
    use truetick_arena::components::PlayerBody;
    use truetick_arena::{ArenaCommand, PlayerState, StepConfig, step_player};
    use truetick_netcode::schema::Replicate;

    /// Three states of each player, two ticks apart, oldest first.
    pub fn moving_players(count: usize) -> Vec<[Vec<u32>; 3]> {
        (0..count).map(moving_player).collect()
    }

    fn moving_player(i: usize) -> [Vec<u32>; 3] {
        let thrust =
            [(i * 37 % 255) as i16 - 127, (i * 91 % 255) as i16 - 127].map(|axis| axis as i8);
        let command = ArenaCommand {
            thrust,
            ..ArenaCommand::default()
        };
        let mut state = PlayerState {
            body: start(i),
            ..PlayerState::default()
        };
        let mut run = |ticks| {
            for _ in 0..ticks {
                (state, _) = step_player(state, &command, &StepConfig::default());
            }
            fields(&state)
        };
        [run(20), run(2), run(2)]
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

/// Codes all players. `fields` holds the state that is sent or received.
fn code<C: Coder>(
    coder: &mut C,
    kind: &KindInfo,
    crowd: &[[Vec<u32>; 3]],
    whole: bool,
    fields: &mut Vec<u32>,
) {
    coder.prepare(0, &kind.contexts.numbers, &kind.contexts.flags);
    for [older, base, now] in crowd {
        fields.clone_from(if C::DECODES { base } else { now });
        let coded = match whole {
            true => code_whole(coder, kind, Audience::Others, fields),
            false => {
                let past = Baselines {
                    age: 2,
                    base,
                    older: Some((older, 2)),
                };
                code_change(coder, kind, Audience::Others, &past, fields)
            }
        };
        assert!(coded.is_ok());
    }
}

fn bench(criterion: &mut Criterion) {
    let arena = arena_schema().expect("a valid schema");
    let kind = arena.schema.kind(arena.player);
    let crowd = moving_players(COUNT);
    let (mut contexts, mut fields) = (Contexts::default(), Vec::new());
    let mut group = criterion.benchmark_group("entity");
    group.throughput(Throughput::Elements(COUNT as u64));
    for (name, whole) in [("whole", true), ("change", false)] {
        let tables = arena
            .schema
            .tables(if whole { 0 } else { class_of(2, true) });
        let mut bytes = Vec::new();
        group.bench_function(format!("range_encode_{name}"), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, tables);
                code(&mut encoder, kind, &crowd, whole, &mut fields);
                encoder.finish();
            });
        });
        println!(
            "entity/range {name}: {:.2} bytes each",
            bytes.len() as f64 / COUNT as f64
        );
        group.bench_function(format!("range_decode_{name}"), |bencher| {
            bencher.iter(|| {
                code(
                    &mut RangeDecoder::new(&bytes, &mut contexts, tables),
                    kind,
                    &crowd,
                    whole,
                    &mut fields,
                );
                black_box(&fields);
            });
        });
    }
    group.bench_function("hash", |bencher| {
        let audience = Audience::Others;
        bencher.iter(|| {
            crowd
                .iter()
                .map(|[.., now]| hash(kind, audience, now))
                .fold(0, u64::wrapping_add)
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
