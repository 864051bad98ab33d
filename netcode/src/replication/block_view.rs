//! What one client holds of one block, as far as the server knows: which slots, as of which ticks.
//!
//! A client that acknowledges a packet of tick T holds the packet's entities as of T. So per block a handful of *lanes* says
//! all there is to know: a tick, and the slots that are held as of it. What did not change since an older lane is held as of
//! a newer one too.

use super::unit::{BLOCK, Base, GAP};
use crate::limits::{BASELINE_TICKS, RING_TICKS};
use crate::tick::Tick;

/// Slots that a client acknowledged as of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// The tick.
    pub tick: Tick,
    /// The slots.
    pub mask: u64,
}

/// Lanes of a block: the newest ones to foresee from, and older ones of what is sent seldom.
pub const LANES: usize = 12;

/// Of these newest lanes each may serve as the older of two baselines, though newer ones hold all its slots.
const FORESIGHT_LANES: usize = 4;

/// The older of two baselines is at least so many ticks older, where there is a choice.
const LEAST_GAP: i32 = 2;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct BlockView {
    /// What was relevant at the last plan.
    pub relevant: u64,
    /// What the client may hold: it was sent, and no removal acknowledged since.
    pub known: u64,
    /// What it holds, if it does, as its team's copy.
    pub team: u64,
    /// When anything of it was sent last.
    pub sent: Tick,
    count: u32,
    lanes: [Lane; LANES],
    /// When each slot was sent last, where slots are chosen one by one.
    pub slots_sent: Option<Box<[Tick; BLOCK]>>,
}

impl BlockView {
    /// The lanes, newest first.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes[..self.count as usize]
    }

    /// The newest tick as of which the client holds a slot.
    pub fn acked(&self, bit: u64) -> Option<Tick> {
        self.lanes().iter().find(|lane| lane.mask & bit != 0).map(|lane| lane.tick)
    }

    /// The client took over these slots as of a tick.
    pub fn ack(&mut self, tick: Tick, mask: u64) {
        let (mask, mut count) = (mask & self.known, self.count as usize);
        if mask == 0 {
            return;
        }
        let at = self.lanes().iter().position(|lane| !lane.tick.is_after(tick)).unwrap_or(count);
        if at < count && self.lanes[at].tick == tick {
            self.lanes[at].mask |= mask;
            return;
        }
        if at == 0 && mask == self.relevant {
            // All is held as of the newest: older lanes are there for foresight alone.
            count = count.min(FORESIGHT_LANES - 1);
        } else if count == LANES {
            let dropped = self.dispensable();
            self.lanes.copy_within(dropped + 1.., dropped);
            self.count -= 1;
            return self.ack(tick, mask);
        }
        self.lanes.copy_within(at..count, at + 1);
        self.lanes[at] = Lane { tick, mask };
        self.count = count as u32 + 1;
    }

    /// The oldest lane whose slots newer ones hold too, else the oldest: what it held is then sent whole.
    fn dispensable(&self) -> usize {
        let mut newer = 0;
        let mut found = self.lanes().len() - 1;
        for (at, lane) in self.lanes().iter().enumerate() {
            if at >= FORESIGHT_LANES && lane.mask & !newer == 0 {
                found = at;
            }
            newer |= lane.mask;
        }
        found
    }

    /// What is held as of an older lane and did not change since is held as of the newest, too.
    pub fn promote(&mut self, unchanged: u64) {
        self.lanes[0].mask |= unchanged;
    }

    /// Forgets all lanes: nothing is known to be held.
    pub fn forget_lanes(&mut self) {
        self.count = 0;
    }

    /// Whether a lane is so old that it must be renewed.
    pub fn has_old(&self, now: Tick) -> bool {
        self.lanes().iter().any(|lane| is_old(lane.tick, now))
    }

    /// What old lanes hold and did not change since is held as of a newer tick from now on; they themselves are forgotten.
    pub fn renew(&mut self, now: Tick, mut changed_after: impl FnMut(Tick) -> u64) {
        let (mut count, mut held) = (0, 0);
        for at in 0..self.count as usize {
            let lane = self.lanes[at];
            if is_old(lane.tick, now) {
                held |= lane.mask & !changed_after(lane.tick);
            } else {
                self.lanes[count] = lane;
                count += 1;
            }
        }
        self.count = count as u32;
        self.ack(now.back(RING_TICKS), held);
    }

    /// When things were sent is as long ago as matters at the most.
    pub fn renew_sent(&mut self, now: Tick) {
        let sent = self.slots_sent.iter_mut().flat_map(|sent| sent.iter_mut()).chain([&mut self.sent]);
        sent.filter(|tick| is_old(**tick, now)).for_each(|tick| *tick = now.back(BASELINE_TICKS));
    }

    /// The baseline that a lane is, with an older one for all of `mask` where there is one.
    pub fn base(&self, at: usize, mask: u64, now: Tick) -> Base {
        let tick = self.lanes[at].tick;
        let older = self.lanes()[at + 1..].iter().find(|older| {
            let gap = tick.distance(older.tick);
            mask & !older.mask == 0 && (LEAST_GAP..=GAP as i32).contains(&gap)
        });
        let older = older.filter(|older| now.distance(older.tick) < RING_TICKS as i32);
        Base { tick, gap: older.map_or(0, |older| tick.distance(older.tick) as u32) }
    }

    /// Forgets all that is known of these slots.
    pub fn forget(&mut self, mask: u64) {
        self.relevant &= !mask;
        self.known &= !mask;
        self.unacknowledge(mask);
    }

    /// Forgets that these slots were acknowledged.
    pub fn unacknowledge(&mut self, mask: u64) {
        self.lanes[..self.count as usize].iter_mut().for_each(|lane| lane.mask &= !mask);
    }

    /// Notes that these slots were sent.
    pub fn note_sent(&mut self, tick: Tick, mask: u64) {
        self.known |= mask;
        self.sent = tick;
        if let Some(sent) = &mut self.slots_sent {
            // Without branches: several slots at a time.
            for (i, slot) in sent.iter_mut().enumerate() {
                *slot = if mask >> i & 1 == 1 { tick } else { *slot };
            }
        }
    }

    /// When a slot was sent last.
    pub fn slot_sent(&mut self, slot: u16) -> Tick {
        let sent = self.sent;
        self.slots_sent.get_or_insert_with(|| Box::new([sent; BLOCK]))[usize::from(slot) % BLOCK]
    }
}

/// Whether a tick is so long ago that it is not to be compared for much longer.
fn is_old(tick: Tick, now: Tick) -> bool {
    !(0..=BASELINE_TICKS as i32).contains(&now.distance(tick))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(lanes: &[(u32, u64)]) -> BlockView {
        let mut view = BlockView { known: u64::MAX, ..BlockView::default() };
        lanes.iter().for_each(|(tick, mask)| view.ack(Tick(*tick), *mask));
        view
    }

    #[test]
    fn lanes_stand_newest_first_whatever_the_order_of_acknowledgements() {
        let view = view(&[(5, 1), (9, 2), (7, 4), (9, 1)]);
        let ticks: Vec<_> = view.lanes().iter().map(|lane| (lane.tick.0, lane.mask)).collect();
        assert_eq!(ticks, [(9, 3), (7, 4), (5, 1)]);
        assert_eq!((view.acked(4), view.acked(8)), (Some(Tick(7)), None));
    }

    #[test]
    fn a_slot_that_is_sent_seldom_keeps_its_lane() {
        let mut view = view(&[(1, 1 << 40)]);
        for tick in 2..200 {
            view.ack(Tick(tick), 1);
        }
        assert_eq!(view.acked(1 << 40), Some(Tick(1)));
    }

    #[test]
    fn the_older_baseline_holds_all_that_is_foreseen_from_it() {
        let view = view(&[(10, 7), (9, 7), (8, 3), (7, 7)]);
        assert_eq!(view.base(0, 7, Tick(12)), Base { tick: Tick(10), gap: 3 });
        assert_eq!(view.base(0, 3, Tick(12)), Base { tick: Tick(10), gap: 2 });
        assert_eq!(view.base(3, 3, Tick(12)).gap, 0);
    }

    #[test]
    fn what_rests_is_held_as_of_a_newer_tick() {
        let mut view = view(&[(10, 0b0111), (11, 0b1000)]);
        let now = Tick(11 + BASELINE_TICKS);
        assert!(view.has_old(now) && !view.has_old(now.back(1)));
        view.ack(now.back(3), 0b10000);
        view.renew(now, |tick| if tick == Tick(10) { 0b0010 } else { 0 });
        let ticks: Vec<_> = view.lanes().iter().map(|lane| (now.distance(lane.tick), lane.mask)).collect();
        assert_eq!(ticks, [(3, 0b10000), (RING_TICKS as i32, 0b0101), (BASELINE_TICKS as i32, 0b1000)]);
        view.forget_lanes();
        assert!(view.lanes().is_empty());
    }

    #[test]
    fn what_left_sight_is_not_acknowledged_any_more() {
        let mut view = view(&[(10, 7)]);
        view.forget(2);
        assert_eq!((view.acked(2), view.acked(4)), (None, Some(Tick(10))));
        view.ack(Tick(11), 2);
        assert_eq!(view.acked(2), None);
    }
}
