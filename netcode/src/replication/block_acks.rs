//! The slots of one block that one client acknowledged, and at which ticks.
//!
//! A client that acknowledges a packet of tick T holds the packet's entities in their state at T.
//! So a few *acked sets* per block are enough: each is a tick and the slots that are held at that
//! tick. A slot that did not change since an older acked set is held at a newer one too.

use super::block_delta::{BLOCK, BaselineRef, GAP};
use crate::limits::{BASELINE_TICKS, RING_TICKS};
use crate::tick::Tick;

/// The slots of a block that a client acknowledged at a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AckedSet {
    /// Tick of the acknowledged state.
    pub tick: Tick,
    /// Bit mask of the acknowledged slots.
    pub mask: u64,
}

/// Most acked sets of a block: the newest ones as baselines, older ones for slots that are sent
/// seldom.
pub(crate) const ACKED_SETS: usize = 12;

/// Most acked sets that are kept if the client holds the whole block at the newest one: the older
/// ones serve as second baselines and for agreement with other clients.
const KEPT_ACKED_SETS: usize = 8;

/// Number of newest acked sets that may serve as the older of two baselines, even if newer ones
/// hold all their slots.
const ESTIMATE_ACKED_SETS: usize = 4;

/// Least distance in ticks between two baselines, where there is a choice.
const LEAST_GAP: i32 = 2;

/// The acked sets of one block for one client, and when its slots were sent.
#[derive(Clone, Debug, Default)]
pub struct BlockAcks {
    /// Slots that were relevant at the last plan.
    pub relevant: u64,
    /// Slots that the client may hold: they were sent, and no removal was acknowledged since.
    pub known: u64,
    /// Slots that the client receives as its team's copy.
    pub team: u64,
    /// Tick in which any slot of the block was sent last.
    pub sent: Tick,
    count: u32,
    acked_sets: [AckedSet; ACKED_SETS],
    /// Tick in which each slot was sent last, where slots are scheduled separately.
    pub slots_sent: Option<Box<[Tick; BLOCK]>>,
}

impl BlockAcks {
    /// The acked sets, newest first.
    pub(crate) fn acked_sets(&self) -> &[AckedSet] {
        &self.acked_sets[..self.count as usize]
    }

    /// Newest tick at which the client holds the slot of this bit; `None` if there is none.
    pub fn acked(&self, bit: u64) -> Option<Tick> {
        self.acked_sets()
            .iter()
            .find(|acked_set| acked_set.mask & bit != 0)
            .map(|acked_set| acked_set.tick)
    }

    /// Records that the client acknowledged the slots of `mask` at a tick. Slots that are not known
    /// are ignored.
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
        if at == 0 && mask == self.relevant && count >= KEPT_ACKED_SETS {
            // Everything is held at the newest tick, so fewer older ones are needed.
            count = KEPT_ACKED_SETS - 1;
        } else if count == ACKED_SETS {
            let dropped = self.dispensable();
            self.acked_sets.copy_within(dropped + 1.., dropped);
            self.count -= 1;
            return self.ack(tick, mask);
        }
        self.acked_sets.copy_within(at..count, at + 1);
        self.acked_sets[at] = AckedSet { tick, mask };
        self.count = count as u32 + 1;
    }

    /// Index of the newest acked set that holds all relevant slots that existed at its tick.
    /// `born_after` returns the slots whose entities did not exist at a tick.
    pub(crate) fn whole_acked_set(&self, born_after: impl Fn(Tick) -> u64) -> Option<usize> {
        self.acked_sets().iter().position(|acked_set| {
            let missing = self.relevant & !acked_set.mask;
            missing == 0 || missing & !born_after(acked_set.tick) == 0
        })
    }

    /// Whether the client holds `slots` at the newer tick of a baseline, and `changed` at the older
    /// one, if there is one.
    pub fn holds(&self, base: BaselineRef, slots: u64, changed: u64) -> bool {
        let mut acked_sets = self
            .acked_sets()
            .iter()
            .skip_while(|acked_set| acked_set.tick.is_after(base.tick));
        let mut holds = |tick, wanted| {
            acked_sets
                .find(|acked_set| !acked_set.tick.is_after(tick))
                .is_some_and(|acked_set| acked_set.tick == tick && wanted & !acked_set.mask == 0)
        };
        holds(base.tick, slots) && base.older().is_none_or(|older| holds(older, changed))
    }

    /// Index of the acked set to drop: the oldest one whose slots newer ones hold too, else the
    /// oldest. Slots that only it held are then sent whole.
    fn dispensable(&self) -> usize {
        let mut newer = 0;
        let mut found = self.acked_sets().len() - 1;
        for (at, acked_set) in self.acked_sets().iter().enumerate() {
            if at >= ESTIMATE_ACKED_SETS && acked_set.mask & !newer == 0 {
                found = at;
            }
            newer |= acked_set.mask;
        }
        found
    }

    /// Marks slots that did not change since an older acked set as held at the newest one, too.
    /// There must be one.
    pub(crate) fn promote(&mut self, unchanged: u64) {
        self.acked_sets[0].mask |= unchanged;
    }

    /// Removes all acked sets, so that no slot counts as held.
    pub(crate) fn forget_acked_sets(&mut self) {
        self.count = 0;
    }

    /// Whether an acked set is so old that it must be renewed.
    pub(crate) fn has_old(&self, now: Tick) -> bool {
        self.acked_sets()
            .iter()
            .any(|acked_set| is_old(acked_set.tick, now))
    }

    /// Replaces old acked sets by one that is [`RING_TICKS`] old, with those of their slots that
    /// did not change since. `changed_after` returns the slots that changed after a tick.
    pub(crate) fn renew(&mut self, now: Tick, mut changed_after: impl FnMut(Tick) -> u64) {
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

    /// Limits the age of the ticks in which slots were sent to [`BASELINE_TICKS`].
    pub(crate) fn renew_sent(&mut self, now: Tick) {
        let sent = self
            .slots_sent
            .iter_mut()
            .flat_map(|sent| sent.iter_mut())
            .chain([&mut self.sent]);
        sent.filter(|tick| is_old(**tick, now))
            .for_each(|tick| *tick = now.back(BASELINE_TICKS));
    }

    /// Returns the baseline of the acked set with index `at`, with an older one if one holds all of
    /// `mask`.
    ///
    /// # Panics
    /// If there is no acked set with that index.
    pub fn base(&self, at: usize, mask: u64, now: Tick) -> BaselineRef {
        let tick = self.acked_sets[at].tick;
        let older = self.acked_sets()[at + 1..].iter().find(|older| {
            let gap = tick.distance(older.tick);
            mask & !older.mask == 0 && (LEAST_GAP..=GAP as i32).contains(&gap)
        });
        let older = older.filter(|older| now.distance(older.tick) < RING_TICKS as i32);
        BaselineRef {
            tick,
            gap: older.map_or(0, |older| tick.distance(older.tick) as u32),
        }
    }

    /// Removes all records of these slots.
    pub fn forget(&mut self, mask: u64) {
        self.relevant &= !mask;
        self.known &= !mask;
        self.unacknowledge(mask);
    }

    /// Marks these slots as not acknowledged.
    pub(crate) fn unacknowledge(&mut self, mask: u64) {
        self.acked_sets[..self.count as usize]
            .iter_mut()
            .for_each(|acked_set| acked_set.mask &= !mask);
    }

    /// Records that these slots were sent in a tick.
    pub fn note_sent(&mut self, tick: Tick, mask: u64) {
        self.known |= mask;
        self.sent = tick;
        if let Some(sent) = &mut self.slots_sent {
            // Branchless, so that the compiler can handle several slots at a time.
            for (i, slot) in sent.iter_mut().enumerate() {
                *slot = if mask >> i & 1 == 1 { tick } else { *slot };
            }
        }
    }

    /// Tick in which a slot was sent last. From the first call on it is recorded per slot.
    pub(crate) fn slot_sent(&mut self, slot: u16) -> Tick {
        let sent = self.sent;
        self.slots_sent
            .get_or_insert_with(|| Box::new([sent; BLOCK]))[usize::from(slot) % BLOCK]
    }
}

/// Whether a tick is older than [`BASELINE_TICKS`], or later than `now`.
fn is_old(tick: Tick, now: Tick) -> bool {
    !(0..=BASELINE_TICKS as i32).contains(&now.distance(tick))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(acked_sets: &[(u32, u64)]) -> BlockAcks {
        let mut view = BlockAcks {
            known: u64::MAX,
            ..BlockAcks::default()
        };
        acked_sets
            .iter()
            .for_each(|(tick, mask)| view.ack(Tick(*tick), *mask));
        view
    }

    #[test]
    fn lanes_stand_newest_first_whatever_the_order_of_acknowledgements() {
        let view = view(&[(5, 1), (9, 2), (7, 4), (9, 1)]);
        let ticks: Vec<_> = view
            .acked_sets()
            .iter()
            .map(|acked_set| (acked_set.tick.0, acked_set.mask))
            .collect();
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
        assert_eq!(
            view.base(0, 7, Tick(12)),
            BaselineRef {
                tick: Tick(10),
                gap: 3
            }
        );
        assert_eq!(
            view.base(0, 3, Tick(12)),
            BaselineRef {
                tick: Tick(10),
                gap: 2
            }
        );
        assert_eq!(view.base(3, 3, Tick(12)).gap, 0);
    }

    #[test]
    fn a_base_is_held_where_both_its_ticks_are() {
        let view = view(&[(10, 7), (9, 1), (8, 3), (6, 7)]);
        let holds = |tick, gap, changed| {
            view.holds(
                BaselineRef {
                    tick: Tick(tick),
                    gap,
                },
                7,
                changed,
            )
        };
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
        assert_eq!(view.whole_acked_set(|_| 0), Some(1));
        assert_eq!(
            view.whole_acked_set(|tick| if tick == Tick(10) { 4 } else { 0 }),
            Some(0)
        );
        view.relevant = 15;
        assert_eq!(view.whole_acked_set(|_| 0), None);
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
        assert_eq!(
            ticks,
            [(3, 0b10000), (RING_TICKS as i32, 0b0101), (least, 0b1000)]
        );
        assert!(!view.has_old(now) && view.has_old(now.next()));
        view.forget_acked_sets();
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
