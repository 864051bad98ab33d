//! The table at the end of an inspection: what the bytes of a capture encode.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use truetick_netcode::client::inspect::{PacketBreakdown, SnapshotBreakdown};
use truetick_netcode::coding::Part;
use truetick_netcode::schema::{KindId, Schema};
use truetick_server::recording::capture::Captured;

use crate::inspect::part_name;

/// Bits of a packet's hash.
const HASH_BITS: f64 = 16.0;

/// A number of bits, and the number of times that something used any.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    times: u64,
    bits: f64,
}

impl Total {
    fn add(&mut self, times: usize, bits: f64) {
        self.times += times as u64;
        self.bits += bits;
    }
}

/// Sums over the packets of a capture.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    clients: BTreeSet<u32>,
    packets: u64,
    bits: f64,
    span_us: Option<(u64, u64)>,
    numbers: Total,
    messages: Total,
    headers: Total,
    blocks: Total,
    masks: Total,
    hashes: Total,
    ends: Total,
    parts: BTreeMap<(KindId, Part), Total>,
    updates: BTreeMap<KindId, u64>,
    failed: Total,
}

impl Totals {
    /// Counts a packet; `breakdown` is `None` where the packet could not be broken down.
    pub fn count(&mut self, packet: &Captured, breakdown: Option<&PacketBreakdown>) {
        self.clients.insert(packet.client);
        self.packets += 1;
        self.bits += packet.payload.len() as f64 * 8.0;
        let first = self.span_us.map_or(packet.at_us, |(first, _)| first);
        self.span_us = Some((first, packet.at_us));
        let Some(breakdown) = breakdown else {
            return self.failed.add(1, packet.payload.len() as f64 * 8.0);
        };
        self.numbers.add(1, breakdown.header_bits as f64);
        self.messages
            .add(breakdown.messages, breakdown.message_bits as f64);
        match &breakdown.snapshot {
            None => self.ends.add(1, breakdown.body_bits as f64),
            Some(snapshot) if snapshot.failed.is_some() => {
                self.failed.add(1, breakdown.body_bits as f64);
            }
            Some(snapshot) => self.count_snapshot(snapshot, breakdown.body_bits as f64),
        }
    }

    fn count_snapshot(&mut self, snapshot: &SnapshotBreakdown, body_bits: f64) {
        let ledger = &snapshot.ledger;
        self.headers.add(1, snapshot.header_bits as f64);
        self.blocks.add(
            snapshot.header.block_deltas.len(),
            snapshot.units_bits as f64,
        );
        self.hashes.add(1, HASH_BITS);
        for entity in &ledger.entities {
            *self.updates.entry(entity.kind).or_default() += 1;
        }
        for bit_cost in &ledger.bit_costs {
            match bit_cost.entity.and_then(|at| ledger.entities.get(at)) {
                Some(entity) => self
                    .parts
                    .entry((entity.kind, bit_cost.part))
                    .or_default()
                    .add(1, bit_cost.bits),
                None => self.masks.add(1, bit_cost.bits),
            }
        }
        let streams: f64 = ledger.bit_costs.iter().map(|bit_cost| bit_cost.bits).sum();
        let told = (snapshot.header_bits + snapshot.units_bits) as f64 + HASH_BITS + streams;
        self.ends.add(1, body_bits - told);
    }

    /// Number of packets that could not be broken down.
    pub fn failed(&self) -> u64 {
        self.failed.times
    }

    /// The sums as a table.
    pub fn table(&self, schema: &Schema) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(schema, &mut text);
        text
    }

    fn write(&self, schema: &Schema, text: &mut String) -> std::fmt::Result {
        let seconds = self.span_us.map_or(0.0, |(first, last)| {
            (last.saturating_sub(first)) as f64 / 1e6
        });
        let clients = self.clients.len().max(1) as f64;
        let rate = self.bits / 8e3 / clients / seconds.max(1e-6);
        writeln!(
            text,
            "\n{} packets of {} client(s) in {seconds:.1} s: {rate:.2} kB/s each, before sealing\n",
            self.packets,
            self.clients.len()
        )?;
        writeln!(
            text,
            "  {:<38}{:>12}{:>10}{:>8}{:>10}",
            "where the bytes go", "times", "kB", "share", "bits each"
        )?;
        for (name, total) in [
            ("numbers and acknowledgements", self.numbers),
            ("messages", self.messages),
            ("headers of snapshots", self.headers),
            ("places of blocks", self.blocks),
            ("which entities of a block", self.masks),
            ("hashes", self.hashes),
            ("ends: rounding, padding, other bodies", self.ends),
        ] {
            self.row(name, total, text)?;
        }
        for (kind, updates) in &self.updates {
            let of = |(other, _): &(&(KindId, Part), &Total)| other.0 == *kind;
            let bits: f64 = self
                .parts
                .iter()
                .filter(of)
                .map(|(_, total)| total.bits)
                .sum();
            let info = schema.kind(*kind);
            self.row(
                &format!("{}: updates", info.name),
                Total {
                    times: *updates,
                    bits,
                },
                text,
            )?;
            let mut parts: Vec<_> = self.parts.iter().filter(of).collect();
            parts.sort_by(|a, b| b.1.bits.total_cmp(&a.1.bits));
            for ((_, part), total) in parts {
                self.row(
                    &format!("    {}", part_name(schema, info, *part)),
                    *total,
                    text,
                )?;
            }
        }
        if self.failed.times > 0 {
            self.row("could not be taken apart", self.failed, text)?;
        }
        Ok(())
    }

    fn row(&self, name: &str, total: Total, text: &mut String) -> std::fmt::Result {
        let share = 100.0 * total.bits / self.bits.max(1.0);
        let each = total.bits / total.times.max(1) as f64;
        writeln!(
            text,
            "  {name:<38}{:>12}{:>10.1}{share:>7.1}%{each:>10.2}",
            total.times,
            total.bits / 8e3
        )
    }
}
