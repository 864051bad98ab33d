//! The number of slots that the server skipped on its time line, from a count that wraps at 16
//! bits.

/// What one snapshot's count means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Slots skipped before the snapshot's tick.
    pub skipped: u32,
    /// Slots by which the count exceeds all earlier ones.
    pub moved: u32,
}

/// The count of the newest snapshot. It only grows; between two snapshots of one session at most
/// 32,767 slots may be skipped.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SkippedSlots(Option<u32>);

impl SkippedSlots {
    /// Number of slots skipped so far; 0 before the first snapshot.
    pub fn newest(self) -> u32 {
        self.0.unwrap_or(0)
    }

    /// Takes a snapshot's count. The snapshot may be older than the newest one.
    pub fn told(&mut self, count: u16) -> Told {
        let known = *self.0.get_or_insert(u32::from(count));
        let moved = count.wrapping_sub(known as u16) as i16;
        let skipped = known.wrapping_add_signed(i32::from(moved));
        self.0 = Some(if moved > 0 { skipped } else { known });
        Told {
            skipped,
            moved: u32::from(moved.max(0).unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_grows_over_its_wrap_and_old_snapshots_change_nothing() {
        let mut slots = SkippedSlots::default();
        assert_eq!(
            slots.told(65_500),
            Told {
                skipped: 65_500,
                moved: 0
            }
        );
        assert_eq!(
            slots.told(30),
            Told {
                skipped: 65_566,
                moved: 66
            }
        );
        assert_eq!(
            slots.told(65_500),
            Told {
                skipped: 65_500,
                moved: 0
            }
        );
        assert_eq!(slots.newest(), 65_566);
    }
}
