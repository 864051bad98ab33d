//! For any schema, the decoded state equals the one that was sent.

use proptest::prelude::*;

use crate::replication::entity::Baselines;
use crate::replication::entity::tests::assert_returns;
use crate::schema::{Audience, ComponentInfo, Estimator, Field, KindInfo, Schema, Visibility};

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// One field, or the four of a rotation; the schema refuses invalid combinations.
fn fields() -> impl Strategy<Value = Vec<Field>> {
    let single = prop_oneof![
        (1u32..=32).prop_map(|bits| Field::count("", bits)),
        any::<u32>().prop_map(|max| Field::up_to("", max)),
        (0u32..9).prop_map(|max| Field::up_to("", max)),
        Just(Field::flag("")),
        Just(Field::reference("")),
        (1u32..=16).prop_map(|bits| Field::turn("", bits)),
        (1u32..=20, -6i32..4).prop_map(|(bits, step)| {
            let step = 2f32.powi(step);
            Field::linear("", 0.0, (1 << bits) as f32 * step, step)
        }),
    ];
    let model = prop_oneof![
        Just(Estimator::Constant),
        Just(Estimator::Linear),
        (0u8..12).prop_map(|velocity| Estimator::Velocity { velocity }),
    ];
    let one = (single, model).prop_map(|(field, model)| vec![Field { model, ..field }]);
    let rotation = (5u32..=16).prop_map(|bits| Field::quaternion([""; 4], bits).to_vec());
    prop_oneof![6 => one, 1 => rotation]
}

fn component() -> impl Strategy<Value = Vec<Field>> {
    let visibility = prop_oneof![
        4 => Just(Visibility::Everyone),
        1 => Just(Visibility::Team),
        1 => Just(Visibility::Owner),
        1 => Just(Visibility::Server),
    ];
    let groups = proptest::collection::vec((fields(), visibility), 1..6);
    groups.prop_map(|groups| {
        let seen = groups.into_iter().flat_map(|(fields, visibility)| {
            fields.into_iter().map(move |field| Field {
                visibility,
                ..field
            })
        });
        seen.zip(NAMES)
            .map(|(field, name)| Field { name, ..field })
            .collect()
    })
}

/// A schema of one kind. The field lists are leaked, because the process of a test is short.
fn schema() -> impl Strategy<Value = Schema> {
    proptest::collection::vec(component(), 1..4).prop_filter_map("refused", |components| {
        let mut schema = Schema::new();
        let parts = components.into_iter().zip(NAMES).map(|(fields, name)| {
            schema.add_info(ComponentInfo {
                name,
                fields: Vec::leak(fields),
            })
        });
        let parts: Vec<_> = parts.collect::<Result<_, _>>().ok()?;
        schema.add_kind("thing", &parts).ok()?;
        Some(schema)
    })
}

/// What a receiver holds, made from any numbers.
fn seen(kind: &KindInfo, audience: Audience, numbers: impl Iterator<Item = u32>) -> Vec<u32> {
    let fitted = kind.fields.iter().zip(numbers).map(|(field, number)| {
        let fits = if number <= field.max {
            number
        } else {
            number % (field.max + 1)
        };
        if audience.sees(field.visibility) {
            fits
        } else {
            0
        }
    });
    fitted.collect()
}

proptest! {
    #[test]
    fn decoded_equals_sent_in_any_schema(
        schema in schema(),
        numbers in proptest::collection::vec((any::<u32>(), any::<u32>(), -9i32..9, 0u8..4), 36),
        (age, gap) in (1u32..200, 0u32..20),
        audience in 0usize..3,
    ) {
        let (_, kind) = schema.kinds().next().unwrap();
        let audience = Audience::ALL[audience];
        let older = seen(kind, audience, numbers.iter().map(|(a, ..)| *a));
        // Each field stays, changes a little or jumps.
        let step = |(_, leap, by, how): &(u32, u32, i32, u8), from: u32| match how {
            0 => from,
            1 | 2 => from.wrapping_add_signed(*by),
            _ => *leap,
        };
        let base = seen(kind, audience, numbers.iter().zip(&older).map(|(n, from)| step(n, *from)));
        let later = numbers.iter().rev().zip(&base).map(|(n, from)| step(n, *from));
        let now = seen(kind, audience, later);
        let past = Baselines { age, base: &base, older: (gap > 0).then_some((older.as_slice(), gap)) };
        assert_returns(&schema, audience, &past, &now)?;
    }
}
