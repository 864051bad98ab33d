//! Draining: a server that will stop sends its clients away, spread over a while, before it does.

use std::time::Duration;

use truetick_netcode::limits::{DRAIN_PAUSE, DRAIN_TELLINGS};
use truetick_netcode::messages::ServerMessage;
use truetick_netcode::time::Timestamp;

/// An order to leave, and how it is given: three times under one id, in case a client missed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    id: u32,
    within: Duration,
    /// When everyone has left who does as is told.
    leave_by: Timestamp,
    until: Timestamp,
    told: u32,
    next: Timestamp,
}

impl Drain {
    /// An order that begins now: everyone leaves at a random moment within `within`; after `limit`
    /// the server stops whoever is left. Two orders of one server differ in their `id`.
    pub fn new(id: u32, within: Duration, limit: Duration, now: Timestamp) -> Self {
        Self { id, within, leave_by: now + within, until: now + limit, told: 0, next: now }
    }

    /// The message.
    pub fn order(&self) -> ServerMessage {
        ServerMessage::Drain {
            id: self.id,
            within_ms: self.within.as_millis().min(u128::from(u32::MAX)) as u32,
        }
    }

    /// The message, if it is to be said now.
    pub fn poll(&mut self, now: Timestamp) -> Option<ServerMessage> {
        if self.told == DRAIN_TELLINGS || now < self.next {
            return None;
        }
        self.told += 1;
        self.next = now + DRAIN_PAUSE;
        Some(self.order())
    }

    /// Whether everyone has left who does as is told.
    pub fn obeyed(&self, now: Timestamp) -> bool {
        now >= self.leave_by
    }

    /// Whether its time is up.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until
    }
}
