//! Limits of a server's connections. A connection with a session holds a seat, which no connection
//! without a session can take. A connection without one waits, for [`CONNECT_TIME`] at most. If too
//! many wait, the oldest of the same address is closed, and first one whose address is not proved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use truetick_netcode::limits::CONNECT_TIME;
use truetick_netcode::session::RateLimitKey;

/// Counts of a server's connections that were closed by the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeatStats {
    /// Connections that were closed because they carried no session in time.
    pub expired: u64,
    /// Connections without a session that newer ones displaced.
    pub displaced: u64,
    /// Connections that were closed because they exceeded the limits of connections with a session.
    pub over_limit: u64,
}

/// All seats of a server.
#[derive(Debug)]
pub(super) struct Seats {
    table: Mutex<Table>,
    /// Most connections in all, and of one address (or IPv6 prefix of 64 bits). Each limit applies
    /// to those with a session and separately to those that wait.
    most: usize,
    per_address: usize,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    seated: usize,
    waiting: BTreeMap<u64, Waiting>,
    by_rate_limit_key: BTreeMap<RateLimitKey, Own>,
    stats: SeatStats,
}

#[derive(Debug, Default)]
struct Own {
    seated: usize,
    waiting: BTreeSet<u64>,
}

#[derive(Debug)]
struct Waiting {
    rate_limit_key: RateLimitKey,
    /// Whether the address is proved.
    proved: bool,
    state: Arc<SeatState>,
}

#[derive(Debug, Default)]
struct SeatState {
    stage: Mutex<SeatStage>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SeatStage {
    #[default]
    Waiting,
    Seated,
    Displaced,
}

impl SeatState {
    fn stage(&self) -> SeatStage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stage: SeatStage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.changed.notify_one();
    }
}

impl Seats {
    pub(super) fn new(most: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            most,
            per_address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> SeatStats {
        self.lock().stats
    }

    /// Lets a connection from `from` wait; displaces another if too many wait.
    pub(super) fn wait(self: &Arc<Self>, from: RateLimitKey, proved: bool) -> Seat {
        let mut table = self.lock();
        let own = table
            .by_rate_limit_key
            .get(&from)
            .map_or(0, |own| own.waiting.len());
        if own >= self.per_address {
            table.displace(Some(from));
        } else if table.waiting.len() >= self.most {
            table.displace((own > 0).then_some(from));
        }
        let (number, state) = (table.next, Arc::new(SeatState::default()));
        table.next += 1;
        table.waiting.insert(
            number,
            Waiting {
                rate_limit_key: from,
                proved,
                state: state.clone(),
            },
        );
        table
            .by_rate_limit_key
            .entry(from)
            .or_default()
            .waiting
            .insert(number);
        Seat {
            seats: self.clone(),
            number,
            rate_limit_key: from,
            state,
        }
    }
}

impl Table {
    /// Displaces a waiting connection of a rate-limit key, or the oldest of all.
    fn displace(&mut self, of: Option<RateLimitKey>) {
        let own = of.and_then(|of| self.by_rate_limit_key.get(&of));
        let unproved = |number: &&u64| {
            self.waiting
                .get(number)
                .is_some_and(|waiting| !waiting.proved)
        };
        let number = match own {
            Some(own) => own.waiting.iter().find(unproved).or(own.waiting.first()),
            None => self.waiting.keys().next(),
        };
        if let Some(waiting) = number.copied().and_then(|number| self.stop_waiting(number)) {
            self.stats.displaced += 1;
            waiting.state.set(SeatStage::Displaced);
        }
    }

    fn stop_waiting(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        if let Some(own) = self.by_rate_limit_key.get_mut(&waiting.rate_limit_key) {
            own.waiting.remove(&number);
        }
        self.forget_empty(waiting.rate_limit_key);
        Some(waiting)
    }

    fn forget_empty(&mut self, rate_limit_key: RateLimitKey) {
        let is_empty = |own: &Own| own.seated == 0 && own.waiting.is_empty();
        if self
            .by_rate_limit_key
            .get(&rate_limit_key)
            .is_some_and(is_empty)
        {
            self.by_rate_limit_key.remove(&rate_limit_key);
        }
    }
}

/// The seat or waiting place of one connection, held while the connection lives.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    rate_limit_key: RateLimitKey,
    state: Arc<SeatState>,
}

impl Seat {
    /// Records that the handshake is complete, which proves the address.
    pub(super) fn prove(&self) {
        if let Some(waiting) = self.seats.lock().waiting.get_mut(&self.number) {
            waiting.proved = true;
        }
    }

    /// Takes a seat: the connection carries a session from now on.
    pub(super) fn take(&self) {
        let mut table = self.seats.lock();
        if table.stop_waiting(self.number).is_some() {
            table.seated += 1;
            table
                .by_rate_limit_key
                .entry(self.rate_limit_key)
                .or_default()
                .seated += 1;
            self.state.set(SeatStage::Seated);
        }
    }

    /// Returns whether more connections hold seats than the limits allow.
    fn is_over_limit(&self) -> bool {
        let table = self.seats.lock();
        let own = table
            .by_rate_limit_key
            .get(&self.rate_limit_key)
            .map_or(0, |own| own.seated);
        table.seated > self.seats.most || own > self.seats.per_address
    }

    /// Completes when the connection must be closed, and returns why. A resumed session holds two
    /// connections for a moment, so the limits are enforced only after [`CONNECT_TIME`].
    pub(super) async fn lost(&self) -> &'static str {
        let settled = async {
            while self.state.stage() == SeatStage::Waiting {
                self.state.changed.notified().await;
            }
            self.state.stage()
        };
        match timeout(CONNECT_TIME, settled).await {
            Err(_) => {
                self.seats.lock().stats.expired += 1;
                "no session in time"
            }
            Ok(SeatStage::Displaced) => "gave way to others",
            Ok(_) => {
                if self.is_over_limit() {
                    sleep(CONNECT_TIME).await;
                    if self.is_over_limit() {
                        self.seats.lock().stats.over_limit += 1;
                        return "too many connections";
                    }
                }
                std::future::pending().await
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.seats.lock();
        if self.state.stage() == SeatStage::Seated {
            table.seated -= 1;
            if let Some(own) = table.by_rate_limit_key.get_mut(&self.rate_limit_key) {
                own.seated -= 1;
            }
            table.forget_empty(self.rate_limit_key);
        } else {
            table.stop_waiting(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn from(host: u8) -> RateLimitKey {
        IpAddr::from(Ipv4Addr::new(10, 0, 0, host)).into()
    }

    fn waits(seat: &Seat) -> bool {
        seat.state.stage() == SeatStage::Waiting
    }

    #[test]
    fn strangers_give_way_to_newcomers_and_take_no_seat_from_sessions() {
        let seats = Seats::new(8, 4);
        let players: Vec<_> = (0..4).map(|_| seats.wait(from(1), true)).collect();
        players.iter().for_each(Seat::take);
        // Connections without a session from the same address fill its waiting places, and no more.
        let strangers: Vec<_> = (0..10).map(|_| seats.wait(from(1), true)).collect();
        assert_eq!(strangers.iter().filter(|seat| waits(seat)).count(), 4);
        assert!(
            players
                .iter()
                .all(|seat| seat.state.stage() == SeatStage::Seated)
        );
        // A returning player waits, and gets its seat whatever the others do.
        let back = seats.wait(from(1), true);
        assert!(waits(&back));
        back.take();
        assert_eq!(
            (back.state.stage(), seats.stats().displaced),
            (SeatStage::Seated, 7)
        );
        assert!(back.is_over_limit(), "until the old connection is gone");
        drop(players);
        assert!(!back.is_over_limit());
        drop((strangers, back));
        let table = seats.lock();
        assert_eq!(
            (
                table.seated,
                table.waiting.len(),
                table.by_rate_limit_key.len()
            ),
            (0, 0, 0)
        );
    }

    #[test]
    fn forged_addresses_give_way_first_and_crowds_to_their_own() {
        let seats = Seats::new(6, 4);
        let honest = seats.wait(from(1), true);
        let forged: Vec<_> = (0..20).map(|_| seats.wait(from(1), false)).collect();
        assert!(waits(&honest) && forged.iter().filter(|seat| waits(seat)).count() == 3);
        let other = seats.wait(from(2), true);
        let crowd: Vec<_> = (0..20).map(|_| seats.wait(from(3), true)).collect();
        assert!(waits(&crowd[19]));
        assert!(waits(&other) || !waits(&honest), "of all the oldest goes");
        drop((honest, forged, other, crowd));
        assert!(seats.lock().by_rate_limit_key.is_empty());
    }
}
