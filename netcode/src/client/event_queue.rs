//! Events that wait for the application: what is reliable is never displaced.

use std::collections::VecDeque;

use super::runtime::ClientEvent;
use crate::limits::{MESSAGE_COST, UNPOLLED_EVENT_BYTES};

/// What the client itself reports (mispredictions, latencies) is kept until it is polled; the
/// oldest makes room.
const REPORTS: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    /// Events of the game, and what they count for.
    events: VecDeque<ClientEvent>,
    cost: usize,
    reports: VecDeque<ClientEvent>,
}

impl EventQueue {
    /// Keeps an event of the game. False if there is no place for it.
    pub(super) fn keep(&mut self, event: ClientEvent) -> bool {
        let cost = cost(&event);
        let has_place = self.cost + cost <= UNPOLLED_EVENT_BYTES;
        if has_place {
            self.cost += cost;
            self.events.push_back(event);
        }
        has_place
    }

    /// Keeps what the client itself reports.
    pub(super) fn report(&mut self, event: ClientEvent) {
        if self.reports.len() == REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back(event);
    }

    /// The next event: the game's first.
    pub(super) fn poll(&mut self) -> Option<ClientEvent> {
        let Some(event) = self.events.pop_front() else {
            return self.reports.pop_front();
        };
        self.cost -= cost(&event);
        Some(event)
    }
}

/// What an event counts for among those that wait.
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
