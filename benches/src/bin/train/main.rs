//! Prints the priors of the schemas of this repository on standard output, and trains the models of
//! rigid bodies:
//!
//! ```text
//! cargo run --release -p truetick-benches --bin train -- walkers > benches/src/walker_priors.rs
//! cargo run --release -p truetick-benches --bin train -- halo > benches/src/halo_priors.rs
//! cargo run --release -p truetick-benches --bin train -- arena FILE > shared/arena/src/priors.rs
//! for model in "fast 16 0 40" "dense 64 32 60"; do set -- $model
//!     cargo run --release -p truetick-benches --bin train -- bodies \
//!         --first $2 --second $3 --rounds $4 --out netcode/rigid-body/src/$1.model \
//!         cubes_train.bin.zst cubes_train2.bin.zst
//! done
//! ```
//!
//! The arena's priors come from a recording (`cargo demo --record FILE`). Sessions of other builds
//! end with "other schema", since the priors are part of the schema.

mod bodies_training;
mod cost;
mod gradient;
mod layer;
mod training;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use training::Training;
use truetick_arena::arena_schema;
use truetick_benches::halo::{Halo, halo_schema};
use truetick_benches::traces::{FLOORS, read_trace};
use truetick_benches::workload::{Motion, Walkers};
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::session::ClientId;
use truetick_rigid_body::Shape;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::files::{read_segments, write_bytes};
use truetick_server::recording::replay::replay;
use truetick_server::simulation::{Simulation, TickInput};

/// Make priors from play, on standard output
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Priors of the workload W(N, M)
    Walkers,
    /// Priors of the halo scene
    Halo,
    /// Priors of the arena, from a recording
    Arena {
        /// Recording of the same build
        recording: PathBuf,
    },
    /// Model of rigid bodies, from traces of cubes
    Bodies {
        /// File of the model
        #[arg(long)]
        out: PathBuf,
        /// Width of the first hidden layer
        #[arg(long)]
        first: u8,
        /// Width of the second hidden layer, or 0
        #[arg(long)]
        second: u8,
        /// Number of passes over the samples
        #[arg(long)]
        rounds: usize,
        /// Traces (.bin or .zst)
        #[arg(required = true)]
        traces: Vec<PathBuf>,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    let command = "cargo run --release -p truetick-benches --bin train --";
    let source = match Arguments::parse().what {
        What::Walkers => workload()?.to_source_of(&format!("{command} walkers")),
        What::Halo => halo()?.to_source_of(&format!("{command} halo")),
        What::Bodies {
            out,
            first,
            second,
            rounds,
            traces,
        } => {
            let traces = traces
                .iter()
                .map(|trace| read_trace(trace))
                .collect::<Result<Vec<_>, _>>()?;
            let shape = Shape {
                first: first.into(),
                second: second.into(),
            };
            let model =
                bodies_training::train(&traces, FLOORS, shape, rounds, |line| eprintln!("{line}"))?;
            return Ok(write_bytes(&out, &model)?);
        }
        What::Arena { recording } => {
            arena(&recording)?.to_source_of(&format!("{command} arena FILE"))
        }
    };
    print!("{source}");
    Ok(())
}

/// The counts of a training, and their schema.
struct Trained(Training, truetick_netcode::schema::Schema);

impl Trained {
    fn to_source_of(&self, made_by: &str) -> String {
        self.0.to_source(&self.1, made_by)
    }
}

const TICKS: u32 = 1_200;

fn workload() -> Result<Trained, Box<dyn Error>> {
    let game = Walkers {
        drones: 200,
        motion: Motion::Random,
    };
    let mut simulation = Simulation::new(Arc::new(game), 777)?;
    let schema = simulation.registry().schema().clone();
    let mut training = Training::default();
    for tick in 0..TICKS {
        let joins = if tick == 0 {
            vec![ClientId(1)]
        } else {
            Vec::new()
        };
        simulation.step(TickInput {
            joins,
            ..TickInput::default()
        });
        if tick >= 20 {
            training.look(&schema, simulation.ring());
        }
    }
    Ok(Trained(training, schema))
}

fn halo() -> Result<Trained, Box<dyn Error>> {
    let (schema, mut ring) = (halo_schema()?, StateRing::new());
    let (mut halo, mut training) = (Halo::new(777), Training::default());
    for tick in 0..TICKS * 3 {
        halo.step(&schema, &mut ring);
        if tick >= 20 {
            training.look(&schema, &ring);
        }
    }
    Ok(Trained(training, schema))
}

fn arena(recording: &std::path::Path) -> Result<Trained, Box<dyn Error>> {
    let schema = arena_schema()?.schema;
    let mut training = Training::default();
    let game = Arc::new(ArenaGame::new(ArenaConfig::default())?);
    replay(&game, &read_segments(recording)?, None, |simulation| {
        if simulation.tick().0 > 300 {
            training.look(&schema, simulation.ring());
        }
    })?;
    Ok(Trained(training, schema))
}
