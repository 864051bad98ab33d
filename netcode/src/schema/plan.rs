//! How the fields of a component are coded: their order, their contexts and their estimators.

use super::SchemaError;
use super::field::{Estimator, Field, Scale, Visibility};
use crate::coding::CONTEXTS;

/// Ranges of a kind's contexts in the schema's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contexts {
    /// Range of its number contexts.
    pub numbers: std::ops::Range<usize>,
    /// Range of its flag contexts.
    pub flags: std::ops::Range<usize>,
}

/// How a component's changes are coded.
#[derive(Clone, Debug)]
pub struct CodedComponent {
    /// Context of the flag whether any field differs from its estimate.
    pub flag: usize,
    /// Visibility of the component's most visible field.
    pub visibility: Visibility,
    /// Fields in coding order: each after those that its estimate needs.
    pub fields: Vec<CodedField>,
}

/// How a field's change is coded.
#[derive(Clone, Copy, Debug)]
pub struct CodedField {
    /// Index of the field in its kind.
    pub at: usize,
    /// The field itself.
    pub field: Field,
    /// Index of the first of its [`CONTEXTS`] contexts.
    pub context: usize,
    /// Index of the field whose residual selects the context; `None` for the first field.
    pub after: Option<usize>,
    /// How the field is estimated from baselines.
    pub estimator: CompiledEstimator,
}

/// An [`Estimator`] with resolved indices and constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompiledEstimator {
    /// The estimate is the baseline's value.
    Constant,
    /// The estimate continues the change between two baselines.
    Linear,
    /// The estimate adds a velocity.
    Velocity {
        /// Index of the velocity in the kind.
        velocity: usize,
        /// Grid value of a zero velocity.
        rest: i32,
        /// Grid steps of the field per tick and grid step of velocity, times 2^20.
        gain: i64,
    },
    /// The estimate continues the turn between two baselines.
    Rotation {
        /// Index of the quaternion's first field in the kind.
        start: usize,
        /// Index of this field in the quaternion, 0 to 3.
        part: usize,
        /// Largest grid value of the quaternion's components.
        grid: u32,
    },
}

/// Plans the coding of a component whose fields start at index `start` of its kind. Its contexts
/// are appended to `contexts`.
///
/// # Errors
/// [`SchemaError::Estimator`] if an estimator does not fit the component.
pub(super) fn plan_component(
    fields: &'static [Field],
    start: usize,
    contexts: &mut Contexts,
) -> Result<CodedComponent, SchemaError> {
    let mut coded = Vec::new();
    let moved = |field: &Field| matches!(field.model, Estimator::Velocity { .. });
    let order = (0..fields.len()).filter(|i| !moved(&fields[*i]));
    for i in order.chain((0..fields.len()).filter(|i| moved(&fields[*i]))) {
        let estimator = estimate(fields, i, start)?;
        let after = match estimator {
            CompiledEstimator::Velocity { velocity, .. } => Some(velocity),
            _ => coded.last().map(|before: &CodedField| before.at),
        };
        let context = contexts.numbers.end;
        contexts.numbers.end += CONTEXTS;
        coded.push(CodedField {
            at: start + i,
            field: fields[i],
            context,
            after,
            estimator,
        });
    }
    let flag = contexts.flags.end;
    contexts.flags.end += 1;
    let visibility = fields
        .iter()
        .map(|field| field.visibility)
        .min()
        .unwrap_or(Visibility::Server);
    Ok(CodedComponent {
        flag,
        visibility,
        fields: coded,
    })
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
        Estimator::Velocity { velocity } => {
            let of = fields.get(usize::from(velocity)).ok_or(wrong.clone())?;
            let (
                Scale::Linear {
                    min,
                    step: per_second,
                },
                Scale::Linear { step, .. },
            ) = (of.scale, field.scale)
            else {
                return Err(wrong);
            };
            if matches!(of.model, Estimator::Velocity { .. }) || of.visibility > field.visibility {
                return Err(wrong);
            }
            let gain = f64::from(per_second) / 60.0 / f64::from(step) * f64::from(1 << 20);
            let rest = (-min / per_second) as i32;
            Ok(CompiledEstimator::Velocity {
                velocity: start + usize::from(velocity),
                rest,
                gain: gain.round() as i64,
            })
        }
        Estimator::Rotation { part } => {
            let part = usize::from(part);
            let first = i.checked_sub(part).ok_or(wrong.clone())?;
            let four = fields.get(first..first + 4).ok_or(wrong.clone())?;
            let is_part =
                |(n, f): (usize, &Field)| f.model == Estimator::Rotation { part: n as u8 };
            let alike = four.iter().all(|f| f.visibility == field.visibility) && four[0].max == 3;
            match four.iter().enumerate().all(is_part) && alike {
                true => Ok(CompiledEstimator::Rotation {
                    start: start + first,
                    part,
                    grid: four[1].max,
                }),
                false => Err(wrong),
            }
        }
    }
}
