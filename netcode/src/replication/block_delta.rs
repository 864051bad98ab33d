//! Streams of encoded entities, from which packets are made.
//!
//! - A *block delta* holds entities of one block of 64 slots that build on the same ticks. Its
//!   bytes are equal for all clients that share those, so they are made once per tick.
//! - An *individual stream* holds entities of any blocks on any ticks, for one client: the client's
//!   own entity first, then entities that are too scattered to be shared.
//!
//! ```text
//! block:       all:flag | 64 x present:flag,  then per entity:
//!              [ team's:flag ] [ whole: number(generation) number(kind) ] state
//! individual:  per entity:
//!              number(slot - one after the last)  whole:flag | number(age - 1) number(gap)
//!              [ whole: [ team's:flag ] number(generation) number(kind) ] state
//! ```
//! `gap` is the number of ticks by which the second baseline is older than the first, 0 where there
//! is none.

use super::entity::{self, Baselines};
use crate::coding::{Coder, Part};
use crate::error::WireError;
use crate::limits::ENTITIES;
use crate::schema::{Audience, KindId, Schema, frame};
use crate::tick::Tick;

/// Number of slots in a block.
pub(crate) const BLOCK: usize = 64;

/// Index of a slot's block.
pub fn block_of(slot: u16) -> usize {
    usize::from(slot) / BLOCK
}

/// Bit of a slot in the mask of its block.
pub fn bit_of(slot: u16) -> u64 {
    1 << (usize::from(slot) % BLOCK)
}

/// The slots of a block whose bits are set, in ascending order.
pub fn slots_of(block: usize, mask: u64) -> impl Iterator<Item = u16> {
    let mut left = mask;
    std::iter::from_fn(move || {
        let bit = (left != 0).then(|| left.trailing_zeros())?;
        left &= left - 1;
        Some((block * BLOCK) as u16 + bit as u16)
    })
}

/// The baselines that an entity's bits build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BaselineRef {
    /// Tick of the baseline.
    pub tick: Tick,
    /// Number of ticks by which the second baseline is older, up to [`GAP`]; 0 where there is none.
    pub gap: u32,
}

impl BaselineRef {
    /// Number of ticks from the baseline to `now`.
    pub fn age(self, now: Tick) -> u32 {
        now.distance(self.tick) as u32
    }

    /// Tick of the older baseline; `None` where there is none.
    pub fn older(self) -> Option<Tick> {
        (self.gap > 0).then(|| self.tick.back(self.gap))
    }
}

/// Largest distance between the two baselines, in ticks.
pub const GAP: u32 = 15;

/// Contexts that do not depend on a kind; see [`crate::schema::frame`].
mod context {
    pub(crate) const SLOT: usize = 0;
    pub(crate) const AGE: usize = 1;
    pub const GAP: usize = 2;
    pub(crate) const GENERATION: usize = 3;
    pub(crate) const KIND: usize = 4;
    pub(crate) const PRESENT: usize = 0;
    pub const ALL: usize = 2;
    pub(crate) const WHOLE: usize = 3;
    pub const TEAM: usize = 5;
}

/// Description of one entity's state for coding.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Kind of the entity.
    pub kind: KindId,
    /// Audience of the copy.
    pub audience: Audience,
    /// Baselines of the state; `None` where it is whole.
    pub past: Option<Baselines<'a>>,
}

/// The part of the contexts that does not depend on a kind; kinds use the parts below.
const FRAME_PART: usize = 63;

/// Begins a stream.
pub fn begin<C: Coder>(coder: &mut C) {
    coder.prepare(FRAME_PART, &(0..frame::NUMBERS), &(0..frame::FLAGS));
}

/// Codes the mask of the slots that a block delta holds.
///
/// # Errors
/// Those of the coder.
pub(crate) fn code_mask<C: Coder>(coder: &mut C, mask: u64) -> Result<u64, WireError> {
    coder.note(Part::Mask);
    if coder.flag(context::ALL, mask == u64::MAX)? {
        return Ok(u64::MAX);
    }
    let (mut coded, mut before) = (0u64, 1);
    for bit in 0..BLOCK {
        let present = coder.flag(context::PRESENT + before, mask >> bit & 1 == 1)?;
        coded |= u64::from(present) << bit;
        before = usize::from(present);
    }
    Ok(coded)
}

/// Slot and baseline of an entity in an individual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Slot of the entity.
    pub slot: u16,
    /// Baseline of the state; `None` where the entity is whole.
    pub base: Option<BaselineRef>,
}

/// Codes the slot and the baseline of an entity in an individual stream. `next` is one after the
/// slot before, and `was_whole` is whether the entity before was whole.
///
/// # Errors
/// [`WireError::Malformed`] if the slot or the baseline is out of range, and those of the coder.
pub(crate) fn code_place<C: Coder>(
    coder: &mut C,
    now: Tick,
    next: u16,
    was_whole: bool,
    place: Place,
) -> Result<Place, WireError> {
    coder.note(Part::Place);
    let gap = i32::from(place.slot) - i32::from(next);
    let slot = i32::from(next).wrapping_add(coder.number(context::SLOT, gap)?);
    if !(0..ENTITIES as i32).contains(&slot) {
        return Err(WireError::Malformed("entity slot out of range"));
    }
    let slot = slot as u16;
    if coder.flag(
        context::WHOLE + usize::from(was_whole),
        place.base.is_none(),
    )? {
        return Ok(Place { slot, base: None });
    }
    let (age, gap) = place.base.map_or((1, 0), |base| (base.age(now), base.gap));
    let age = coder.number(context::AGE, age as i32 - 1)?;
    let gap = coder.number(context::GAP, gap as i32)?;
    if !(0..i32::MAX / 2).contains(&age) || !(0..=GAP as i32).contains(&gap) {
        return Err(WireError::Malformed("baseline out of range"));
    }
    Ok(Place {
        slot,
        base: Some(BaselineRef {
            tick: now.back(age as u32 + 1),
            gap: gap as u32,
        }),
    })
}

/// Identity of an entity that is sent whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Audience of the copy.
    pub audience: Audience,
    /// Generation of the entity in its slot.
    pub generation: u16,
    /// Kind of the entity.
    pub kind: KindId,
}

/// Codes the identity of an entity that is sent whole: its audience (where the schema has teams),
/// generation and kind. Only the first entity of an individual stream can be the owner's copy, so
/// that is not coded here.
///
/// # Errors
/// [`WireError::Malformed`] if the generation or the kind is out of range, and those of the coder.
pub(crate) fn code_identity<C: Coder>(
    coder: &mut C,
    schema: &Schema,
    identity: Identity,
) -> Result<Identity, WireError> {
    let Identity {
        audience,
        generation,
        kind,
    } = identity;
    coder.note(Part::Identity);
    let audience = match audience {
        Audience::Owner | Audience::Server => audience,
        _ if !schema.has_teams() => Audience::Others,
        _ => match coder.flag(context::TEAM, audience == Audience::Team)? {
            true => Audience::Team,
            false => Audience::Others,
        },
    };
    let generation = coder.number(context::GENERATION, i32::from(generation))?;
    let generation =
        u16::try_from(generation).map_err(|_| WireError::Malformed("generation out of range"))?;
    let kind = coder.number(context::KIND, i32::from(kind.0))?;
    let (kind, _) = schema
        .find_kind(kind as u32)
        .ok_or(WireError::Malformed("unknown entity kind"))?;
    Ok(Identity {
        audience,
        generation,
        kind,
    })
}

/// Codes an entity's state. A decoder of a change begins with `fields` as a copy of the baseline.
///
/// # Errors
/// [`WireError::Malformed`] if a field is out of range, and those of the coder.
pub(crate) fn code_state<C: Coder>(
    coder: &mut C,
    schema: &Schema,
    item: &Item<'_>,
    fields: &mut [u32],
) -> Result<(), WireError> {
    let kind = schema.kind(item.kind);
    coder.prepare(
        usize::from(item.kind.0),
        &kind.contexts.numbers,
        &kind.contexts.flags,
    );
    match &item.past {
        None => entity::code_whole(coder, kind, item.audience, fields),
        Some(past) => entity::code_change(coder, kind, item.audience, past, fields),
    }
}
