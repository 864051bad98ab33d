//! Pauses between attempts: exponential backoff with full jitter, so that many clients that were
//! dropped at once do not return at once.
//!
//! ```
//! use std::time::Duration;
//! use truetick_netcode::session::backoff::Backoff;
//!
//! let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
//! let mut backoff = Backoff::new(first, longest, 7);
//! assert!((0..20).all(|_| backoff.pause() <= longest));
//! backoff.reset();
//! assert!(backoff.pause() <= first);
//! ```

use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Growing pauses: the n-th (from 0) is random between 0 and first * 2^n, at most the longest pause
/// and at least a quarter of the first.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
    rng: Xoshiro256PlusPlus,
}

impl Backoff {
    /// Creates pauses that start at about `first`, random from `seed`.
    pub fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self {
            first,
            longest,
            attempts: 0,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    /// Returns the next pause.
    pub fn pause(&mut self) -> Duration {
        let most = self
            .first
            .saturating_mul(1 << self.attempts.min(16))
            .min(self.longest);
        self.attempts += 1;
        let drawn = self.rng.next_u64() % (most.as_micros() as u64 + 1);
        // The minimum keeps two attempts from being on a short path at once.
        Duration::from_micros(drawn).max(self.first / 4)
    }

    /// Restarts with short pauses, after a successful attempt.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_differ() {
        let ms = Duration::from_millis;
        let pauses = |seed| {
            let mut backoff = Backoff::new(ms(100), ms(2_000), seed);
            (0..40).map(|_| backoff.pause()).collect::<Vec<_>>()
        };
        let some = pauses(1);
        assert!(
            some[0] <= ms(100) && some[1] <= ms(200) && some.iter().all(|pause| *pause >= ms(25))
        );
        assert!(
            some.iter().max().unwrap() > &ms(1_500) && some.iter().all(|pause| *pause <= ms(2_000))
        );
        assert!(some[5..].iter().min().unwrap() < &ms(500));
        assert_ne!(some, pauses(2));
    }
}
