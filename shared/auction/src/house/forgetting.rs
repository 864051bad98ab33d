//! Removal of old lots and receipts, bounded in each step.

use super::{House, Output};
use crate::limits::FORGOTTEN_PER_STEP;
use crate::lot::Lot;
use crate::terms::LotId;

impl House {
    /// Removes lots and receipts whose retention is over, up to [`FORGOTTEN_PER_STEP`]; returns how
    /// many items were removed.
    pub(super) fn forget_due(&mut self, out: &mut Output) -> usize {
        let mut left = FORGOTTEN_PER_STEP;
        while left > 0
            && let Some((_, id)) = self
                .retiring
                .first()
                .copied()
                .filter(|(at, _)| *at <= self.tick)
        {
            left -= 1;
            self.retiring.pop_first();
            if let Some(lot) = self.lots.remove(&id) {
                self.touched.remove(&id);
                self.sum = self.sum.wrapping_sub(lot.part);
                out.forgotten.push(id);
                self.waste.push((id, lot));
            }
        }
        while left > 0
            && let Some((id, mut lot)) = self.waste.pop()
        {
            let shed = self.shed(id, &mut lot, left);
            left -= shed;
            if shed > 0 {
                self.waste.push((id, lot));
            }
        }
        while left > 0
            && let Some((_, account, id)) = self
                .expiring
                .first()
                .copied()
                .filter(|(at, ..)| *at <= self.tick)
        {
            left -= 1;
            self.expiring.pop_first();
            self.ledger.forget(account, id);
        }
        let forgotten = FORGOTTEN_PER_STEP - left;
        out.changed |= forgotten > 0;
        forgotten
    }

    /// Removes up to `most` receipts, offers and aliases of a removed lot. Returns the number
    /// removed, 0 if none is left.
    fn shed(&mut self, id: LotId, lot: &mut Lot, most: usize) -> usize {
        for shed in 0..most {
            if let Some((account, command)) = lot.answered.pop() {
                self.ledger.forget(account, command);
                self.ledger.forget_lot(account, id);
            } else if let Some(account) = lot.offers.pop() {
                self.ledger.forget_lot(account, id);
            } else if !lot.forget_name() {
                return shed;
            }
        }
        most
    }
}
