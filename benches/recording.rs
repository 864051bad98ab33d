//! Benchmark of the world's step alone and with each kind of recording: 64 clients and 64 drones.

#![allow(missing_docs, reason = "criterion's macros define functions")]

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::ArenaCommand;
use truetick_netcode::session::ClientId;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::recording::recorder::{Recorder, RecorderConfig};
use truetick_server::simulation::{Simulation, TickInput};

const CLIENTS: u32 = 64;

struct World {
    simulation: Simulation<ArenaGame>,
    recorder: Option<Recorder<ArenaCommand>>,
    rng: Xoshiro256PlusPlus,
    bytes: usize,
}

impl World {
    fn new(with_state: Option<bool>) -> Self {
        let game = Arc::new(ArenaGame::new(ArenaConfig::default()).expect("a valid schema"));
        let mut simulation = Simulation::new(game, 1).expect("a valid schema");
        let joins = (1..=CLIENTS).map(ClientId).collect();
        simulation.step(TickInput {
            joins,
            ..TickInput::default()
        });
        let recorder = with_state.map(|with_state| {
            let config = RecorderConfig {
                recording: 1,
                game: "bench".into(),
                setup: Vec::new(),
                with_state,
                segment_bytes: usize::MAX,
            };
            Recorder::begin(config, 60, 1, &simulation)
        });
        Self {
            simulation,
            recorder,
            rng: Xoshiro256PlusPlus::seed_from_u64(1),
            bytes: 0,
        }
    }

    fn tick(&mut self) {
        let rng = &mut self.rng;
        let mut command = || ArenaCommand {
            thrust: [rng.random_range(-127..=127), rng.random_range(-127..=127)],
            aim: rng.random_range(0..4_096),
            dash: false,
            fire: rng.random_bool(0.1),
        };
        let commands = (1..=CLIENTS)
            .map(|client| (ClientId(client), command()))
            .collect();
        let input = TickInput {
            commands,
            ..TickInput::default()
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.input(self.simulation.tick().next(), &input);
        }
        self.simulation.step(input);
        if let Some(recorder) = &mut self.recorder {
            recorder.outcome(&self.simulation);
            while let Some(chunk) = recorder.poll() {
                self.bytes += chunk.bytes.len();
            }
        }
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recording");
    for (name, with_state) in [
        ("none", None),
        ("input_and_hashes", Some(false)),
        ("with_state", Some(true)),
    ] {
        let mut world = World::new(with_state);
        (0..600).for_each(|_| world.tick());
        println!(
            "recording/{name}: {:.0} bytes a tick",
            world.bytes as f64 / 600.0
        );
        group.bench_function(name, |bencher| bencher.iter(|| world.tick()));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
