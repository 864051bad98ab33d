//! Coding of one entity's state: whole, or as residuals of estimates.
//!
//! ```text
//! whole:   each visible field, absolute
//! change:  per component with visible fields:
//!          differs from estimate:flag [ per visible field: number(residual) ]
//! ```
//! The audience determines which fields are visible; invisible ones are 0 in a client's copy. One
//! function codes both directions, so the estimates of encoder and decoder cannot differ.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::quaternion;
use crate::coding::{Coder, Part, context_after};
use crate::error::WireError;
use crate::limits::FIELDS_PER_ENTITY;
use crate::schema::{Audience, CodedComponent, CodedField, CompiledEstimator, KindInfo};

const OUT_OF_RANGE: WireError = WireError::Malformed("field out of range");

/// The states from which an entity's fields are estimated.
#[derive(Clone, Copy, Debug)]
pub struct Baselines<'a> {
    /// Ticks since the baseline, 1 or more.
    pub age: u32,
    /// Fields of the baseline.
    pub base: &'a [u32],
    /// Fields of an older state, and the number of ticks by which it is older than the baseline (1
    /// or more).
    pub older: Option<(&'a [u32], u32)>,
}

/// Codes every visible field. A decoder leaves invisible fields as they are, so `fields` should
/// begin as zeros.
///
/// # Errors
/// [`WireError::Malformed`] if a decoded field is out of range, and those of the coder.
pub fn code_whole<C: Coder>(
    coder: &mut C,
    kind: &KindInfo,
    audience: Audience,
    fields: &mut [u32],
) -> Result<(), WireError> {
    for (at, (field, value)) in kind.fields.iter().zip(fields).enumerate() {
        if audience.sees(field.visibility) {
            coder.note(Part::Field(at));
            *value = coder.raw(*value, field.bits)?;
            if C::DECODES && *value > field.max {
                return Err(OUT_OF_RANGE);
            }
        }
    }
    Ok(())
}

/// Codes the residuals of the visible fields. A decoder begins with `fields` as a copy of the
/// baseline.
///
/// # Errors
/// [`WireError::Malformed`] if a decoded field is out of range, and those of the coder.
pub fn code_change<C: Coder>(
    coder: &mut C,
    kind: &KindInfo,
    audience: Audience,
    past: &Baselines<'_>,
    fields: &mut [u32],
) -> Result<(), WireError> {
    let mut residuals = [0i32; FIELDS_PER_ENTITY];
    for component in &kind.plan {
        if audience.sees(component.visibility) {
            code_component(coder, component, audience, past, fields, &mut residuals)?;
        }
    }
    Ok(())
}

fn code_component<C: Coder>(
    coder: &mut C,
    component: &CodedComponent,
    audience: Audience,
    past: &Baselines<'_>,
    fields: &mut [u32],
    residuals: &mut [i32; FIELDS_PER_ENTITY],
) -> Result<(), WireError> {
    let mut unestimated = false;
    if !C::DECODES {
        for coded in component
            .fields
            .iter()
            .filter(|coded| audience.sees(coded.field.visibility))
        {
            let residual = coded
                .field
                .difference(estimate(coded, past, fields), fields[coded.at]);
            residuals[coded.at] = residual;
            unestimated |= residual != 0;
        }
    }
    coder.note(Part::Change(component.fields[0].at));
    unestimated = coder.flag(component.flag, unestimated)?;
    if !unestimated && !C::DECODES {
        return Ok(());
    }
    for coded in component
        .fields
        .iter()
        .filter(|coded| audience.sees(coded.field.visibility))
    {
        if unestimated {
            coder.note(Part::Field(coded.at));
            let context = coded
                .after
                .map_or(0, |after| context_after(residuals[after]));
            residuals[coded.at] = coder.number(coded.context + context, residuals[coded.at])?;
        }
        if C::DECODES {
            let estimated = estimate(coded, past, fields);
            fields[coded.at] = coded
                .field
                .apply(estimated, residuals[coded.at])
                .ok_or(OUT_OF_RANGE)?;
        }
    }
    Ok(())
}

/// The estimate of a field. `fields` holds those that were coded before it.
#[inline]
fn estimate(coded: &CodedField, past: &Baselines<'_>, fields: &[u32]) -> u32 {
    let (base, at) = (past.base, coded.at);
    match coded.estimator {
        CompiledEstimator::Constant => base[at],
        CompiledEstimator::Linear => match past.older {
            Some((older, gap)) => {
                let went = coded.field.difference(older[at], base[at]);
                keep_in_range(coded, base[at], scaled(went, past.age, gap))
            }
            None => base[at],
        },
        CompiledEstimator::Velocity {
            velocity,
            rest,
            gain,
        } => {
            let (before, now) = (base[velocity] as i32 - rest, fields[velocity] as i32 - rest);
            // A velocity that changes evenly, with each tick's step equal to that tick's velocity.
            let twice = i64::from(past.age) * (i64::from(before) + i64::from(now))
                + i64::from(now - before);
            let moved = twice.saturating_mul(gain).saturating_add(1 << 20) >> 21;
            keep_in_range(coded, base[at], moved as i32)
        }
        CompiledEstimator::Rotation { start, part, grid } => {
            estimate_turning(coded, past, fields, start, part, grid)
        }
    }
}

/// `went` times `age` divided by `gap`, rounded to the nearest.
#[inline]
fn scaled(went: i32, age: u32, gap: u32) -> i32 {
    let product = i64::from(went) * i64::from(age);
    match gap {
        1 => product as i32,
        2 => ((product + 1) >> 1) as i32,
        _ => ((product + i64::from(gap / 2)).div_euclid(i64::from(gap))) as i32,
    }
}

#[inline]
fn keep_in_range(coded: &CodedField, base: u32, moved: i32) -> u32 {
    coded
        .field
        .apply(base, moved)
        .unwrap_or(if moved < 0 { 0 } else { coded.field.max })
}

/// The estimate of field `part` of the quaternion that begins at field `start`, which continues the
/// last turn. Components are estimated
/// for the actual largest component, which is coded first.
fn estimate_turning(
    coded: &CodedField,
    past: &Baselines<'_>,
    fields: &[u32],
    start: usize,
    part: usize,
    grid: u32,
) -> u32 {
    let four = |from: &[u32]| {
        [
            from[start],
            from[start + 1],
            from[start + 2],
            from[start + 3],
        ]
    };
    let base = four(past.base);
    let older = past
        .older
        .map(|(older, gap)| (four(older), gap))
        .filter(|(older, _)| *older != base);
    if older.is_none() && (part == 0 || fields[start] == base[0]) {
        return past.base[coded.at];
    }
    let rotation = quaternion::restore(base, grid);
    let turned = older.map_or(rotation, |(older, gap)| {
        quaternion::turned_on(
            quaternion::restore(older, grid),
            rotation,
            past.age as f32 / gap as f32,
        )
    });
    match part {
        0 => quaternion::largest(turned) as u32,
        _ => quaternion::in_frame_of(turned, (fields[start] & 3) as usize, grid)[part - 1],
    }
}

/// Hash of the visible fields (XXH3, seeded with the number of the kind's fields), equal on both
/// sides.
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
pub(crate) mod tests;
