//! How the fields of a component are coded: in which order, in which contexts, foreseen from what.

use super::SchemaError;
use super::field::{Estimator, Field, Scale, Visibility};
use crate::coding::CONTEXTS;

/// The contexts of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contexts {
    /// Of its numbers.
    pub numbers: std::ops::Range<usize>,
    /// Of its flags.
    pub flags: std::ops::Range<usize>,
}

/// How a component's changes are coded.
#[derive(Clone, Debug)]
pub struct CodedComponent {
    /// Context of the flag that says whether anything in it is other than foreseen.
    pub flag: usize,
    /// The most visible of its fields.
    pub visibility: Visibility,
    /// Its fields, each after those that it is foreseen from.
    pub fields: Vec<CodedField>,
}

/// How a field's change is coded.
#[derive(Clone, Copy, Debug)]
pub struct CodedField {
    /// Its place among the kind's fields.
    pub at: usize,
    /// The field.
    pub field: Field,
    /// The first of its [`CONTEXTS`] contexts.
    pub context: usize,
    /// The field by whose residual its context is chosen.
    pub after: Option<usize>,
    /// How it is foreseen.
    pub estimator: CompiledEstimator,
}

/// A [`Estimator`] with places and numbers filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompiledEstimator {
    /// As it was.
    Constant,
    /// As it went.
    Linear,
    /// By its velocity.
    Moved {
        /// Place of the velocity among the kind's fields.
        velocity: usize,
        /// Grid value of no velocity.
        rest: i32,
        /// Grid steps that one step of velocity is worth in a tick, times 2^20.
        gain: i64,
    },
    /// By its turning.
    Quaternion {
        /// Place of the quaternion's first field.
        start: usize,
        /// Which of the four.
        part: usize,
        /// Largest grid value of its components.
        grid: u32,
    },
}

/// How a component is coded whose fields start at `start` of its kind; its contexts go behind those
/// there are.
pub(super) fn plan_component(
    fields: &'static [Field],
    start: usize,
    contexts: &mut Contexts,
) -> Result<CodedComponent, SchemaError> {
    let mut coded = Vec::new();
    let moved = |field: &Field| matches!(field.model, Estimator::Moved { .. });
    let order = (0..fields.len()).filter(|i| !moved(&fields[*i]));
    for i in order.chain((0..fields.len()).filter(|i| moved(&fields[*i]))) {
        let estimator = estimate(fields, i, start)?;
        let after = match estimator {
            CompiledEstimator::Moved { velocity, .. } => Some(velocity),
            _ => coded.last().map(|before: &CodedField| before.at),
        };
        let context = contexts.numbers.end;
        contexts.numbers.end += CONTEXTS;
        coded.push(CodedField { at: start + i, field: fields[i], context, after, estimator });
    }
    let flag = contexts.flags.end;
    contexts.flags.end += 1;
    let visibility =
        fields.iter().map(|field| field.visibility).min().unwrap_or(Visibility::Server);
    Ok(CodedComponent { flag, visibility, fields: coded })
}

fn estimate(
    fields: &'static [Field],
    i: usize,
    start: usize,
) -> Result<CompiledEstimator, SchemaError> {
    let (field, wrong) = (&fields[i], SchemaError::Estimator(fields[i].name));
    match field.model {
        Estimator::Constant => Ok(CompiledEstimator::Constant),
        Estimator::Linear => Ok(CompiledEstimator::Linear),
        Estimator::Moved { velocity } => {
            let of = fields.get(usize::from(velocity)).ok_or(wrong.clone())?;
            let (Scale::Linear { min, step: per_second }, Scale::Linear { step, .. }) =
                (of.scale, field.scale)
            else {
                return Err(wrong);
            };
            if matches!(of.model, Estimator::Moved { .. }) || of.visibility > field.visibility {
                return Err(wrong);
            }
            let gain = f64::from(per_second) / 60.0 / f64::from(step) * f64::from(1 << 20);
            let rest = (-min / per_second) as i32;
            Ok(CompiledEstimator::Moved {
                velocity: start + usize::from(velocity),
                rest,
                gain: gain.round() as i64,
            })
        }
        Estimator::Quaternion { part } => {
            let part = usize::from(part);
            let first = i.checked_sub(part).ok_or(wrong.clone())?;
            let four = fields.get(first..first + 4).ok_or(wrong.clone())?;
            let is_part =
                |(n, f): (usize, &Field)| f.model == Estimator::Quaternion { part: n as u8 };
            let alike = four.iter().all(|f| f.visibility == field.visibility) && four[0].max == 3;
            match four.iter().enumerate().all(is_part) && alike {
                true => Ok(CompiledEstimator::Quaternion {
                    start: start + first,
                    part,
                    grid: four[1].max,
                }),
                false => Err(wrong),
            }
        }
    }
}
