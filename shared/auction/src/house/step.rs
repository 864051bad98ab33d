//! One step of the house, whole or in parts.
//!
//! The result does not depend on whether a step runs at once or in parts of bounded work: the order
//! of its operations follows from the house, the tick and the orders alone.
//!
//! ```text
//! resume (each open lot) -> close (each due lot) -> pause (each open lot) -> forget
//!        -> orders, each with its chores
//! ```

use std::collections::VecDeque;
use std::ops::Bound;

use super::{Answered, House, Output};
use crate::event::LotEventKind;
use crate::ledger::AccountIndex;
use crate::order::{ClockOrder, Order};
use crate::terms::LotId;

/// Work that a command leads to and that may be long. It is finished before the next command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// Retracts an account's offer on a lot, if there is one.
    Retract(LotId, AccountIndex),
    /// Finds the leader of an English sale after an offer was removed.
    Settle(LotId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The tick at which the clock was paused, and the last lot whose times were shifted.
    Resume(u64, Option<LotId>),
    Close,
    /// The last lot for which the pause was published.
    Pause(Option<LotId>),
    Forget,
    Orders,
}

/// A step in progress.
#[derive(Clone, Debug)]
pub struct Step {
    phase: Phase,
    clock: Option<ClockOrder>,
    /// Number of orders decided.
    taken: usize,
    chores: VecDeque<Chore>,
}

impl House {
    /// Runs a whole step: `tick` must be later than the last. Closes the due lots unless the clock
    /// is paused, then decides the orders in sequence. A pause takes effect after the closes, a
    /// resumption before them.
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

    /// Decides more orders of the last tick.
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

    /// Begins a step for `tick`, which must be later than the last. [`Self::advance`] runs it.
    pub fn begin(&mut self, tick: u64, clock: Option<ClockOrder>) -> Step {
        debug_assert!(tick > self.tick, "ticks rise");
        self.tick = tick;
        let resumes = self.paused.filter(|_| clock == Some(ClockOrder::Resume));
        let phase = resumes.map_or(Phase::Close, |since| Phase::Resume(since, None));
        if resumes.is_some() {
            self.paused = None;
            self.deadlines.clear();
        }
        Step {
            phase,
            clock,
            taken: 0,
            chores: VecDeque::new(),
        }
    }

    /// Begins a step that decides more orders of the last tick. [`Self::advance`] runs it.
    pub fn go_on(&self) -> Step {
        Step {
            phase: Phase::Orders,
            clock: None,
            taken: 0,
            chores: VecDeque::new(),
        }
    }

    /// Advances a step while `work` is positive, and subtracts the cost: one for each order, for
    /// each lot that is closed, shifted or paused, for each hold that is released, for each chore
    /// and for each removed item. A single operation may exceed the rest of `work`. Returns true
    /// when the step is complete; until then no other method that changes the house may be called.
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
        step.phase = if pauses {
            Phase::Pause(None)
        } else {
            Phase::Forget
        };
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
        out.answers.push(Answered {
            user: order.user,
            id: order.id,
            answer,
        });
        done
    }
}
