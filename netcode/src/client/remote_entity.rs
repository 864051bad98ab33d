//! An entity in the client's copy of the world: its identity and its states.

use super::state_history::{HeldState, StateHistory};
use crate::limits::RING_TICKS;
use crate::replication::NetId;
use crate::replication::block_delta::GAP;
use crate::schema::{Audience, KindId};
use crate::tick::Tick;

/// An entity in the client's copy of the world.
#[derive(Clone, Debug)]
pub struct RemoteEntity {
    /// Identity of the entity.
    pub id: NetId,
    /// Kind of the entity.
    pub kind: KindId,
    /// Whether this is the owner's copy of the entity or the one for others.
    pub audience: Audience,
    /// Newest tick of a packet that held the entity.
    pub(super) seen: Tick,
    /// Tick of the first packet that held the entity.
    pub(super) since: Tick,
    /// Number of the newest snapshot for which the state is known.
    pub(super) known: u32,
    /// Snapshots between recent updates: rises at once, falls slowly.
    pub(super) gap: f32,
    pub(super) state_history: StateHistory,
}

impl RemoteEntity {
    /// The newest state.
    pub fn newest(&self) -> HeldState<'_> {
        self.state_history.newest()
    }

    /// All states, oldest first.
    pub fn state_history(
        &self,
    ) -> impl DoubleEndedIterator<Item = HeldState<'_>> + ExactSizeIterator {
        self.state_history.iter()
    }

    /// Tick of the first packet that held the entity.
    pub fn since(&self) -> Tick {
        self.since
    }

    /// Recent number of snapshots from one update to the next: 1 where each snapshot updates the
    /// entity. Lost snapshots do not count.
    pub(super) fn gap(&self) -> f64 {
        f64::from(self.gap)
    }

    /// Whether this is the owner's copy, so that the client owns the entity.
    pub fn is_own(&self) -> bool {
        self.audience == Audience::Owner
    }

    /// The state in force at a tick: the newest state of that tick or an earlier one. `None` if all
    /// states are later.
    pub fn at(&self, tick: Tick) -> Option<HeldState<'_>> {
        self.state_history.at(tick)
    }
}

/// The tick of a packet's state, and the oldest tick that is still displayed.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketTicks {
    pub tick: Tick,
    pub shown: Tick,
}

/// An entity that was removed from the client's copy: it is gone or no longer relevant.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The entity at the time of its removal.
    pub remote: RemoteEntity,
    /// Tick of the packet that removed the entity.
    pub at: Tick,
}

impl RemoteEntity {
    /// Applies the state of a packet. Drops states that the server cannot refer to and
    /// that are not displayed any more. `newest` is the snapshot's number if it is the newest one.
    pub(super) fn put(
        &mut self,
        baseline: Option<Tick>,
        fields: &[u32],
        ticks: &PacketTicks,
        newest: Option<u32>,
    ) {
        let PacketTicks { tick, shown } = *ticks;
        if !self.seen.is_after(tick) {
            self.seen = tick;
        }
        if let Some(snapshot) = newest {
            let gap = snapshot.wrapping_sub(self.known).clamp(1, RING_TICKS) as f32;
            self.gap = gap.max(self.gap + (gap - self.gap) / 16.0);
            self.known = snapshot;
        }
        // The second baseline may be up to GAP ticks older than the first.
        let kept = baseline
            .filter(|_| newest.is_some())
            .map(|baseline| baseline.back(GAP));
        let is_old =
            |told: Tick| kept.is_some_and(|kept| !told.is_after(kept) && shown.is_after(told));
        self.state_history.put(tick, fields, is_old);
    }
}

#[cfg(test)]
impl RemoteEntity {
    /// The first entity of the first kind, with a state of this tick.
    pub(super) fn told(tick: Tick, fields: &[u32]) -> Self {
        let id = NetId {
            slot: 0,
            generation: 0,
        };
        let state_history = StateHistory::new(tick, fields);
        let (kind, audience) = (KindId(0), Audience::Others);
        Self {
            id,
            kind,
            audience,
            seen: tick,
            since: tick,
            known: 0,
            gap: 1.0,
            state_history,
        }
    }

    /// Adds another state to the entity.
    pub(super) fn and(mut self, tick: Tick, fields: &[u32]) -> Self {
        let ticks = PacketTicks { tick, shown: tick };
        self.put(None, fields, &ticks, None);
        self
    }
}
