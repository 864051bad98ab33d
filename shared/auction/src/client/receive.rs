//! Handles what an auction client receives: packets, frames, and the replies of the house in them.

use std::time::Duration;

use truetick_netcode::bits::BitReader;
use truetick_netcode::client::client_connection::LinkEvent;
use truetick_netcode::error::WireError;
use truetick_netcode::messages::{Body, decode};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr};

use super::{AuctionClient, AuctionEvent};
use crate::event::LotEvent;
use crate::limits::CLIENT_EVENTS;
use crate::order::CommandId;
use crate::public_lot::PublicLot;
use crate::terms::LotId;
use crate::time_sync::Exchange;
use crate::wire::{HouseState, Refusal, Reply, Request};

/// Delay before a refused command of unknown fate is sent again.
const AGAIN: Duration = Duration::from_secs(1);

impl AuctionClient {
    /// Handles a received event. Invalid input changes nothing but [`Self::errors`].
    pub fn receive<'a>(
        &mut self,
        from: impl Into<PeerAddr>,
        event: impl Into<Event<'a>>,
        now: Timestamp,
    ) {
        let event = event.into();
        let mut payload = std::mem::take(&mut self.payload);
        let taken = match self.link.receive(from.into(), event, &mut payload, now) {
            Ok(()) if matches!(event, Event::Frame(_)) => self.take_messages(now),
            Ok(()) if !payload.is_empty() => self.take_payload(&payload, now),
            Ok(()) | Err(_) => Ok(()),
        };
        if !matches!(taken, Ok(()) | Err(WireError::Stale(_))) {
            self.errors += 1;
        }
        self.payload = payload;
    }

    fn take_payload(&mut self, payload: &[u8], now: Timestamp) -> Result<(), WireError> {
        let (sequence, reader) = self.link.open(payload, now)?;
        while self.link.poll_acked().is_some() {}
        self.take_messages(now)?;
        self.take_body(reader)?;
        self.link.accept(sequence);
        Ok(())
    }

    fn take_messages(&mut self, now: Timestamp) -> Result<(), WireError> {
        while let Some(event) = self.link.next_event(now)? {
            match event {
                LinkEvent::Welcomed { .. } => self.welcomed(),
                LinkEvent::TimeLineMoved(moved) => {
                    self.epoch_us = self.epoch_us.saturating_add(moved)
                }
                LinkEvent::Game(tick, data) | LinkEvent::Unreliable(tick, data) => {
                    self.note_tick(tick, now);
                    self.take_reply(decode(&data)?, now);
                }
            }
        }
        Ok(())
    }

    /// A message of a tick leaves the server no earlier than the due time of the tick before it,
    /// which bounds the server's clock from below.
    fn note_tick(&mut self, tick: Tick, now: Timestamp) {
        // A tick before tick 0 would have wrapped.
        let line = self.link.time_line().filter(|_| tick != Tick(0));
        let due_us = line.map(|line| line.tick_at_us(tick.back(1)));
        if due_us.is_some_and(|due_us| !self.time.not_before(due_us, now)) {
            self.ask_time_at = Some(now);
        }
    }

    fn take_body(&mut self, mut reader: BitReader<'_>) -> Result<(), WireError> {
        match Body::from_tag(reader.read(Body::BITS)?)? {
            Body::Empty => reader.finish(),
            Body::DisconnectNotice => self.link.take_disconnect(reader),
            Body::Snapshot | Body::Commands => {
                Err(WireError::Misbehaving("a house sends no snapshots"))
            }
        }
    }

    /// Runs on the first welcome and on every later one: sends all unanswered commands and watches
    /// all lots again.
    fn welcomed(&mut self) {
        self.house = HouseState::Running;
        self.ask_time_at = Some(Timestamp::default());
        self.queue.clear();
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            self.say(id);
        }
        for lot in self.watched.keys().copied().collect::<Vec<_>>() {
            self.ask_from_here(lot);
        }
    }

    /// Watches a lot from its last known event on.
    fn ask_from_here(&mut self, lot: LotId) {
        let after = self.lot(lot).map(|known| known.sequence);
        self.ask(&Request::Watch { lot, after });
    }

    fn take_reply(&mut self, reply: Reply, now: Timestamp) {
        match reply {
            Reply::Answer { id, answer } => {
                // A command that was sent twice is answered twice with equal answers.
                if self.open.remove(&id).is_some() {
                    self.emit(AuctionEvent::Answered(id, answer));
                }
            }
            Reply::Refused { id, why } => self.take_refusal(id, why, now),
            Reply::Catalogue { lots, more } => {
                let after = lots.last().copied().filter(|_| more);
                self.emit(AuctionEvent::Catalogue(lots));
                if after.is_some() {
                    self.ask(&Request::Catalogue { after });
                }
            }
            Reply::Lot(lot) => self.take_lot(lot),
            Reply::Events(events) => events.into_iter().for_each(|event| self.take_event(event)),
            Reply::NoLot(lot) => {
                self.watched.remove(&lot);
                self.emit(AuctionEvent::Gone(lot));
            }
            Reply::Account {
                available,
                held,
                paid,
            } => {
                self.emit(AuctionEvent::Account([available, held, paid]));
            }
            Reply::House(house) => {
                self.house = house;
                self.emit(AuctionEvent::House(house));
            }
            Reply::Time {
                client_us,
                arrived_us,
                sent_us,
                epoch_us,
            } => {
                let exchange = Exchange {
                    asked_us: client_us,
                    arrived_us,
                    sent_us,
                    heard_us: now.as_micros(),
                };
                if !self.time.heard(exchange) {
                    self.ask_time_at = Some(now);
                }
                self.epoch_us = epoch_us;
            }
        }
    }

    /// A command that was sent once is given up. One that was sent before may have been accepted
    /// then, so it is sent again.
    fn take_refusal(&mut self, id: CommandId, why: Refusal, now: Timestamp) {
        match self.open.get_mut(&id) {
            Some(open) if open.said > 1 => open.again_at = Some(now + AGAIN),
            Some(_) => {
                self.open.remove(&id);
                self.emit(AuctionEvent::Refused(id, why));
            }
            None => {}
        }
    }

    /// Takes the full state of a watched lot, unless a newer one is known.
    fn take_lot(&mut self, lot: PublicLot) {
        let id = lot.lot;
        if let Some(known) = self.watched.get_mut(&id) {
            if known
                .as_ref()
                .is_none_or(|known| known.sequence <= lot.sequence)
            {
                *known = Some(lot);
            }
            self.emit(AuctionEvent::Shown(id));
        }
    }

    /// Events of a lot arrive once each and in order. A violation is counted, and the lot is
    /// requested again.
    fn take_event(&mut self, event: LotEvent) {
        let Some(known) = self.watched.get_mut(&event.lot) else {
            return;
        };
        let applied = match known {
            Some(lot) => lot.apply(&event),
            None => PublicLot::opened(&event)
                .map(|lot| *known = Some(lot))
                .is_some(),
        };
        match applied {
            true => self.emit(AuctionEvent::Happened(event)),
            false => {
                self.errors += 1;
                self.ask_from_here(event.lot);
            }
        }
    }

    fn emit(&mut self, event: AuctionEvent) {
        self.events.push_back(event);
        // No event is displaced: an answer that the application never reads would count as
        // delivered.
        if self.events.len() >= CLIENT_EVENTS {
            self.link.end_unread();
        }
    }
}
