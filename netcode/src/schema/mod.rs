//! The replication schema: one table of components and fields, from which quantisation, deltas,
//! hashes, sizes and interpolation derive.
//!
//! A component implements [`Replicate`]; a [`Schema`] numbers the components and lists the entity
//! kinds made of them. An entity's state is a flat slice of quantised fields, in the order of its
//! kind. A field's [`Estimator`] computes an estimate from the states that the receiver
//! acknowledged. The schema's [`Priors`] hold the expected distribution of the residuals.

use std::sync::{Arc, OnceLock};

use thiserror::Error;

use crate::coding::prior::Tables;
use crate::limits::{COMPONENTS, ENTITY_BYTES, FIELDS_PER_ENTITY, KINDS};

mod field;
mod hash;
mod plan;
mod tables;

pub use field::{Audience, Estimator, Field, Scale, TeleportMark, Visibility};
use plan::plan_component;
pub use plan::{CodedComponent, CodedField, CompiledEstimator, Contexts};
pub use tables::{CLASSES, FieldPriors, Priors, class_of, frame};

/// A component that takes part in replication.
pub trait Replicate: Sized {
    /// Name of the component, unique in a schema.
    const NAME: &'static str;
    /// Fields of the component, in wire order.
    const FIELDS: &'static [Field];

    /// Writes the grid value of each field to `out`, which has the length of [`Self::FIELDS`].
    fn quantise(&self, out: &mut [u32]);

    /// Creates the component from grid values. [`Self::quantise`] of the result must return them.
    fn restore(fields: &[u32]) -> Self;
}

/// Number of a component in its schema, in the order of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ComponentId(pub u8);

/// Number of an entity kind in its schema, in the order of registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(pub u8);

/// A registered component.
#[derive(Clone, Debug)]
pub struct ComponentInfo {
    /// Name of the component.
    pub name: &'static str,
    /// Fields of the component, in wire order.
    pub fields: &'static [Field],
}

/// An entity kind: the components of its entities, and how they are coded.
#[derive(Clone, Debug)]
pub struct KindInfo {
    /// Name of the kind.
    pub name: &'static str,
    /// Components of the kind, each with the index of its first field in [`Self::fields`].
    pub components: Vec<(ComponentId, usize)>,
    /// All fields, component by component.
    pub fields: Vec<Field>,
    /// How each component's changes are coded.
    pub plan: Vec<CodedComponent>,
    /// Ranges of the kind's contexts in [`Tables`].
    pub contexts: Contexts,
}

impl KindInfo {
    /// Returns the index of a field by the names of its component and itself; `None` if there is no
    /// such field.
    pub fn field(&self, schema: &Schema, component: &str, field: &str) -> Option<usize> {
        self.components.iter().find_map(|(id, start)| {
            let info = schema.component(*id);
            let at = info.fields.iter().position(|f| f.name == field)?;
            (info.name == component).then_some(start + at)
        })
    }

    /// Whether a teleport mark differs between two states of an entity of this kind: it was moved
    /// without passing between.
    pub fn is_teleport(&self, from: &[u32], to: &[u32]) -> bool {
        self.fields
            .iter()
            .zip(from.iter().zip(to))
            .any(|(field, (from, to))| field.teleport.is_between(*from, *to))
    }

    /// Whether clients may see any field of entities of this kind.
    pub fn is_visible(&self) -> bool {
        self.fields
            .iter()
            .any(|field| field.visibility != Visibility::Server)
    }

    /// Upper bound of the encoded size of an entity of this kind, in bytes, as its owner sees it.
    pub(crate) fn max_bytes(&self) -> usize {
        // The least likely outcome of a decision takes 7 bits; see `coding::range`.
        const FRAME_BITS: usize = 4 * (13 * 7 + 37);
        let flags = self.components.len() * 7;
        (FRAME_BITS + flags + self.fields.len() * (13 * 7 + 37)).div_ceil(8)
    }
}

/// A defect of a schema, for which the game's author is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// A maximum of [`crate::limits`] is exceeded; holds what there are too many of, and the
    /// maximum.
    #[error("schema has more than {1} {0}")]
    TooMany(&'static str, usize),
    /// An entity might not fit into a packet; holds the name of the kind and its largest size in
    /// bytes.
    #[error(
        "an entity of kind `{0}` takes up to {1} bytes; at most {ENTITY_BYTES} fit into a packet"
    )]
    TooLarge(&'static str, usize),
    /// Two components or two kinds share this name.
    #[error("`{0}` is registered twice")]
    Twice(&'static str),
    /// The estimator of the named field does not fit its component: it refers to a field that does
    /// not exist or has the wrong type.
    #[error("field `{0}`: its model does not fit its component")]
    Estimator(&'static str),
}

/// The table of components and kinds. Both sides must have equal ones, which its hash proves.
#[derive(Clone, Debug)]
pub struct Schema {
    components: Vec<ComponentInfo>,
    kinds: Vec<KindInfo>,
    has_teams: bool,
    priors: Priors,
    /// Initial contexts by class of baseline; built on first use.
    tables: OnceLock<Arc<Vec<Tables>>>,
}

impl Default for Schema {
    fn default() -> Self {
        Self::new()
    }
}

impl Schema {
    /// Creates an empty schema.
    pub fn new() -> Self {
        Self {
            components: Vec::new(),
            kinds: Vec::new(),
            has_teams: false,
            priors: &[],
            tables: OnceLock::new(),
        }
    }

    /// Registers a component and returns its number.
    ///
    /// # Errors
    /// [`SchemaError`] if there are too many components, the name is taken, or an estimator does
    /// not fit.
    pub fn add_component<T: Replicate>(&mut self) -> Result<ComponentId, SchemaError> {
        self.add_info(ComponentInfo {
            name: T::NAME,
            fields: T::FIELDS,
        })
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

    /// Registers an entity kind made of these components and returns its number.
    ///
    /// # Errors
    /// [`SchemaError`] if there are too many kinds or fields, the name is taken, or an entity might
    /// not fit into a packet.
    ///
    /// # Panics
    /// If a component is not of this schema.
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
        let start = self.kinds.last().map_or(
            Contexts {
                numbers: 0..frame::NUMBERS,
                flags: 0..frame::FLAGS,
            },
            |before| before.contexts.clone(),
        );
        let mut contexts = Contexts {
            numbers: start.numbers.end..start.numbers.end,
            flags: start.flags.end..start.flags.end,
        };
        let (mut components, mut fields, mut plan) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            components.push((*part, fields.len()));
            plan.push(plan_component(
                self.component(*part).fields,
                fields.len(),
                &mut contexts,
            )?);
            fields.extend_from_slice(self.component(*part).fields);
        }
        if fields.len() > FIELDS_PER_ENTITY {
            return Err(SchemaError::TooMany("fields in a kind", FIELDS_PER_ENTITY));
        }
        let kind = KindInfo {
            name,
            components,
            fields,
            plan,
            contexts,
        };
        let bytes = kind.max_bytes();
        if bytes > ENTITY_BYTES {
            return Err(SchemaError::TooLarge(name, bytes));
        }
        self.has_teams |= kind
            .fields
            .iter()
            .any(|field| field.visibility == Visibility::Team);
        self.kinds.push(kind);
        self.tables = OnceLock::new();
        Ok(KindId(self.kinds.len() as u8 - 1))
    }

    /// Sets the priors of the schema's residuals. Without priors every context starts at even odds.
    pub fn with_priors(mut self, priors: Priors) -> Self {
        self.priors = priors;
        self.tables = OnceLock::new();
        // Built here, so that clones share the tables and the first packet does not wait for them.
        let _ = self.tables(0);
        self
    }

    /// Whether any field is visible to the entity's team only.
    pub fn has_teams(&self) -> bool {
        self.has_teams
    }

    /// Returns the initial contexts for a class of baselines; see [`class_of`].
    ///
    /// # Panics
    /// If `class` is not below [`CLASSES`].
    pub fn tables(&self, class: usize) -> &Tables {
        let make = || Arc::new((0..CLASSES).map(|class| self.tables_of(class)).collect());
        &self.tables.get_or_init(make)[class]
    }

    /// Returns a component by its number.
    ///
    /// # Panics
    /// If the number is not of this schema.
    pub fn component(&self, id: ComponentId) -> &ComponentInfo {
        &self.components[usize::from(id.0)]
    }

    /// All components in the order of their numbers.
    pub fn components(&self) -> impl ExactSizeIterator<Item = &ComponentInfo> {
        self.components.iter()
    }

    /// Returns a kind by its number.
    ///
    /// # Panics
    /// If the number is not of this schema.
    pub fn kind(&self, id: KindId) -> &KindInfo {
        &self.kinds[usize::from(id.0)]
    }

    /// Returns a kind by a number from the wire; `None` if there is no such kind.
    pub fn find_kind(&self, id: u32) -> Option<(KindId, &KindInfo)> {
        Some((KindId(id as u8), self.kinds.get(id as usize)?))
    }

    /// All kinds in the order of their numbers.
    pub fn kinds(&self) -> impl Iterator<Item = (KindId, &KindInfo)> {
        self.kinds
            .iter()
            .enumerate()
            .map(|(i, kind)| (KindId(i as u8), kind))
    }
}

#[cfg(test)]
mod tests;
