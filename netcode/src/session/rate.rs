//! Rate limits by the generic cell rate algorithm (ITU-T I.371), with time as an argument and a
//! bound on the number of keys that are counted.
//!
//! ```
//! use std::time::Duration;
//! use truetick_netcode::session::rate::{Rate, TokenBucket};
//! use truetick_netcode::time::Timestamp;
//!
//! let (rate, now) = (Rate { per_second: 10, burst: 2 }, Timestamp::from_millis(1_000));
//! let mut bucket = TokenBucket::default();
//! assert!(bucket.allows(rate, now) && bucket.allows(rate, now));
//! assert!(!bucket.allows(rate, now), "the burst is spent");
//! assert!(bucket.allows(rate, now + Duration::from_millis(100)));
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::COUNTED_APART;
use crate::time::Timestamp;

/// A rate limit: an average per second and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events per second on average, 1 or more.
    pub per_second: u32,
    /// Events at once, 1 or more.
    pub burst: u32,
}

impl Rate {
    /// Returns the time between two evenly spaced events.
    fn apart(self) -> Duration {
        Duration::from_nanos(1_000_000_000 / u64::from(self.per_second.max(1)))
    }
}

/// A rate limiter: holds the time at which the next event would be due if all so far were evenly
/// spaced.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenBucket(Timestamp);

impl TokenBucket {
    /// Returns whether one more event is allowed now, and counts it if so.
    pub fn allows(&mut self, rate: Rate, now: Timestamp) -> bool {
        self.allows_worth(1, rate, now)
    }

    /// Restores as much of the budget as `count` more events need to be allowed now, at most the
    /// burst.
    pub fn leave_room_for(&mut self, count: u32, rate: Rate, now: Timestamp) {
        self.0 = self
            .0
            .min(now + rate.apart() * rate.burst.saturating_sub(count));
    }

    /// Returns whether no further event is allowed now. Counts nothing.
    pub(crate) fn is_spent(&self, rate: Rate, now: Timestamp) -> bool {
        self.0.max(now).since(now) > rate.apart() * (rate.burst.max(1) - 1)
    }

    /// Returns whether an event that counts as `weight` events is allowed now, and counts it if so.
    /// It is allowed as soon as a single event is.
    pub fn allows_worth(&mut self, weight: u32, rate: Rate, now: Timestamp) -> bool {
        if self.is_spent(rate, now) {
            return false;
        }
        self.0 = self.0.max(now) + rate.apart() * weight;
        true
    }
}

/// One rate limiter per key, for at most [`COUNTED_APART`] keys at once.
#[derive(Debug)]
pub struct TokenBuckets<K> {
    meters: BTreeMap<K, TokenBucket>,
    /// When idle limiters were last removed.
    swept: Timestamp,
}

/// Shortest interval between two removals of idle limiters.
const SWEEP: Duration = Duration::from_millis(100);

impl<K> Default for TokenBuckets<K> {
    fn default() -> Self {
        Self {
            meters: BTreeMap::new(),
            swept: Timestamp::default(),
        }
    }
}

impl<K: Ord> TokenBuckets<K> {
    /// Returns whether one more event of `who` would be allowed now. Counts nothing.
    pub fn may(&self, who: &K, rate: Rate, now: Timestamp) -> bool {
        self.meters
            .get(who)
            .is_none_or(|meter| !meter.is_spent(rate, now))
    }

    /// Returns whether one more event of `who` is allowed now, and counts it if so. A new key is
    /// refused while the table is full.
    pub fn allows(&mut self, who: K, rate: Rate, now: Timestamp) -> bool {
        if !self.meters.contains_key(&who) && self.meters.len() >= COUNTED_APART {
            if now.since(self.swept) >= SWEEP {
                self.swept = now;
                self.meters.retain(|_, meter| meter.0 > now);
            }
            if self.meters.len() >= COUNTED_APART {
                return false;
            }
        }
        self.meters.entry(who).or_default().allows(rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exhausted_meter_leaves_room_for_what_is_asked_and_no_more() {
        let (rate, now) = (
            Rate {
                per_second: 100,
                burst: 10,
            },
            Timestamp::from_millis(1_000),
        );
        let mut meter = TokenBucket::default();
        assert_eq!((0..20).filter(|_| meter.allows(rate, now)).count(), 10);
        meter.leave_room_for(4, rate, now);
        assert_eq!((0..20).filter(|_| meter.allows(rate, now)).count(), 4);
        let mut fresh = TokenBucket::default();
        fresh.leave_room_for(4, rate, now);
        assert_eq!((0..20).filter(|_| fresh.allows(rate, now)).count(), 10);
    }

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn a_burst_then_the_rate() {
        let (mut meter, mut now) = (TokenBucket::default(), Timestamp::from_millis(5));
        let allowed =
            |meter: &mut TokenBucket, now| (0..100).filter(|_| meter.allows(RATE, now)).count();
        assert_eq!(allowed(&mut meter, now), 3);
        assert!(
            meter.is_spent(RATE, now) && !meter.is_spent(RATE, now + Duration::from_millis(100))
        );
        now += Duration::from_millis(99);
        assert_eq!(allowed(&mut meter, now), 0);
        now += Duration::from_millis(1);
        assert_eq!(allowed(&mut meter, now), 1);
        now += Duration::from_secs(60);
        assert_eq!(allowed(&mut meter, now), 3);
    }

    #[test]
    fn no_more_are_counted_than_the_limit_and_idle_ones_make_room() {
        let who = |i: usize| i;
        let (mut meters, now) = (TokenBuckets::default(), Timestamp::from_millis(5));
        assert!((0..COUNTED_APART).all(|i| meters.allows(who(i), RATE, now)));
        assert!(!meters.allows(who(COUNTED_APART), RATE, now));
        assert!(meters.allows(who(0), RATE, now));
        assert!(meters.allows(who(COUNTED_APART), RATE, now + Duration::from_secs(1)));
    }
}
