//! Output of the house to watchers: from the durable prefix, at each watcher's pace.
//!
//! A watcher receives all events, in messages that are encoded once for all. A watcher with more
//! than [`SLOW_BYTES`] in flight receives nothing until it drains, then the lots as they stand for
//! a while. A watcher that stays behind is disconnected. No watcher waits for another.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_auction::limits::SLOW_BYTES;
use truetick_auction::public_book::PublicBook;
use truetick_auction::public_lot::PublicLot;
use truetick_auction::terms::LotId;
use truetick_auction::wire::{LOTS, Reply};
use truetick_netcode::messages::{ServerMessage, encode};
use truetick_netcode::time::Timestamp;

use super::participant::Participant;
use crate::room::Outbox;

/// Time after falling behind during which a watcher receives lots as they stand, not single events.
pub(crate) const CALM_AFTER: Duration = Duration::from_secs(2);

/// Time after which a watcher that stays behind is disconnected.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Statistics of the output to watchers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FanoutStats {
    /// Number of messages with events.
    pub events: u64,
    /// Number of messages with a lot as it stands.
    pub lots: u64,
    /// Number of times that a watcher was sent nothing because it was behind.
    pub held_back: u64,
    /// Number of messages that had to be encoded.
    pub encoded: u64,
}

/// Messages of this moment, by lot and by the event after which they continue.
#[derive(Debug, Default)]
pub struct Encoded {
    messages: BTreeMap<(LotId, Option<u64>), Vec<u8>>,
}

impl Encoded {
    /// Discards all messages, because something new has become durable.
    pub fn clear(&mut self) {
        self.messages.clear();
    }
}

/// A reply as a message of this tick of the room.
pub fn message(tick: u32, reply: &Reply) -> Vec<u8> {
    encode(&ServerMessage::Event {
        tick,
        data: encode(reply),
    })
}

/// The output of one tick of the house to its watchers.
pub(crate) struct Fanout<'a> {
    /// The lots as the durable prefix has them.
    pub public_book: &'a PublicBook,
    /// Messages that were encoded for other watchers.
    pub encoded: &'a mut Encoded,
    /// Counts what is sent.
    pub stats: &'a mut FanoutStats,
    /// The tick of the room.
    pub tick: u32,
    /// Time at which the output is sent.
    pub now: Timestamp,
}

impl Fanout<'_> {
    /// Sends a watcher what is due of its lots, as much as it can take.
    pub(crate) fn tell_lots(&mut self, participant: &mut Participant, outbox: &mut dyn Outbox) {
        let Self {
            public_book,
            encoded,
            stats,
            tick,
            now,
        } = self;
        let (tick, now) = (*tick, *now);
        if participant.due.is_empty() && participant.slow_since.is_none() {
            return;
        }
        let waiting = outbox.waiting_bytes();
        if participant.due.is_empty() {
            participant.slow_since = participant.slow_since.filter(|_| waiting > SLOW_BYTES);
            return;
        }
        if waiting > SLOW_BYTES {
            stats.held_back += 1;
            participant.slow_since.get_or_insert(now);
            participant.calm_at = now + CALM_AFTER;
            return;
        }
        participant.slow_since = None;
        let mut bytes = waiting;
        while let Some(id) = participant.due.pop_first() {
            let Some(sent) = participant.watching.get_mut(&id) else {
                continue;
            };
            let Some(lot) = public_book.lot(id) else {
                participant.watching.remove(&id);
                outbox.send(LOTS, message(tick, &Reply::NoLot(id)));
                continue;
            };
            if *sent == Some(lot.sequence) {
                continue;
            }
            // A watcher that was behind a moment ago gets the lot as it stands, without events to
            // catch up with.
            let may_follow = |from: &u64| {
                now >= participant.calm_at && public_book.events_after(id, *from).is_some()
            };
            let from = sent.filter(may_follow);
            let message = encoded.messages.entry((id, from)).or_insert_with(|| {
                stats.encoded += 1;
                message(tick, &lot_reply(public_book, lot, from))
            });
            match from {
                Some(_) => stats.events += 1,
                None => stats.lots += 1,
            }
            *sent = Some(lot.sequence);
            bytes += message.len();
            outbox.send(LOTS, message.clone());
            if bytes > SLOW_BYTES {
                break;
            }
        }
    }
}

/// The events of a lot after the one that a watcher has, or the whole lot.
fn lot_reply(public_book: &PublicBook, lot: &PublicLot, after: Option<u64>) -> Reply {
    match after.and_then(|after| public_book.events_after(lot.lot, after)) {
        Some(events) => Reply::Events(events.cloned().collect()),
        None => Reply::Lot(lot.clone()),
    }
}
