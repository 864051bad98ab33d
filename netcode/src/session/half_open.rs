//! Those who asked for a session and have not proved their address: a capped table, the only memory that they cost.

use std::collections::BTreeMap;

use super::crypto::Key;
use super::history::TokenTag;
use super::token::Purpose;
use super::{ClientId, Neighbourhood, UserId};
use crate::limits::ATTEMPTS_TO_RESUME;
use crate::time::Timestamp;
use crate::transport::Route;

/// What a token says of who uses it.
#[derive(Debug)]
pub struct Applicant {
    /// By what the token is known again.
    pub tag: TokenTag,
    /// The token's expiry, in seconds since 1970.
    pub expires: u64,
    /// When it was issued, on the server's own time line: wall clocks may be set meanwhile. `None` if it does not say.
    pub issued: Option<Timestamp>,
    /// Who it is for.
    pub user: UserId,
    /// What it is for.
    pub purpose: Purpose,
    /// Seconds of silence after which the session ends; negative for never.
    pub timeout_s: i32,
    /// Key of what the client sends.
    pub client_key: Key,
    /// Key of what the server sends.
    pub server_key: Key,
}

/// An attempt to open a session.
#[derive(Debug)]
pub struct HalfOpen {
    /// Whose.
    pub applicant: Applicant,
    /// When it is forgotten.
    until: Timestamp,
    number: u64,
}

/// The attempts. Where the table is full the oldest goes; one neighbourhood displaces only its own.
#[derive(Debug)]
pub struct HalfOpenTable {
    capacity: usize,
    per_neighbourhood: usize,
    attempts: BTreeMap<Route, HalfOpen>,
    by_tag: BTreeMap<TokenTag, Route>,
    by_age: BTreeMap<u64, Route>,
    by_neighbourhood: BTreeMap<Neighbourhood, BTreeMap<u64, Route>>,
    /// Attempts to resume, which may come from several addresses.
    by_client: BTreeMap<ClientId, BTreeMap<u64, Route>>,
    next: u64,
}

impl HalfOpenTable {
    /// A table of so many attempts, of which one neighbourhood may have so many.
    pub fn new(capacity: usize, per_neighbourhood: usize) -> Self {
        Self {
            capacity,
            per_neighbourhood,
            attempts: BTreeMap::new(),
            by_tag: BTreeMap::new(),
            by_age: BTreeMap::new(),
            by_neighbourhood: BTreeMap::new(),
            by_client: BTreeMap::new(),
            next: 0,
        }
    }

    /// Attempts held.
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// The attempt by a route.
    pub fn at(&self, route: Route) -> Option<&HalfOpen> {
        self.attempts.get(&route)
    }

    /// The route by which a token is used; none for a ticket.
    pub fn route_of(&self, tag: &TokenTag) -> Option<Route> {
        self.by_tag.get(tag).copied()
    }

    /// Notes an attempt by a route, in place of one with another token.
    pub fn insert(&mut self, route: Route, applicant: Applicant, until: Timestamp) {
        self.remove(route);
        let neighbourhood = Neighbourhood::from(route.address.ip());
        let resumes = applicant.purpose.resume.map(|resumed| resumed.client);
        let own = self.by_neighbourhood.get(&neighbourhood);
        let same = resumes.and_then(|client| self.by_client.get(&client));
        let displaced = match own {
            _ if same.is_some_and(|same| same.len() >= ATTEMPTS_TO_RESUME) => {
                same.and_then(BTreeMap::first_key_value)
            }
            Some(own) if own.len() >= self.per_neighbourhood => own.first_key_value(),
            _ if self.attempts.len() >= self.capacity => self.by_age.first_key_value(),
            _ => None,
        };
        if let Some((_, displaced)) = displaced {
            self.remove(*displaced);
        }
        let number = self.next;
        self.next += 1;
        // A ticket may be tried from several addresses.
        if applicant.purpose.resume.is_none() {
            self.by_tag.insert(applicant.tag, route);
        }
        self.by_age.insert(number, route);
        self.by_neighbourhood.entry(neighbourhood).or_default().insert(number, route);
        if let Some(client) = resumes {
            self.by_client.entry(client).or_default().insert(number, route);
        }
        self.attempts.insert(route, HalfOpen { applicant, until, number });
    }

    /// Takes an attempt out.
    pub fn remove(&mut self, route: Route) -> Option<HalfOpen> {
        let attempt = self.attempts.remove(&route)?;
        if attempt.applicant.purpose.resume.is_none() {
            self.by_tag.remove(&attempt.applicant.tag);
        }
        self.by_age.remove(&attempt.number);
        take_out(&mut self.by_neighbourhood, route.address.ip().into(), attempt.number);
        if let Some(resumed) = attempt.applicant.purpose.resume {
            take_out(&mut self.by_client, resumed.client, attempt.number);
        }
        Some(attempt)
    }

    /// Forgets what has come to nothing by now.
    pub fn expire(&mut self, now: Timestamp) {
        // Attempts have about the same time, so the oldest goes first or nearly so.
        while let Some((_, route)) = self.by_age.first_key_value().map(|(age, route)| (*age, *route))
            && self.attempts.get(&route).is_none_or(|attempt| attempt.until <= now)
        {
            self.remove(route);
        }
    }
}

/// Takes an attempt out of its group, and the group with its last.
fn take_out<K: Ord>(groups: &mut BTreeMap<K, BTreeMap<u64, Route>>, group: K, number: u64) {
    if let Some(own) = groups.get_mut(&group) {
        own.remove(&number);
        if own.is_empty() {
            groups.remove(&group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn address(host: u8, port: u16) -> Route {
        SocketAddr::from(([10, 0, 0, host], port)).into()
    }

    fn applicant(tag: u8) -> Applicant {
        Applicant {
            tag: [tag; 16],
            expires: 30,
            issued: None,
            user: UserId(u64::from(tag)),
            purpose: Purpose::default(),
            timeout_s: 5,
            client_key: Key::new([tag; 32]),
            server_key: Key::new([tag; 32]),
        }
    }

    #[test]
    fn a_neighbourhood_displaces_its_own_and_a_crowd_the_oldest() {
        let mut table = HalfOpenTable::new(4, 2);
        let until = Timestamp::from_millis(100);
        table.insert(address(1, 1), applicant(1), until);
        for port in 1..=3 {
            table.insert(address(2, port), applicant(10 + port as u8), until);
        }
        assert_eq!(table.len(), 3);
        assert!(table.at(address(2, 1)).is_none() && table.at(address(1, 1)).is_some());
        assert_eq!((table.route_of(&[11; 16]), table.route_of(&[13; 16])), (None, Some(address(2, 3))));
        table.insert(address(3, 1), applicant(20), until);
        table.insert(address(4, 1), applicant(21), until);
        assert!(table.len() == 4 && table.at(address(1, 1)).is_none());
    }

    #[test]
    fn an_attempt_expires() {
        let mut table = HalfOpenTable::new(4, 4);
        table.insert(address(1, 1), applicant(1), Timestamp::from_millis(100));
        table.expire(Timestamp::from_millis(99));
        assert_eq!(table.len(), 1);
        table.expire(Timestamp::from_millis(100));
        assert!(table.is_empty() && table.route_of(&[1; 16]).is_none());
    }

    #[test]
    fn another_token_from_the_same_address_takes_the_place_of_the_first() {
        let mut table = HalfOpenTable::new(4, 4);
        table.insert(address(1, 1), applicant(1), Timestamp::default());
        table.insert(address(1, 1), applicant(2), Timestamp::default());
        assert_eq!((table.len(), table.route_of(&[1; 16])), (1, None));
    }
}
