//! What leaves the house: from the durable prefix, at each watcher's pace.
//!
//! A watcher is told all events, in messages that are encoded once for all. Who falls behind is
//! told nothing until it has caught up with what is on its way, and then the lot as it is, for a
//! while; who does not catch up is sent away. Nobody waits for anybody.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_netcode::messages::{ServerMessage, encode};
use truetick_netcode::time::Timestamp;
use truetick_shared::auction::limits::SLOW_BYTES;
use truetick_shared::auction::public_book::PublicBook;
use truetick_shared::auction::terms::LotId;
use truetick_shared::auction::wire::{LOTS, Reply};

use super::participant::Participant;
use crate::room::Outbox;

/// Who was slow is told prices alone for this long.
pub const CALM_AFTER: Duration = Duration::from_secs(2);

/// Who is slow for this long is sent away.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How watchers were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FanoutStats {
    /// Messages with events.
    pub events: u64,
    /// Lots as they were.
    pub lots: u64,
    /// Times that someone was told nothing, being slow.
    pub held_back: u64,
    /// Messages that had to be encoded.
    pub encoded: u64,
}

/// Messages of this moment, by the lot and the event that they go on from.
#[derive(Debug, Default)]
pub struct Encoded {
    messages: BTreeMap<(LotId, Option<u64>), Vec<u8>>,
}

impl Encoded {
    /// Something new has become durable.
    pub fn clear(&mut self) {
        self.messages.clear();
    }
}

/// A reply as a message, said in that tick of the room.
pub fn message(tick: u32, reply: &Reply) -> Vec<u8> {
    encode(&ServerMessage::Event { tick, data: encode(reply) })
}

/// Tells a watcher what is due of its lots, as much as it can take.
pub fn tell_lots(
    participant: &mut Participant,
    (public_book, encoded): (&PublicBook, &mut Encoded),
    (tick, now): (u32, Timestamp),
    told: &mut FanoutStats,
    outbox: &mut dyn Outbox,
) {
    if participant.due.is_empty() && participant.slow_since.is_none() {
        return;
    }
    let waiting = outbox.waiting_bytes();
    if participant.due.is_empty() {
        participant.slow_since = participant.slow_since.filter(|_| waiting > SLOW_BYTES);
        return;
    }
    if waiting > SLOW_BYTES {
        told.held_back += 1;
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
        // Who was slow a moment ago gets the price, and nothing that it would have to catch up
        // with.
        let may_follow = |from: &u64| {
            now >= participant.calm_at && public_book.events_after(id, *from).is_some()
        };
        let from = sent.filter(may_follow);
        let message = encoded.messages.entry((id, from)).or_insert_with(|| {
            told.encoded += 1;
            let events = from.and_then(|from| public_book.events_after(id, from));
            message(
                tick,
                &events.map_or_else(
                    || Reply::Lot(lot.clone()),
                    |events| Reply::Events(events.cloned().collect()),
                ),
            )
        });
        match from {
            Some(_) => told.events += 1,
            None => told.lots += 1,
        }
        *sent = Some(lot.sequence);
        bytes += message.len();
        outbox.send(LOTS, message.clone());
        if bytes > SLOW_BYTES {
            break;
        }
    }
}
