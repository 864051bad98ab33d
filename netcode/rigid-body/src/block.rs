//! Encoding and decoding of one frame of bodies, with one code path for both directions.

use fearless_simd::{Level, Simd, dispatch};

use super::frame::{BodyBaselines, Floors, Frame};
use super::history::{OLDER, PastTicks};
use super::inputs::Inputs;
use super::lanes::BATCH;
use super::model::Model;
use super::moves::code_moves;
use super::neighbours::Changed;
use super::network::Begun;
use super::symbols::{DISTANCES, Part, Reader, SymbolCoder, Writer};
use super::vector::{less, place};
use super::{Body, POSITION_LIMIT};
use truetick_netcode::coding::Decoder;
use truetick_netcode::coding::prior;
use truetick_netcode::coding::range::{Contexts, RangeDecoder, RangeEncoder};
use truetick_netcode::error::WireError;

/// Most bodies of a block.
pub const MAX_BODIES: usize = 4096;

/// The baselines that have a short code in a block: every state is acknowledged six ticks later.
const USUAL: PastTicks = PastTicks::whole(6);

/// Encodes and decodes frames of bodies. It keeps no state between frames but memory.
#[derive(Debug)]
pub struct Bodies {
    model: &'static Model,
    floors: Floors,
    /// SIMD level of this machine's processor.
    level: Level,
    scratch: Scratch,
    now: Vec<Body>,
    contexts: Contexts,
    none: prior::Tables,
}

impl Bodies {
    /// Creates a codec with a model, for bodies of these heights.
    pub fn new(model: &'static Model, floors: Floors) -> Self {
        Self {
            model,
            floors,
            level: Level::new(),
            scratch: Scratch::default(),
            now: Vec::new(),
            contexts: Contexts::default(),
            none: prior::Tables::default(),
        }
    }

    /// Uses another SIMD level, for tests.
    #[cfg(test)]
    pub(super) fn with_level(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// Appends a frame to a buffer. `now` has as many bodies as the baselines; body 0 is the
    /// player.
    ///
    /// # Errors
    /// [`WireError::Malformed`]: `now` and the baselines are not equally long, are longer than
    /// [`MAX_BODIES`], the ages cannot be coded, or a body is outside [`POSITION_LIMIT`].
    pub fn encode(
        &mut self,
        pasts: &BodyBaselines,
        now: &[Body],
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        check(pasts)?;
        if now.len() != pasts.base.len() {
            return Err(WireError::Malformed(
                "a frame of another length than its past",
            ));
        }
        if now.iter().any(|body| !within_limits(body.position)) {
            return Err(WireError::Malformed("a body too far away"));
        }
        self.now.clear();
        self.now.extend_from_slice(now);
        let coder = RangeEncoder::new(out, &mut self.contexts, &self.none);
        let mut writer = Writer {
            coder,
            tables: &self.model.tables,
        };
        code_past(&mut writer, pasts.ticks)?;
        let (coder, now) = (&mut writer, &mut self.now);
        let (model, floors, scratch) = (self.model, self.floors, &mut self.scratch);
        dispatch!(self.level, simd => simd.vectorize(#[inline(always)] || {
            code_bodies(simd, coder, model, pasts, floors, scratch, now)
        }))?;
        writer.coder.finish();
        Ok(())
    }

    /// Reads a frame. `history` returns the states of the named ticks, or `None` if they are not
    /// held.
    ///
    /// # Errors
    /// [`WireError::Malformed`]: no encoder writes these bytes, or `history` does not have the
    /// baselines.
    pub fn decode<'a>(
        &mut self,
        bytes: &[u8],
        history: impl FnOnce(PastTicks) -> Option<BodyBaselines<'a>>,
    ) -> Result<&[Body], WireError> {
        let coder = RangeDecoder::new(bytes, &mut self.contexts, &self.none);
        let mut reader = Reader {
            coder,
            tables: &self.model.tables,
        };
        let ticks = code_past(&mut reader, USUAL)?;
        let pasts = history(ticks).ok_or(WireError::Malformed("a past that is not held"))?;
        check(&pasts)?;
        self.now.clear();
        self.now.resize(pasts.base.len(), Body::default());
        let (coder, now) = (&mut reader, &mut self.now);
        let (model, floors, scratch) = (self.model, self.floors, &mut self.scratch);
        dispatch!(self.level, simd => simd.vectorize(#[inline(always)] || {
            code_bodies(simd, coder, model, &pasts, floors, scratch, now)
        }))?;
        reader.coder.finish()?;
        Ok(&self.now)
    }
}

/// Passes a frame through any coder. Trainers use it to count symbols.
///
/// # Errors
/// Those of the coder, and [`WireError::Malformed`] for a body outside [`POSITION_LIMIT`].
pub fn visit<C: SymbolCoder>(
    coder: &mut C,
    model: &Model,
    pasts: &BodyBaselines,
    floors: Floors,
    now: &mut [Body],
) -> Result<(), WireError> {
    code_past(coder, pasts.ticks)?;
    let (scratch, level) = (&mut Scratch::default(), Level::new());
    dispatch!(level, simd => code_bodies(simd, coder, model, pasts, floors, scratch, now))
}

fn check(pasts: &BodyBaselines) -> Result<(), WireError> {
    let length = pasts.base.len();
    let equal = pasts.older.iter().all(|older| older.len() == length);
    let ticks = pasts.ticks;
    let told = (1..32).contains(&ticks.age) && ticks.gaps.iter().all(|gap| *gap < 32);
    match equal && told && length <= MAX_BODIES {
        true => Ok(()),
        false => Err(WireError::Malformed("a past of bodies that cannot be")),
    }
}

#[inline]
pub(super) fn within_limits(position: [i32; 3]) -> bool {
    position
        .iter()
        .all(|part| part.unsigned_abs() <= POSITION_LIMIT.unsigned_abs())
}

fn code_past<C: SymbolCoder>(coder: &mut C, ticks: PastTicks) -> Result<PastTicks, WireError> {
    if coder.symbol(Part::Past, 0, usize::from(ticks != USUAL)) == 0 {
        return Ok(USUAL);
    }
    let mut read = PastTicks {
        age: coder.raw(ticks.age, 5)?,
        gaps: [0; OLDER],
    };
    for (read, gap) in read.gaps.iter_mut().zip(ticks.gaps) {
        *read = coder.raw(gap, 5)?;
    }
    match read.age {
        0 => Err(WireError::Malformed("a baseline of its own tick")),
        _ => Ok(read),
    }
}

/// Memory that is reused between frames.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Presence contexts by body.
    presence: Vec<u8>,
    /// Indices of the bodies that moved.
    pub moved: Vec<u16>,
    pub changed: Changed,
    pub inputs: [Inputs; BATCH],
    pub begun: [Begun; BATCH],
}

/// Codes the player, then for each other body whether it moved, then the moves of those that did.
#[inline(always)]
fn code_bodies<S: Simd, C: SymbolCoder>(
    simd: S,
    coder: &mut C,
    model: &Model,
    pasts: &BodyBaselines,
    floors: Floors,
    scratch: &mut Scratch,
    now: &mut [Body],
) -> Result<(), WireError> {
    scratch.changed.clear();
    scratch.moved.clear();
    let Some((player, _)) = pasts.base.split_first() else {
        return Ok(());
    };
    let mut frame = Frame::new(*pasts, floors);
    let context = presence(
        &frame,
        *player,
        pasts.older[0][0],
        pasts.older[OLDER - 1][0],
    );
    if code_presence(coder, context, *player, &mut now[0]) {
        scratch.moved.push(0);
        code_moves(simd, coder, model, &frame, scratch, now)?;
        scratch.moved.clear();
    }
    // The contexts of all other bodies depend on the player's new position.
    frame.set_player(now[0]);
    presences(&frame, &mut scratch.presence);
    let mut index = 1;
    while index < now.len() {
        if at_rest(&scratch.presence, index)
            && code_rest(coder, &pasts.base[index..], &mut now[index..])
        {
            index += AT_REST;
            continue;
        }
        if code_presence(
            coder,
            scratch.presence[index],
            pasts.base[index],
            &mut now[index],
        ) {
            scratch.moved.push(index as u16);
        }
        index += 1;
    }
    code_moves(simd, coder, model, &frame, scratch, now)
}

/// Number of consecutive bodies that share one symbol while they rest far from the player.
const AT_REST: usize = 8;

/// Whether such a row of bodies begins at an index.
#[inline(always)]
fn at_rest(presence: &[u8], index: usize) -> bool {
    const FAR: u8 = DISTANCES as u8 - 1;
    index.is_multiple_of(AT_REST) && presence.get(index..index + AT_REST) == Some(&[FAR; AT_REST])
}

/// Codes whether all bodies of a row stay at rest; returns `true` if they do.
#[inline(always)]
fn code_rest<C: SymbolCoder>(coder: &mut C, base: &[Body], now: &mut [Body]) -> bool {
    let (base, now) = (&base[..AT_REST], &mut now[..AT_REST]);
    let wakes = coder.symbol(Part::Rest, 0, usize::from(base != now));
    if wakes == 0 {
        now.copy_from_slice(base);
    }
    wakes == 0
}

/// Codes whether a body moved, and its mark; returns whether it moved. A decoder sets the body to
/// its baseline with the new mark. An encoder keeps a body that moved.
#[inline(always)]
fn code_presence<C: SymbolCoder>(coder: &mut C, context: u8, before: Body, now: &mut Body) -> bool {
    let symbol = usize::from(now.mark()) << 1 | usize::from(now.moved_from(before));
    let symbol = coder.symbol(Part::Presence, context.into(), symbol);
    let moved = symbol & 1 == 1;
    if C::DECODES || !moved {
        *now = before.marked(symbol >> 1 == 1);
    }
    moved
}

/// Computes the presence contexts: whether a body moved recently, its mark, and its distance from
/// the player.
#[inline(always)]
fn presences(frame: &Frame, contexts: &mut Vec<u8>) {
    let (base, newer, oldest) = (
        frame.pasts.base,
        frame.pasts.older[0],
        frame.pasts.older[OLDER - 1],
    );
    contexts.resize(base.len(), 0);
    for (((context, base), newer), oldest) in contexts.iter_mut().zip(base).zip(newer).zip(oldest) {
        *context = presence(frame, *base, *newer, *oldest);
    }
}

#[inline(always)]
fn presence(frame: &Frame, base: Body, newer: Body, oldest: Body) -> u8 {
    /// Grid steps from one distance class to the next.
    const STEP: f32 = 160.0;
    let lately = u8::from(base.moved_from(newer)) << 2 | u8::from(base.moved_from(oldest)) << 1;
    let [dx, dy, dz] = less(place(base), frame.player[2]);
    let distance = (dx * dx + dy * dy + dz * dz).sqrt() * (1.0 / STEP);
    let distance = distance.min((DISTANCES - 1) as f32) as i32 as u8;
    (lately | u8::from(base.mark())) * DISTANCES as u8 + distance
}
