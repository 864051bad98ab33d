//! Renewal of resting entities in a client's view, so that no acknowledged tick becomes too old to
//! be compared with the present one.

use super::block_delta::block_of;
use super::client_view::{ClientView, Shared};
use super::state_ring::BlockAt;
use crate::limits::{BASELINE_TICKS, RING_TICKS};
use crate::schema::Audience;
use crate::tick::Tick;

impl ClientView {
    /// Marks resting entities as held at newer ticks, some blocks in each tick. After more than
    /// [`BASELINE_TICKS`] without a plan, everything is sent whole.
    pub(super) fn renew(&mut self, shared: &mut Shared<'_>) {
        let now = shared.ring.tick();
        let passed = self
            .planned
            .replace(now)
            .map_or(0, |planned| now.since(planned));
        if passed > BASELINE_TICKS {
            self.reset();
            for block in &mut self.blocks {
                block.forget_acked_sets();
                block.renew_sent(now);
            }
            return self.removals.iter_mut().for_each(|(_, since)| *since = now);
        }
        let now_at = now.0 % BASELINE_TICKS;
        let from = if passed == 1 { now_at as usize } else { 0 };
        for (at, block) in shared.ring.blocks().iter().enumerate().skip(from) {
            // Each block has its turn in one of [`BASELINE_TICKS`] ticks.
            if (now_at.wrapping_sub(at as u32)) % BASELINE_TICKS >= passed {
                if passed == 1 {
                    break;
                }
                continue;
            }
            let view = &mut self.blocks[at];
            view.renew_sent(now);
            if view.has_old(now) {
                let team = view.team;
                view.renew(now, |tick| {
                    shared
                        .cache
                        .changed_after(BlockAt { at, block }, tick, team)
                });
            }
        }
        let is_old = |tick: &Tick| now.distance(*tick) > BASELINE_TICKS as i32;
        if let Some(acked) = self.own.acked.front().copied().filter(is_old) {
            let entry = self.own.id.and_then(|id| shared.ring.entry(id.slot));
            let slot = entry.map(|entry| entry.id.slot);
            let changed =
                |slot| shared.ring.blocks()[block_of(slot)].changed(slot, Audience::Owner);
            self.own.acked.clear();
            if slot.is_some_and(|slot| !changed(slot).is_after(acked)) {
                self.own.acked.push_front(now.back(RING_TICKS));
            }
        }
    }
}
