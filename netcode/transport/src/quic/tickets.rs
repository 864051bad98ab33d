//! TLS sessions that a server keeps for resumption, each valid for one further connection. Only
//! connections that carry a session of Truetick's keep any, so that a sender without a token
//! displaces none. A TLS session is never displaced while its connection lives.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::StoresServerSessions;

use crate::limits::{TLS_SESSION_BYTES, TLS_SESSIONS_PER_CONNECTION};

/// The TLS sessions of all connections of a server.
#[derive(Debug)]
pub(super) struct TlsSessions {
    kept: Mutex<Kept>,
    /// Most TLS sessions of closed connections; a further one displaces the oldest.
    capacity: usize,
}

#[derive(Debug, Default)]
struct Kept {
    sessions: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Names of the TLS sessions of closed connections, in the order of their ends. Some of these
    /// sessions may have been used already.
    ended: VecDeque<Vec<u8>>,
}

impl TlsSessions {
    /// Creates an empty store with space for the TLS sessions of `connections` closed connections.
    pub(super) fn new(connections: usize) -> Arc<Self> {
        let capacity = connections * TLS_SESSIONS_PER_CONNECTION;
        Arc::new(Self {
            kept: Mutex::default(),
            capacity,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of TLS sessions kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Creates the store of one connection.
    pub(super) fn of_connection(self: &Arc<Self>) -> Arc<ConnectionTickets> {
        Arc::new(ConnectionTickets {
            all: self.clone(),
            own: Mutex::default(),
        })
    }
}

/// The store of one connection's TLS sessions. It is dropped with its connection.
#[derive(Debug)]
pub(super) struct ConnectionTickets {
    all: Arc<TlsSessions>,
    own: Mutex<Own>,
}

#[derive(Debug, Default)]
struct Own {
    granted: bool,
    /// Names and values; a value is empty once it is in the common store.
    sessions: Vec<(Vec<u8>, Vec<u8>)>,
}

impl ConnectionTickets {
    fn lock(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the connection's present and future TLS sessions, because it carries a session.
    pub(super) fn grant(&self) {
        let mut own = self.lock();
        if !std::mem::replace(&mut own.granted, true) {
            let mut all = self.all.lock();
            for (name, value) in &mut own.sessions {
                all.sessions.insert(name.clone(), std::mem::take(value));
            }
        }
    }
}

impl StoresServerSessions for ConnectionTickets {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut own = self.lock();
        let fits =
            own.sessions.len() < TLS_SESSIONS_PER_CONNECTION && value.len() <= TLS_SESSION_BYTES;
        if fits && own.granted {
            self.all.lock().sessions.insert(key.clone(), value);
            own.sessions.push((key, Vec::new()));
        } else if fits {
            own.sessions.push((key, value));
        }
        fits
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.all.lock().sessions.get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.all.lock().sessions.remove(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl Drop for ConnectionTickets {
    fn drop(&mut self) {
        let own = self.own.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !own.granted {
            return;
        }
        let mut all = self.all.lock();
        let unused = own.sessions.drain(..).map(|(name, _)| name);
        let unused: Vec<_> = unused
            .filter(|name| all.sessions.contains_key(name))
            .collect();
        all.ended.extend(unused);
        while all.ended.len() > self.all.capacity {
            if let Some(oldest) = all.ended.pop_front() {
                all.sessions.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(connection: u32, number: u8) -> Vec<u8> {
        [&connection.to_le_bytes()[..], &[number]].concat()
    }

    fn connect(all: &Arc<TlsSessions>, connection: u32) -> Arc<ConnectionTickets> {
        let tickets = all.of_connection();
        (0..2).for_each(|number| assert!(tickets.put(name(connection, number), vec![1; 200])));
        tickets
    }

    #[test]
    fn strangers_leave_nothing_and_displace_nobody() {
        let all = TlsSessions::new(8);
        let player = connect(&all, 0);
        player.grant();
        let strangers: Vec<_> = (1..10_000).map(|number| connect(&all, number)).collect();
        assert_eq!(all.len(), 2);
        assert!(strangers[0].take(&name(1, 0)).is_none());
        drop(strangers);
        assert!(all.of_connection().take(&name(0, 1)).is_some());
        assert!(
            all.of_connection().take(&name(0, 1)).is_none(),
            "each serves once"
        );
    }

    #[test]
    fn those_of_living_connections_stay_and_of_the_others_so_many() {
        let all = TlsSessions::new(8);
        let old = connect(&all, 0);
        old.grant();
        for number in 1..1_000 {
            // Some are granted before the handshake is complete.
            let gone = all.of_connection();
            gone.grant();
            (0..5).for_each(|i| assert_eq!(gone.put(name(number, i), vec![1; 200]), i < 2));
            assert!(!gone.put(name(number, 9), vec![0; TLS_SESSION_BYTES + 1]));
        }
        assert_eq!(all.len(), 2 + 8 * TLS_SESSIONS_PER_CONNECTION);
        assert!(old.take(&name(0, 0)).is_some() && old.take(&name(999, 0)).is_some());
        assert!(old.take(&name(5, 0)).is_none());
    }

    #[test]
    fn what_served_leaves_no_trace() {
        let all = TlsSessions::new(4);
        for number in 0..100 {
            let tickets = connect(&all, number);
            tickets.grant();
            assert!((0..2).all(|i| tickets.take(&name(number, i)).is_some()));
        }
        assert_eq!((all.len(), all.lock().ended.len()), (0, 0));
    }
}
