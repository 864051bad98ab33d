//! Cost of encoding and copying for one client and for 200 clients that share its baselines: 256
//! entities, all moving.
//!
//! `cargo run --release -p truetick-benches --bin sharing -- --json PATH`; the keys are described
//! in benches/README.md.

use std::collections::VecDeque;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use serde_json::json;
use truetick_benches::report::give;
use truetick_benches::workload::{Motion, Walkers};
use truetick_netcode::bits::BitWriter;
use truetick_netcode::limits::PAYLOAD_BYTES;
use truetick_netcode::replication::client_view::{ClientView, Interest, Shared};
use truetick_netcode::replication::delta_cache::DeltaCache;
use truetick_netcode::replication::snapshot::Feedback;
use truetick_server::simulation::{Simulation, TickInput};
use truetick_transport::clock;

/// One client beside 200 that share its baselines
#[derive(Parser)]
struct Arguments {
    /// Number of clients that share baselines
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// Write the report as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

const ENTITIES: u32 = 256;
const TICKS: u64 = 600;
const ROUND_TRIP: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    // Alternating runs and medians of five, since the machine is never quiet.
    let mut times: Vec<[f64; 2]> = Vec::new();
    for _ in 0..5 {
        times.push([
            microseconds_per_tick(1)?,
            microseconds_per_tick(arguments.clients)?,
        ]);
    }
    let median = |which: usize| {
        let mut all: Vec<f64> = times.iter().map(|pair| pair[which]).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (one, many) = (median(0), median(1));
    let report = json!({
        "clients": arguments.clients,
        "one_us_per_tick": one,
        "many_us_per_tick": many,
        "ratio": many / one,
        "us_per_further_client": (many - one) / (arguments.clients as f64 - 1.0),
    });
    give(&report, arguments.json.as_deref())
}

/// Processor time of planning and writing all clients' packets of a tick, without acknowledgements.
fn microseconds_per_tick(clients: usize) -> Result<f64, Box<dyn Error>> {
    let game = Walkers {
        drones: ENTITIES,
        motion: Motion::Random,
    };
    let mut simulation = Simulation::new(Arc::new(game), 1)?;
    let (mut cache, mut writer) = (DeltaCache::default(), BitWriter::new());
    let mut views: Vec<ClientView> = (0..clients).map(|_| ClientView::new()).collect();
    let (mut acks, mut spent) = (VecDeque::new(), 0.0);
    for tick in 0..TICKS {
        simulation.step(TickInput::default());
        let (schema, ring) = (simulation.registry().schema(), simulation.ring());
        let masks: Vec<u64> = ring.blocks().iter().map(|block| block.live).collect();
        let began = clock::thread_cpu();
        cache.begin_tick(ring);
        let mut shared = Shared {
            schema,
            ring,
            cache: &mut cache,
        };
        let mut packets = 0;
        for view in &mut views {
            let interest = Interest {
                own: None,
                team: 0,
                masks: &masks,
                weights: None,
                budget: 8_000,
            };
            view.plan(&mut shared, &interest);
            packets = 0;
            loop {
                writer.clear();
                let sequence = tick * 16 + packets;
                packets += 1;
                if !view.write_packet(
                    &mut shared,
                    sequence,
                    PAYLOAD_BYTES,
                    Feedback::default(),
                    &mut writer,
                ) {
                    break;
                }
            }
        }
        if tick >= 60 {
            spent += (clock::thread_cpu() - began).as_secs_f64() * 1e6;
        }
        acks.push_back((tick, packets));
        if acks.len() >= ROUND_TRIP
            && let Some((of, packets)) = acks.pop_front()
        {
            for view in &mut views {
                (0..packets).for_each(|packet| view.packet_acked(of * 16 + packet));
            }
        }
    }
    Ok(spent / (TICKS - 60) as f64)
}
