//! The schema's hash: XXH3-64 over bytes that `PROTOCOL.md` specifies. They contain no name of a
//! Rust type or variant.
//!
//! ```text
//! schema      version:1 B  components:1 B { component }  kinds:1 B { kind }
//!             coding:1 B  priors:4 B { prior }
//! component   name:string  fields:1 B { field }
//! field       name:string  scale:1 B [ min:4 B  step:4 B ]  bits:1 B  max:4 B
//!             estimator:1 B [ place:1 B ]  visibility:1 B  predicted:1 B
//! kind        name:string  components:1 B { component:1 B }
//! prior       kind:string  component:string  field:string  10 classes x 4 contexts x 10 B
//! string      length:2 B  UTF-8
//! ```
//! Numbers are little-endian; `min` and `step` are IEEE 754 single precision, without a negative
//! zero.

use xxhash_rust::xxh3::xxh3_64;

use super::{ComponentInfo, Estimator, Field, KindInfo, Priors, Scale, Schema, Visibility};

/// Version of this encoding.
const VERSION: u8 = 1;

impl Schema {
    /// Returns a hash of everything that both sides must agree on: XXH3-64 of
    /// [`Self::canonical_bytes`].
    pub fn hash(&self) -> u64 {
        xxh3_64(&self.canonical_bytes())
    }

    /// Returns the input of [`Self::hash`], as `PROTOCOL.md` specifies it.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.components.len() as u8];
        self.components
            .iter()
            .for_each(|component| write_component(component, &mut out));
        out.push(self.kinds.len() as u8);
        self.kinds
            .iter()
            .for_each(|kind| write_kind(kind, &mut out));
        // The coder: 0 is the range coder. 1 was the prefix coder, which was removed.
        out.push(0);
        write_priors(self.priors, &mut out);
        out
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
}

fn write_component(component: &ComponentInfo, out: &mut Vec<u8>) {
    write_string(component.name, out);
    out.push(component.fields.len() as u8);
    component
        .fields
        .iter()
        .for_each(|field| write_field(field, out));
}

fn write_field(field: &Field, out: &mut Vec<u8>) {
    write_string(field.name, out);
    match field.scale {
        Scale::Count => out.push(0),
        Scale::Linear { min, step } => {
            out.push(1);
            // Adding 0.0 turns a negative zero into a positive one.
            [min, step]
                .iter()
                .for_each(|number| out.extend((number + 0.0).to_le_bytes()));
        }
        Scale::Turn => out.push(2),
    }
    out.push(field.bits as u8);
    out.extend(field.max.to_le_bytes());
    match field.model {
        Estimator::Constant => out.push(0),
        Estimator::Linear => out.push(1),
        Estimator::Velocity { velocity } => out.extend([2, velocity]),
        Estimator::Rotation { part } => out.extend([3, part]),
    }
    out.push(match field.visibility {
        Visibility::Everyone => 0,
        Visibility::Team => 1,
        Visibility::Owner => 2,
        Visibility::Server => 3,
    });
    out.push(u8::from(field.predicted));
}

fn write_kind(kind: &KindInfo, out: &mut Vec<u8>) {
    write_string(kind.name, out);
    out.push(kind.components.len() as u8);
    out.extend(kind.components.iter().map(|(id, _)| id.0));
}

fn write_priors(priors: Priors, out: &mut Vec<u8>) {
    out.extend((priors.len() as u32).to_le_bytes());
    for (kind, component, field, lengths) in priors {
        [kind, component, field]
            .iter()
            .for_each(|name| write_string(name, out));
        lengths.iter().flatten().for_each(|prior| out.extend(prior));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{CLASSES, FieldPriors};
    use std::collections::BTreeSet;

    const FIELD: Field = Field::linear("x", -64.0, 64.0, 0.25);

    fn of(components: &[(&'static str, Vec<Field>)], kinds: &[(&'static str, &[u8])]) -> Schema {
        let mut schema = Schema::new();
        for (name, fields) in components {
            schema
                .add_info(ComponentInfo {
                    name,
                    fields: Vec::leak(fields.clone()),
                })
                .unwrap();
        }
        for (name, parts) in kinds {
            let parts: Vec<_> = parts
                .iter()
                .map(|part| crate::schema::ComponentId(*part))
                .collect();
            schema.add_kind(name, &parts).unwrap();
        }
        schema
    }

    /// A schema of one component with this first field.
    fn with(field: Field) -> Schema {
        of(
            &[("body", vec![field, Field { name: "v", ..FIELD }])],
            &[("thing", &[0])],
        )
    }

    /// Fields that differ from [`FIELD`] and from each other in one property.
    fn different_fields() -> [Field; 13] {
        let linear = |min, step| Field {
            scale: Scale::Linear { min, step },
            ..FIELD
        };
        [
            Field { name: "y", ..FIELD },
            Field {
                scale: Scale::Count,
                ..FIELD
            },
            Field {
                scale: Scale::Turn,
                ..FIELD
            },
            linear(-32.0, 0.25),
            linear(-64.0, 0.5),
            Field {
                bits: FIELD.bits + 1,
                ..FIELD
            },
            Field {
                max: FIELD.max - 1,
                ..FIELD
            },
            FIELD.extrapolated(),
            FIELD.moved_by(1),
            FIELD.team(),
            FIELD.owner(),
            FIELD.server(),
            FIELD.predicted(),
        ]
    }

    /// Priors that differ from each other in one property.
    fn different_priors() -> [(&'static str, &'static str, &'static str, FieldPriors); 5] {
        const PRIORS: FieldPriors = [[[128; 10]; 4]; CLASSES];
        const OTHER: FieldPriors = {
            let mut priors = PRIORS;
            priors[9][3][9] = 129;
            priors
        };
        [
            ("thing", "body", "x", PRIORS),
            ("thing", "body", "x", OTHER),
            ("thing", "body", "v", PRIORS),
            ("thing", "mind", "x", PRIORS),
            ("other", "body", "x", PRIORS),
        ]
    }

    /// Schemas that all differ from each other in at least one property.
    fn different() -> Vec<Schema> {
        let mut schemas = vec![with(FIELD), Schema::new()];
        schemas.extend(different_fields().map(with));
        let second = ("mind", vec![Field::flag("awake")]);
        let first = ("body", vec![FIELD]);
        let two = [first.clone(), second.clone()];
        schemas.extend([
            of(
                &[("corpus", vec![FIELD, Field { name: "v", ..FIELD }])],
                &[("thing", &[0])],
            ),
            of(std::slice::from_ref(&first), &[("thing", &[0])]),
            of(&two, &[("thing", &[0])]),
            of(&two, &[("thing", &[1])]),
            of(&two, &[("thing", &[0, 1])]),
            of(&two, &[("thing", &[1, 0])]),
            of(&two, &[("thing", &[0]), ("other", &[1])]),
            of(&two, &[("other", &[1]), ("thing", &[0])]),
            of(&[second, first], &[("thing", &[0])]),
        ]);
        schemas.extend(different_priors().map(|prior| with(FIELD).with_priors(vec![prior].leak())));
        schemas
    }

    #[test]
    fn each_property_changes_the_hash() {
        let schemas = different();
        let hashes: BTreeSet<u64> = schemas.iter().map(Schema::hash).collect();
        assert_eq!(hashes.len(), schemas.len());
    }

    #[test]
    fn names_of_rust_types_and_the_sign_of_zero_do_not() {
        use crate::schema::Replicate;

        struct Before;
        struct After;
        macro_rules! body {
            ($name:ident, $min:expr) => {
                impl Replicate for $name {
                    const NAME: &'static str = "body";
                    const FIELDS: &'static [Field] = &[Field::linear("x", $min, 64.0, 0.25)];
                    fn quantise(&self, _: &mut [u32]) {}
                    fn restore(_: &[u32]) -> Self {
                        Self
                    }
                }
            };
        }
        body!(Before, 0.0);
        body!(After, -0.0);
        let (mut before, mut after) = (Schema::new(), Schema::new());
        before.add_component::<Before>().unwrap();
        after.add_component::<After>().unwrap();
        assert_eq!(before.hash(), after.hash());
        let bytes = before.canonical_bytes();
        let text = String::from_utf8_lossy(&bytes);
        for word in [
            "Before",
            "Count",
            "Linear",
            "Constant",
            "Everyone",
            "ComponentInfo",
            "Range",
        ] {
            assert!(!text.contains(word), "{word} is in {text:?}");
        }
    }

    #[test]
    fn the_bytes_are_as_specified() {
        let schema = with(FIELD.moved_by(1).owner().predicted());
        let x = [
            &[1, 0, b'x', 1][..],
            &(-64f32).to_le_bytes(),
            &0.25f32.to_le_bytes(),
            &[9, 255, 1, 0, 0],
        ];
        let v = [
            &[1, 0, b'v', 1][..],
            &(-64f32).to_le_bytes(),
            &0.25f32.to_le_bytes(),
            &[9, 255, 1, 0, 0],
        ];
        let expected = [
            &[1, 1, 4, 0][..],
            b"body",
            &[2],
            &x.concat(),
            &[2, 1, 2, 1],
            &v.concat(),
            &[0, 0, 0],
            &[1, 5, 0],
            b"thing",
            &[1, 0],
            &[0],
            &[0, 0, 0, 0],
        ];
        assert_eq!(schema.canonical_bytes(), expected.concat());
    }
}
