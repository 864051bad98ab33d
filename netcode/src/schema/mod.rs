//! What is replicated: one table of components and fields, from which quantising, deltas, hashes,
//! sizes and interpolation all derive.
//!
//! A component implements [`Replicate`]; a [`Schema`] numbers the components and lists the entity
//! kinds made of them. An entity's state is then a flat slice of quantised fields, in the order of
//! its kind. How a field is foreseen from what its receiver acknowledged is its [`Estimator`]; what
//! is expected of the rest are the schema's [`Priors`].

use std::sync::{Arc, OnceLock};

use thiserror::Error;

use crate::coding::CONTEXTS;
use crate::coding::prior::{LENGTHS, Node, Prior, Tables, node};
use crate::limits::{COMPONENTS, ENTITY_BYTES, FIELDS_PER_ENTITY, KINDS};

mod field;
mod hash;
mod plan;

pub use field::{Audience, Estimator, Field, Scale, Visibility};
use plan::plan_component;
pub use plan::{CodedComponent, CodedField, CompiledEstimator, Contexts};

/// A component that takes part in replication.
pub trait Replicate: Sized {
    /// Name, unique in a schema.
    const NAME: &'static str;
    /// Its fields, in wire order.
    const FIELDS: &'static [Field];

    /// Writes each field's grid value to `out`, which has as many places as there are fields.
    fn quantise(&self, out: &mut [u32]);

    /// The component at those grid values. `quantise` of it must give them back.
    fn restore(fields: &[u32]) -> Self;
}

/// Number of a component in its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ComponentId(pub u8);

/// Number of an entity kind in its schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(pub u8);

/// A component as registered.
#[derive(Clone, Debug)]
pub struct ComponentInfo {
    /// Its name.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// An entity kind: which components its entities have.
#[derive(Clone, Debug)]
pub struct KindInfo {
    /// Its name.
    pub name: &'static str,
    /// Its components, and where each one's fields start.
    pub components: Vec<(ComponentId, usize)>,
    /// All fields, component by component.
    pub fields: Vec<Field>,
    /// How its changes are coded.
    pub plan: Vec<CodedComponent>,
    /// Where its contexts start among those of numbers, and of flags; and how many there are.
    pub contexts: Contexts,
}

impl KindInfo {
    /// Place of a field, by component and field name.
    pub fn field(&self, schema: &Schema, component: &str, field: &str) -> Option<usize> {
        self.components.iter().find_map(|(id, start)| {
            let info = schema.component(*id);
            let at = info.fields.iter().position(|f| f.name == field)?;
            (info.name == component).then_some(start + at)
        })
    }

    /// Whether an entity of this kind was put elsewhere between two states.
    pub fn is_teleport(&self, from: &[u32], to: &[u32]) -> bool {
        let marks =
            self.fields.iter().zip(from.iter().zip(to)).filter(|(field, _)| field.marks_teleport);
        marks.into_iter().any(|(_, (from, to))| from != to)
    }

    /// Whether clients may see anything of such entities.
    pub fn is_visible(&self) -> bool {
        self.fields.iter().any(|field| field.visibility != Visibility::Server)
    }

    /// Most bytes that an encoded entity of this kind can take, whatever the coder, for its owner.
    pub fn max_bytes(&self) -> usize {
        // The least likely outcome of a decision takes 7 bits; see `coding::range`.
        const FRAME_BITS: usize = 4 * (13 * 7 + 37);
        let flags = self.components.len() * 7;
        (FRAME_BITS + flags + self.fields.len() * (13 * 7 + 37)).div_ceil(8)
    }
}

/// What is wrong with a schema; the game's author made it so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// A maximum of [`crate::limits`] is passed.
    #[error("schema has more than {1} {0}")]
    TooMany(&'static str, usize),
    /// An entity of this kind might not fit into a packet.
    #[error(
        "an entity of kind `{0}` takes up to {1} bytes; at most {ENTITY_BYTES} fit into a packet"
    )]
    TooLarge(&'static str, usize),
    /// Two components or kinds share a name.
    #[error("`{0}` is registered twice")]
    Twice(&'static str),
    /// A field's model names a field that is not there, or not of the right sort.
    #[error("field `{0}`: its model does not fit its component")]
    Estimator(&'static str),
}

/// Classes of what a change is foreseen from: one state or two, and how long ago it was.
pub const CLASSES: usize = 10;

/// The class of a baseline `age` ticks old (1 or more), with or without an older one.
#[inline]
pub fn class_of(age: u32, has_older: bool) -> usize {
    let age = match age {
        0..=3 => age.saturating_sub(1),
        4..=6 => 3,
        _ => 4,
    };
    age as usize + if has_older { 5 } else { 0 }
}

/// What is expected of one field's residuals, by class and context.
pub type FieldPriors = [[[u8; LENGTHS + 2]; CONTEXTS]; CLASSES];

/// What is expected of a schema's residuals, by kind, component and field; `""` for whether a
/// component changes otherwise than foreseen. Generated from recorded play by `cargo run -p
/// truetick-benches --bin train`.
pub type Priors = &'static [(&'static str, &'static str, &'static str, FieldPriors)];

/// Contexts that every stream has: see [`crate::replication::block_delta`].
pub mod frame {
    /// Numbers: distance to the slot before, age of a baseline, distance of the older one,
    /// generation, kind.
    pub const NUMBERS: usize = 5;
    /// Flags: whether a slot is in the block (after one that is not, and one that is), whether all
    /// are, whether an entity is whole (after one that is not, and one that is), whether it is the
    /// team's.
    pub const FLAGS: usize = 6;
}

/// The table of components and kinds; the same on both sides, which its hash proves.
#[derive(Clone, Debug)]
pub struct Schema {
    components: Vec<ComponentInfo>,
    kinds: Vec<KindInfo>,
    has_teams: bool,
    priors: Priors,
    /// By class of baseline; made when first asked for.
    tables: OnceLock<Arc<Vec<Tables>>>,
}

impl Default for Schema {
    fn default() -> Self {
        Self::new()
    }
}

impl Schema {
    /// An empty schema.
    pub fn new() -> Self {
        Self {
            components: Vec::new(),
            kinds: Vec::new(),
            has_teams: false,
            priors: &[],
            tables: OnceLock::new(),
        }
    }

    /// Registers a component.
    pub fn add_component<T: Replicate>(&mut self) -> Result<ComponentId, SchemaError> {
        self.add_info(ComponentInfo { name: T::NAME, fields: T::FIELDS })
    }

    pub(crate) fn add_info(
        &mut self,
        component: ComponentInfo,
    ) -> Result<ComponentId, SchemaError> {
        if self.components.len() == COMPONENTS {
            return Err(SchemaError::TooMany("components", COMPONENTS));
        }
        if self.components.iter().any(|c| c.name == component.name) {
            return Err(SchemaError::Twice(component.name));
        }
        plan_component(component.fields, 0, &mut Contexts::default())?;
        self.components.push(component);
        Ok(ComponentId(self.components.len() as u8 - 1))
    }

    /// Registers an entity kind made of these components.
    pub fn add_kind(
        &mut self,
        name: &'static str,
        parts: &[ComponentId],
    ) -> Result<KindId, SchemaError> {
        if self.kinds.len() == KINDS {
            return Err(SchemaError::TooMany("kinds", KINDS));
        }
        if self.kinds.iter().any(|k| k.name == name) {
            return Err(SchemaError::Twice(name));
        }
        let start =
            self.kinds.last().map_or(
                Contexts { numbers: 0..frame::NUMBERS, flags: 0..frame::FLAGS },
                |before| before.contexts.clone(),
            );
        let mut contexts = Contexts {
            numbers: start.numbers.end..start.numbers.end,
            flags: start.flags.end..start.flags.end,
        };
        let (mut components, mut fields, mut plan) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            components.push((*part, fields.len()));
            plan.push(plan_component(self.component(*part).fields, fields.len(), &mut contexts)?);
            fields.extend_from_slice(self.component(*part).fields);
        }
        if fields.len() > FIELDS_PER_ENTITY {
            return Err(SchemaError::TooMany("fields in a kind", FIELDS_PER_ENTITY));
        }
        let kind = KindInfo { name, components, fields, plan, contexts };
        let bytes = kind.max_bytes();
        if bytes > ENTITY_BYTES {
            return Err(SchemaError::TooLarge(name, bytes));
        }
        self.has_teams |= kind.fields.iter().any(|field| field.visibility == Visibility::Team);
        self.kinds.push(kind);
        self.tables = OnceLock::new();
        Ok(KindId(self.kinds.len() as u8 - 1))
    }

    /// The same with what is expected of its residuals.
    pub fn with_priors(mut self, priors: Priors) -> Self {
        self.priors = priors;
        self.tables = OnceLock::new();
        // Made here, so that clones share them and no first packet waits for them.
        let _ = self.tables(0);
        self
    }

    /// Whether any field is seen by teams alone.
    pub fn has_teams(&self) -> bool {
        self.has_teams
    }

    /// Where all contexts start, for a class of baselines below [`CLASSES`].
    pub fn tables(&self, class: usize) -> &Tables {
        let make = || Arc::new((0..CLASSES).map(|class| self.tables_of(class)).collect());
        &self.tables.get_or_init(make)[class]
    }

    fn tables_of(&self, class: usize) -> Tables {
        let mut tables = Tables { flags: frame_flags(), ..Tables::default() };
        FRAME_PRIORS.iter().for_each(|prior| tables.push(Some(*prior)));
        let expected = |kind, component, field| {
            let found =
                self.priors.iter().find(|(k, c, f, _)| (*k, *c, *f) == (kind, component, field))?;
            Some(found.3[class].map(Prior))
        };
        for kind in &self.kinds {
            for (coded, (id, start)) in kind.plan.iter().zip(&kind.components) {
                let component = self.component(*id);
                let changes = expected(kind.name, component.name, "")
                    .map(|priors| 1.0 - f64::from(priors[0].0[0]) / 256.0);
                tables.flags.push(changes.map_or(node(0.5, 0), |changes| node(changes, 6)));
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

    /// A component by its number, which comes from this schema.
    pub fn component(&self, id: ComponentId) -> &ComponentInfo {
        &self.components[usize::from(id.0)]
    }

    /// All components in the order of their numbers.
    pub fn components(&self) -> impl ExactSizeIterator<Item = &ComponentInfo> {
        self.components.iter()
    }

    /// A kind by its number, which comes from this schema.
    pub fn kind(&self, id: KindId) -> &KindInfo {
        &self.kinds[usize::from(id.0)]
    }

    /// A kind by a number from the wire.
    pub fn find_kind(&self, id: u32) -> Option<(KindId, &KindInfo)> {
        Some((KindId(id as u8), self.kinds.get(id as usize)?))
    }

    /// All kinds in the order of their numbers.
    pub fn kinds(&self) -> impl Iterator<Item = (KindId, &KindInfo)> {
        self.kinds.iter().enumerate().map(|(i, kind)| (KindId(i as u8), kind))
    }
}

/// In the order of [`frame::NUMBERS`]: mostly neighbours, baselines some ticks old, the second two
/// ticks older.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POSITION: Field = Field::linear("x", -64.0, 64.0, 1.0 / 2048.0);
    const HEADING: Field = Field::turn("heading", 12);

    proptest! {
        #[test]
        fn the_grid_is_exact(n in 0..=POSITION.max(), turn in 0..=HEADING.max()) {
            prop_assert_eq!(POSITION.quantise(POSITION.value(n)), n);
            prop_assert_eq!(HEADING.quantise(HEADING.value(turn)), turn);
        }

        #[test]
        fn values_snap_to_the_nearest(value in -63.9f32..63.9) {
            let snapped = POSITION.value(POSITION.quantise(value));
            prop_assert!((snapped - value).abs() <= 0.5 / 2048.0 + 1e-5);
        }

        #[test]
        fn changes_return(from in 0..=HEADING.max(), to in 0..=HEADING.max(), wide in any::<(u32, u32)>()) {
            let change = HEADING.difference(from, to);
            prop_assert!(change.abs() <= 2048);
            prop_assert_eq!(HEADING.apply(from, change), Some(to));
            let count = Field::count("score", 32);
            prop_assert_eq!(count.apply(wide.0, count.difference(wide.0, wide.1)), Some(wide.1));
        }
    }

    #[test]
    fn out_of_range_goes_to_the_ends() {
        assert_eq!(POSITION.bits, 18);
        assert_eq!(POSITION.quantise(-1e9), 0);
        assert_eq!(POSITION.quantise(1e9), POSITION.max());
        assert_eq!(POSITION.quantise(f32::NAN), 0);
        assert_eq!(POSITION.apply(0, -1), None);
    }

    #[test]
    fn clones_share_the_tables_that_priors_make() {
        let schema = Schema::new().with_priors(&[]);
        let clone = schema.clone();
        assert!(std::ptr::eq(schema.tables(3), clone.tables(3)));
    }

    #[test]
    fn a_kind_that_fits_no_packet_is_refused() {
        struct Wide;
        impl Replicate for Wide {
            const NAME: &'static str = "wide";
            const FIELDS: &'static [Field] = &[Field::count("n", 32); 41];
            fn quantise(&self, _: &mut [u32]) {}
            fn restore(_: &[u32]) -> Self {
                Self
            }
        }
        let mut schema = Schema::new();
        let wide = schema.add_component::<Wide>().unwrap();
        assert_eq!(schema.add_component::<Wide>(), Err(SchemaError::Twice("wide")));
        assert!(matches!(schema.add_kind("w", &[wide]), Err(SchemaError::TooMany(..))));
    }
}
