//! What one client holds of one block, as far as the server knows: which slots, as of which ticks.
//!
//! A client that acknowledges a packet of tick T holds the packet's entities as of T. So per block
//! a handful of *lanes* says all there is to know: a tick, and the slots that are held as of it.
//! What did not change since an older lane is held as of a newer one too.

use super::block_delta::{BLOCK, BaselineRef, GAP};
use crate::limits::{BASELINE_TICKS, RING_TICKS};
use crate::tick::Tick;

/// Slots that a client acknowledged as of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckedSet {
    /// The tick.
    pub tick: Tick,
    /// The slots.
    pub mask: u64,
}

/// Lanes of a block: the newest ones to foresee from, and older ones of what is sent seldom.
pub const LANES: usize = 12;

/// Most lanes that are kept of a block that is held whole as of the newest: the older ones to
/// foresee from, and to agree with other clients on what is built upon.
const KEPT_LANES: usize = 8;

/// Of these newest lanes each may serve as the older of two baselines, though newer ones hold all
/// its slots.
const FORESIGHT_LANES: usize = 4;

/// The older of two baselines is at least so many ticks older, where there is a choice.
const LEAST_GAP: i32 = 2;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct BlockAcks {
    /// What was relevant at the last plan.
    pub relevant: u64,
    /// What the client may hold: it was sent, and no removal acknowledged since.
    pub known: u64,
    /// What it holds, if it does, as its team's copy.
    pub team: u64,
    /// When anything of it was sent last.
    pub sent: Tick,
    count: u32,
    acked_sets: [AckedSet; LANES],
    /// When each slot was sent last, where slots are chosen one by one.
    pub slots_sent: Option<Box<[Tick; BLOCK]>>,
}

impl BlockAcks {
    /// The lanes, newest first.
    pub fn acked_sets(&self) -> &[AckedSet] {
        &self.acked_sets[..self.count as usize]
    }

    /// The newest tick as of which the client holds a slot.
    pub fn acked(&self, bit: u64) -> Option<Tick> {
        self.acked_sets()
            .iter()
            .find(|acked_set| acked_set.mask & bit != 0)
            .map(|acked_set| acked_set.tick)
    }

    /// The client took over these slots as of a tick.
    pub fn ack(&mut self, tick: Tick, mask: u64) {
        let (mask, mut count) = (mask & self.known, self.count as usize);
        if mask == 0 {
            return;
        }
        let at = self
            .acked_sets()
            .iter()
            .position(|acked_set| !acked_set.tick.is_after(tick))
            .unwrap_or(count);
        if at < count && self.acked_sets[at].tick == tick {
            self.acked_sets[at].mask |= mask;
            return;
        }
        if at == 0 && mask == self.relevant && count >= KEPT_LANES {
            // All is held as of the newest.
            count = KEPT_LANES - 1;
        } else if count == LANES {
            let dropped = self.dispensable();
            self.acked_sets.copy_within(dropped + 1.., dropped);
            self.count -= 1;
            return self.ack(tick, mask);
        }
        self.acked_sets.copy_within(at..count, at + 1);
        self.acked_sets[at] = AckedSet { tick, mask };
        self.count = count as u32 + 1;
    }

    /// The newest lane as of whose tick the client holds all that is relevant and existed then;
    /// `born_after` tells which slots' entities did not exist at a tick.
    pub fn whole_lane(&self, born_after: impl Fn(Tick) -> u64) -> Option<usize> {
        self.acked_sets().iter().position(|acked_set| {
            let missing = self.relevant & !acked_set.mask;
            missing == 0 || missing & !born_after(acked_set.tick) == 0
        })
    }

    /// Whether the client holds `slots` as of the newer tick of a base, and `changed` as of the
    /// older, if there is one.
    pub fn holds(&self, base: BaselineRef, slots: u64, changed: u64) -> bool {
        let mut acked_sets =
            self.acked_sets().iter().skip_while(|acked_set| acked_set.tick.is_after(base.tick));
        let mut holds = |tick, wanted| {
            acked_sets
                .find(|acked_set| !acked_set.tick.is_after(tick))
                .is_some_and(|acked_set| acked_set.tick == tick && wanted & !acked_set.mask == 0)
        };
        holds(base.tick, slots) && base.older().is_none_or(|older| holds(older, changed))
    }

    /// The oldest lane whose slots newer ones hold too, else the oldest: what it held is then sent
    /// whole.
    fn dispensable(&self) -> usize {
        let mut newer = 0;
        let mut found = self.acked_sets().len() - 1;
        for (at, acked_set) in self.acked_sets().iter().enumerate() {
            if at >= FORESIGHT_LANES && acked_set.mask & !newer == 0 {
                found = at;
            }
            newer |= acked_set.mask;
        }
        found
    }

    /// What is held as of an older lane and did not change since is held as of the newest, too.
    pub fn promote(&mut self, unchanged: u64) {
        self.acked_sets[0].mask |= unchanged;
    }

    /// Forgets all lanes: nothing is known to be held.
    pub fn forget_lanes(&mut self) {
        self.count = 0;
    }

    /// Whether a lane is so old that it must be renewed.
    pub fn has_old(&self, now: Tick) -> bool {
        self.acked_sets().iter().any(|acked_set| is_old(acked_set.tick, now))
    }

    /// What old lanes hold and did not change since is held as of a newer tick from now on; they
    /// themselves are forgotten.
    pub fn renew(&mut self, now: Tick, mut changed_after: impl FnMut(Tick) -> u64) {
        let (mut count, mut held) = (0, 0);
        for at in 0..self.count as usize {
            let acked_set = self.acked_sets[at];
            if is_old(acked_set.tick, now) {
                held |= acked_set.mask & !changed_after(acked_set.tick);
            } else {
                self.acked_sets[count] = acked_set;
                count += 1;
            }
        }
        self.count = count as u32;
        self.ack(now.back(RING_TICKS), held);
    }

    /// When things were sent is as long ago as matters at the most.
    pub fn renew_sent(&mut self, now: Tick) {
        let sent =
            self.slots_sent.iter_mut().flat_map(|sent| sent.iter_mut()).chain([&mut self.sent]);
        sent.filter(|tick| is_old(**tick, now)).for_each(|tick| *tick = now.back(BASELINE_TICKS));
    }

    /// The baseline that a lane is, with an older one for all of `mask` where there is one.
    pub fn base(&self, at: usize, mask: u64, now: Tick) -> BaselineRef {
        let tick = self.acked_sets[at].tick;
        let older = self.acked_sets()[at + 1..].iter().find(|older| {
            let gap = tick.distance(older.tick);
            mask & !older.mask == 0 && (LEAST_GAP..=GAP as i32).contains(&gap)
        });
        let older = older.filter(|older| now.distance(older.tick) < RING_TICKS as i32);
        BaselineRef { tick, gap: older.map_or(0, |older| tick.distance(older.tick) as u32) }
    }

    /// Forgets all that is known of these slots.
    pub fn forget(&mut self, mask: u64) {
        self.relevant &= !mask;
        self.known &= !mask;
        self.unacknowledge(mask);
    }

    /// Forgets that these slots were acknowledged.
    pub fn unacknowledge(&mut self, mask: u64) {
        self.acked_sets[..self.count as usize]
            .iter_mut()
            .for_each(|acked_set| acked_set.mask &= !mask);
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

    fn view(acked_sets: &[(u32, u64)]) -> BlockAcks {
        let mut view = BlockAcks { known: u64::MAX, ..BlockAcks::default() };
        acked_sets.iter().for_each(|(tick, mask)| view.ack(Tick(*tick), *mask));
        view
    }

    #[test]
    fn lanes_stand_newest_first_whatever_the_order_of_acknowledgements() {
        let view = view(&[(5, 1), (9, 2), (7, 4), (9, 1)]);
        let ticks: Vec<_> =
            view.acked_sets().iter().map(|acked_set| (acked_set.tick.0, acked_set.mask)).collect();
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
        assert_eq!(view.base(0, 7, Tick(12)), BaselineRef { tick: Tick(10), gap: 3 });
        assert_eq!(view.base(0, 3, Tick(12)), BaselineRef { tick: Tick(10), gap: 2 });
        assert_eq!(view.base(3, 3, Tick(12)).gap, 0);
    }

    #[test]
    fn a_base_is_held_where_both_its_ticks_are() {
        let view = view(&[(10, 7), (9, 1), (8, 3), (6, 7)]);
        let holds =
            |tick, gap, changed| view.holds(BaselineRef { tick: Tick(tick), gap }, 7, changed);
        assert!(holds(10, 0, 7) && holds(6, 0, 7) && holds(10, 4, 7) && holds(10, 2, 3));
        assert!(
            !holds(10, 2, 7)
                && !holds(8, 0, 3)
                && !holds(7, 0, 7)
                && !holds(6, 1, 7)
                && !holds(11, 1, 7)
        );
    }

    #[test]
    fn what_did_not_exist_need_not_be_held() {
        let mut view = view(&[(10, 3), (9, 7)]);
        view.relevant = 7;
        assert_eq!(view.whole_lane(|_| 0), Some(1));
        assert_eq!(view.whole_lane(|tick| if tick == Tick(10) { 4 } else { 0 }), Some(0));
        view.relevant = 15;
        assert_eq!(view.whole_lane(|_| 0), None);
    }

    #[test]
    fn what_rests_is_held_as_of_a_newer_tick() {
        let mut view = view(&[(10, 0b0111), (11, 0b1000)]);
        let now = Tick(11 + BASELINE_TICKS);
        assert!(view.has_old(now) && !view.has_old(now.back(1)));
        view.ack(now.back(3), 0b10000);
        view.renew(now, |tick| if tick == Tick(10) { 0b0010 } else { 0 });
        let ticks: Vec<_> = view
            .acked_sets()
            .iter()
            .map(|acked_set| (now.distance(acked_set.tick), acked_set.mask))
            .collect();
        let least = BASELINE_TICKS as i32;
        assert_eq!(ticks, [(3, 0b10000), (RING_TICKS as i32, 0b0101), (least, 0b1000)]);
        assert!(!view.has_old(now) && view.has_old(now.next()));
        view.forget_lanes();
        assert!(view.acked_sets().is_empty());
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
