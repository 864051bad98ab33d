//! Who is in session, live or parked, and the rules by which someone gets in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::client_table::ClientTable;
use super::config::{Duplicates, SessionConfig};
use super::crypto::PacketKey;
use super::drops::DropReason;
use super::half_open::Applicant;
use super::history::TokenTag;
use super::rate::{Meter, Rate};
use super::replay::ReplayWindow;
use super::token::{Purpose, Resumed};
use super::{ClientId, Neighbourhood, Role, UserId};
use crate::limits::SESSION_PACKETS;
use crate::time::Timestamp;
use crate::transport::{Over, Route};

/// How many genuine packets a session may send on datagrams.
pub(super) const PACKETS: Rate = Rate { per_second: SESSION_PACKETS.0, burst: SESSION_PACKETS.1 };

/// A session's present way to its client.
#[derive(Debug)]
pub struct Live {
    /// The way to it.
    pub route: Route,
    /// Bytes that a payload to it may have.
    pub room: usize,
    /// The standard's client index.
    pub index: u32,
    /// Silence after which the client counts as gone; `None` for never.
    pub timeout: Option<Duration>,
    /// Opens what the client sends.
    pub opening: PacketKey,
    /// Seals what is sent to it.
    pub sealing: PacketKey,
    /// Number of the next packet to it.
    pub next: u64,
    /// Which of its packets came.
    pub replay: ReplayWindow,
    /// Packets of the session that came and were taken.
    pub opened: u64,
    /// When it was heard last.
    pub heard_at: Timestamp,
    /// When something was sent to it last.
    pub sent_at: Timestamp,
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
    pub resumes: Meter,
    /// Genuine packets that came on datagrams, against [`PACKETS`]. It outlives resumptions and takeovers.
    pub packets: Meter,
    /// The ticket that resumed it last.
    pub resumed_by: Option<TokenTag>,
    /// Its client was heard since it was opened or resumed.
    pub heard: bool,
}

impl Session {
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
    /// The session that this very ticket has resumed, whose client has not heard of it yet: it goes on from where it asks now.
    Moved(ClientId),
    /// A session of the same user, begun anew: what the old client held is not known.
    TakenOver(ClientId),
    /// A new session instead of one of the same user in another room, or another role.
    Instead(ClientId),
}

/// A route as two numbers: it is compared several times for each datagram.
type RouteKey = (u128, u64);

fn route_key(route: Route) -> RouteKey {
    let port = u64::from(route.address.port());
    match (route.over, route.address) {
        (Over::Quic, _) => (route.connection.into(), 1 << 61),
        (Over::Memory, _) => (route.connection.into(), 1 << 60),
        (over, SocketAddr::V4(v4)) => (v4.ip().to_bits().into(), by(over) | port),
        (over, SocketAddr::V6(v6)) => {
            (v6.ip().to_bits(), 1 << 63 | by(over) | u64::from(v6.scope_id()) << 16 | port)
        }
    }
}

fn by(over: Over) -> u64 {
    if over == Over::Laminar { 1 << 62 } else { 0 }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Roster {
    sessions: ClientTable<Session>,
    by_route: BTreeMap<RouteKey, ClientId>,
    by_user: BTreeMap<UserId, Vec<ClientId>>,
    /// Live sessions of each neighbourhood.
    neighbours: BTreeMap<Neighbourhood, usize>,
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

    /// Sessions that are not parked.
    pub fn live(&self) -> usize {
        self.by_route.len()
    }

    /// Of these, the sessions of players.
    pub fn live_players(&self) -> usize {
        let plays = |session: &Session| session.live.is_some() && session.role == Role::Player;
        self.sessions.iter().filter(|(_, session)| plays(session)).count()
    }

    /// The client that a route leads to.
    pub fn at(&self, route: impl Into<Route>) -> Option<ClientId> {
        self.by_route.get(&route_key(route.into())).copied()
    }

    /// A client's session.
    pub fn get(&self, client: ClientId) -> Option<&Session> {
        self.sessions.get(client)
    }

    /// A client's session, to change it.
    pub fn get_mut(&mut self, client: ClientId) -> Option<&mut Session> {
        self.sessions.get_mut(client)
    }

    /// All sessions by rising client number.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ClientId, &mut Session)> {
        self.sessions.iter_mut()
    }

    /// The place that an applicant may have, or why none.
    pub fn place(
        &self,
        applicant: &Applicant,
        from: Route,
        config: &SessionConfig,
        draining: bool,
    ) -> Result<Place, DropReason> {
        let place = match applicant.purpose.resume {
            Some(resumed) => self.resumed(resumed, applicant, from)?,
            None if draining => return Err(DropReason::Draining),
            None => self.joined(applicant, config)?,
        };
        let replaced = match place {
            Place::New => None,
            Place::Resumed(client) | Place::Moved(client) => Some(client),
            Place::TakenOver(client) | Place::Instead(client) => Some(client),
        };
        if self.at(from).is_some_and(|present| Some(present) != replaced) {
            return Err(DropReason::AddressPresent);
        }
        if place == Place::New && self.sessions.len() >= config.sessions {
            return Err(DropReason::Full);
        }
        // Whoever has a place keeps it, wherever he comes from.
        if place == Place::New && self.neighbours(from) >= config.per_address {
            return Err(DropReason::AddressLimit);
        }
        Ok(place)
    }

    fn resumed(&self, resumed: Resumed, applicant: &Applicant, from: Route) -> Result<Place, DropReason> {
        let session = self.sessions.get(resumed.client).filter(|session| session.user == applicant.user);
        let session = session.ok_or(DropReason::StaleTicket)?;
        // Messages travel otherwise where there are frames: what was on its way could not go on.
        if session.secured != from.is_secured() {
            return Err(DropReason::OtherTransport);
        }
        let again = !session.heard && session.resumed_by == Some(applicant.tag);
        match session.live {
            _ if session.epoch == resumed.epoch => Ok(Place::Resumed(resumed.client)),
            Some(_) if again => Ok(Place::Moved(resumed.client)),
            // The way that it was resumed by is gone before anything came of it.
            None if again => Ok(Place::Resumed(resumed.client)),
            _ => Err(DropReason::StaleTicket),
        }
    }

    /// A parked session of the user is always given back; a live one only to a newer token, where the rules say so.
    fn joined(&self, applicant: &Applicant, config: &SessionConfig) -> Result<Place, DropReason> {
        let clients = || self.by_user.get(&applicant.user).into_iter().flatten();
        let own = || clients().filter_map(|client| Some((*client, self.sessions.get(*client)?)));
        let purpose = &applicant.purpose;
        let is_here = |session: &Session| (session.room, session.role) == (purpose.room, purpose.role);
        let take = |(client, session): (ClientId, &Session)| match is_here(session) {
            true => Place::TakenOver(client),
            false => Place::Instead(client),
        };
        let parked = || own().filter(|(_, session)| session.live.is_none());
        let parked = parked().find(|(_, session)| is_here(session)).or_else(|| parked().next());
        let may_have_another = own().count() < config.per_user;
        match parked {
            Some(first) if !may_have_another || is_here(first.1) => return Ok(take(first)),
            _ if may_have_another => return Ok(Place::New),
            _ => {}
        }
        let oldest = own().min_by_key(|(_, session)| session.issued);
        let newer = |session: &Session| applicant.issued > session.issued;
        match oldest.filter(|(_, session)| config.duplicates == Duplicates::TakeOver && newer(session)) {
            Some(oldest) => Ok(take(oldest)),
            None => Err(DropReason::UserPresent),
        }
    }

    /// Live sessions of a route's neighbourhood.
    fn neighbours(&self, route: Route) -> usize {
        self.neighbours.get(&route.address.ip().into()).copied().unwrap_or(0)
    }

    /// Opens a session for a new client.
    pub fn open(&mut self, applicant: &Applicant, secured: bool) -> ClientId {
        self.next_client += 1;
        let client = ClientId(self.next_client);
        let (user, issued) = (applicant.user, applicant.issued);
        let Purpose { room, role, .. } = applicant.purpose;
        let parked_until = Timestamp::default();
        let epoch = self.first_epoch;
        let (resumes, packets, resumed_by) = (Meter::default(), Meter::default(), None);
        self.sessions.insert(
            client,
            Session {
                user,
                room,
                role,
                secured,
                epoch,
                issued,
                live: None,
                parked_until,
                resumes,
                packets,
                resumed_by,
                heard: false,
            },
        );
        self.by_user.entry(user).or_default().push(client);
        client
    }

    /// Gives a session a way to its client, in place of the one that it had.
    pub fn connect(&mut self, client: ClientId, live: Live) {
        self.disconnect(client);
        let Some(session) = self.sessions.get_mut(client) else { return };
        self.indices[live.index as usize] = true;
        *self.neighbours.entry(live.route.address.ip().into()).or_default() += 1;
        self.by_route.insert(route_key(live.route), client);
        session.live = Some(live);
    }

    /// Takes a session's way to its client away.
    pub fn disconnect(&mut self, client: ClientId) -> Option<Live> {
        let live = self.sessions.get_mut(client)?.live.take()?;
        self.by_route.remove(&route_key(live.route));
        self.indices[live.index as usize] = false;
        let neighbourhood = Neighbourhood::from(live.route.address.ip());
        if let Some(count) = self.neighbours.get_mut(&neighbourhood) {
            *count -= 1;
            if *count == 0 {
                self.neighbours.remove(&neighbourhood);
            }
        }
        Some(live)
    }

    /// Ends a session.
    pub fn remove(&mut self, client: ClientId) -> Option<Live> {
        let live = self.disconnect(client);
        if let Some(session) = self.sessions.remove(client)
            && let Some(own) = self.by_user.get_mut(&session.user)
        {
            own.retain(|other| *other != client);
            if own.is_empty() {
                self.by_user.remove(&session.user);
            }
        }
        live
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
