//! The room's tick, in slices: so much of the house's work in each tick of the room and no more.
//!
//! A tick of the auction decides exactly the orders of the milliseconds before its deadline. Where
//! they are more than one entry holds, or more work than a tick of the room may do, the auction's
//! tick goes on in the next ones, and later ticks wait: no lot closes before all that came in time
//! is decided.

use std::time::Duration;

use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::session::ClientId;
use truetick_netcode::time::Timestamp;
use truetick_shared::auction::house::{Output, Step};
use truetick_shared::auction::limits::WORK_PER_TICK;
use truetick_shared::auction::order::{ClockOrder, Order};
use truetick_shared::auction::wire::{HouseState, Reply};

use super::{AuctionRoom, RECOVERED, STALL};
use crate::auction::entry::{Entry, TickRecord};

/// A tick in which nothing happened is written down this often while a lot is open: by so much a
/// crash may lengthen it.
const HEARTBEAT: u64 = 6;

/// Orders of one tick that make one entry, on their way through the house.
pub(super) struct Slice {
    step: Step,
    tick: u64,
    clock: Option<ClockOrder>,
    before_ms: u64,
    orders: Vec<Order>,
    clients: Vec<ClientId>,
    out: Output,
}

impl AuctionRoom {
    /// The tick: what came in finished milliseconds, in its order, goes through the house, and what
    /// that says waits for the journal.
    pub(super) fn take_due(&mut self, now: Timestamp) {
        // Of what came after its deadline a late tick knows more than one in time would: that is
        // for the next.
        let before_ms = self.ms(now.min(self.timeline.next_deadline()));
        self.sequencer.hold_to(self.ms(now));
        self.sequencer.close_before(before_ms);
        self.due.push_back((self.tick(), before_ms));
        let mut work = WORK_PER_TICK;
        while work > 0
            && let Some(mut slice) = self.slice.take().or_else(|| self.next_slice(now))
        {
            // Looking for one costs, too.
            work -= 1;
            if !self.house.advance(&mut slice.step, &slice.orders, &mut work, &mut slice.out) {
                self.slice = Some(slice);
                break;
            }
            self.finish(slice, now);
            if self.state == HouseState::Stopped {
                return;
            }
        }
        self.work.most = self.work.most.max(WORK_PER_TICK - work);
        self.work.left_over += u64::from(self.slice.is_some() || !self.due.is_empty());
    }

    /// The next orders of the first tick that is due; its beginning, if it has not begun.
    fn next_slice(&mut self, now: Timestamp) -> Option<Slice> {
        let (tick, before_ms) = *self.due.front()?;
        let goes_on = self.begun;
        let (orders, clients): (Vec<_>, Vec<_>) = self.sequencer.cut(before_ms).into_iter().unzip();
        self.begun =
            self.sequencer.has_before(before_ms) && !is_planted(Mutant::CloseBeforeBacklog);
        if !self.begun {
            self.due.pop_front();
        }
        let clock = if goes_on { None } else { self.clock_order(now) };
        let step = if goes_on { self.house.go_on() } else { self.house.begin(tick, clock) };
        Some(Slice { step, tick, clock, before_ms, orders, clients, out: Output::default() })
    }

    /// What a slice came to waits for the journal.
    fn finish(&mut self, slice: Slice, now: Timestamp) {
        let Slice { tick, clock, before_ms, orders, clients, out, .. } = slice;
        // While nothing becomes durable no question is answered either: answers would pile up.
        let queries =
            if self.is_busy(now) { Vec::new() } else { std::mem::take(&mut self.queries) };
        let mut replies: Vec<_> =
            queries.into_iter().filter_map(|client| self.account(client)).collect();
        let answers = out.answers.iter().zip(clients);
        replies
            .extend(answers.map(|(told, client)| {
                (client, Reply::Answer { id: told.id, answer: told.answer })
            }));
        let runs = self.house.has_open_lots() && self.house.paused().is_none();
        let beats = runs && tick.is_multiple_of(HEARTBEAT);
        if out.changed || !out.events.is_empty() || beats {
            self.metrics.orders += orders.len() as u64;
            let (decided, hash) = (self.house.decided(), self.house.hash());
            let record = TickRecord { tick, clock, orders, before_ms, decided, hash };
            self.submit(Entry::Tick(record), replies, out, now);
        } else if !replies.is_empty() {
            self.wait_for_last(replies, now);
        }
    }

    /// The clock stops while the disk does, and runs again when it has caught up.
    fn clock_order(&mut self, now: Timestamp) -> Option<ClockOrder> {
        let lag = self.pending.front().map_or(Duration::ZERO, |oldest| now.since(oldest.since));
        match self.house.paused() {
            None if lag > STALL => {
                self.announce(HouseState::Stalled);
                Some(ClockOrder::Pause)
            }
            Some(_) if lag < RECOVERED => {
                self.announce(HouseState::Running);
                Some(ClockOrder::Resume)
            }
            _ => None,
        }
    }
}
