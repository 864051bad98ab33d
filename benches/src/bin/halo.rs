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

/// What a tick sent.
#[derive(Clone, Copy, Default)]
struct Sent {
    bytes: usize,
    packets: u32,
}

/// One client's session: both ends, and the snapshots between them.
struct Session {
    server: Connection,
    client: Connection,
    view: ClientView,
    buffer: SnapshotBuffer,
    writer: BitWriter,
    /// Acknowledgements on their way, one per tick.
    acks: VecDeque<Vec<u8>>,
}

impl Session {
    fn new(now: Timestamp) -> Self {
        Self {
            server: Connection::new(1, now),
            client: Connection::new(2, now),
            view: ClientView::new(),
            buffer: SnapshotBuffer::new(),
            writer: BitWriter::new(),
            acks: VecDeque::new(),
        }
    }

    /// Sends the snapshot of a tick, which the client receives at once.
    fn send(
        &mut self,
        shared: &mut Shared<'_>,
        masks: &[u64],
        now: Timestamp,
    ) -> Result<Sent, Box<dyn Error>> {
        let interest = Interest {
            own: None,
            team: 0,
            masks,
            weights: None,
            budget: 8_000,
        };
        self.view.plan(shared, &interest);
        let (mut sent, mut more) = (Sent::default(), true);
        while more {
            let sequence = self.server.begin(&mut self.writer, now, Messages::None);
            more = self.view.write_packet(
                shared,
                sequence,
                PAYLOAD_BYTES,
                Feedback::default(),
                &mut self.writer,
            );
            self.server.finish(&mut self.writer, now);
            sent.bytes += self.writer.bytes().len() + OVERHEAD_BYTES;
            sent.packets += 1;
            let (sequence, reader) = self.client.open(self.writer.bytes(), now)?;
            self.buffer.take(shared.schema, reader)?;
            self.client.accept(sequence);
        }
        Ok(sent)
    }

    /// Sends the client's acknowledgements, which arrive after `round_trip` ticks.
    fn acknowledge(&mut self, round_trip: u32, now: Timestamp) -> Result<(), Box<dyn Error>> {
        self.client.begin(&mut self.writer, now, Messages::None);
        self.client.finish(&mut self.writer, now);
        self.acks.push_back(self.writer.bytes().to_vec());
        if self.acks.len() as u32 >= round_trip {
            let ack = self.acks.pop_front().unwrap_or_default();
            let _: (u64, BitReader<'_>) = self.server.open(&ack, now)?;
            while let Some(sequence) = self.server.poll_acked() {
                self.view.packet_acked(sequence);
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (schema, mut ring, mut cache) = (halo_schema()?, StateRing::new(), DeltaCache::default());
    let mut halo = Halo::new(arguments.seed);
    let mut now = Timestamp::from_millis(1_000);
    let mut session = Session::new(now);
    let mut measured = Sent::default();
    let warm_up = 60;
    for tick in 0..warm_up + arguments.ticks {
        now += Duration::from_micros(16_667);
        halo.step(&schema, &mut ring);
        cache.begin_tick(&ring);
        session.view.note_gone(ring.gone(), ring.tick());
        let masks: Vec<u64> = ring.blocks().iter().map(|block| block.live).collect();
        let mut shared = Shared {
            schema: &schema,
            ring: &ring,
            cache: &mut cache,
        };
        let sent = session.send(&mut shared, &masks, now)?;
        if tick >= warm_up {
            measured.bytes += sent.bytes;
            measured.packets += sent.packets;
        }
        session.acknowledge(arguments.round_trip, now)?;
    }
    let per_tick = measured.bytes as f64 / f64::from(arguments.ticks);
    let report = json!({
        "bytes_per_client_tick": per_tick,
        "bytes_per_entity": per_tick / f64::from(COUNTS.iter().sum::<u16>()),
        "packets_per_client_tick": f64::from(measured.packets) / f64::from(arguments.ticks),
        "entities": session.buffer.entities().count(),
        "ticks": arguments.ticks,
        "round_trip_ticks": arguments.round_trip,
    });
    give(&report, arguments.json.as_deref())
}
