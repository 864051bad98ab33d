//! Packet sequence numbers, and which of the peer's packets have come.

use crate::limits::{ACK_WINDOW, CAME_WINDOW};

/// Number of a packet in its direction of a session. The wire carries the low 16 bits.
pub type Sequence = u64;

/// The full number that is nearest to `expected` among those with these low 16 bits.
pub fn expand(low: u16, expected: Sequence) -> Sequence {
    let distance = low.wrapping_sub(expected as u16) as i16;
    expected.checked_add_signed(i64::from(distance)).unwrap_or(u64::from(low))
}

/// Which packets came (to drop repeats) and which were accepted (to acknowledge).
///
/// The two differ: a packet whose contents could not be decoded has come, but is never
/// acknowledged.
#[derive(Clone, Debug, Default)]
pub struct ReceiveWindow {
    /// One past the newest sequence that came.
    next: Sequence,
    came: u128,
    accepted: u64,
}

impl ReceiveWindow {
    /// One past the newest sequence that came; 0 before the first.
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// Whether this one is neither a repeat nor older than the window.
    pub fn is_fresh(&self, sequence: Sequence) -> bool {
        if sequence >= self.next {
            return true;
        }
        let age = self.next - 1 - sequence;
        age < CAME_WINDOW && self.came >> age & 1 == 0
    }

    /// Notes that a fresh packet came.
    pub fn note(&mut self, sequence: Sequence) {
        debug_assert!(self.is_fresh(sequence));
        if sequence >= self.next {
            let step = sequence + 1 - self.next;
            self.came = if step < 128 { self.came << step } else { 0 };
            self.accepted = if step < 64 { self.accepted << step } else { 0 };
            self.next = sequence + 1;
        }
        self.came |= 1 << (self.next - 1 - sequence);
    }

    /// Notes that the contents of a packet that came were taken over whole.
    pub fn accept(&mut self, sequence: Sequence) {
        let age = self.next - 1 - sequence;
        if age < ACK_WINDOW {
            self.accepted |= 1 << age;
        }
    }

    /// The newest sequence that came and the acknowledgements from there back, newest in bit 0.
    pub fn acks(&self) -> Option<(Sequence, u64)> {
        (self.next > 0).then(|| (self.next - 1, self.accepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn expand_finds_the_nearest(expected in 0u64..1 << 40, distance in -30_000i64..30_000) {
            let full = expected.saturating_add_signed(distance);
            prop_assert_eq!(expand(full as u16, expected), full);
        }

        #[test]
        fn window_matches_a_set(steps in proptest::collection::vec((-140i64..140, any::<bool>()), 1..200)) {
            let (mut window, mut came, mut accepted) = (ReceiveWindow::default(), BTreeSet::new(), BTreeSet::new());
            for (step, take) in steps {
                let sequence = window.next().saturating_add_signed(step);
                let newest = came.last().copied().unwrap_or(0).max(sequence);
                let fresh = !came.contains(&sequence) && newest - sequence < CAME_WINDOW;
                prop_assert_eq!(window.is_fresh(sequence), fresh);
                if fresh {
                    window.note(sequence);
                    came.insert(sequence);
                    if take {
                        window.accept(sequence);
                        accepted.insert(sequence);
                    }
                }
                let (newest, mask) = window.acks().unwrap();
                for age in 0..ACK_WINDOW.min(newest + 1) {
                    prop_assert_eq!(mask >> age & 1 == 1, accepted.contains(&(newest - age)));
                }
            }
        }
    }
}
