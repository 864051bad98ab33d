//! The sessions of a server, live or parked, and the rules of admission.

mod session;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::client_table::ClientTable;
use super::config::{Duplicates, SessionConfig};
use super::drops::DropReason;
use super::half_open::Applicant;
use super::keys::SessionKeys;
use super::rate::{Rate, TokenBucket};
use super::token::{Purpose, Resumed};
use super::{ClientId, RateLimitKey, Role, UserId};
use crate::limits::{DEPARTING, SESSION_PACKETS};
use crate::time::Timestamp;
use crate::transport::{PeerAddr, TransportKind};

pub use session::{Live, Place, Session};

/// Rate limit of a session's genuine packets on datagrams.
pub(super) const PACKETS: Rate = Rate {
    per_second: SESSION_PACKETS.0,
    burst: SESSION_PACKETS.1,
};

/// An address as two numbers, because it is compared several times per datagram.
type AddrKey = (u128, u64);

fn addr_key(addr: PeerAddr) -> AddrKey {
    let port = u64::from(addr.address.port());
    match (addr.kind, addr.address) {
        (TransportKind::Quic, _) => (addr.connection.into(), 1 << 61),
        (TransportKind::Memory, _) => (addr.connection.into(), 1 << 60),
        (over, SocketAddr::V4(v4)) => (v4.ip().to_bits().into(), by(over) | port),
        (over, SocketAddr::V6(v6)) => (
            v6.ip().to_bits(),
            1 << 63 | by(over) | u64::from(v6.scope_id()) << 16 | port,
        ),
    }
}

fn by(kind: TransportKind) -> u64 {
    if kind == TransportKind::Laminar {
        1 << 62
    } else {
        0
    }
}

/// All sessions of a server, by client, address and user.
#[derive(Debug, Default)]
pub struct Roster {
    sessions: ClientTable<Session>,
    by_addr: BTreeMap<AddrKey, ClientId>,
    by_user: BTreeMap<UserId, Vec<ClientId>>,
    /// Live sessions of each rate-limit key and role.
    neighbours: BTreeMap<(RateLimitKey, Role), usize>,
    /// Sessions of spectators, parked ones included.
    spectators: usize,
    /// Clients whose sessions other clients of their users have taken over, until they are
    /// notified. They have no place.
    departing: ClientTable<(Session, Timestamp)>,
    /// Which client indices are in use.
    indices: Vec<bool>,
    next_client: u32,
    first_epoch: u32,
}

impl Roster {
    /// Creates an empty roster whose sessions begin with epoch `first_epoch`.
    pub fn new(first_epoch: u32) -> Self {
        Self {
            first_epoch,
            ..Self::default()
        }
    }

    /// Returns the number of sessions, parked ones included.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Returns the number of sessions of a role, parked ones included.
    pub fn sessions_of(&self, role: Role) -> usize {
        match role {
            Role::Spectator => self.spectators,
            Role::Player => self.sessions.len() - self.spectators,
        }
    }

    /// Returns the number of sessions that are not parked.
    pub fn live(&self) -> usize {
        self.by_addr.len()
    }

    /// Returns the number of players' sessions that are not parked.
    pub fn live_players(&self) -> usize {
        let plays = |session: &Session| session.live.is_some() && session.role == Role::Player;
        self.sessions
            .iter()
            .filter(|(_, session)| plays(session))
            .count()
    }

    /// Returns the client at an address.
    pub fn at(&self, addr: impl Into<PeerAddr>) -> Option<ClientId> {
        self.by_addr.get(&addr_key(addr.into())).copied()
    }

    /// Returns a client's session, live, parked or departing.
    pub fn get(&self, client: ClientId) -> Option<&Session> {
        self.sessions
            .get(client)
            .or_else(|| self.departing.get(client).map(|(session, _)| session))
    }

    /// Returns a client's session, live, parked or departing, for modification.
    pub fn get_mut(&mut self, client: ClientId) -> Option<&mut Session> {
        match self.departing.get_mut(client) {
            Some((session, _)) => Some(session),
            None => self.sessions.get_mut(client),
        }
    }

    /// Iterates over all sessions by rising client number, departing ones excluded.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ClientId, &mut Session)> {
        self.sessions.iter_mut()
    }

    /// Returns the place that an applicant may have.
    ///
    /// # Errors
    /// The reason if the applicant is not admitted.
    pub fn place(
        &self,
        applicant: &Applicant,
        from: PeerAddr,
        config: &SessionConfig,
        draining: bool,
    ) -> Result<Place, DropReason> {
        let role = applicant.purpose.role;
        let place = match applicant.purpose.resume {
            Some(resumed) => self.resumed(resumed, applicant, from)?,
            None if draining => return Err(DropReason::Draining),
            None => self.joined(applicant, config)?,
        };
        if place == Place::New && self.sessions_of(role) >= config.places(role) {
            return Err(DropReason::Full);
        }
        // The per-address limit applies to new sessions only.
        if place == Place::New && self.neighbours(from, role) >= config.per_address {
            return Err(DropReason::AddressLimit);
        }
        Ok(place)
    }

    fn resumed(
        &self,
        resumed: Resumed,
        applicant: &Applicant,
        from: PeerAddr,
    ) -> Result<Place, DropReason> {
        let session = self
            .sessions
            .get(resumed.client)
            .filter(|session| session.user == applicant.user);
        let session = session.ok_or(DropReason::StaleTicket)?;
        // Messages travel differently on connections with frames, so those in flight could not
        // continue.
        if session.secured != from.is_connection_oriented() {
            return Err(DropReason::OtherTransport);
        }
        let again = !session.heard && session.is_of(applicant);
        match session.live {
            _ if session.epoch == resumed.epoch => Ok(Place::Resumed(resumed.client)),
            Some(_) if again => Ok(Place::Moved(resumed.client)),
            // The connection by which the session was resumed ended before a packet of the client
            // arrived.
            None if again => Ok(Place::Resumed(resumed.client)),
            _ if session.was_taken_over_since(resumed.epoch) => Err(DropReason::Replaced),
            _ => Err(DropReason::StaleTicket),
        }
    }

    /// Returns the place of a joining token. Sessions of the user in another room or role do not
    /// matter. A parked session is always given to the token; a live one only to a newer token, if
    /// the configuration allows it.
    fn joined(&self, applicant: &Applicant, config: &SessionConfig) -> Result<Place, DropReason> {
        let purpose = &applicant.purpose;
        let is_here =
            |session: &Session| (session.room, session.role) == (purpose.room, purpose.role);
        let clients = || self.by_user.get(&applicant.user).into_iter().flatten();
        let own = || clients().filter_map(|client| Some((*client, self.sessions.get(*client)?)));
        let here = || own().filter(|(_, session)| is_here(session));
        if let Some((parked, _)) = here().find(|(_, session)| session.live.is_none()) {
            return Ok(Place::TakenOver(parked));
        }
        if here().count() < config.per_user {
            return Ok(Place::New);
        }
        let oldest = here().min_by_key(|(_, session)| session.issued);
        let newer = |session: &Session| applicant.issued > session.issued;
        match oldest
            .filter(|(_, session)| config.duplicates == Duplicates::TakeOver && newer(session))
        {
            Some((oldest, _)) => Ok(Place::TakenOver(oldest)),
            None => Err(DropReason::UserPresent),
        }
    }

    /// Returns the number of a role's live sessions with the rate-limit key of `addr`, without the
    /// one at `addr` itself, which would give way.
    fn neighbours(&self, addr: PeerAddr, role: Role) -> usize {
        let all = self
            .neighbours
            .get(&(addr.address.ip().into(), role))
            .copied()
            .unwrap_or(0);
        let gives_way = self.at(addr).and_then(|present| self.get(present));
        all - usize::from(gives_way.is_some_and(|session| session.role == role))
    }

    /// Opens a session for a new client.
    pub fn open(&mut self, applicant: &Applicant, secured: bool, keys: SessionKeys) -> ClientId {
        self.next_client += 1;
        let client = ClientId(self.next_client);
        let (user, issued) = (applicant.user, applicant.issued);
        let Purpose { room, role, .. } = applicant.purpose;
        let session = Session {
            user,
            room,
            role,
            secured,
            epoch: self.first_epoch,
            issued,
            live: None,
            parked_until: Timestamp::default(),
            resumes: TokenBucket::default(),
            packets: TokenBucket::default(),
            keys,
            response: 0,
            taken_over: None,
            heard: false,
        };
        self.sessions.insert(client, session);
        self.spectators += usize::from(role == Role::Spectator);
        self.by_user.entry(user).or_default().push(client);
        client
    }

    /// Replaces the keys of a live session. Its previous client keeps the old ones, under another
    /// number, until it is notified why. Returns that number, or `None` if the client cannot be
    /// notified.
    pub(crate) fn depart(
        &mut self,
        client: ClientId,
        keys: SessionKeys,
        now: Timestamp,
    ) -> Option<ClientId> {
        let live = self.disconnect(client);
        let session = self.sessions.get_mut(client)?;
        let old = std::mem::replace(&mut session.keys, keys);
        let live = live.filter(|_| self.departing.len() < DEPARTING)?;
        self.indices[live.index as usize] = true;
        self.next_client += 1;
        let departing = ClientId(self.next_client);
        let (user, room, role) = (session.user, session.room, session.role);
        let (secured, epoch, issued) = (session.secured, session.epoch, session.issued);
        let session = Session {
            user,
            room,
            role,
            secured,
            epoch,
            issued,
            live: Some(live),
            parked_until: now,
            resumes: TokenBucket::default(),
            packets: TokenBucket::default(),
            keys: old,
            response: 0,
            taken_over: None,
            heard: true,
        };
        self.departing.insert(departing, (session, now));
        Some(departing)
    }

    /// Returns the clients that departed at or before `before`.
    pub fn departed(&self, before: Timestamp) -> Vec<ClientId> {
        let late = self
            .departing
            .iter()
            .filter(|(_, (_, since))| *since <= before);
        late.map(|(client, _)| client).collect()
    }

    /// Returns the departing client at an address.
    pub(crate) fn departing_by(&self, addr: PeerAddr) -> Option<ClientId> {
        let is_by = |session: &Session| session.live.as_ref().is_some_and(|live| live.addr == addr);
        self.departing
            .iter()
            .find(|(_, (session, _))| is_by(session))
            .map(|(client, _)| client)
    }

    /// Connects a session to its client at `live.addr`, in place of its previous connection.
    pub fn connect(&mut self, client: ClientId, live: Live) {
        self.disconnect(client);
        let Some(session) = self.sessions.get_mut(client) else {
            return;
        };
        self.indices[live.index as usize] = true;
        *self
            .neighbours
            .entry((live.addr.address.ip().into(), session.role))
            .or_default() += 1;
        self.by_addr.insert(addr_key(live.addr), client);
        session.live = Some(live);
    }

    /// Disconnects a session from its client and returns the connection.
    pub fn disconnect(&mut self, client: ClientId) -> Option<Live> {
        let session = self.sessions.get_mut(client)?;
        let live = session.live.take()?;
        self.by_addr.remove(&addr_key(live.addr));
        self.indices[live.index as usize] = false;
        let neighbours = (RateLimitKey::from(live.addr.address.ip()), session.role);
        if let Some(count) = self.neighbours.get_mut(&neighbours) {
            *count -= 1;
            if *count == 0 {
                self.neighbours.remove(&neighbours);
            }
        }
        Some(live)
    }

    /// Ends a session and returns its connection and keys.
    pub fn remove(&mut self, client: ClientId) -> Option<(Option<Live>, SessionKeys)> {
        if let Some((session, _)) = self.departing.remove(client) {
            if let Some(live) = &session.live {
                self.indices[live.index as usize] = false;
            }
            return Some((session.live, session.keys));
        }
        let live = self.disconnect(client);
        let session = self.sessions.remove(client)?;
        self.spectators -= usize::from(session.role == Role::Spectator);
        if let Some(own) = self.by_user.get_mut(&session.user) {
            own.retain(|other| *other != client);
            if own.is_empty() {
                self.by_user.remove(&session.user);
            }
        }
        Some((live, session.keys))
    }

    /// Returns the smallest free client index.
    pub(crate) fn free_index(&mut self) -> u32 {
        let free = self.indices.iter().position(|used| !used);
        free.unwrap_or_else(|| {
            self.indices.push(false);
            self.indices.len() - 1
        }) as u32
    }
}
