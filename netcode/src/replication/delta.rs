//! The bits of one entity: whole, or as changes against a baseline.
//!
//! ```text
//! whole:  each visible field, absolute
//! delta:  per component with visible fields: changed:1 [ per visible field: changed:1 [ golomb(zigzag(change)) ] ]
//! ```
//! Which fields are visible depends on the audience; invisible ones are 0 in a client's copy.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::bits::{BitReader, BitWriter, unzigzag, zigzag};
use crate::error::WireError;
use crate::limits::FIELDS_PER_ENTITY;
use crate::schema::{Audience, Field, KindInfo, Schema};

/// Writes every visible field.
pub fn write_whole(kind: &KindInfo, audience: Audience, fields: &[u32], writer: &mut BitWriter) {
    for (field, value) in kind.fields.iter().zip(fields) {
        if audience.sees(field.visibility) {
            writer.write(*value, field.bits);
        }
    }
}

/// Reads what [`write_whole`] wrote; invisible fields become 0.
pub fn read_whole(
    kind: &KindInfo,
    audience: Audience,
    reader: &mut BitReader<'_>,
) -> Result<Vec<u32>, WireError> {
    let visible = |field: &Field| audience.sees(field.visibility);
    kind.fields.iter().map(|field| if visible(field) { reader.read(field.bits) } else { Ok(0) }).collect()
}

/// Writes the visible fields that differ from `baseline`.
pub fn write_delta(
    (schema, kind): (&Schema, &KindInfo),
    audience: Audience,
    (baseline, fields): (&[u32], &[u32]),
    writer: &mut BitWriter,
) {
    for (id, start) in &kind.components {
        let info = schema.component(*id).fields;
        let visible = || info.iter().enumerate().filter(|(_, field)| audience.sees(field.visibility));
        if visible().next().is_none() {
            continue;
        }
        let changed = visible().any(|(i, _)| baseline[start + i] != fields[start + i]);
        writer.write_flag(changed);
        if !changed {
            continue;
        }
        for (i, field) in visible() {
            let change = field.difference(baseline[start + i], fields[start + i]);
            writer.write_flag(change != 0);
            if change != 0 {
                writer.write_golomb(zigzag(change), field.delta_order);
            }
        }
    }
}

/// Reads what [`write_delta`] wrote against the same baseline.
pub fn read_delta(
    (schema, kind): (&Schema, &KindInfo),
    audience: Audience,
    baseline: &[u32],
    reader: &mut BitReader<'_>,
) -> Result<Vec<u32>, WireError> {
    let mut fields = baseline.to_vec();
    for (id, start) in &kind.components {
        let info = schema.component(*id).fields;
        let mut visible = info.iter().enumerate().filter(|(_, f)| audience.sees(f.visibility)).peekable();
        if visible.peek().is_none() || !reader.read_flag()? {
            continue;
        }
        for (i, field) in visible {
            if reader.read_flag()? {
                let change = unzigzag(reader.read_golomb(field.delta_order)?);
                let value = field.apply(baseline[start + i], change);
                fields[start + i] = value.ok_or(WireError::Malformed("field out of range"))?;
            }
        }
    }
    Ok(fields)
}

/// Hash of the visible fields (XXH3, seeded by the number of the kind's fields), the same on both sides.
pub fn hash(kind: &KindInfo, audience: Audience, fields: &[u32]) -> u64 {
    let mut bytes = [0u8; FIELDS_PER_ENTITY * 4];
    let mut len = 0;
    for (field, value) in kind.fields.iter().zip(fields) {
        if audience.sees(field.visibility) {
            bytes[len..len + 4].copy_from_slice(&value.to_le_bytes());
            len += 4;
        }
    }
    xxh3_64_with_seed(&bytes[..len], kind.fields.len() as u64)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::schema::Replicate;
    use proptest::prelude::*;

    pub(crate) struct Body;
    impl Replicate for Body {
        const NAME: &'static str = "body";
        const FIELDS: &'static [Field] = &[
            Field::linear("x", -64.0, 64.0, 1.0 / 256.0).delta(5).predicted(),
            Field::turn("heading", 12),
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
        const FIELDS: &'static [Field] = &[Field::count("dice", 32).server(), Field::count("score", 32)];
        fn quantise(&self, _: &mut [u32]) {}
        fn restore(_: &[u32]) -> Self {
            Self
        }
    }

    pub(crate) fn schema() -> Schema {
        let mut schema = Schema::new();
        let parts = [schema.add_component::<Body>().unwrap(), schema.add_component::<Mind>().unwrap()];
        schema.add_kind("thing", &parts).unwrap();
        schema
    }

    pub(crate) fn state() -> impl Strategy<Value = Vec<u32>> {
        (0u32..1 << 15, 0u32..1 << 12, 0u32..1 << 7, any::<u32>(), any::<u32>())
            .prop_map(|(x, heading, fuel, dice, score)| vec![x, heading, fuel, dice, score])
    }

    fn seen(audience: Audience, state: &[u32]) -> Vec<u32> {
        let schema = schema();
        let fields = schema.kinds().next().unwrap().1.fields.clone();
        fields.iter().zip(state).map(|(f, v)| if audience.sees(f.visibility) { *v } else { 0 }).collect()
    }

    proptest! {
        #[test]
        fn decoded_equals_sent(before in state(), after in state(), keep in 0u32..32, owner in any::<bool>()) {
            let schema = schema();
            let kind = schema.kinds().next().unwrap().1;
            let audience = if owner { Audience::Owner } else { Audience::Others };
            let after: Vec<u32> = (0..5).map(|i| if keep >> i & 1 == 1 { before[i] } else { after[i] }).collect();
            let mut writer = BitWriter::new();
            write_whole(kind, audience, &before, &mut writer);
            write_delta((&schema, kind), audience, (&before, &after), &mut writer);
            writer.pad_to_byte();
            let mut reader = BitReader::new(writer.bytes());
            let whole = read_whole(kind, audience, &mut reader).unwrap();
            prop_assert_eq!(&whole, &seen(audience, &before));
            let delta = read_delta((&schema, kind), audience, &whole, &mut reader).unwrap();
            reader.finish().unwrap();
            prop_assert_eq!(&delta, &seen(audience, &after));
            prop_assert_eq!(hash(kind, audience, &delta), hash(kind, audience, &after));
        }

        #[test]
        fn random_bits_decode_in_range_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..40), base in state()) {
            let schema = schema();
            let kind = schema.kinds().next().unwrap().1;
            if let Ok(fields) = read_delta((&schema, kind), Audience::Owner, &base, &mut BitReader::new(&bytes)) {
                prop_assert!(kind.fields.iter().zip(&fields).all(|(f, v)| *v <= f.max()));
            }
        }
    }

    #[test]
    fn nothing_changed_costs_a_bit_per_component() {
        let schema = schema();
        let kind = schema.kinds().next().unwrap().1;
        let mut writer = BitWriter::new();
        write_delta((&schema, kind), Audience::Others, (&[1, 2, 3, 4, 5], &[1, 2, 9, 9, 5]), &mut writer);
        assert_eq!(writer.bit_len(), 2);
    }
}
