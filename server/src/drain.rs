//! Draining: before a server stops, it orders its clients to leave, spread over a time.

use std::time::Duration;

use truetick_netcode::limits::{DRAIN_INTERVAL, DRAIN_TELLINGS};
use truetick_netcode::messages::ServerMessage;
use truetick_netcode::time::Timestamp;

/// An order to leave. It is sent [`DRAIN_TELLINGS`] times under one id, in case a client misses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    id: u32,
    within: Duration,
    /// The time by which every client that obeys has left.
    leave_by: Timestamp,
    until: Timestamp,
    told: u32,
    next: Timestamp,
}

impl Drain {
    /// Creates an order that begins now: every client leaves at a random moment within `within`,
    /// and after `limit` the server ends the remaining sessions. Two orders of one server must
    /// differ in their `id`.
    pub fn new(id: u32, within: Duration, limit: Duration, now: Timestamp) -> Self {
        Self {
            id,
            within,
            leave_by: now + within,
            until: now + limit,
            told: 0,
            next: now,
        }
    }

    /// The order as a message.
    pub fn order(&self) -> ServerMessage {
        ServerMessage::Drain {
            id: self.id,
            within_ms: self.within.as_millis().min(u128::from(u32::MAX)) as u32,
        }
    }

    /// The order as a message if a copy is due now.
    pub fn poll(&mut self, now: Timestamp) -> Option<ServerMessage> {
        if self.told == DRAIN_TELLINGS || now < self.next {
            return None;
        }
        self.told += 1;
        self.next = now + DRAIN_INTERVAL;
        Some(self.order())
    }

    /// Whether every client that obeys has left.
    pub(crate) fn obeyed(&self, now: Timestamp) -> bool {
        now >= self.leave_by
    }

    /// Whether the limit has passed.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until
    }
}
