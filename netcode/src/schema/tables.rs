//! Initial contexts of a schema's streams, by class of baselines, from its priors.

use super::Schema;
use crate::coding::CONTEXTS;
use crate::coding::prior::{LENGTHS, Node, Prior, Tables, node};

/// Number of classes of baselines, by age and by whether there is an older one.
pub const CLASSES: usize = 10;

/// Returns the class of a baseline `age` ticks old (1 or more), with or without an older one.
#[inline]
pub fn class_of(age: u32, has_older: bool) -> usize {
    let age = match age {
        0..=3 => age.saturating_sub(1),
        4..=6 => 3,
        _ => 4,
    };
    age as usize + if has_older { 5 } else { 0 }
}

/// Priors of one field's residuals, by class and context; see [`Prior`].
pub type FieldPriors = [[[u8; LENGTHS + 2]; CONTEXTS]; CLASSES];

/// Priors of a schema's residuals, by names of kind, component and field. An empty field name
/// stands for the flag whether a component differs from its estimate. Generated from recorded play
/// by `cargo run -p truetick-benches --bin train`.
pub type Priors = &'static [(&'static str, &'static str, &'static str, FieldPriors)];

/// Numbers of contexts that every stream has, whatever its entities; see
/// [`crate::replication::block_delta`].
pub mod frame {
    /// Number contexts: distance to the slot before, age of a baseline, distance of the older one,
    /// generation, kind.
    pub const NUMBERS: usize = 5;
    /// Flag contexts: whether a slot is in the block delta (after an absent one, after a present
    /// one), whether all slots are, whether an entity is whole (after one that is not, after one
    /// that is), whether it is the team's copy.
    pub(crate) const FLAGS: usize = 6;
}

impl Schema {
    /// Makes the initial contexts for a class of baselines.
    pub(super) fn tables_of(&self, class: usize) -> Tables {
        let mut tables = Tables {
            flags: frame_flags(),
            ..Tables::default()
        };
        FRAME_PRIORS
            .iter()
            .for_each(|prior| tables.push(Some(*prior)));
        let expected = |kind, component, field| {
            let found = self
                .priors
                .iter()
                .find(|(k, c, f, _)| (*k, *c, *f) == (kind, component, field))?;
            Some(found.3[class].map(Prior))
        };
        for kind in &self.kinds {
            for (coded, (id, start)) in kind.plan.iter().zip(&kind.components) {
                let component = self.component(*id);
                let changes = expected(kind.name, component.name, "")
                    .map(|priors| 1.0 - f64::from(priors[0].0[0]) / 256.0);
                tables
                    .flags
                    .push(changes.map_or(node(0.5, 0), |changes| node(changes, 6)));
                for field in &coded.fields {
                    let priors = expected(
                        kind.name,
                        component.name,
                        component.fields[field.at - start].name,
                    );
                    (0..CONTEXTS)
                        .for_each(|context| tables.push(priors.map(|priors| priors[context])));
                }
            }
        }
        tables
    }
}

/// Priors in the order of [`frame::NUMBERS`]: slots are mostly adjacent, baselines some ticks old,
/// the older ones two ticks before.
const FRAME_PRIORS: [Prior; frame::NUMBERS] = [
    Prior([190, 90, 128, 128, 128, 128, 128, 128, 128, 112]),
    Prior([60, 200, 128, 60, 60, 90, 128, 128, 128, 112]),
    Prior([60, 230, 20, 20, 20, 20, 20, 20, 20, 40]),
    Prior([220, 128, 128, 128, 128, 128, 128, 128, 128, 112]),
    Prior([128, 128, 128, 60, 20, 20, 20, 20, 20, 112]),
];

fn frame_flags() -> Vec<Node> {
    [(0.2, 2), (0.95, 4), (0.8, 4), (0.1, 2), (0.8, 2), (0.3, 2)]
        .map(|(p, uses)| node(p, uses))
        .to_vec()
}
