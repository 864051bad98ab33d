//! Agreement on baselines between clients that see the same.
//!
//! A delta of a block is encoded once per tick and baseline. While acknowledgements come evenly,
//! clients hold about the same ticks, and each gets a delta on its newest one. When they come late
//! by different times (a late server, loss, a full receive buffer), nearly every client's newest
//! tick is another, and each block would be encoded for each client. But a client also holds older
//! ticks, and mostly the same ones as others. So the more encodings a block has in a tick, the
//! older a baseline a client accepts instead of its own, and after [`MAX_BASELINES`] encodings it
//! adds none.
//!
//! Clients agree within a *group*: those that see the same slots of a block, and the same of them
//! as their team's copy. What is agreed holds for one tick.
//!
//! The encodings of a block for one group in one tick are bounded, whatever its clients
//! acknowledged:
//!
//! | what | most |
//! |---|---|
//! | deltas on a baseline, and parts of a block for clients that hold it as of several ticks | [`MAX_BASELINES`] |
//! | the whole block | 1 |
//! | entities that are newer than a baseline, whole | 1 for each baseline |
//! | halves, quarters and so on of a unit that short budgets need cut | for [`MAX_CUT_BASELINES`] of the deltas, and for the whole block |

use super::block_acks::BlockAcks;
use super::block_delta::BaselineRef;
use super::delta_cache::BlockDelta;
use crate::limits::UNIT_BYTES;
use crate::tick::Tick;

/// Most encodings of a block in a tick that are made because of what a client of a group
/// acknowledged.
pub(super) const MAX_BASELINES: usize = 12;

/// Most deltas of a block in a tick that are cut for those clients of a group that have short
/// budgets.
pub(super) const MAX_CUT_BASELINES: usize = 4;

/// Most groups of a block whose clients agree. Clients of further groups each build on their own
/// baselines.
pub(super) const MAX_GROUPS: usize = 16;

/// Most ticks for which a block waits for a baseline that others have, before it is sent whole.
pub(super) const MAX_WAIT_TICKS: i32 = 6;

/// A delta of a block that all clients of a group can take that hold its baseline.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedDelta {
    /// The baseline.
    pub base: BaselineRef,
    /// The slots that changed after it, and their unit.
    pub changed: Option<(u64, BlockDelta)>,
    /// The slots whose entities did not exist as of the baseline, and their unit, which is whole.
    pub born: Option<(u64, BlockDelta)>,
    /// Whether a unit of it was cut for a client with a short budget.
    pub is_cut: bool,
}

impl SharedDelta {
    fn changed_slots(&self) -> u64 {
        self.changed.map_or(0, |(slots, _)| slots)
    }

    fn born_slots(&self) -> u64 {
        self.born.map_or(0, |(slots, _)| slots)
    }

    /// Bytes of its longer unit.
    fn longest(&self) -> usize {
        [self.changed, self.born]
            .iter()
            .flatten()
            .map(|(_, block_delta)| block_delta.len as usize)
            .max()
            .unwrap_or(0)
    }
}

/// What the clients of a group were encoded of one block in this tick.
#[derive(Clone, Debug)]
pub(super) struct Group {
    relevant: u64,
    team: u64,
    deltas: [Option<SharedDelta>; MAX_BASELINES],
    count: usize,
    parts: usize,
    cut: usize,
    /// The unit of the whole block.
    pub whole: Option<BlockDelta>,
}

impl Group {
    /// A group of clients that see these slots, those of `team` as their team's copy.
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

    /// Whether it is the group of clients that see these slots, those of `team` as their team's
    /// copy.
    pub fn is_of(&self, relevant: u64, team: u64) -> bool {
        (self.relevant, self.team) == (relevant, team)
    }

    /// Whether so many more encodings may be made because of what a client acknowledged.
    pub fn has_room_for(&self, encodings: usize) -> bool {
        self.count + self.parts + encodings <= MAX_BASELINES
    }

    /// Counts encodings of parts of the block.
    pub fn add_parts(&mut self, encodings: usize) {
        self.parts += encodings;
    }

    /// Adds a delta, for which there must be room; returns its place. The newest baselines come
    /// first.
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

    /// Takes a delta for a client whose units have at most `longest` bytes. `None` if it would have
    /// to be cut for the client's short budget, and too many deltas are.
    pub fn take(&mut self, place: usize, longest: usize) -> Option<SharedDelta> {
        let is_free = self.is_free(longest);
        let delta = self.deltas[place].as_mut()?;
        if longest < UNIT_BYTES && delta.longest() > longest && !delta.is_cut {
            if !is_free {
                return None;
            }
            delta.is_cut = true;
            self.cut += 1;
        }
        Some(*delta)
    }

    /// Takes the delta on the newest tick as of which a client holds anything, if it holds all as
    /// of it and there is one.
    pub fn same_for(&mut self, view: &BlockAcks, longest: usize) -> Option<SharedDelta> {
        let acked_set =
            view.acked_sets().first().filter(|acked_set| self.relevant & !acked_set.mask == 0)?;
        let place = self.deltas().position(|delta| {
            delta.base.tick == acked_set.tick
                && view.holds(delta.base, self.relevant, delta.changed_slots())
        })?;
        self.take(place, longest)
    }

    /// The place of the delta on the newest baseline that a client can take whose own newest tick
    /// is `own`, and whose units have at most `longest` bytes: the client holds the baseline, which
    /// is not much older than its own, and [`Self::take`] gives it.
    pub fn newest_for(&self, view: &BlockAcks, own: Tick, longest: usize) -> Option<usize> {
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

    /// Whether any delta may be cut to units of `longest` bytes: no unit of any client is longer
    /// than [`UNIT_BYTES`].
    fn is_free(&self, longest: usize) -> bool {
        longest >= UNIT_BYTES || self.cut < MAX_CUT_BASELINES
    }

    /// By how many ticks a baseline may be older than a client's own; `None` for any number.
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
