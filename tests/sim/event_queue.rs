//! Future events in the order of (time, sequence): equal calls give an equal order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use truetick_netcode::time::Timestamp;

/// Events by time; events of equal time in the order of insertion.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    sequence: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Timestamp,
    sequence: u64,
    event: E,
}

impl<E> Entry<E> {
    fn key(&self) -> (Timestamp, u64) {
        (self.at, self.sequence)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }
}

impl<E> EventQueue<E> {
    /// Inserts an event.
    pub fn push(&mut self, at: Timestamp, event: E) {
        self.heap.push(Reverse(Entry {
            at,
            sequence: self.sequence,
            event,
        }));
        self.sequence += 1;
    }

    /// Removes and returns the next event if it is due by `until`.
    pub fn pop(&mut self, until: Timestamp) -> Option<(Timestamp, E)> {
        if self.heap.peek()?.0.at > until {
            return None;
        }
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.at, entry.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_of_their_coming() {
        let mut queue = EventQueue::default();
        for (ms, name) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b'), (9, 'e')] {
            queue.push(Timestamp::from_millis(ms), name);
        }
        let until = Timestamp::from_millis(5);
        let order: String = std::iter::from_fn(|| queue.pop(until))
            .map(|(_, name)| name)
            .collect();
        assert_eq!(order, "abcd");
    }
}
