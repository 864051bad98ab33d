//! How many slots of its time line the server has skipped, from a count that wraps at 16 bits.

/// What one snapshot told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Slots skipped before the snapshot's tick.
    pub skipped: u32,
    /// Those that are news.
    pub moved: u32,
}

/// The count of the newest snapshot; it only grows. Between two snapshots of one session no more
/// than 32,767 slots pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SkippedSlots(Option<u32>);

impl SkippedSlots {
    /// Slots skipped so far.
    pub fn newest(self) -> u32 {
        self.0.unwrap_or(0)
    }

    /// A snapshot told its count; it may be older than the newest.
    pub fn told(&mut self, count: u16) -> Told {
        let known = *self.0.get_or_insert(u32::from(count));
        let moved = count.wrapping_sub(known as u16) as i16;
        let skipped = known.wrapping_add_signed(i32::from(moved));
        self.0 = Some(if moved > 0 { skipped } else { known });
        Told { skipped, moved: u32::from(moved.max(0).unsigned_abs()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_grows_over_its_wrap_and_old_snapshots_change_nothing() {
        let mut slots = SkippedSlots::default();
        assert_eq!(slots.told(65_500), Told { skipped: 65_500, moved: 0 });
        assert_eq!(slots.told(30), Told { skipped: 65_566, moved: 66 });
        assert_eq!(slots.told(65_500), Told { skipped: 65_500, moved: 0 });
        assert_eq!(slots.newest(), 65_566);
    }
}
