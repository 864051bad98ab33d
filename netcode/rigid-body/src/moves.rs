//! Codes how the bodies of a frame moved: residuals of what the network expects of each.

use fearless_simd::Simd;

use super::block::{Scratch, within_limits};
use super::certainty::{degree, surprise};
use super::frame::Frame;
use super::lanes::BATCH;
use super::model::Model;
use super::neighbours::Neighbour;
use super::network::Expectation;
use super::own;
use super::rotation::{of_vector, product};
use super::symbols::{MARGINS, Part, RANK_DEGREES, ResidualContext, SymbolCoder, code_residual};
use super::{Body, POSITION_LIMIT, ROTATION_MAX};
use truetick_netcode::error::WireError;
use truetick_netcode::replication::quaternion::{Quaternion, grid_of};

/// Codes the moves of the bodies that moved, a batch at a time.
#[inline(always)]
pub(super) fn code_moves<S: Simd, C: SymbolCoder>(
    simd: S,
    coder: &mut C,
    model: &Model,
    frame: &Frame,
    scratch: &mut Scratch,
    now: &mut [Body],
) -> Result<(), WireError> {
    let Scratch {
        moved,
        changed,
        inputs,
        begun,
        ..
    } = scratch;
    for batch in moved.chunks(BATCH) {
        let mut indices = [batch[0]; BATCH];
        indices[..batch.len()].copy_from_slice(batch);
        own::look(simd, frame, &indices, inputs);
        for lane in 0..batch.len() {
            model.network.begin(simd, &inputs[lane], &mut begun[lane]);
        }
        for lane in 0..batch.len() {
            let index = usize::from(batch[lane]);
            let (before, wanted, inputs) = (frame.pasts.base[index], now[index], &mut inputs[lane]);
            inputs.look_beside(simd, frame, index, changed.nearest(before));
            let floor = frame.floors.of(index);
            coder.look(inputs, floor, before, wanted);
            let expected = model.network.expect(simd, &begun[lane], inputs);
            now[index] = code_move(coder, &expected, floor, before, wanted)?.marked(wanted.mark());
            if index > 0 {
                changed.push(
                    Neighbour {
                        index,
                        now: now[index],
                    },
                    before,
                );
            }
        }
    }
    Ok(())
}

/// Codes the height, the horizontal position and the rotation of a body that moved. Each surprise
/// widens the distribution of the next residual.
#[inline(always)]
fn code_move<C: SymbolCoder>(
    coder: &mut C,
    expected: &Expectation,
    floor: i32,
    before: Body,
    wanted: Body,
) -> Result<Body, WireError> {
    /// Largest absolute coordinate that is estimated.
    const FARTHEST: f32 = (2 * POSITION_LIMIT) as f32;
    let mut position = [0; 3];
    let mut surprised = 0;
    for k in [2, 0, 1] {
        let (set, degree) = if k == 2 {
            (0, degree(expected.sizes[0]))
        } else {
            (1, degree(expected.sizes[1]))
        };
        let there = (before.position[k] as f32 + expected.step[k]).clamp(-FARTHEST, FARTHEST);
        let there = if k == 2 {
            there.max(floor as f32)
        } else {
            there
        };
        let context = ResidualContext {
            set,
            degree,
            surprise: surprised,
        };
        position[k] = code_residual(coder, context, there, wanted.position[k])?;
        surprised = surprised.max(surprise(degree, there, position[k]));
    }
    if C::DECODES && !within_limits(position) {
        return Err(WireError::Malformed("a body too far away"));
    }
    let rotation = code_rotation(coder, expected, before, wanted, surprised)?;
    Ok(Body::new(position, rotation, before.mark()))
}

#[inline(always)]
fn code_rotation<C: SymbolCoder>(
    coder: &mut C,
    expected: &Expectation,
    before: Body,
    wanted: Body,
    surprised: usize,
) -> Result<[u32; 4], WireError> {
    let q = product(of_vector(expected.turn), before.quaternion());
    let degree = degree((expected.sizes[2] * 2.0 + expected.sizes[3]) * (1.0 / 3.0));
    let (order, margin) = sorted(q);
    let wanted = wanted.rotation();
    let rank = order
        .iter()
        .position(|component| *component as u32 == wanted[0])
        .unwrap_or(0);
    let context = margin * RANK_DEGREES + degree / 4;
    let left_out = order[coder.symbol(Part::Rank, context, rank)];
    let there = grid_of(q, left_out, ROTATION_MAX);
    let mut rotation = [left_out as u32, 0, 0, 0];
    let mut surprises = surprised;
    for k in 0..3 {
        let set = if k == 0 { 2 } else { 3 };
        let expected = there[k].clamp(0.0, ROTATION_MAX as f32);
        let context = ResidualContext {
            set,
            degree,
            surprise: surprises,
        };
        let part = code_residual(coder, context, expected, wanted[k + 1] as i32)?;
        let seen = surprise(degree, expected, part);
        surprises = if k == 0 { seen } else { surprises.max(seen) };
        rotation[k + 1] = match u32::try_from(part) {
            Ok(part) if part <= ROTATION_MAX => part,
            _ => return Err(WireError::Malformed("a rotation beside its grid")),
        };
    }
    Ok(rotation)
}

/// Sorts the components of a rotation from the largest, and classifies the margin between the first
/// two (0 to [`MARGINS`] - 1).
#[inline(always)]
fn sorted(q: Quaternion) -> ([usize; 4], usize) {
    let mut order = [0, 1, 2, 3];
    let size = q.map(f32::abs);
    for (a, b) in [(0, 1), (2, 3), (0, 2), (1, 3), (1, 2)] {
        if size[order[b]] > size[order[a]] {
            order.swap(a, b);
        }
    }
    let margin = (size[order[0]] - size[order[1]]) * 60.0;
    (order, (margin as usize).min(MARGINS - 1))
}
