//! The states of one entity over time. They lie side by side in memory, since a client reads some
//! states of every entity in each tick.

use crate::limits::CLIENT_VERSIONS;
use crate::tick::Tick;

/// An entity's state over a span of ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldState<'a> {
    /// Tick of the packet that carried the state: the first tick at which it is known to be in
    /// force.
    pub tick: Tick,
    /// Last tick at which the state is known to be in force.
    pub until: Tick,
    /// Quantised fields, in the order of the schema. Fields that the client cannot see are 0.
    pub fields: &'a [u32],
}

/// Least number of states before old ones are removed: removing less often than in each tick is
/// cheaper.
const FEW: usize = 16;

/// The states of one entity, oldest first, never empty. Each has as many fields as the first.
#[derive(Clone, Debug)]
pub(super) struct StateHistory {
    width: usize,
    /// First and last tick at which each state is known to be in force.
    spans: Vec<(Tick, Tick)>,
    fields: Vec<u32>,
    /// Number of states at which old ones are next removed.
    room: usize,
}

impl StateHistory {
    /// A history with one state.
    pub fn new(tick: Tick, fields: &[u32]) -> Self {
        Self {
            width: fields.len(),
            spans: vec![(tick, tick)],
            fields: fields.to_vec(),
            room: FEW,
        }
    }

    /// Number of states, at least 1.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    fn held(&self, place: usize) -> HeldState<'_> {
        let (tick, until) = self.spans[place];
        HeldState {
            tick,
            until,
            fields: &self.fields[place * self.width..][..self.width],
        }
    }

    /// All states, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = HeldState<'_>> + ExactSizeIterator {
        (0..self.len()).map(|place| self.held(place))
    }

    /// The newest state.
    pub fn newest(&self) -> HeldState<'_> {
        self.held(self.len() - 1)
    }

    /// Index of the newest state of this tick or an earlier one.
    fn place(&self, tick: Tick) -> Option<usize> {
        self.spans
            .iter()
            .rposition(|(told, _)| !told.is_after(tick))
    }

    /// The state in force at a tick: the newest state of that tick or an earlier one. `None` if all
    /// states are later.
    pub fn at(&self, tick: Tick) -> Option<HeldState<'_>> {
        Some(self.held(self.place(tick)?))
    }

    /// Inserts the state of a tick. It replaces an earlier state of the same tick, which may have
    /// been wrong without notice. States that were superseded at a tick for which `is_old` returns
    /// true may be removed.
    pub fn put(&mut self, tick: Tick, fields: &[u32], is_old: impl Fn(Tick) -> bool) {
        debug_assert_eq!(fields.len(), self.width, "an entity's kind stays");
        let before = self.place(tick);
        if let Some(place) = before.filter(|place| self.spans[*place].0 == tick) {
            self.fields[place * self.width..][..self.width].copy_from_slice(fields);
            return;
        }
        let place = before.map_or(0, |place| place + 1);
        let at = place * self.width;
        self.spans.insert(place, (tick, tick));
        match at == self.fields.len() {
            true => self.fields.extend_from_slice(fields),
            false => drop(self.fields.splice(at..at, fields.iter().copied())),
        }
        if self.len() >= self.room {
            self.tidy_up(is_old);
        }
    }

    fn tidy_up(&mut self, is_old: impl Fn(Tick) -> bool) {
        let superseded = self.spans[1..]
            .iter()
            .take_while(|(told, _)| is_old(*told))
            .count();
        let forgotten = superseded.max(self.len().saturating_sub(CLIENT_VERSIONS));
        self.spans.drain(..forgotten);
        self.fields.drain(..forgotten * self.width);
        self.room = (self.len() * 3 / 2).clamp(FEW, CLIENT_VERSIONS + 1);
    }

    /// Maps all ticks by `renewed`. Where several of the oldest states map to one tick, the newest
    /// of them remains.
    pub(crate) fn renew(&mut self, renewed: impl Fn(Tick) -> Tick) {
        self.spans
            .iter_mut()
            .for_each(|(told, until)| (*told, *until) = (renewed(*told), renewed(*until)));
        let same = self
            .spans
            .windows(2)
            .take_while(|pair| pair[0].0 == pair[1].0)
            .count();
        self.spans.drain(..same);
        self.fields.drain(..same * self.width);
    }

    /// Marks the newest state as in force at a tick, if its own tick is not later.
    pub fn confirm(&mut self, tick: Tick) {
        if let Some((_, until)) = self
            .spans
            .last_mut()
            .filter(|(told, _)| !told.is_after(tick))
        {
            *until = until.later(tick);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn what_is_not_old_is_as_in_a_map(
            steps in proptest::collection::vec((0u32..6, any::<[u32; 3]>()), 1..400),
            kept in 0u32..100,
        ) {
            // Ticks wrap during the test.
            let mut now = u64::from(u32::MAX) - 100;
            let mut state_history = StateHistory::new(Tick(now as u32), &[7; 3]);
            let mut map = BTreeMap::from([(now, [7; 3])]);
            for (step, fields) in steps {
                // Mostly the next tick, sometimes one of an overtaken packet.
                now += u64::from(step < 4);
                let tick = if step < 4 { now } else { now - u64::from(step) };
                let old = now - u64::from(kept);
                state_history.put(Tick(tick as u32), &fields, |tick| !tick.is_after(Tick(old as u32)));
                map.insert(tick, fields);
                prop_assert!(state_history.iter().is_sorted_by(|a, b| b.tick.is_after(a.tick)));
                prop_assert!(state_history.len() <= (kept as usize + 8) * 3 / 2 + FEW);
                for tick in old..now + 2 {
                    let at = state_history.at(Tick(tick as u32)).map(|held| held.fields.to_vec());
                    prop_assert_eq!(at, map.range(..=tick).next_back().map(|(_, fields)| fields.to_vec()));
                }
            }
        }
    }

    #[test]
    fn no_more_are_kept_than_a_server_refers_to() {
        let mut state_history = StateHistory::new(Tick(0), &[0]);
        (1..1_000).for_each(|tick| state_history.put(Tick(tick), &[tick], |_| false));
        assert!(state_history.len() <= CLIENT_VERSIONS);
        assert!(
            state_history.len() > CLIENT_VERSIONS / 2 && state_history.newest().fields == [999]
        );
    }

    #[test]
    fn the_newest_is_confirmed_and_no_other() {
        let mut state_history = StateHistory::new(Tick(5), &[1]);
        state_history.put(Tick(8), &[2], |_| false);
        state_history.confirm(Tick(7));
        state_history.confirm(Tick(10));
        state_history.confirm(Tick(9));
        let spans: Vec<_> = state_history
            .iter()
            .map(|held| (held.tick.0, held.until.0))
            .collect();
        assert_eq!(spans, [(5, 5), (8, 10)]);
    }
}
