//! Tests of the coding of an entity's state, and the schema that other tests of replication use.

use super::*;
use crate::coding::Decoder;
use crate::coding::range::{Contexts, RangeDecoder, RangeEncoder};
use crate::schema::{CLASSES, Field, Replicate, Schema, class_of};
use proptest::prelude::*;

const TURNED: [Field; 4] = Field::quaternion(["largest", "a", "b", "c"], 9);

pub(crate) struct Body;
impl Replicate for Body {
    const NAME: &'static str = "body";
    const FIELDS: &'static [Field] = &[
        Field::linear("x", -64.0, 64.0, 1.0 / 256.0)
            .moved_by(1)
            .predicted(),
        Field::linear("vx", -16.0, 16.0, 1.0 / 128.0).extrapolated(),
        Field::turn("heading", 12).extrapolated(),
        Field::count("fuel", 7).owner(),
    ];
    fn quantise(&self, _: &mut [u32]) {}
    fn restore(_: &[u32]) -> Self {
        Self
    }
}

pub(crate) struct Mind;
impl Replicate for Mind {
    const NAME: &'static str = "mind";
    const FIELDS: &'static [Field] = &[
        Field::count("dice", 32).server(),
        Field::count("score", 32),
        Field::up_to("mood", 4).team(),
        TURNED[0],
        TURNED[1],
        TURNED[2],
        TURNED[3],
    ];
    fn quantise(&self, _: &mut [u32]) {}
    fn restore(_: &[u32]) -> Self {
        Self
    }
}

/// Number of fields of the test kind.
pub(crate) const FIELDS: usize = 11;

pub(crate) fn schema() -> Schema {
    let mut schema = Schema::new();
    let parts = [
        schema.add_component::<Body>().unwrap(),
        schema.add_component::<Mind>().unwrap(),
    ];
    schema.add_kind("thing", &parts).unwrap();
    schema
}

/// A valid state made from any numbers.
pub(crate) fn fitted(numbers: &[u32]) -> Vec<u32> {
    Body::FIELDS
        .iter()
        .chain(Mind::FIELDS)
        .zip(numbers)
        .map(|(f, n)| if *n <= f.max { *n } else { n % (f.max + 1) })
        .collect()
}

fn state() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(any::<u32>(), FIELDS).prop_map(|numbers| fitted(&numbers))
}

fn seen(audience: Audience, state: &[u32]) -> Vec<u32> {
    let schema = schema();
    let fields = schema.kinds().next().unwrap().1.fields.clone();
    fields
        .iter()
        .zip(state)
        .map(|(f, v)| if audience.sees(f.visibility) { *v } else { 0 })
        .collect()
}

fn mix(before: &[u32], after: &[u32], keep: u32) -> Vec<u32> {
    (0..FIELDS)
        .map(|i| {
            if keep >> i & 1 == 1 {
                before[i]
            } else {
                after[i]
            }
        })
        .collect()
}

/// Sends a state whole and as a change; returns the total number of bytes.
pub(crate) fn assert_returns(
    schema: &Schema,
    audience: Audience,
    past: &Baselines,
    now: &[u32],
) -> Result<usize, TestCaseError> {
    let kind = schema.kinds().next().unwrap().1;
    let tables = schema.tables(class_of(past.age, past.older.is_some()));
    let parts = (&kind.contexts.numbers, &kind.contexts.flags);
    let wanted = kind.fields.iter().zip(now);
    let wanted: Vec<u32> = wanted
        .map(|(f, v)| if audience.sees(f.visibility) { *v } else { 0 })
        .collect();

    let (mut contexts, mut bytes) = (Contexts::default(), Vec::new());
    let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, tables);
    encoder.prepare(0, parts.0, parts.1);
    code_whole(&mut encoder, kind, audience, &mut now.to_vec()).unwrap();
    code_change(&mut encoder, kind, audience, past, &mut now.to_vec()).unwrap();
    encoder.finish();
    let mut decoder = RangeDecoder::new(&bytes, &mut contexts, tables);
    decoder.prepare(0, parts.0, parts.1);
    let (mut whole, mut change) = (vec![0; now.len()], past.base.to_vec());
    code_whole(&mut decoder, kind, audience, &mut whole).unwrap();
    code_change(&mut decoder, kind, audience, past, &mut change).unwrap();
    decoder.finish().unwrap();
    prop_assert_eq!((&whole, &change), (&wanted, &wanted));
    prop_assert_eq!(hash(kind, audience, &change), hash(kind, audience, now));
    Ok(bytes.len())
}

proptest! {
    #[test]
    fn decoded_equals_sent(
        states in (state(), state(), state()),
        keep in (any::<u32>(), any::<u32>()),
        (age, gap) in (1u32..200, 0u32..20),
        audience in 0usize..3,
    ) {
        let (schema, audience) = (schema(), Audience::ALL[audience]);
        let (older, base) = (seen(audience, &states.0), seen(audience, &mix(&states.0, &states.1, keep.0)));
        let now = mix(&base, &states.2, keep.1);
        let past = Baselines { age, base: &base, older: (gap > 0).then_some((older.as_slice(), gap)) };
        let bytes = assert_returns(&schema, audience, &past, &now)?;
        prop_assert!(bytes * 8 <= schema.kinds().next().unwrap().1.max_bytes() * 16);
    }

    #[test]
    fn line_34_random_bits_decode_in_range_or_fail(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        states in (state(), state()),
        class in 0..CLASSES,
    ) {
        let schema = schema();
        let kind = schema.kinds().next().unwrap().1;
        let past = Baselines { age: 3, base: &states.0, older: Some((&states.1, 2)) };
        let mut contexts = Contexts::default();
        let mut fields = states.0.clone();
        let mut decoder = RangeDecoder::new(&bytes, &mut contexts, schema.tables(class));
        decoder.prepare(0, &kind.contexts.numbers, &kind.contexts.flags);
        if code_change(&mut decoder, kind, Audience::Owner, &past, &mut fields).is_ok() {
            prop_assert!(kind.fields.iter().zip(&fields).all(|(f, v)| *v <= f.max()));
        }
        let mut fields = states.0.clone();
        let mut decoder = RangeDecoder::new(&bytes, &mut contexts, schema.tables(class));
        decoder.prepare(0, &kind.contexts.numbers, &kind.contexts.flags);
        if code_whole(&mut decoder, kind, Audience::Owner, &mut fields).is_ok() {
            prop_assert!(kind.fields.iter().zip(&fields).all(|(f, v)| *v <= f.max()));
        }
    }
}

#[test]
fn line_34_values_out_of_range_are_refused() {
    let schema = schema();
    let kind = schema.kinds().next().unwrap().1;
    let mut fields = fitted(&[0; FIELDS]);
    fields[6] = 5;
    let (mut contexts, mut bytes) = (Contexts::default(), Vec::new());
    let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, schema.tables(0));
    encoder.prepare(0, &kind.contexts.numbers, &kind.contexts.flags);
    code_whole(&mut encoder, kind, Audience::Owner, &mut fields).unwrap();
    encoder.finish();
    let mut decoder = RangeDecoder::new(&bytes, &mut contexts, schema.tables(0));
    decoder.prepare(0, &kind.contexts.numbers, &kind.contexts.flags);
    assert_eq!(
        code_whole(&mut decoder, kind, Audience::Owner, &mut [0; FIELDS]),
        Err(OUT_OF_RANGE)
    );
}

#[test]
fn what_goes_on_as_it_went_costs_a_flag_per_component() {
    let schema = schema();
    let kind = schema.kinds().next().unwrap().1;
    // At 1 m/s the position changes by 256/60 steps a tick, the heading by 5.
    let at = |tick: u32| {
        let mut fields = fitted(&[0; FIELDS]);
        (fields[0], fields[1], fields[2]) =
            (10_000 + (tick * 256 + 30) / 60, 2_048 + 128, 5 * tick);
        fields
    };
    let (older, base) = (at(0), at(2));
    let past = Baselines {
        age: 4,
        base: &base,
        older: Some((&older, 2)),
    };
    let (mut contexts, mut bytes) = (Contexts::default(), Vec::new());
    let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, schema.tables(8));
    encoder.prepare(0, &kind.contexts.numbers, &kind.contexts.flags);
    code_change(&mut encoder, kind, Audience::Others, &past, &mut at(6)).unwrap();
    encoder.finish();
    let mut decoder = RangeDecoder::new(&bytes, &mut contexts, schema.tables(8));
    decoder.prepare(0, &kind.contexts.numbers, &kind.contexts.flags);
    let mut fields = base.clone();
    code_change(&mut decoder, kind, Audience::Others, &past, &mut fields).unwrap();
    // Two flags without a prior.
    assert!(decoder.spent() < 2.1, "{}", decoder.spent());
}
