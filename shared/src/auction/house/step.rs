//! One step of the house, whole or in parts.
//!
//! A step does the same whether it is taken at once or stops whenever its caller's share of work is
//! used up: the order of what it does follows from the house, the tick and the orders alone.
//!
//! ```text
//! resume (each open lot) -> close (each lot that is due) -> pause (each open lot) -> forget -> orders, each with its chores
//! ```

use std::collections::VecDeque;
use std::ops::Bound;

use super::{Answered, House, Output};
use crate::auction::event::LotEventKind;
use crate::auction::ledger::AccountIndex;
use crate::auction::order::{ClockOrder, Order};
use crate::auction::terms::LotId;

/// Something that an order leads to and that may be much: done before the next order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// Takes back what an account offers on a lot, if it does.
    Retract(LotId, AccountIndex),
    /// Finds who leads in an English sale from which an offer was taken.
    Settle(LotId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The clock has stood still since; the open lots up to this one have moved along.
    Resume(u64, Option<LotId>),
    Close,
    /// The open lots up to this one know that the clock stands still.
    Pause(Option<LotId>),
    Forget,
    Orders,
}

/// A step on its way.
#[derive(Clone, Debug)]
pub struct Step {
    phase: Phase,
    clock: Option<ClockOrder>,
    /// Orders that were decided.
    taken: usize,
    chores: VecDeque<Chore>,
}

impl House {
    /// Takes a tick, later than the last, and its orders: closes what is due, unless the clock
    /// stands still, then takes one order after the other. The clock stops after what is due, and
    /// runs on before.
    pub fn step(
        &mut self,
        tick: u64,
        clock: Option<ClockOrder>,
        orders: &[Order],
        out: &mut Output,
    ) {
        let step = self.begin(tick, clock);
        self.finish_step(step, orders, out);
    }

    /// Takes more orders of the last tick.
    pub fn step_on(&mut self, orders: &[Order], out: &mut Output) {
        let step = self.go_on();
        self.finish_step(step, orders, out);
    }

    fn finish_step(&mut self, mut step: Step, orders: &[Order], out: &mut Output) {
        let mut work = usize::MAX;
        while !self.advance(&mut step, orders, &mut work, out) {
            work = usize::MAX;
        }
    }

    /// Begins a tick, later than the last; [`Self::advance`] does it.
    pub fn begin(&mut self, tick: u64, clock: Option<ClockOrder>) -> Step {
        debug_assert!(tick > self.tick, "ticks rise");
        self.tick = tick;
        let resumes = self.paused.filter(|_| clock == Some(ClockOrder::Resume));
        let phase = resumes.map_or(Phase::Close, |since| Phase::Resume(since, None));
        if resumes.is_some() {
            self.paused = None;
            self.deadlines.clear();
        }
        Step { phase, clock, taken: 0, chores: VecDeque::new() }
    }

    /// Goes on with the last tick, to take more of its orders; [`Self::advance`] takes them.
    pub fn go_on(&self) -> Step {
        Step { phase: Phase::Orders, clock: None, taken: 0, chores: VecDeque::new() }
    }

    /// Does as much of a step as `work` allows, and takes from it what was done: an order counts as
    /// one, and so does a lot that closes, moves or is told that the clock stands still, and each
    /// offer that is given back. A single one of these may exceed it. True when the step is done;
    /// until then it must be gone on with, and nothing else may be asked of the house.
    pub fn advance(
        &mut self,
        step: &mut Step,
        orders: &[Order],
        work: &mut usize,
        out: &mut Output,
    ) -> bool {
        while *work > 0 {
            let done = match step.phase {
                Phase::Resume(since, after) => self.resume_next(step, since, after, out),
                Phase::Close => self.close_next(step, out),
                Phase::Pause(after) => self.pause_next(step, after, out),
                Phase::Forget => {
                    step.phase = Phase::Orders;
                    out.changed |= step.clock.is_some();
                    self.forget_due(out)
                }
                Phase::Orders => match step.chores.pop_front() {
                    Some(chore) => self.perform(chore, &mut step.chores, out),
                    None if step.taken == orders.len() => return true,
                    None => self.take_next(step, &orders[step.taken], out),
                },
            };
            *work = work.saturating_sub(done);
        }
        step.phase == Phase::Orders && step.chores.is_empty() && step.taken == orders.len()
    }

    fn next_lot(&self, after: Option<LotId>) -> Option<(LotId, bool)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.lots
            .range((from, Bound::Unbounded))
            .next()
            .map(|(id, lot)| (*id, lot.ending.is_none()))
    }

    fn resume_next(
        &mut self,
        step: &mut Step,
        since: u64,
        after: Option<LotId>,
        out: &mut Output,
    ) -> usize {
        let Some((id, is_open)) = self.next_lot(after) else {
            step.phase = Phase::Close;
            return 0;
        };
        step.phase = Phase::Resume(since, Some(id));
        if is_open {
            let stood = self.tick - since;
            let lot = self.lot_mut(id);
            lot.opened += stood;
            lot.closes += stood;
            let (opened, closes) = (lot.opened, lot.closes);
            self.deadlines.insert((closes, id));
            self.tell(id, LotEventKind::Resumed { opened, closes }, out);
        }
        1
    }

    fn close_next(&mut self, step: &mut Step, out: &mut Output) -> usize {
        if let Some(done) = self.close_due(out) {
            return done;
        }
        let pauses = self.paused.is_none() && step.clock == Some(ClockOrder::Pause);
        step.phase = if pauses { Phase::Pause(None) } else { Phase::Forget };
        if pauses {
            self.paused = Some(self.tick);
        }
        0
    }

    fn pause_next(&mut self, step: &mut Step, after: Option<LotId>, out: &mut Output) -> usize {
        let Some((id, is_open)) = self.next_lot(after) else {
            step.phase = Phase::Forget;
            return 0;
        };
        step.phase = Phase::Pause(Some(id));
        if is_open {
            let since = self.tick;
            self.tell(id, LotEventKind::Paused { since }, out);
        }
        1
    }

    fn take_next(&mut self, step: &mut Step, order: &Order, out: &mut Output) -> usize {
        step.taken += 1;
        out.changed = true;
        let (answer, done) = self.take(order, &mut step.chores, out);
        out.answers.push(Answered { user: order.user, id: order.id, answer });
        done
    }
}
