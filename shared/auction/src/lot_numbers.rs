//! The numbers of all lots ever opened. No number is used twice, and a used number excludes no
//! other.

use std::collections::BTreeMap;

use bitcode::{Decode, Encode};

use super::ledger::hash_words;
use super::limits::LOT_RANGES;
use super::order::Reject;
use super::terms::LotId;

/// Used lot numbers as ranges that do not touch: first to last, both included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct LotNumbers {
    ranges: BTreeMap<u32, u32>,
    used: u64,
}

impl LotNumbers {
    fn around(&self, number: u32) -> Option<(u32, u32)> {
        self.ranges
            .range(..=number)
            .next_back()
            .map(|(first, last)| (*first, *last))
    }

    /// Checks that a lot may have this number. A number next to a used one always fits.
    ///
    /// # Errors
    ///
    /// [`Reject::LotExists`] if the number was used, [`Reject::Full`] if it would start a range
    /// beyond [`LOT_RANGES`].
    pub fn check(&self, LotId(number): LotId) -> Result<(), Reject> {
        let before = self.around(number);
        if before.is_some_and(|(_, last)| last >= number) {
            return Err(Reject::LotExists);
        }
        let follows = before.is_some_and(|(_, last)| last + 1 == number);
        let leads = number
            .checked_add(1)
            .is_some_and(|next| self.ranges.contains_key(&next));
        if follows || leads || self.ranges.len() < LOT_RANGES {
            Ok(())
        } else {
            Err(Reject::Full)
        }
    }

    /// Marks a number as used that [`Self::check`] accepted.
    pub fn take(&mut self, LotId(number): LotId) {
        let before = self
            .around(number)
            .filter(|(_, last)| last.checked_add(1) == Some(number));
        let after = number
            .checked_add(1)
            .and_then(|next| self.ranges.remove(&next));
        let first = before.map_or(number, |(first, _)| first);
        self.ranges.insert(first, after.unwrap_or(number));
        self.used += 1;
    }

    /// Returns a hash of the used numbers' count, the count of ranges and the last range.
    pub fn hash(&self) -> u64 {
        let last = self
            .ranges
            .last_key_value()
            .map_or((0, 0), |(first, last)| (*first, *last));
        hash_words(&[
            self.used,
            self.ranges.len() as u64,
            u64::from(last.0),
            u64::from(last.1),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn each_number_is_used_once(numbers in proptest::collection::vec((0u32..40, any::<bool>()), 1..120)) {
            let (mut known, mut set) = (LotNumbers::default(), BTreeSet::new());
            for (number, high) in numbers {
                let number = if high { u32::MAX - number } else { number };
                let expected = if set.insert(number) { Ok(()) } else { Err(Reject::LotExists) };
                prop_assert_eq!(known.check(LotId(number)), expected);
                if expected.is_ok() {
                    known.take(LotId(number));
                }
                let ranges = known.ranges.iter().zip(known.ranges.iter().skip(1));
                prop_assert!(ranges.into_iter().all(|((_, last), (first, _))| last + 1 < *first));
            }
            prop_assert_eq!(known.used, set.len() as u64);
        }
    }

    #[test]
    fn when_no_more_ranges_fit_the_neighbours_of_used_numbers_do() {
        let mut known = LotNumbers::default();
        (0..LOT_RANGES as u32).for_each(|place| known.take(LotId(place * 3)));
        assert_eq!(known.check(LotId(u32::MAX)), Err(Reject::Full));
        for free in [1, 2, LOT_RANGES as u32 * 3 - 2] {
            assert_eq!(known.check(LotId(free)), Ok(()));
            known.take(LotId(free));
        }
        assert_eq!(known.check(LotId(1)), Err(Reject::LotExists));
        assert_eq!(known.check(LotId(u32::MAX)), Ok(()));
    }
}
