//! Attempts to open a session whose address is not proved: capped tables, and the only memory that
//! unproved senders cost.
//!
//! An attempt belongs to a *token*, not to an address: copies of a request, from any number of
//! addresses, share the attempt of their token. Its response finds it by the hint in its number
//! (see `keys`), or, from a client of another implementation, by the address that used the token
//! first. Joining tokens are counted by rate-limit key, tickets by the session that they resume.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::crypto::Key;
use super::history::TokenTag;
use super::keys::{SessionKeys, hint, hint_of_response};
use super::token::{Purpose, UserData};
use super::{ClientId, RateLimitKey, UserId};
use crate::limits::{ATTEMPT_AGE, ATTEMPTS_TO_RESUME};
use crate::time::Timestamp;
use crate::transport::PeerAddr;

/// The contents of a genuine token, of which an attempt makes use.
#[derive(Debug)]
pub struct Applicant {
    /// Tag of the token, which identifies it.
    pub tag: TokenTag,
    /// The token's expiry, in seconds since 1970.
    pub expires: u64,
    /// When the token was issued, on the server's own time line, because wall clocks may be set.
    /// `None` if the token does not contain it.
    pub issued: Option<Timestamp>,
    /// The user that the token is for.
    pub user: UserId,
    /// What the token is for.
    pub purpose: Purpose,
    /// Seconds of silence after which the session ends; without limit if not positive.
    pub timeout_s: i32,
    /// Key of the packets that the client sends.
    pub client_key: Key,
    /// Key of the packets that the server sends.
    pub server_key: Key,
    /// Data of the issuer for the server.
    pub user_data: UserData,
    /// Another server may accept the same token, or a previous run of this one may have accepted
    /// it.
    pub is_shared: bool,
}

impl Applicant {
    /// Returns the server's keys of the session; sent packets are numbered from `first` on.
    pub fn keys(&self, first: u64) -> SessionKeys {
        SessionKeys::new(self.tag, &self.client_key, &self.server_key).numbered_from(first)
    }
}

/// An attempt to open a session with one token.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    /// The contents of the attempt's token.
    pub applicant: Arc<Applicant>,
    /// The address that used the token first.
    pub first: PeerAddr,
    /// When the attempt began.
    pub since: Timestamp,
    /// The address from which a response without a hint is accepted: that of the first request, or
    /// of a ticket's last one.
    bound: PeerAddr,
    /// Hash of the request, by which copies are recognised without opening them.
    digest: u64,
    /// When the attempt is forgotten.
    until: Timestamp,
    number: u64,
}

/// All attempts. In a full table, a new attempt displaces the oldest if that is older than
/// [`ATTEMPT_AGE`]. A rate-limit key, or the tickets of one session, displace only their own.
#[derive(Debug)]
pub(crate) struct HalfOpenTable {
    capacity: usize,
    per_rate_limit_key: usize,
    attempts: BTreeMap<TokenTag, HalfOpen>,
    by_hint: BTreeMap<u64, TokenTag>,
    by_addr: BTreeMap<PeerAddr, TokenTag>,
    /// Attempts to join, by age.
    joins: BTreeMap<u64, TokenTag>,
    by_rate_limit_key: BTreeMap<RateLimitKey, BTreeMap<u64, TokenTag>>,
    /// Attempts to resume, by age.
    by_client: BTreeMap<ClientId, BTreeMap<u64, TokenTag>>,
    by_expiry: BTreeSet<(Timestamp, TokenTag)>,
    next: u64,
}

impl HalfOpenTable {
    /// Creates a table for `capacity` attempts to join, at most `per_rate_limit_key` of them with
    /// one rate-limit key.
    pub fn new(capacity: usize, per_rate_limit_key: usize) -> Self {
        Self {
            capacity,
            per_rate_limit_key,
            attempts: BTreeMap::new(),
            by_hint: BTreeMap::new(),
            by_addr: BTreeMap::new(),
            joins: BTreeMap::new(),
            by_rate_limit_key: BTreeMap::new(),
            by_client: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            next: 0,
        }
    }

    /// Returns the number of attempts held.
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Returns whether no attempt is held.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Returns the attempt with a token.
    pub fn get(&self, tag: &TokenTag) -> Option<&HalfOpen> {
        self.attempts.get(tag)
    }

    /// Returns the attempt of which a request with this tag and hash is a copy.
    pub(crate) fn of_copy(&self, tag: &TokenTag, digest: u64) -> Option<&HalfOpen> {
        self.attempts
            .get(tag)
            .filter(|attempt| attempt.digest == digest)
    }

    /// Returns the attempt to which a response with number `sequence` from `addr` belongs.
    pub(crate) fn of_response(&self, addr: PeerAddr, sequence: u64) -> Option<&HalfOpen> {
        let hinted = hint_of_response(sequence).and_then(|hint| self.by_hint.get(&hint));
        hinted
            .or_else(|| self.by_addr.get(&addr))
            .and_then(|tag| self.attempts.get(tag))
    }

    /// Adds an attempt with a token from an address. Returns false if the table is full and its
    /// candidates for displacement are too young. A previous attempt with the same token is removed
    /// in either case.
    #[must_use]
    pub fn insert(
        &mut self,
        addr: PeerAddr,
        applicant: Arc<Applicant>,
        digest: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> bool {
        let tag = applicant.tag;
        self.remove(&tag);
        let rate_limit_key = RateLimitKey::from(addr.address.ip());
        let resumes = applicant.purpose.resume.map(|resumed| resumed.client);
        if !self.make_room(resumes, rate_limit_key, now) {
            return false;
        }
        let number = self.next;
        self.next += 1;
        match resumes {
            Some(client) => {
                _ = self
                    .by_client
                    .entry(client)
                    .or_default()
                    .insert(number, tag)
            }
            None => {
                self.joins.insert(number, tag);
                self.by_rate_limit_key
                    .entry(rate_limit_key)
                    .or_default()
                    .insert(number, tag);
            }
        }
        self.by_expiry.insert((until, tag));
        self.by_hint.insert(hint(&tag), tag);
        self.attempts.insert(
            tag,
            HalfOpen {
                applicant,
                first: addr,
                since: now,
                bound: addr,
                digest,
                until,
                number,
            },
        );
        self.bind(addr, &tag, now);
        true
    }

    /// Maps an address to the attempt of a token, unless it is mapped to another one that is young.
    fn bind(&mut self, addr: PeerAddr, tag: &TokenTag, now: Timestamp) {
        let known = self
            .by_addr
            .get(&addr)
            .and_then(|tag| self.attempts.get(tag));
        if known.is_none_or(|known| now.since(known.since) >= ATTEMPT_AGE) {
            self.by_addr.insert(addr, *tag);
        }
    }

    /// Records that the token was used again, from `addr`. A ticket's attempt is extended to
    /// `until`. A joining token's attempt keeps its end, so that copies of a request cannot bind
    /// the token to their address for longer.
    pub(crate) fn refresh(
        &mut self,
        addr: PeerAddr,
        tag: &TokenTag,
        now: Timestamp,
        until: Timestamp,
    ) {
        let Some(attempt) = self.attempts.get_mut(tag) else {
            return;
        };
        let left = attempt.bound;
        if attempt.applicant.purpose.resume.is_some() {
            attempt.bound = addr;
            self.by_expiry.remove(&(attempt.until, *tag));
            attempt.until = attempt.until.max(until);
            self.by_expiry.insert((attempt.until, *tag));
        }
        let bound = attempt.bound;
        if left != bound {
            self.unbind(left, tag);
        }
        self.bind(bound, tag, now);
    }

    fn unbind(&mut self, addr: PeerAddr, tag: &TokenTag) {
        if self.by_addr.get(&addr) == Some(tag) {
            self.by_addr.remove(&addr);
        }
    }

    fn make_room(
        &mut self,
        resumes: Option<ClientId>,
        rate_limit_key: RateLimitKey,
        now: Timestamp,
    ) -> bool {
        let own = self.by_rate_limit_key.get(&rate_limit_key);
        let displaced = match resumes.map(|client| self.by_client.get(&client)) {
            Some(same) => same.filter(|same| same.len() >= ATTEMPTS_TO_RESUME),
            None => match own {
                Some(own) if own.len() >= self.per_rate_limit_key => Some(own),
                _ => Some(&self.joins).filter(|joins| joins.len() >= self.capacity),
            },
        };
        let Some(oldest) = displaced
            .and_then(BTreeMap::first_key_value)
            .map(|(_, tag)| *tag)
        else {
            return true;
        };
        let is_old = self
            .attempts
            .get(&oldest)
            .is_none_or(|old| now.since(old.since) >= ATTEMPT_AGE);
        if is_old {
            self.remove(&oldest);
        }
        is_old
    }

    /// Removes an attempt and returns it.
    pub fn remove(&mut self, tag: &TokenTag) -> Option<HalfOpen> {
        let attempt = self.attempts.remove(tag)?;
        let number = attempt.number;
        match attempt.applicant.purpose.resume {
            Some(resumed) => take_out(&mut self.by_client, resumed.client, number),
            None => {
                self.joins.remove(&number);
                take_out(
                    &mut self.by_rate_limit_key,
                    attempt.first.address.ip().into(),
                    number,
                );
            }
        }
        self.by_expiry.remove(&(attempt.until, *tag));
        if self.by_hint.get(&hint(tag)) == Some(tag) {
            self.by_hint.remove(&hint(tag));
        }
        self.unbind(attempt.bound, tag);
        Some(attempt)
    }

    /// Removes the attempts that have expired at `now`.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((_, tag)) = self
            .by_expiry
            .first()
            .copied()
            .filter(|(until, _)| *until <= now)
        {
            self.remove(&tag);
        }
    }
}

/// Removes an attempt from its group, and the group when it is empty.
fn take_out<K: Ord>(groups: &mut BTreeMap<K, BTreeMap<u64, TokenTag>>, group: K, number: u64) {
    if let Some(own) = groups.get_mut(&group) {
        own.remove(&number);
        if own.is_empty() {
            groups.remove(&group);
        }
    }
}

#[cfg(test)]
mod tests;
