//! Counts residuals over recorded play and writes them as priors.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use truetick_netcode::coding::prior::Prior;
use truetick_netcode::coding::{CONTEXTS, Coder};
use truetick_netcode::error::WireError;
use truetick_netcode::replication::block_delta::block_of;
use truetick_netcode::replication::entity::{Baselines, code_change};
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::schema::{Audience, CLASSES, Schema, class_of};

/// Ages of the baselines that are counted, each with the further age of the older baseline (0 for
/// none).
const PASTS: [(u32, u32); 14] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (5, 0),
    (8, 0),
    (1, 2),
    (2, 2),
    (3, 2),
    (4, 2),
    (5, 2),
    (6, 3),
    (7, 2),
    (9, 3),
    (14, 4),
];

/// Magnitudes of the numbers of one context.
#[derive(Clone, Copy, Debug)]
struct Seen {
    lengths: [u64; 33],
    seconds: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            lengths: [0; 33],
            seconds: 0,
        }
    }
}

impl Seen {
    fn add(&mut self, magnitude: u32) {
        let length = 32 - magnitude.leading_zeros();
        self.lengths[length as usize] += 1;
        self.seconds += u64::from(length >= 2 && magnitude >> (length - 2) & 1 == 1);
    }

    fn prior(&self) -> Prior {
        Prior::of(&self.lengths, self.seconds)
    }
}

/// A coder that writes nothing and counts everything.
#[derive(Default)]
struct Counting {
    numbers: BTreeMap<usize, Seen>,
    flags: BTreeMap<usize, Seen>,
}

impl Coder for Counting {
    const DECODES: bool = false;

    fn flag(&mut self, at: usize, flag: bool) -> Result<bool, WireError> {
        self.flags.entry(at).or_default().add(u32::from(flag));
        Ok(flag)
    }

    fn number(&mut self, at: usize, number: i32) -> Result<i32, WireError> {
        self.numbers
            .entry(at)
            .or_default()
            .add(number.unsigned_abs());
        Ok(number)
    }

    fn raw(&mut self, value: u32, _: u32) -> Result<u32, WireError> {
        Ok(value)
    }

    fn prepare(&mut self, _: usize, _: &Range<usize>, _: &Range<usize>) {}
}

/// Names what a row of priors is for.
#[derive(Clone, Copy)]
struct RowKey<'a> {
    kind: &'a str,
    component: &'a str,
    /// Name of the field; empty for the flag of the component.
    field: &'a str,
}

/// Counts by class of baseline.
pub struct Training {
    counts: Vec<Counting>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            counts: (0..CLASSES).map(|_| Counting::default()).collect(),
        }
    }
}

impl Training {
    /// Counts the residuals of a tick's world against baselines of several ages.
    pub fn look(&mut self, schema: &Schema, ring: &StateRing) {
        for entry in ring.entries() {
            let kind = schema.kind(entry.kind);
            let changed =
                ring.blocks()[block_of(entry.id.slot)].changed(entry.id.slot, Audience::Others);
            for (age, gap) in PASTS {
                let at = ring.tick().back(age);
                let (Some(base), Some(older)) = (entry.at(at), entry.at(at.back(gap))) else {
                    continue;
                };
                if !changed.is_after(at) {
                    continue;
                }
                let older = (gap > 0).then_some((&*older.fields, gap));
                let past = Baselines {
                    age,
                    base: &base.fields,
                    older,
                };
                let mut fields = entry.current().fields.to_vec();
                let coder = &mut self.counts[class_of(age, gap > 0)];
                // A coder that only counts cannot fail.
                let _ = code_change(coder, kind, Audience::Others, &past, &mut fields);
            }
        }
    }

    /// Returns the priors as a Rust source. `made_by` is the command that made them.
    pub fn to_source(&self, schema: &Schema, made_by: &str) -> String {
        let mut text = format!(
            "//! What is expected of residuals. Generated; do not edit.\n//!\n//! `{made_by}`\n\n\
             use truetick_netcode::schema::Priors;\n\n/// See [`Priors`].\n#[rustfmt::skip]\npub const PRIORS: Priors = &[\n"
        );
        for (_, kind) in schema.kinds() {
            for (id, coded) in kind.components.iter().zip(&kind.plan) {
                let component = schema.component(id.0);
                let flag = |counts: &Counting, _| counts.flags.get(&coded.flag).map(Seen::prior);
                let flag_key = RowKey {
                    kind: kind.name,
                    component: component.name,
                    field: "",
                };
                self.write_row(&mut text, flag_key, flag);
                for field in &coded.fields {
                    let number = |counts: &Counting, context| {
                        counts
                            .numbers
                            .get(&(field.context + context))
                            .map(Seen::prior)
                    };
                    let key = RowKey {
                        field: kind.fields[field.at].name,
                        ..flag_key
                    };
                    self.write_row(&mut text, key, number);
                }
            }
        }
        text.push_str("];\n");
        text
    }

    fn write_row(
        &self,
        text: &mut String,
        key: RowKey<'_>,
        prior: impl Fn(&Counting, usize) -> Option<Prior>,
    ) {
        let RowKey {
            kind,
            component,
            field,
        } = key;
        // A context without counts takes the prior of the class before it.
        let (mut before, mut seen) = ([Prior::UNKNOWN; CONTEXTS], false);
        let mut rows = Vec::new();
        for counts in &self.counts {
            for (context, before) in before.iter_mut().enumerate() {
                let prior = prior(counts, context);
                seen |= prior.is_some();
                *before = prior.unwrap_or(*before);
            }
            rows.push(before.map(|prior| prior.0));
        }
        if !seen {
            return;
        }
        let rows = format!("{rows:?}").replace(", ", ",");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    ({kind:?}, {component:?}, {field:?}, {rows}),");
    }
}
