//! The packets of a tick that arrived. Once all have, the entities that none held are unchanged.

use super::SnapshotBuffer;
use crate::replication::snapshot::{Deferred, SnapshotHeader};
use crate::tick::Tick;

/// Number of ticks whose completeness is tracked at once.
const ARRIVALS: usize = 16;

/// The packets of a tick that arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrival {
    pub tick: Tick,
    got: u16,
    last: Option<u8>,
    deferred: Deferred,
}

impl Arrival {
    fn is_complete(&self) -> bool {
        self.last
            .is_some_and(|last| self.got == u16::MAX >> (15 - last))
    }
}

impl SnapshotBuffer {
    pub(super) fn note_arrival(&mut self, header: &SnapshotHeader) {
        if self
            .arrivals
            .iter()
            .all(|arrival| arrival.tick != header.tick)
        {
            if self.arrivals.len() == ARRIVALS {
                self.arrivals.pop_front();
            }
            self.arrivals.push_back(Arrival {
                tick: header.tick,
                ..Arrival::default()
            });
        }
        let Some(arrival) = self
            .arrivals
            .iter_mut()
            .find(|arrival| arrival.tick == header.tick)
        else {
            return;
        };
        arrival.got |= 1 << header.index;
        if header.last {
            arrival.last = Some(header.index);
        }
        if header.index == 0 {
            arrival.deferred = header.deferred.clone();
        }
        if arrival.is_complete()
            && self
                .complete
                .is_none_or(|complete| header.tick.is_after(complete))
        {
            self.complete = Some(header.tick);
            let deferred = std::mem::take(&mut arrival.deferred);
            self.confirm(header.tick, &deferred);
        }
    }

    /// Confirms the entities that none of a tick's packets held, since all of them arrived: these
    /// entities are unchanged.
    fn confirm(&mut self, tick: Tick, deferred: &Deferred) {
        let newest = (self.newest == Some(tick)).then_some(self.snapshots);
        for remote in self.slots.iter_mut().flatten().chain(&mut self.own) {
            if !deferred.contains(remote.id.slot) {
                remote.state_history.confirm(tick);
                remote.known = newest.unwrap_or(remote.known);
            }
        }
    }
}
