//! Output of the house: it waits until its entry is durable, then each client receives what is due
//! to it.

use truetick_auction::event::LotEvent;
use truetick_auction::house::Output;
use truetick_auction::limits::RELEASED_AT_ONCE;
use truetick_auction::terms::LotId;
use truetick_auction::wire::{COMMANDS, Reply};
use truetick_netcode::session::ClientId;
use truetick_netcode::time::Timestamp;

use super::{AuctionRoom, BUSY};
use crate::auction::entry::Entry;
use crate::auction::fanout::{Fanout, message};
use crate::room::Outbox;

/// A reply to one client.
pub(super) struct ClientReply {
    pub(super) client: ClientId,
    pub(super) reply: Reply,
}

/// Output of a tick that waits until its entry is durable.
pub(super) struct Pending {
    /// Sequence number of the entry that must be durable.
    pub(super) sequence: u64,
    /// Time at which the entry was handed to the journal.
    pub(super) since: Timestamp,
    pub(super) replies: Vec<ClientReply>,
    pub(super) events: Vec<LotEvent>,
    pub(super) forgotten: Vec<LotId>,
}

impl AuctionRoom {
    /// Hands an entry to the journal. The output of the tick waits until it is durable.
    pub(super) fn submit(
        &mut self,
        entry: Entry,
        replies: Vec<ClientReply>,
        out: Output,
        now: Timestamp,
    ) {
        if !self.journal.submit(entry) {
            return self.stop();
        }
        self.submitted += 1;
        let Output {
            events, forgotten, ..
        } = out;
        self.pending.push_back(Pending {
            sequence: self.submitted,
            since: now,
            replies,
            events,
            forgotten,
        });
    }

    /// Output without an entry of its own waits for the last entry, whose effects it may reveal.
    pub(super) fn wait_for_last(&mut self, replies: Vec<ClientReply>, now: Timestamp) {
        let sequence = self.submitted;
        let (events, forgotten) = (Vec::new(), Vec::new());
        self.pending.push_back(Pending {
            sequence,
            since: now,
            replies,
            events,
            forgotten,
        });
    }

    /// Releases the output that has become durable. Returns whether there was any.
    pub(super) fn release(&mut self, now: Timestamp) -> bool {
        let (durable, failed) = (self.journal.durable(), self.journal.failure().is_some());
        let (mut any, mut released) = (false, 0);
        while released < RELEASED_AT_ONCE
            && let Some(done) = self
                .pending
                .pop_front_if(|pending| pending.sequence <= durable)
        {
            any = true;
            released += done.replies.len() + done.events.len() + done.forgotten.len();
            self.metrics.commit.add(now.since(done.since));
            for ClientReply { client, reply } in done.replies {
                self.say(client, COMMANDS, &reply);
            }
            for event in done.events {
                self.mark_due(event.lot);
                self.public_book.apply(event);
            }
            for lot in done.forgotten {
                self.mark_due(lot);
                self.watchers.remove(&lot);
                self.public_book.forget(lot);
            }
        }
        self.work.most_released = self.work.most_released.max(released);
        if any {
            self.encoded.clear();
        }
        if failed {
            self.stop();
        }
        any
    }

    fn mark_due(&mut self, lot: LotId) {
        for client in self.watchers.get(&lot).into_iter().flatten() {
            if let Some(participant) = self.participants.get_mut(*client) {
                participant.due.insert(lot);
            }
        }
    }

    /// Whether nothing has become durable for so long that commands are refused.
    pub(super) fn is_busy(&self, now: Timestamp) -> bool {
        self.pending
            .front()
            .is_some_and(|oldest| now.since(oldest.since) > BUSY)
    }

    /// Sends a client what is due to it: its own messages, time answers, and its lots.
    pub(super) fn send_due(&mut self, client: ClientId, now: Timestamp, outbox: &mut dyn Outbox) {
        let (tick, epoch_us) = (self.timeline.next().0, self.epoch_us());
        let Some(participant) = self
            .participants
            .get_mut(client)
            .filter(|participant| !participant.away)
        else {
            return;
        };
        participant
            .outbox
            .drain(..)
            .for_each(|(channel, message)| outbox.send(channel, message));
        for (client_us, arrived) in participant.asked_time.drain(..) {
            let (arrived_us, sent_us) = (arrived.as_micros(), now.as_micros());
            let time = Reply::Time {
                client_us,
                arrived_us,
                sent_us,
                epoch_us,
            };
            outbox.send(COMMANDS, message(tick, &time));
        }
        let mut fanout = Fanout {
            public_book: &self.public_book,
            encoded: &mut self.encoded,
            stats: &mut self.told,
            tick,
            now,
        };
        fanout.tell_lots(participant, outbox);
    }
}
