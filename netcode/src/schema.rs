//! What is replicated: one table of components and fields, from which quantising, deltas, hashes, sizes and
//! interpolation all derive.
//!
//! A component implements [`Replicate`]; a [`Schema`] numbers the components and lists the entity kinds made
//! of them. An entity's state is then a flat slice of quantised fields, in the order of its kind.

use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use crate::limits::{COMPONENTS, ENTITY_BYTES, FIELDS_PER_ENTITY, KINDS};

/// Who may see a field. What a client may not see is never sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    /// Everyone to whom the entity is relevant.
    Everyone,
    /// Only the client that owns the entity.
    Owner,
    /// Nobody: kept for hashes, recordings and restoring.
    Server,
}

/// Whose copy of an entity is meant: selects the fields that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Any client but the owner.
    Others = 0,
    /// The owner.
    Owner = 1,
    /// The server itself: every field.
    Server = 2,
}

impl Audience {
    /// Whether this audience holds fields of that visibility.
    pub fn sees(self, visibility: Visibility) -> bool {
        visibility as u8 <= self as u8
    }
}

/// How a field's number is to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// A plain unsigned number; shown as is, never interpolated.
    Count,
    /// `min + step * n`.
    Linear {
        /// Value of 0.
        min: f32,
        /// Distance between neighbours; a power of two, of which `min` is a multiple, so that every value
        /// on the grid is exact in `f32`.
        step: f32,
    },
    /// A direction: 0 to 2^bits - 1 is one turn.
    Turn,
}

/// One field of a component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Name, unique in its component.
    pub name: &'static str,
    /// How its number is to be read.
    pub scale: Scale,
    /// Bits of an absolute value, 1 to 32.
    pub bits: u32,
    /// Order of the exponential Golomb code of its change: about the bits of a typical change.
    pub delta_order: u32,
    /// Who may see it.
    pub visibility: Visibility,
    /// Whether clients predict it, so that reconciliation compares it.
    pub predicted: bool,
}

impl Field {
    const fn new(name: &'static str, scale: Scale, bits: u32, delta_order: u32) -> Self {
        Self { name, scale, bits, delta_order, visibility: Visibility::Everyone, predicted: false }
    }

    /// A number from `min` to `max` (exclusive) in units of `step`, a power of two that divides both.
    pub const fn linear(name: &'static str, min: f32, max: f32, step: f32) -> Self {
        let count = ((max - min) / step) as u64;
        assert!(count > 1 && count <= 1 << 24, "a linear field has 2 to 2^24 values");
        assert!((min / step) as i64 as f32 * step == min, "min is a multiple of step");
        let bits = 64 - (count - 1).leading_zeros();
        Self::new(name, Scale::Linear { min, step }, bits, 4)
    }

    /// An unsigned number of so many bits.
    pub const fn count(name: &'static str, bits: u32) -> Self {
        assert!(bits >= 1 && bits <= 32, "a field has 1 to 32 bits");
        Self::new(name, Scale::Count, bits, 0)
    }

    /// A direction of so many bits to the turn.
    pub const fn turn(name: &'static str, bits: u32) -> Self {
        assert!(bits >= 1 && bits <= 16, "a turn has 1 to 16 bits");
        Self::new(name, Scale::Turn, bits, 4)
    }

    /// The same with another [`Field::delta_order`].
    pub const fn delta(mut self, order: u32) -> Self {
        assert!(order < self.bits, "a change has fewer bits than the field");
        self.delta_order = order;
        self
    }

    /// The same, seen by the owner only.
    pub const fn owner(mut self) -> Self {
        self.visibility = Visibility::Owner;
        self
    }

    /// The same, seen by nobody.
    pub const fn server(mut self) -> Self {
        self.visibility = Visibility::Server;
        self
    }

    /// The same, predicted by its owner.
    pub const fn predicted(mut self) -> Self {
        self.predicted = true;
        self
    }

    /// Largest quantised value.
    pub const fn max(&self) -> u32 {
        u32::MAX >> (32 - self.bits)
    }

    /// The nearest grid value of `value` (radians for a turn); out of range goes to the nearest end, and
    /// what is no number to 0.
    pub fn quantise(&self, value: f32) -> u32 {
        match self.scale {
            Scale::Count => (value as u32).min(self.max()),
            Scale::Linear { min, step } => (((value - min) / step).round() as u32).min(self.max()),
            Scale::Turn => {
                let turns = f64::from(value) / std::f64::consts::TAU;
                ((turns - turns.floor()) * f64::from(1u32 << self.bits)).round() as u32 & self.max()
            }
        }
    }

    /// The value at grid point `n`, in radians (0 to 2 pi) for a turn.
    pub fn value(&self, n: u32) -> f32 {
        match self.scale {
            Scale::Count => n as f32,
            Scale::Linear { min, step } => min + n as f32 * step,
            Scale::Turn => (f64::from(n) * std::f64::consts::TAU / f64::from(1u32 << self.bits)) as f32,
        }
    }

    /// Signed change from `from` to `to`, the short way round for a turn. Wraps for 32-bit counts.
    #[inline]
    pub fn difference(&self, from: u32, to: u32) -> i32 {
        let plain = to.wrapping_sub(from) as i32;
        match self.scale {
            Scale::Turn => plain << (32 - self.bits) >> (32 - self.bits),
            _ => plain,
        }
    }

    /// The inverse of [`Self::difference`], `None` where that leaves the field's range.
    #[inline]
    pub fn apply(&self, from: u32, difference: i32) -> Option<u32> {
        let to = from.wrapping_add_signed(difference);
        match self.scale {
            Scale::Turn => Some(to & self.max()),
            _ => (to <= self.max()).then_some(to),
        }
    }
}

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

    /// Most bits that an encoded entity of this kind can take, for its owner, without its id.
    fn max_bits(&self) -> usize {
        let flags = self.components.len() + self.fields.len();
        let values: usize = self.fields.iter().map(|f| (2 * (f.bits + 2)) as usize).sum();
        flags + values + 64
    }
}

/// What is wrong with a schema; the game's author made it so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// A maximum of [`crate::limits`] is passed.
    #[error("schema has more than {1} {0}")]
    TooMany(&'static str, usize),
    /// An entity of this kind might not fit into a packet.
    #[error("an entity of kind `{0}` takes up to {1} bytes; at most {ENTITY_BYTES} fit into a packet")]
    TooLarge(&'static str, usize),
    /// Two components or kinds share a name.
    #[error("`{0}` is registered twice")]
    Twice(&'static str),
}

/// The table of components and kinds; the same on both sides, which its hash proves.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    components: Vec<ComponentInfo>,
    kinds: Vec<KindInfo>,
}

impl Schema {
    /// An empty schema.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a component.
    pub fn add_component<T: Replicate>(&mut self) -> Result<ComponentId, SchemaError> {
        if self.components.len() == COMPONENTS {
            return Err(SchemaError::TooMany("components", COMPONENTS));
        }
        if self.components.iter().any(|c| c.name == T::NAME) {
            return Err(SchemaError::Twice(T::NAME));
        }
        self.components.push(ComponentInfo { name: T::NAME, fields: T::FIELDS });
        Ok(ComponentId(self.components.len() as u8 - 1))
    }

    /// Registers an entity kind made of these components.
    pub fn add_kind(&mut self, name: &'static str, parts: &[ComponentId]) -> Result<KindId, SchemaError> {
        if self.kinds.len() == KINDS {
            return Err(SchemaError::TooMany("kinds", KINDS));
        }
        if self.kinds.iter().any(|k| k.name == name) {
            return Err(SchemaError::Twice(name));
        }
        let mut kind = KindInfo { name, components: Vec::new(), fields: Vec::new() };
        for part in parts {
            kind.components.push((*part, kind.fields.len()));
            kind.fields.extend_from_slice(self.component(*part).fields);
        }
        if kind.fields.len() > FIELDS_PER_ENTITY {
            return Err(SchemaError::TooMany("fields in a kind", FIELDS_PER_ENTITY));
        }
        let bytes = kind.max_bits().div_ceil(8);
        if bytes > ENTITY_BYTES {
            return Err(SchemaError::TooLarge(name, bytes));
        }
        self.kinds.push(kind);
        Ok(KindId(self.kinds.len() as u8 - 1))
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

    /// A hash of everything that both sides must agree on (XXH3 over names, scales and sizes).
    pub fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for component in &self.components {
            hasher.update(format!("{component:?}").as_bytes());
        }
        for kind in &self.kinds {
            hasher.update(format!("{} {:?}", kind.name, kind.components).as_bytes());
        }
        hasher.digest()
    }
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
