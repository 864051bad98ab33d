//! Who is in session, live or parked, and the rules by which someone gets in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

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

/// How many genuine packets a session may send on datagrams.
pub(super) const PACKETS: Rate = Rate { per_second: SESSION_PACKETS.0, burst: SESSION_PACKETS.1 };

/// A session's present way to its client.
#[derive(Debug)]
pub struct Live {
    /// The way to it.
    pub addr: PeerAddr,
    /// Bytes that a payload to it may have.
    pub max_payload: usize,
    /// The standard's client index.
    pub index: u32,
    /// Silence after which the client counts as gone; `None` for never.
    pub timeout: Option<Duration>,
    /// Packets of the session that came and were taken.
    pub opened: u64,
    /// When it was heard last.
    pub heard_at: Timestamp,
    /// When something was sent to it last.
    pub sent_at: Timestamp,
}

impl Live {
    /// Contents of a keep-alive, where a server has so many sessions.
    pub(super) fn keep_alive(&self, sessions: u32) -> [u8; 8] {
        let mut contents = [0; 8];
        contents[..4].copy_from_slice(&self.index.to_le_bytes());
        contents[4..].copy_from_slice(&sessions.to_le_bytes());
        contents
    }
}

/// Someone's place.
#[derive(Debug)]
pub struct Session {
    /// Who.
    pub user: UserId,
    /// The room that the token was for.
    pub room: u16,
    /// What the client does there.
    pub role: Role,
    /// Whether it goes over connections that keep it secret.
    pub secured: bool,
    /// How often it was resumed or taken over.
    pub epoch: u32,
    /// When the token was issued that opened it or took it over, on the server's own time line.
    pub issued: Option<Timestamp>,
    /// The way to the client; `None` while the session is parked.
    pub live: Option<Live>,
    /// When a parked session ends.
    pub parked_until: Timestamp,
    /// How often it was resumed of late.
    pub resumes: TokenBucket,
    /// Genuine packets that came on datagrams, against `limits::SESSION_PACKETS`. It outlives
    /// resumptions and takeovers.
    pub packets: TokenBucket,
    /// The keys of the token that opened it, resumed it or took it over last. They stay while it is
    /// parked.
    pub keys: SessionKeys,
    /// Number of the response that it was opened or resumed with last: the same keys resume it
    /// again with a later one only.
    pub response: u64,
    /// Its epoch since a newer token took it over last: tickets of earlier ones are those of a
    /// client that was displaced.
    pub taken_over: Option<u32>,
    /// Its client was heard since it was opened or resumed.
    pub heard: bool,
}

impl Session {
    /// Whether its keys are those of an applicant's token.
    pub fn is_of(&self, applicant: &Applicant) -> bool {
        *self.keys.tag() == applicant.tag
    }

    /// Whether a newer token took it over after a ticket of this epoch was handed out.
    fn was_taken_over_since(&self, epoch: u32) -> bool {
        self.taken_over.is_some_and(|taken_over| (epoch.wrapping_sub(taken_over) as i32) < 0)
    }

    /// Something of its client's has come, by the way that it has.
    pub(super) fn note_heard(&mut self, now: Timestamp) {
        self.heard = true;
        if let Some(live) = &mut self.live {
            live.heard_at = live.heard_at.max(now);
            live.opened += 1;
        }
    }
}

/// What someone who may come in gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A new session.
    New,
    /// The session that a ticket names, as it was left.
    Resumed(ClientId),
    /// The session that this very ticket has resumed, whose client has not heard of it yet: it goes
    /// on from where it asks now.
    Moved(ClientId),
    /// A session of the same user, begun anew: what the old client held is not known.
    TakenOver(ClientId),
}

impl Place {
    /// The client whose session it is; none for a new one.
    pub fn client(self) -> Option<ClientId> {
        match self {
            Self::New => None,
            Self::Resumed(client) | Self::Moved(client) | Self::TakenOver(client) => Some(client),
        }
    }
}

/// A route as two numbers: it is compared several times for each datagram.
type AddrKey = (u128, u64);

fn addr_key(addr: PeerAddr) -> AddrKey {
    let port = u64::from(addr.address.port());
    match (addr.kind, addr.address) {
        (TransportKind::Quic, _) => (addr.connection.into(), 1 << 61),
        (TransportKind::Memory, _) => (addr.connection.into(), 1 << 60),
        (over, SocketAddr::V4(v4)) => (v4.ip().to_bits().into(), by(over) | port),
        (over, SocketAddr::V6(v6)) => {
            (v6.ip().to_bits(), 1 << 63 | by(over) | u64::from(v6.scope_id()) << 16 | port)
        }
    }
}

fn by(kind: TransportKind) -> u64 {
    if kind == TransportKind::Laminar { 1 << 62 } else { 0 }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Roster {
    sessions: ClientTable<Session>,
    by_addr: BTreeMap<AddrKey, ClientId>,
    by_user: BTreeMap<UserId, Vec<ClientId>>,
    /// Live sessions of each neighbourhood, by role.
    neighbours: BTreeMap<(RateLimitKey, Role), usize>,
    /// Sessions of spectators, parked ones included.
    spectators: usize,
    /// Clients whose sessions others of their users have taken over, until they were told. They
    /// have no place.
    departing: ClientTable<(Session, Timestamp)>,
    /// Which client indices are in use.
    indices: Vec<bool>,
    next_client: u32,
    first_epoch: u32,
}

impl Roster {
    /// Nobody yet; sessions begin with this epoch.
    pub fn new(first_epoch: u32) -> Self {
        Self { first_epoch, ..Self::default() }
    }

    /// Sessions, parked ones included.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions of a role, parked ones included.
    pub fn sessions_of(&self, role: Role) -> usize {
        match role {
            Role::Spectator => self.spectators,
            Role::Player => self.sessions.len() - self.spectators,
        }
    }

    /// Sessions that are not parked.
    pub fn live(&self) -> usize {
        self.by_addr.len()
    }

    /// Of these, the sessions of players.
    pub fn live_players(&self) -> usize {
        let plays = |session: &Session| session.live.is_some() && session.role == Role::Player;
        self.sessions.iter().filter(|(_, session)| plays(session)).count()
    }

    /// The client that a route leads to.
    pub fn at(&self, addr: impl Into<PeerAddr>) -> Option<ClientId> {
        self.by_addr.get(&addr_key(addr.into())).copied()
    }

    /// A client's session, or what is left of it while it departs.
    pub fn get(&self, client: ClientId) -> Option<&Session> {
        self.sessions.get(client).or_else(|| self.departing.get(client).map(|(session, _)| session))
    }

    /// A client's session, or what is left of it while it departs, to change it.
    pub fn get_mut(&mut self, client: ClientId) -> Option<&mut Session> {
        match self.departing.get_mut(client) {
            Some((session, _)) => Some(session),
            None => self.sessions.get_mut(client),
        }
    }

    /// All sessions by rising client number.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ClientId, &mut Session)> {
        self.sessions.iter_mut()
    }

    /// The place that an applicant may have, or why none.
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
        // Whoever has a place keeps it, wherever he comes from.
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
        let session =
            self.sessions.get(resumed.client).filter(|session| session.user == applicant.user);
        let session = session.ok_or(DropReason::StaleTicket)?;
        // Messages travel otherwise where there are frames: what was on its way could not go on.
        if session.secured != from.is_connection_oriented() {
            return Err(DropReason::OtherTransport);
        }
        let again = !session.heard && session.is_of(applicant);
        match session.live {
            _ if session.epoch == resumed.epoch => Ok(Place::Resumed(resumed.client)),
            Some(_) if again => Ok(Place::Moved(resumed.client)),
            // The way that it was resumed by is gone before anything came of it.
            None if again => Ok(Place::Resumed(resumed.client)),
            _ if session.was_taken_over_since(resumed.epoch) => Err(DropReason::Replaced),
            _ => Err(DropReason::StaleTicket),
        }
    }

    /// What a user has in another room or role is no affair of the token's. A parked session is
    /// always given back; a live one only to a newer token, where the rules say so.
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

    /// Live sessions of a role in a route's neighbourhood, but for one that leads there: it gives
    /// way.
    fn neighbours(&self, addr: PeerAddr, role: Role) -> usize {
        let all = self.neighbours.get(&(addr.address.ip().into(), role)).copied().unwrap_or(0);
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

    /// Gives a live session other keys and leaves its client, with the old ones, under another
    /// number until it was told why. `None` where there is no way to tell it.
    pub fn depart(
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

    /// Clients that have departed for so long that they were told.
    pub fn departed(&self, before: Timestamp) -> Vec<ClientId> {
        let late = self.departing.iter().filter(|(_, (_, since))| *since <= before);
        late.map(|(client, _)| client).collect()
    }

    /// The client that departs by a connection.
    pub fn departing_by(&self, addr: PeerAddr) -> Option<ClientId> {
        let is_by = |session: &Session| session.live.as_ref().is_some_and(|live| live.addr == addr);
        self.departing.iter().find(|(_, (session, _))| is_by(session)).map(|(client, _)| client)
    }

    /// Gives a session a way to its client, in place of the one that it had.
    pub fn connect(&mut self, client: ClientId, live: Live) {
        self.disconnect(client);
        let Some(session) = self.sessions.get_mut(client) else {
            return;
        };
        self.indices[live.index as usize] = true;
        *self.neighbours.entry((live.addr.address.ip().into(), session.role)).or_default() += 1;
        self.by_addr.insert(addr_key(live.addr), client);
        session.live = Some(live);
    }

    /// Takes a session's way to its client away.
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

    /// Ends a session.
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

    /// The smallest client index that is free.
    pub fn free_index(&mut self) -> u32 {
        let free = self.indices.iter().position(|used| !used);
        free.unwrap_or_else(|| {
            self.indices.push(false);
            self.indices.len() - 1
        }) as u32
    }
}
