//! Differences between two worlds that should be equal: entities, components and fields.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use derive_more::Display;
use truetick_netcode::limits::REPORTED_ENTITIES;
use truetick_netcode::messages::MismatchReport;
use truetick_netcode::replication::NetId;
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::schema::{Audience, KindId, KindInfo, Schema, Visibility};
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;

use super::record::{Changed, ChangedEntity};
use crate::simulation::Keyframe;

/// The entities of a world by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entities(BTreeMap<u16, ChangedEntity>);

impl Entities {
    /// The entities of a keyframe.
    pub fn of(keyframe: &Keyframe) -> Self {
        let entities = keyframe.entities.iter().map(|stored| {
            let generation = keyframe
                .generations
                .get(usize::from(stored.slot))
                .copied()
                .unwrap_or(0);
            let (kind, owner) = (KindId(stored.kind), stored.owner.map(ClientId));
            (
                stored.slot,
                ChangedEntity {
                    generation,
                    kind,
                    owner,
                    fields: stored.fields.clone(),
                },
            )
        });
        Self(entities.collect())
    }

    /// Applies the changes of a tick.
    pub fn apply(&mut self, changed: &[Changed]) {
        for Changed { slot, now } in changed {
            match now {
                Some(now) => drop(self.0.insert(*slot, now.clone())),
                None => drop(self.0.remove(slot)),
            }
        }
    }

    /// All differences, by rising slot. `self` is the left side.
    pub fn differences(&self, right: &Self, schema: &Schema) -> Vec<Difference> {
        let slots: BTreeSet<u16> = self.0.keys().chain(right.0.keys()).copied().collect();
        slots
            .into_iter()
            .flat_map(|slot| entity(slot, self.0.get(&slot), right.0.get(&slot), schema))
            .collect()
    }
}

/// How an entity differs.
#[derive(Clone, Debug, Display, PartialEq, Eq)]
pub enum DivergenceKind {
    /// The entity is on the left side only.
    #[display("is on the left side only")]
    OnlyLeft,
    /// The entity is on the right side only.
    #[display("is on the right side only")]
    OnlyRight,
    /// The kind or the owner of the entity differs.
    #[display("has another kind or owner")]
    ReplicaMeta,
    /// A field of the entity differs.
    #[display("{component}.{field} is {left} on the left, {right} on the right")]
    Field {
        /// Name of the component.
        component: &'static str,
        /// Name of the field.
        field: &'static str,
        /// Value of the field on its grid, on the left side.
        left: u32,
        /// Value of the field on its grid, on the right side.
        right: u32,
    },
}

/// One difference between two worlds.
#[derive(Clone, Debug, Display, PartialEq, Eq)]
#[display("{kind} {id}: {what}")]
pub struct Difference {
    /// Id of the entity.
    pub id: NetId,
    /// Name of the entity's kind.
    pub kind: &'static str,
    /// How the entity differs.
    pub what: DivergenceKind,
}

fn entity(
    slot: u16,
    left: Option<&ChangedEntity>,
    right: Option<&ChangedEntity>,
    schema: &Schema,
) -> Vec<Difference> {
    let one = |of: &ChangedEntity, what| Difference {
        id: NetId {
            slot,
            generation: of.generation,
        },
        kind: schema.kind(of.kind).name,
        what,
    };
    match (left, right) {
        (None, None) => Vec::new(),
        (Some(left), None) => vec![one(left, DivergenceKind::OnlyLeft)],
        (None, Some(right)) => vec![one(right, DivergenceKind::OnlyRight)],
        (Some(left), Some(right)) if left.generation != right.generation => {
            vec![
                one(left, DivergenceKind::OnlyLeft),
                one(right, DivergenceKind::OnlyRight),
            ]
        }
        (Some(left), Some(right)) if (left.kind, left.owner) != (right.kind, right.owner) => {
            vec![one(left, DivergenceKind::ReplicaMeta)]
        }
        (Some(left), Some(right)) => {
            let differ = fields(
                schema,
                schema.kind(left.kind),
                &left.fields,
                &right.fields,
                |_| true,
            );
            differ.into_iter().map(|what| one(left, what)).collect()
        }
    }
}

/// The fields that differ, among those whose visibility `counts`.
fn fields(
    schema: &Schema,
    kind: &KindInfo,
    left: &[u32],
    right: &[u32],
    counts: impl Fn(Visibility) -> bool,
) -> Vec<DivergenceKind> {
    let mut found = Vec::new();
    for (id, start) in &kind.components {
        let info = schema.component(*id);
        for (i, field) in info
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| counts(field.visibility))
        {
            let (left, right) = (left[start + i], right[start + i]);
            if left != right {
                found.push(DivergenceKind::Field {
                    component: info.name,
                    field: field.name,
                    left,
                    right,
                });
            }
        }
    }
    found
}

/// The differences between the entities that a client decoded and the server's states of them, in
/// the fields that the client sees. The server is the left side.
pub fn explain(
    schema: &Schema,
    ring: &StateRing,
    client: ClientId,
    report: &MismatchReport,
) -> Divergence {
    let mut found = Divergence::at(Tick(report.tick));
    for told in report.entities.iter().take(REPORTED_ENTITIES) {
        let entry = ring
            .entry(told.slot)
            .filter(|entry| entry.id.generation == told.generation);
        let version = entry.and_then(|entry| Some((entry, entry.at(Tick(told.tick))?)));
        let Some((entry, version)) = version else {
            continue;
        };
        if told.own && entry.owner != Some(client) {
            continue;
        }
        let audience = if told.own {
            Audience::Owner
        } else {
            Audience::Others
        };
        let kind = schema.kind(entry.kind);
        if told.fields.len() != kind.fields.len() {
            continue;
        }
        let differ = fields(schema, kind, &version.fields, &told.fields, |visibility| {
            audience.sees(visibility)
        });
        let named = differ.into_iter().map(|what| Difference {
            id: entry.id,
            kind: kind.name,
            what,
        });
        found.differences.extend(named);
    }
    found
}

/// The first difference between two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The first tick after which the runs differ.
    pub tick: Tick,
    /// The first stage of that tick after which the runs differ; `None` if they could not be run
    /// stage by stage.
    pub stage: Option<String>,
    /// Differences of the input, in words.
    pub inputs: Vec<String>,
    /// The components whose hashes differ.
    pub components: Vec<&'static str>,
    /// Differences of the entities, as far as they are known.
    pub differences: Vec<Difference>,
}

impl Divergence {
    /// A divergence at a tick, without further details.
    pub fn at(tick: Tick) -> Self {
        Self {
            tick,
            stage: None,
            inputs: Vec::new(),
            components: Vec::new(),
            differences: Vec::new(),
        }
    }
}

/// Maximum number of differences that are displayed in full. Of the others only the number is
/// displayed.
const TOLD: usize = 12;

impl fmt::Display for Divergence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "first difference: tick {}", self.tick)?;
        if let Some(stage) = &self.stage {
            write!(out, ", after `{stage}`")?;
        }
        for input in &self.inputs {
            write!(out, "\n  {input}")?;
        }
        if self.differences.is_empty() && self.inputs.is_empty() && self.components.is_empty() {
            write!(
                out,
                "\n  in no component: ids, kinds, owners or the generations of free slots"
            )?;
        }
        if self.differences.is_empty() && !self.components.is_empty() {
            write!(out, "\n  in component {}", self.components.join(", "))?;
        }
        for difference in self.differences.iter().take(TOLD) {
            write!(out, "\n  {difference}")?;
        }
        match self.differences.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(out, "\n  and {more} more"),
        }
    }
}
