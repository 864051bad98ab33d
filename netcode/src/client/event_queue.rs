//! Events that wait for the application. Reliable events are never displaced.

use std::collections::VecDeque;

use super::runtime::ClientEvent;
use crate::limits::{MESSAGE_COST, UNPOLLED_EVENT_BYTES};

/// Number of the client's own reports (mispredictions, latencies) that are kept until they are
/// polled; one more displaces the oldest.
const REPORTS: usize = 1_024;

/// Events that wait for the application: the game's within a limit of bytes, the client's own
/// reports within a limit of number.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    /// Events of the game.
    events: VecDeque<ClientEvent>,
    cost: usize,
    reports: VecDeque<ClientEvent>,
}

impl EventQueue {
    /// Queues an event of the game. Returns false if it exceeds [`UNPOLLED_EVENT_BYTES`]; the event
    /// is then dropped.
    pub(super) fn keep(&mut self, event: ClientEvent) -> bool {
        let cost = cost(&event);
        let has_place = self.cost + cost <= UNPOLLED_EVENT_BYTES;
        if has_place {
            self.cost += cost;
            self.events.push_back(event);
        }
        has_place
    }

    /// Queues a report of the client itself.
    pub(super) fn report(&mut self, event: ClientEvent) {
        if self.reports.len() == REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back(event);
    }

    /// The next event. Game events come before reports.
    pub(super) fn poll(&mut self) -> Option<ClientEvent> {
        let Some(event) = self.events.pop_front() else {
            return self.reports.pop_front();
        };
        self.cost -= cost(&event);
        Some(event)
    }
}

/// Cost of an event against the limit, in bytes.
fn cost(event: &ClientEvent) -> usize {
    let bytes = match event {
        ClientEvent::Game(_, data) => data.len(),
        ClientEvent::Mispredicted(_) | ClientEvent::Latency(_) => 0,
    };
    bytes + MESSAGE_COST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::Tick;

    #[test]
    fn events_of_the_game_are_kept_in_their_order_up_to_a_limit_and_never_displaced() {
        let mut queue = EventQueue::default();
        let event = |at: u32| ClientEvent::Game(Tick(at), vec![7; 100]);
        let fit = (UNPOLLED_EVENT_BYTES / (100 + MESSAGE_COST)) as u32;
        assert!((0..fit).all(|at| queue.keep(event(at))));
        assert!(!queue.keep(event(fit)));
        for at in 0..fit {
            assert_eq!(queue.poll(), Some(event(at)));
        }
        assert_eq!(queue.poll(), None);
        assert!(queue.keep(event(fit)));
    }
}
