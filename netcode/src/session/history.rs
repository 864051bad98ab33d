//! The tokens that have opened a session. No token does so twice.

use std::collections::{BTreeMap, BTreeSet};

use super::crypto::TAG_BYTES;

/// The tag of a token's private part, which identifies the token.
pub type TokenTag = [u8; TAG_BYTES];

/// The consumed tokens. One that has not expired is never forgotten. An expired one remains while
/// there is space, so that setting the wall clock back revives none.
#[derive(Debug)]
pub(crate) struct TokenHistory {
    capacity: usize,
    /// Each token's expiry, in seconds since 1970.
    consumed: BTreeMap<TokenTag, u64>,
    by_expiry: BTreeSet<(u64, TokenTag)>,
    /// Expiry up to which tokens may have been forgotten. No such token is accepted again, whatever
    /// the wall clock shows.
    forgotten: u64,
}

impl TokenHistory {
    /// Creates an empty history for `capacity` tokens.
    pub fn new(capacity: usize) -> Self {
        let (consumed, by_expiry) = (BTreeMap::new(), BTreeSet::new());
        Self {
            capacity,
            consumed,
            by_expiry,
            forgotten: 0,
        }
    }

    /// Returns whether a token has opened a session.
    pub fn has(&self, tag: &TokenTag) -> bool {
        self.consumed.contains_key(tag)
    }

    /// Returns whether a token with this expiry (seconds since 1970) may have been forgotten.
    pub(crate) fn may_have_forgotten(&self, expires: u64) -> bool {
        expires <= self.forgotten
    }

    /// Returns whether there is space for another token at `now` (seconds since 1970).
    pub fn has_room(&self, now: u64) -> bool {
        self.consumed.len() < self.capacity
            || self
                .by_expiry
                .first()
                .is_some_and(|(first, _)| *first <= now)
    }

    /// Records that a token has opened a session. Returns false and changes nothing if there is no
    /// space.
    pub(crate) fn consume(&mut self, tag: TokenTag, expires: u64, now: u64) -> bool {
        if !self.has_room(now) {
            return false;
        }
        if self.consumed.len() >= self.capacity
            && let Some((first, old)) = self.by_expiry.pop_first()
        {
            self.consumed.remove(&old);
            self.forgotten = self.forgotten.max(first);
        }
        self.consumed.insert(tag, expires);
        self.by_expiry.insert((expires, tag));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_entry_is_never_evicted_and_a_forgotten_one_never_comes_back() {
        let mut history = TokenHistory::new(2);
        assert!(history.consume([1; 16], 130, 100) && history.consume([2; 16], 140, 100));
        assert!(!history.has_room(129) && !history.consume([3; 16], 150, 129));
        assert!(history.has(&[1; 16]) && history.has(&[2; 16]) && !history.has(&[3; 16]));
        assert!(history.consume([3; 16], 160, 130));
        assert!(!history.has(&[1; 16]) && history.has(&[2; 16]) && history.consumed.len() == 2);
        assert!(history.may_have_forgotten(130) && !history.may_have_forgotten(131));
    }
}
