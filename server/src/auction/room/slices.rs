//! The room's tick, in slices: a bounded part of the house's work in each tick of the room.
//!
//! A tick of the auction decides exactly the orders of the milliseconds before its deadline. If
//! these are more than one entry holds, or more work than a tick of the room may do, the auction's
//! tick continues in the next ones, and later ticks wait. So no lot closes before every order that
//! came in time is decided.

use std::time::Duration;

use truetick_auction::house::{Output, Step};
use truetick_auction::limits::WORK_PER_TICK;
use truetick_auction::order::{ClockOrder, Order};
use truetick_auction::wire::{HouseState, Reply};
use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::session::ClientId;
use truetick_netcode::time::Timestamp;

use super::output::ClientReply;
use super::{AuctionRoom, RECOVERED, STALL};
use crate::auction::entry::{Entry, TickRecord};

/// Interval, in ticks, at which a tick in which nothing happened is recorded while a lot is open. A
/// crash may extend the lot by this much.
const HEARTBEAT: u64 = 6;

/// Orders of one tick that form one entry, with the progress of the house on them.
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
    /// Runs the tick: the orders of finished milliseconds pass through the house in sequence, and
    /// the output waits for the journal.
    pub(super) fn take_due(&mut self, now: Timestamp) {
        // A late tick has received commands from after its deadline that a punctual one would not
        // have. They belong to the next tick.
        let before_ms = self.ms(now.min(self.timeline.next_deadline()));
        self.sequencer.hold_to(self.ms(now));
        self.sequencer.close_before(before_ms);
        self.due.push_back((self.tick(), before_ms));
        let mut work = WORK_PER_TICK;
        while work > 0
            && let Some(mut slice) = self.slice.take().or_else(|| self.next_slice(now))
        {
            // The search for a slice counts as work too.
            work -= 1;
            if !self
                .house
                .advance(&mut slice.step, &slice.orders, &mut work, &mut slice.out)
            {
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

    /// The next orders of the first tick that is due. It begins the tick if it has not begun.
    fn next_slice(&mut self, now: Timestamp) -> Option<Slice> {
        let (tick, before_ms) = *self.due.front()?;
        let goes_on = self.begun;
        let (orders, clients): (Vec<_>, Vec<_>) =
            self.sequencer.drain_before(before_ms).into_iter().unzip();
        self.begun =
            self.sequencer.has_before(before_ms) && !is_planted(Mutant::CloseBeforeBacklog);
        if !self.begun {
            self.due.pop_front();
        }
        let clock = if goes_on { None } else { self.clock_order(now) };
        let step = if goes_on {
            self.house.go_on()
        } else {
            self.house.begin(tick, clock)
        };
        Some(Slice {
            step,
            tick,
            clock,
            before_ms,
            orders,
            clients,
            out: Output::default(),
        })
    }

    /// Submits the entry of a slice. The output waits for the journal.
    fn finish(&mut self, slice: Slice, now: Timestamp) {
        let Slice {
            tick,
            clock,
            before_ms,
            orders,
            clients,
            out,
            ..
        } = slice;
        // While nothing becomes durable queries are not answered either, or the answers would pile
        // up.
        let queries = if self.is_busy(now) {
            Vec::new()
        } else {
            std::mem::take(&mut self.queries)
        };
        let mut replies: Vec<_> = queries
            .into_iter()
            .filter_map(|client| self.account(client))
            .collect();
        let answers = out.answers.iter().zip(clients);
        replies.extend(answers.map(|(told, client)| {
            let reply = Reply::Answer {
                id: told.id,
                answer: told.answer,
            };
            ClientReply { client, reply }
        }));
        let runs = self.house.has_open_lots() && self.house.paused().is_none();
        let beats = runs && tick.is_multiple_of(HEARTBEAT);
        if out.changed || !out.events.is_empty() || beats {
            self.metrics.orders += orders.len() as u64;
            let (decided, hash) = (self.house.decided(), self.house.hash());
            let record = TickRecord {
                tick,
                clock,
                orders,
                before_ms,
                decided,
                hash,
            };
            self.submit(Entry::Tick(record), replies, out, now);
        } else if !replies.is_empty() {
            self.wait_for_last(replies, now);
        }
    }

    /// Stops the clock while the disk is behind, and starts it again when the disk has caught up.
    fn clock_order(&mut self, now: Timestamp) -> Option<ClockOrder> {
        let lag = self
            .pending
            .front()
            .map_or(Duration::ZERO, |oldest| now.since(oldest.since));
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
