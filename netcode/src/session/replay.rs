//! The replay window (RFC 4303) of one sender's packets: each is accepted once, and none that is
//! older than the window.

use crate::limits::REPLAY_WINDOW;
use crate::mutant::{Mutant, is_planted};

const WORDS: usize = REPLAY_WINDOW as usize / 64;

/// The newest received number, and which of the last [`REPLAY_WINDOW`] numbers were received.
///
/// It is checked before a packet is opened and moved only after the packet proved genuine, so a
/// forged number has no effect.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplayWindow {
    newest: Option<u64>,
    /// Bit `n % REPLAY_WINDOW` stands for number n.
    came: [u64; WORDS],
}

impl ReplayWindow {
    /// Returns whether a number is neither repeated nor older than the window.
    pub(crate) fn is_fresh(&self, sequence: u64) -> bool {
        let Some(newest) = self.newest else {
            return true;
        };
        if is_planted(Mutant::TakeRepeats) || sequence > newest {
            return true;
        }
        newest - sequence < REPLAY_WINDOW && !self.has(sequence)
    }

    /// Records that the packet of this number was received and is genuine.
    pub fn note(&mut self, sequence: u64) {
        match self.newest {
            Some(newest) if sequence <= newest => {}
            Some(newest) => {
                let skipped = (sequence - newest).min(REPLAY_WINDOW);
                (1..=skipped).for_each(|back| self.set(newest.wrapping_add(back), false));
                self.newest = Some(sequence);
            }
            None => self.newest = Some(sequence),
        }
        self.set(sequence, true);
    }

    fn place(sequence: u64) -> (usize, u64) {
        let place = (sequence % REPLAY_WINDOW) as usize;
        (place / 64, 1 << (place % 64))
    }

    fn has(&self, sequence: u64) -> bool {
        let (word, bit) = Self::place(sequence);
        self.came[word] & bit != 0
    }

    fn set(&mut self, sequence: u64, came: bool) {
        let (word, bit) = Self::place(sequence);
        if came {
            self.came[word] |= bit
        } else {
            self.came[word] &= !bit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_window_matches_a_set(start in prop_oneof![Just(0u64), any::<u64>()], steps in proptest::collection::vec(-300i64..300, 1..300)) {
            let (mut window, mut came) = (ReplayWindow::default(), BTreeSet::new());
            let mut at = start;
            for step in steps {
                at = at.saturating_add_signed(step);
                let newest = came.last().copied();
                let fresh = newest.is_none_or(|newest: u64| at > newest || newest - at < REPLAY_WINDOW) && !came.contains(&at);
                prop_assert_eq!(window.is_fresh(at), fresh);
                if fresh {
                    window.note(at);
                    came.insert(at);
                }
            }
        }
    }

    #[test]
    fn the_window_is_exact_at_its_edge_and_at_the_end_of_numbers() {
        let mut window = ReplayWindow::default();
        window.note(REPLAY_WINDOW);
        assert!(window.is_fresh(1) && !window.is_fresh(0) && !window.is_fresh(REPLAY_WINDOW));
        window.note(u64::MAX);
        assert!(!window.is_fresh(u64::MAX) && window.is_fresh(u64::MAX - 1));
        assert!(!window.is_fresh(u64::MAX - REPLAY_WINDOW));
    }
}
