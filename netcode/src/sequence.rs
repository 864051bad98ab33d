//! Packet sequence numbers, and the window of packets received from the peer.

use crate::limits::{ACK_WINDOW, DUPLICATE_WINDOW};

/// Number of a packet in its direction of a session. The wire carries the low 16 bits.
pub type Sequence = u64;

/// Returns the full number nearest to `expected` whose low 16 bits are `low`. If that number would
/// be negative, it returns `low` itself.
///
/// ```
/// use truetick_netcode::sequence::expand;
///
/// assert_eq!(expand(2, 65_535), 65_538);
/// assert_eq!(expand(65_535, 65_538), 65_535);
/// ```
pub fn expand(low: u16, expected: Sequence) -> Sequence {
    let distance = low.wrapping_sub(expected as u16) as i16;
    expected
        .checked_add_signed(i64::from(distance))
        .unwrap_or(u64::from(low))
}

/// Which packets were received (to drop duplicates) and which were accepted (to acknowledge).
///
/// The two differ: a packet whose contents could not be decoded was received but is never
/// acknowledged.
#[derive(Clone, Debug, Default)]
pub struct ReceiveWindow {
    /// One past the newest sequence received.
    next: Sequence,
    came: u128,
    accepted: u64,
}

impl ReceiveWindow {
    /// One past the newest sequence received; 0 before the first.
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// Whether a sequence is neither a duplicate nor older than [`DUPLICATE_WINDOW`] packets.
    pub(crate) fn is_fresh(&self, sequence: Sequence) -> bool {
        if sequence >= self.next {
            return true;
        }
        let age = self.next - 1 - sequence;
        age < DUPLICATE_WINDOW && self.came >> age & 1 == 0
    }

    /// Records that a fresh packet was received.
    ///
    /// # Panics
    /// In debug builds, if the packet is not fresh.
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

    /// Records that the contents of a received packet were accepted completely. It has no effect if
    /// the packet is older than [`ACK_WINDOW`]. Call [`Self::note`] first.
    pub fn accept(&mut self, sequence: Sequence) {
        let age = self.next - 1 - sequence;
        if age < ACK_WINDOW {
            self.accepted |= 1 << age;
        }
    }

    /// Returns the newest sequence received and a bit mask of accepted packets, with the newest in
    /// bit 0 and older ones above; `None` before the first packet.
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
                let fresh = !came.contains(&sequence) && newest - sequence < DUPLICATE_WINDOW;
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
