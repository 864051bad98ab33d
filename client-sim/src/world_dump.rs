//! A world as text: every entity with its components and their values.

use std::fmt::Write;

use truetick_netcode::replication::state_ring::Entry;
use truetick_netcode::schema::{Scale, Schema};
use truetick_server::game::Game;
use truetick_server::simulation::Simulation;

/// The world as text, one entity per paragraph.
pub(crate) fn world_dump<G: Game>(simulation: &Simulation<G>) -> String {
    let (ring, schema) = (simulation.ring(), simulation.registry().schema());
    let hash = simulation.world_hash();
    let mut text = format!(
        "\ntick {}, world {hash:016x}, {} entities\n",
        simulation.tick(),
        ring.entries().count()
    );
    ring.entries()
        .for_each(|entry| entity(schema, entry, &mut text));
    text
}

fn entity(schema: &Schema, entry: &Entry, text: &mut String) {
    let kind = schema.kind(entry.kind);
    let owner = entry
        .owner
        .map_or(String::new(), |owner| format!(" of client {}", owner.0));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} {}{owner}, unchanged since {}",
        kind.name,
        entry.id,
        entry.current().tick
    );
    for (id, start) in &kind.components {
        let component = schema.component(*id);
        let values: Vec<String> = component
            .fields
            .iter()
            .zip(&entry.current().fields[*start..])
            .map(|(field, n)| match field.scale {
                Scale::Count => format!("{} {n}", field.name),
                Scale::Linear { .. } | Scale::Turn => {
                    format!("{} {:.4}", field.name, field.value(*n))
                }
            })
            .collect();
        let _ = writeln!(text, "  {:<12} {}", component.name, values.join("  "));
    }
}
