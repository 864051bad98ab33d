//! `truetick-sim inspect`: breaks down the packets of a capture, and reports what their bytes
//! encode.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use truetick_arena::arena_schema;
use truetick_netcode::client::bit_cost::{BitCost, MeteredEntity};
use truetick_netcode::client::inspect::{Inspector, PacketBreakdown, SnapshotBreakdown};
use truetick_netcode::coding::Part;
use truetick_netcode::messages::Body;
use truetick_netcode::schema::{Audience, KindInfo, Schema};
use truetick_server::files::read_bytes;
use truetick_server::recording::capture::{Capture, Captured};

use crate::bandwidth_report::Totals;
use crate::replay::{Outcome, show};

/// Options of the inspection.
#[derive(Args, Clone, Debug)]
pub struct InspectOptions {
    /// The capture, written by --capture of `truetick-server`, `bots`, `demo` or `latency`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only the packets of this client
    #[arg(long, value_name = "N")]
    pub client: Option<u32>,
    /// Print the packets from this tick on
    #[arg(long, value_name = "TICK")]
    pub from: Option<u32>,
    /// Print the packets up to this tick
    #[arg(long, value_name = "TICK")]
    pub until: Option<u32>,
    /// Print no packets, only the table of what the bytes encode
    #[arg(long, conflicts_with_all = ["from", "until"])]
    pub summary: bool,
}

/// Runs the command. Returns false if a packet could not be broken down.
///
/// # Errors
/// The capture cannot be read, or is of another schema than this build's.
pub fn run(options: &InspectOptions) -> Outcome {
    let name = options.file.display();
    let bytes = read_bytes(&options.file).map_err(|error| format!("{name}: {error}"))?;
    let capture = Capture::read(&bytes).map_err(|error| format!("{name}: {error}"))?;
    let schema = arena_schema()?.schema;
    if capture.schema != schema.hash() {
        return Err(format!("{name} is of another schema than this build's").into());
    }
    let mut sessions: BTreeMap<u32, Inspector> = BTreeMap::new();
    let mut totals = Totals::default();
    let wanted = |packet: &&Captured| options.client.is_none_or(|client| packet.client == client);
    let begin = capture.packets.first().map_or(0, |packet| packet.at_us);
    for packet in capture.packets.iter().filter(wanted) {
        if packet.payload.is_empty() {
            sessions.remove(&packet.client);
            continue;
        }
        let inspector = sessions.entry(packet.client).or_default();
        let breakdown = inspector.take(&schema, &packet.payload);
        totals.count(packet, breakdown.as_ref().ok());
        if options.wants(breakdown.as_ref().ok()) {
            let at = packet.at_us.saturating_sub(begin);
            let mut text = format!("client {} at {:.4} s, ", packet.client, at as f64 / 1e6);
            match &breakdown {
                Ok(breakdown) => describe(&schema, &packet.payload, breakdown, &mut text)?,
                Err(error) => writeln!(text, "{} bytes: {error}", packet.payload.len())?,
            }
            show(&text)?;
        }
    }
    show(&totals.table(&schema))?;
    Ok(totals.failed() == 0)
}

impl InspectOptions {
    fn wants(&self, breakdown: Option<&PacketBreakdown>) -> bool {
        let tick = breakdown.and_then(|breakdown| Some(breakdown.snapshot.as_ref()?.header.tick.0));
        let inside = |tick: u32| {
            self.from.is_none_or(|from| tick >= from)
                && self.until.is_none_or(|until| tick <= until)
        };
        let all = self.from.is_none() && self.until.is_none();
        !self.summary && tick.map_or(all, inside)
    }
}

fn describe(
    schema: &Schema,
    payload: &[u8],
    breakdown: &PacketBreakdown,
    text: &mut String,
) -> Result<(), std::fmt::Error> {
    write!(
        text,
        "packet {}, {} bytes: ",
        breakdown.number,
        payload.len()
    )?;
    let carries = match breakdown.body {
        Body::Empty => "no body",
        Body::Snapshot => "state",
        Body::Commands => "commands",
        Body::DisconnectNotice => "a disconnect notice",
    };
    write!(
        text,
        "{carries}; number and acknowledgements {} bits",
        breakdown.header_bits
    )?;
    writeln!(
        text,
        ", {} message(s) {}",
        breakdown.messages, breakdown.message_bits
    )?;
    match &breakdown.snapshot {
        Some(snapshot) => describe_snapshot(schema, snapshot, text),
        None => Ok(()),
    }
}

fn describe_snapshot(
    schema: &Schema,
    snapshot: &SnapshotBreakdown,
    text: &mut String,
) -> Result<(), std::fmt::Error> {
    let SnapshotBreakdown {
        header,
        header_bits,
        units_bits,
        ledger,
        failed,
    } = snapshot;
    write!(text, "  tick {}, its packet {}", header.tick, header.index)?;
    writeln!(text, "{}", if header.last { ", the last" } else { "" })?;
    write!(
        text,
        "  header {header_bits}, {} block(s) {units_bits}",
        header.block_deltas.len()
    )?;
    writeln!(
        text,
        ", {} removal(s), {} individual",
        header.removals.len(),
        header.individual_items
    )?;
    if let Some(error) = failed {
        return writeln!(text, "  not taken over: {error}");
    }
    let masks: f64 = ledger
        .bit_costs
        .iter()
        .filter(|c| c.entity.is_none())
        .map(|c| c.bits)
        .sum();
    writeln!(text, "  which entities: {masks:.1}")?;
    for (at, entity) in ledger.entities.iter().enumerate() {
        let bit_costs = ledger
            .bit_costs
            .iter()
            .filter(|bit_cost| bit_cost.entity == Some(at));
        describe_entity(schema, entity, bit_costs, text)?;
    }
    Ok(())
}

fn describe_entity<'a>(
    schema: &Schema,
    entity: &MeteredEntity,
    bit_costs: impl Iterator<Item = &'a BitCost> + Clone,
    text: &mut String,
) -> Result<(), std::fmt::Error> {
    let kind = schema.kind(entity.kind);
    let own = if entity.audience == Audience::Owner {
        " (own)"
    } else {
        ""
    };
    let base = entity
        .baseline
        .map_or("whole".into(), |tick| format!("on tick {tick}"));
    let bits: f64 = bit_costs.clone().map(|bit_cost| bit_cost.bits).sum();
    write!(
        text,
        "  {bits:6.1}  {} {}{own}, {base}:",
        kind.name, entity.id
    )?;
    for bit_cost in bit_costs {
        write!(
            text,
            "  {} {:.1}",
            part_name(schema, kind, bit_cost.part),
            bit_cost.bits
        )?;
    }
    writeln!(text)
}

/// The name of a part; a field has its component's name before it.
pub(crate) fn part_name(schema: &Schema, kind: &KindInfo, part: Part) -> String {
    let component = |at: usize| {
        let found = kind.components.iter().rev().find(|(_, start)| *start <= at);
        found.map_or("", |(id, _)| schema.component(*id).name)
    };
    match part {
        Part::Mask | Part::Place => "place".into(),
        Part::Entity | Part::Identity => "identity".into(),
        Part::Change(at) => format!("{} changed?", component(at)),
        Part::Field(at) => format!("{}.{}", component(at), kind.fields[at].name),
    }
}
