//! The halo scene as one client receives it: total bytes per tick, with the result verified.
//!
//! `cargo run --release -p truetick-benches --bin halo -- --json PATH`; the keys are described in
//! benches/README.md.

use std::collections::VecDeque;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use truetick_benches::halo::{COUNTS, Halo, halo_schema};
use truetick_benches::report::give;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::client::snapshot_buffer::SnapshotBuffer;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::limits::PAYLOAD_BYTES;
use truetick_netcode::replication::client_view::{ClientView, Interest, Shared};
use truetick_netcode::replication::delta_cache::DeltaCache;
use truetick_netcode::replication::snapshot::Feedback;
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::session::packet::OVERHEAD_BYTES;
use truetick_netcode::time::Timestamp;

/// 32 players, 50 projectiles and 8 vehicles, all changing in every tick
#[derive(Parser)]
struct Arguments {
    /// Number of measured ticks
    #[arg(long, default_value_t = 3_000)]
    ticks: u32,
    /// Ticks until the acknowledgement of a packet arrives
    #[arg(long, default_value_t = 4)]
    round_trip: u32,
    /// Seed of the motion; the training uses 777
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the report as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (schema, mut ring, mut cache) = (halo_schema()?, StateRing::new(), DeltaCache::default());
    let (mut halo, mut view, mut buffer) = (
        Halo::new(arguments.seed),
        ClientView::new(),
        SnapshotBuffer::new(),
    );
    let mut now = Timestamp::from_millis(1_000);
    let (mut server, mut client) = (Connection::new(1, now), Connection::new(2, now));
    let (mut writer, mut acks) = (BitWriter::new(), VecDeque::new());
    let (mut bytes, mut packets) = (0usize, 0u32);
    let warm_up = 60;
    for tick in 0..warm_up + arguments.ticks {
        now += Duration::from_micros(16_667);
        halo.step(&schema, &mut ring);
        cache.begin_tick(&ring);
        view.note_gone(ring.gone(), ring.tick());
        let masks: Vec<u64> = ring.blocks().iter().map(|block| block.live).collect();
        let mut shared = Shared {
            schema: &schema,
            ring: &ring,
            cache: &mut cache,
        };
        let interest = Interest {
            own: None,
            team: 0,
            masks: &masks,
            weights: None,
            budget: 8_000,
        };
        view.plan(&mut shared, &interest);
        let mut more = true;
        while more {
            let sequence = server.begin(&mut writer, now, Messages::None);
            more = view.write_packet(
                &mut shared,
                sequence,
                PAYLOAD_BYTES,
                Feedback::default(),
                &mut writer,
            );
            server.finish(&mut writer, now);
            if tick >= warm_up {
                bytes += writer.bytes().len() + OVERHEAD_BYTES;
                packets += 1;
            }
            let (sequence, reader) = client.open(writer.bytes(), now)?;
            buffer.take(&schema, reader)?;
            client.accept(sequence);
        }
        client.begin(&mut writer, now, Messages::None);
        client.finish(&mut writer, now);
        acks.push_back(writer.bytes().to_vec());
        if acks.len() as u32 >= arguments.round_trip {
            let ack = acks.pop_front().unwrap_or_default();
            let _: (u64, BitReader<'_>) = server.open(&ack, now)?;
            while let Some(sequence) = server.poll_acked() {
                view.packet_acked(sequence);
            }
        }
    }
    let per_tick = bytes as f64 / f64::from(arguments.ticks);
    let report = json!({
        "bytes_per_client_tick": per_tick,
        "bytes_per_entity": per_tick / f64::from(COUNTS.iter().sum::<u16>()),
        "packets_per_client_tick": f64::from(packets) / f64::from(arguments.ticks),
        "entities": buffer.entities().count(),
        "ticks": arguments.ticks,
        "round_trip_ticks": arguments.round_trip,
    });
    give(&report, arguments.json.as_deref())
}
