//! Agreement on baselines between clients that see the same slots.
//!
//! A delta of a block is encoded once per tick and baseline. While acknowledgements arrive evenly,
//! clients hold about the same ticks, and each gets a delta on its newest one. When they arrive
//! late by different times (a late server, loss, a full receive buffer), nearly every client has a
//! different newest tick, and each block would be encoded for each client. But a client also holds
//! older ticks, mostly the same ones as others. So the more encodings a block has in a tick, the
//! older a baseline a client accepts instead of its own, and after [`MAX_BASELINES`] encodings it
//! adds none.
//!
//! Clients agree within a *group*: those that see the same slots of a block, and the same of them
//! as their team's copy. An agreement lasts for one tick.
//!
//! The number of encodings of a block for one group in one tick is bounded, whatever its clients
//! acknowledged:
//!
//! | encodings | most |
//! |---|---|
//! | deltas on a baseline, and parts of a block on several baselines | [`MAX_BASELINES`] |
//! | the whole block | 1 |
//! | entities that are newer than a baseline, whole | 1 for each baseline |
//! | halves, quarters and so on of a delta, for short budgets | of [`MAX_CUT_BASELINES`] deltas |
//! | halves, quarters and so on of the whole block, for short budgets | of 1 block |

use super::block_acks::BlockAcks;
use super::block_delta::BaselineRef;
use super::delta_cache::BlockDelta;
use crate::limits::DELTA_BYTES;
use crate::tick::Tick;

/// Most encodings of a block in a tick that depend on the acknowledgements of a group's clients.
pub(super) const MAX_BASELINES: usize = 12;

/// Most deltas of a block in a tick that are split for the clients of a group that have short
/// budgets.
pub(super) const MAX_CUT_BASELINES: usize = 4;

/// Most groups of a block whose clients agree. Clients of further groups each build on their own
/// baselines.
pub(super) const MAX_GROUPS: usize = 16;

/// Most ticks for which a block waits for a shared baseline before it is sent whole.
pub(super) const MAX_WAIT_TICKS: i32 = 6;

/// Slots of a block with their block delta.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncodedSlots {
    /// Bit mask of the slots.
    pub slots: u64,
    /// The encoded delta of these slots.
    pub block_delta: BlockDelta,
}

/// A delta of a block that every client of a group can take if it holds the baseline.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedDelta {
    /// The baseline, with an older one if there is one.
    pub base: BaselineRef,
    /// The slots that changed after the baseline, and their block delta; `None` if there are none.
    pub changed: Option<EncodedSlots>,
    /// The slots whose entities did not exist at the baseline's tick, and their block delta, in
    /// which they are whole; `None` if there are none.
    pub born: Option<EncodedSlots>,
    /// Whether a block delta of it was split for a client with a short budget.
    pub is_cut: bool,
}

impl SharedDelta {
    fn changed_slots(&self) -> u64 {
        self.changed.map_or(0, |encoded| encoded.slots)
    }

    fn born_slots(&self) -> u64 {
        self.born.map_or(0, |encoded| encoded.slots)
    }

    /// Length of its longer block delta, in bytes.
    fn longest(&self) -> usize {
        [self.changed, self.born]
            .iter()
            .flatten()
            .map(|encoded| encoded.block_delta.len as usize)
            .max()
            .unwrap_or(0)
    }
}

/// The encodings of one block for the clients of a group in this tick.
#[derive(Clone, Debug)]
pub(super) struct Group {
    relevant: u64,
    team: u64,
    deltas: [Option<SharedDelta>; MAX_BASELINES],
    count: usize,
    parts: usize,
    cut: usize,
    /// The block delta of the whole block, if it was encoded.
    pub whole: Option<BlockDelta>,
}

impl Group {
    /// Creates the group of the clients that see the slots `relevant`, those of `team` as their
    /// team's copy.
    pub fn new(relevant: u64, team: u64) -> Self {
        Self {
            relevant,
            team,
            deltas: [None; MAX_BASELINES],
            count: 0,
            parts: 0,
            cut: 0,
            whole: None,
        }
    }

    /// Whether this is the group of the clients that see these slots, those of `team` as their
    /// team's copy.
    pub(crate) fn is_of(&self, relevant: u64, team: u64) -> bool {
        (self.relevant, self.team) == (relevant, team)
    }

    /// Whether this many more encodings are allowed that depend on a client's acknowledgements.
    pub fn has_room_for(&self, encodings: usize) -> bool {
        self.count + self.parts + encodings <= MAX_BASELINES
    }

    /// Counts encodings of parts of the block.
    pub(crate) fn add_parts(&mut self, encodings: usize) {
        self.parts += encodings;
    }

    /// Adds a delta and returns its index. Deltas are sorted by baseline, newest first. There must
    /// be room; see [`Self::has_room_for`].
    pub fn add(&mut self, delta: SharedDelta) -> usize {
        let older = |other: &SharedDelta| !other.base.tick.is_after(delta.base.tick);
        let place = self.deltas().position(older).unwrap_or(self.count);
        self.deltas.copy_within(place..self.count, place + 1);
        self.deltas[place] = Some(delta);
        self.count += 1;
        place
    }

    fn deltas(&self) -> impl Iterator<Item = &SharedDelta> {
        self.deltas[..self.count].iter().flatten()
    }

    /// Takes a delta for a client whose block deltas have at most `longest` bytes. Returns `None`
    /// if it would have to be split for the client's short budget and too many deltas are split
    /// already.
    pub fn take(&mut self, place: usize, longest: usize) -> Option<SharedDelta> {
        let is_free = self.is_free(longest);
        let delta = self.deltas[place].as_mut()?;
        if longest < DELTA_BYTES && delta.longest() > longest && !delta.is_cut {
            if !is_free {
                return None;
            }
            delta.is_cut = true;
            self.cut += 1;
        }
        Some(*delta)
    }

    /// Takes the delta on the newest tick of a client's acked sets, if there is one and the client
    /// holds all relevant slots at that tick.
    pub(crate) fn same_for(&mut self, view: &BlockAcks, longest: usize) -> Option<SharedDelta> {
        let acked_set = view
            .acked_sets()
            .first()
            .filter(|acked_set| self.relevant & !acked_set.mask == 0)?;
        let place = self.deltas().position(|delta| {
            delta.base.tick == acked_set.tick
                && view.holds(delta.base, self.relevant, delta.changed_slots())
        })?;
        self.take(place, longest)
    }

    /// Returns the index of the delta with the newest baseline that a client can take. `own` is the
    /// client's own newest tick, `longest` the most bytes of its block deltas. The client holds the
    /// baseline, which is not much older than `own`, and [`Self::take`] returns the delta.
    pub(crate) fn newest_for(&self, view: &BlockAcks, own: Tick, longest: usize) -> Option<usize> {
        let (max_older, is_free) = (self.max_older().unwrap_or(i32::MAX), self.is_free(longest));
        self.deltas().position(|delta| {
            (0..=max_older).contains(&own.distance(delta.base.tick))
                && (is_free || delta.is_cut || delta.longest() <= longest)
                && view.holds(
                    delta.base,
                    self.relevant & !delta.born_slots(),
                    delta.changed_slots(),
                )
        })
    }

    /// Whether any delta may be split to at most `longest` bytes. No block delta is longer than
    /// [`DELTA_BYTES`].
    fn is_free(&self, longest: usize) -> bool {
        longest >= DELTA_BYTES || self.cut < MAX_CUT_BASELINES
    }

    /// Ticks by which a baseline may be older than a client's own; `None` for any number.
    fn max_older(&self) -> Option<i32> {
        match self.count + self.parts {
            0..4 => Some(0),
            4..6 => Some(2),
            6..8 => Some(4),
            8..MAX_BASELINES => Some(8),
            _ => None,
        }
    }
}
