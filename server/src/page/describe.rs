//! A schema as JSON: what a client in another language needs to decode snapshots.
//!
//! ```text
//! { hash: HEX, coding: "range", teams: bool,
//!   kinds: [{ name,
//!     fields: [{ name: "component.field", bits, max, visibility: 0 to 3, turn: bool, min, step }],
//!     plan: [{ flag, visibility, fields: [{ at, context, after, ESTIMATOR }] }] }],
//!   tables: [{ numbers: BASE64, flags: BASE64 }] }
//! ESTIMATOR: { by: "constant" }  { by: "linear" }  { by: "moved", velocity, rest, gain }
//!            { by: "quaternion", start, part, grid }
//! ```
//! Only linear fields have `min` and `step`. ESTIMATOR is an object under the key in
//! `describe_coded`. There is one table for each class of baselines. It holds the initial contexts
//! as nodes of 16 bits, little-endian, 24 to a number and one to a flag.
//! [`truetick_netcode::schema`] defines the rest.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use truetick_netcode::coding::prior::{Node, Tables};
use truetick_netcode::schema::{
    CLASSES, CodedComponent, CodedField, CompiledEstimator, Field, KindInfo, Scale, Schema,
};

/// Describes a schema as JSON, in the format of the module's documentation.
pub fn describe(schema: &Schema) -> Value {
    json!({
        "hash": format!("{:016x}", schema.hash()),
        "coding": "range",
        "teams": schema.has_teams(),
        "kinds": schema.kinds().map(|(_, kind)| describe_kind(schema, kind)).collect::<Vec<_>>(),
        "tables": (0..CLASSES).map(|class| describe_tables(schema.tables(class))).collect::<Vec<_>>(),
    })
}

fn describe_kind(schema: &Schema, kind: &KindInfo) -> Value {
    let components = kind.components.iter().map(|(id, _)| schema.component(*id));
    let fields = components.flat_map(|component| {
        component
            .fields
            .iter()
            .map(|field| describe_field(&format!("{}.{}", component.name, field.name), field))
    });
    json!({
        "name": kind.name,
        "fields": fields.collect::<Vec<_>>(),
        "plan": kind.plan.iter().map(describe_component).collect::<Vec<_>>(),
    })
}

fn describe_field(name: &str, field: &Field) -> Value {
    let mut described = json!({
        "name": name,
        "bits": field.bits,
        "max": field.max,
        "visibility": field.visibility as u8,
        "turn": field.scale == Scale::Turn,
    });
    if let Scale::Linear { min, step } = field.scale {
        described["min"] = json!(min);
        described["step"] = json!(step);
    }
    described
}

fn describe_component(component: &CodedComponent) -> Value {
    json!({
        "flag": component.flag,
        "visibility": component.visibility as u8,
        "fields": component.fields.iter().map(describe_coded).collect::<Vec<_>>(),
    })
}

fn describe_coded(coded: &CodedField) -> Value {
    let estimator = match coded.estimator {
        CompiledEstimator::Constant => json!({ "by": "constant" }),
        CompiledEstimator::Linear => json!({ "by": "linear" }),
        CompiledEstimator::Velocity {
            velocity,
            rest,
            gain,
        } => {
            json!({ "by": "moved", "velocity": velocity, "rest": rest, "gain": gain })
        }
        CompiledEstimator::Rotation { start, part, grid } => {
            json!({ "by": "quaternion", "start": start, "part": part, "grid": grid })
        }
    };
    json!({ "at": coded.at, "context": coded.context, "after": coded.after, "estimator": estimator })
}

fn describe_tables(tables: &Tables) -> Value {
    json!({
        "numbers": base64_of(tables.numbers.iter().flatten()),
        "flags": base64_of(&tables.flags),
    })
}

fn base64_of<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> String {
    let bytes: Vec<u8> = nodes
        .into_iter()
        .flat_map(|node| node.to_le_bytes())
        .collect();
    BASE64_STANDARD.encode(bytes)
}
