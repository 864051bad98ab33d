//! How someone gets in: request, challenge, response. What is refused before its token proves genuine hears nothing; the
//! order of the checks is the standard's.

use std::time::Duration;

use super::ClientId;
use super::config::SessionConfig;
use super::crypto::{Key, PacketKey};
use super::drops::DropReason;
use super::half_open::Applicant;
use super::packet::{self, Header, Kind, Request};
use super::rate::Rate;
use super::replay::ReplayWindow;
use super::roster::{Live, Place};
use super::secured;
use super::server::{Change, SessionServer};
use super::token::{OpenError, PrivateToken, Purpose, UserData, token_tag};
use crate::limits::{
    CLOCK_DIFFERENCE, DISCONNECT_PACKETS, HALF_OPEN_TIME, PAYLOAD_BYTES, REPLIES, RESUMES, TICKET_LIFETIME,
    TOKENS_OPENED,
};
use crate::time::{Timestamp, UnixTime};
use crate::transport::{Parcel, Route};

/// Numbers of packets outside of sessions have the highest bit, so that none meets a session's own.
const OUTSIDE: u64 = 1 << 63;

/// By so much two times in whole milliseconds may be off against each other.
const ROUNDING: Duration = Duration::from_millis(2);

impl SessionServer {
    pub(super) fn take_request(
        &mut self,
        from: Route,
        request: Request<'_>,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let (applicant, user_data) = self.check_token(&request, now)?;
        let tag = applicant.tag;
        self.check_address(&applicant, from)?;
        if let Err(reason) = self.may_come_in(&applicant, from, self.unix(now)) {
            self.deny(from, &applicant.server_key);
            return Err(reason);
        }
        let (user, key) = (applicant.user, applicant.server_key.clone());
        if self.half_open.at(from).is_none_or(|attempt| attempt.applicant.tag != tag) {
            // Those who come back have a place already: many behind one address may lose their sessions at once.
            let joins = applicant.purpose.resume.is_none();
            if joins && !self.joins.allows(from.address.ip().into(), self.config.joins, now) {
                return Err(DropReason::RateLimited);
            }
            let time = timeout(applicant.timeout_s).unwrap_or(HALF_OPEN_TIME).min(HALF_OPEN_TIME);
            self.half_open.insert(from, applicant, now + time);
        }
        let challenge = self.challenges.make(from.address, user, &user_data);
        self.reply(from, &key, Kind::Challenge, &challenge);
        Ok(())
    }

    /// Opens a token and looks whether it can be used at all.
    pub(super) fn check_token(
        &mut self,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<(Applicant, UserData), DropReason> {
        let (unix, tag) = (self.unix(now), token_tag(request.sealed));
        if request.protocol != self.config.protocol {
            return Err(DropReason::OtherProtocol);
        }
        if request.expires <= unix.as_secs() || self.history.may_have_forgotten(request.expires) {
            return Err(DropReason::Expired);
        }
        if self.history.has(&tag) {
            return Err(DropReason::Consumed);
        }
        let (per_second, burst) = TOKENS_OPENED;
        if !self.opens.allows(Rate { per_second, burst }, now) {
            return Err(DropReason::RateLimited);
        }
        let opened = self.open_token(request, now)?;
        self.check_age(&opened.0, now)?;
        Ok(opened)
    }

    fn open_token(&self, request: &Request<'_>, now: Timestamp) -> Result<(Applicant, UserData), DropReason> {
        let SessionConfig { protocol, key, .. } = &self.config;
        let opened = PrivateToken::open(request.sealed, key, *protocol, request.expires, request.nonce);
        let private = opened.map_err(|error| match error {
            OpenError::Forged => DropReason::ForgedToken,
            OpenError::Malformed => DropReason::MalformedToken,
        })?;
        let purpose = Purpose::read(&private.user_data).ok_or(DropReason::MalformedToken)?;
        if !private.servers.iter().any(|server| self.config.servers.contains(*server)) {
            return Err(DropReason::OtherServer);
        }
        let applicant = Applicant {
            tag: token_tag(request.sealed),
            expires: request.expires,
            issued: purpose.issued.map(|issued| self.on_our_line(issued, now)),
            user: private.user,
            purpose,
            timeout_s: private.timeout_s,
            client_key: private.client_key,
            server_key: private.server_key,
        };
        Ok((applicant, private.user_data))
    }

    /// When something happened that the wall showed as `at`.
    fn on_our_line(&self, at: UnixTime, now: Timestamp) -> Timestamp {
        let age = self.unix(now).as_millis().saturating_sub(at.as_millis());
        now - Duration::from_millis(age)
    }

    /// A token belongs to the address that used it first. A ticket does not: its client comes from another address just
    /// because its own has changed, and may do so again; whoever proves an address first gets the session.
    fn check_address(&self, applicant: &Applicant, from: Route) -> Result<(), DropReason> {
        let first = self.half_open.route_of(&applicant.tag);
        if first.is_some_and(|first| first != from) { Err(DropReason::SecondAddress) } else { Ok(()) }
    }

    /// A token must not live too long, or its history could not be kept. One that does not say when it was issued is
    /// measured by the wall.
    fn check_age(&self, applicant: &Applicant, now: Timestamp) -> Result<(), DropReason> {
        let resumes = applicant.purpose.resume.is_some();
        let longest = if resumes { TICKET_LIFETIME } else { self.config.token_lifetime };
        let latest = match applicant.purpose.issued {
            // One that is not issued yet could be from before a restart, the wall having been set back. A ticket could not:
            // each start has epochs of its own.
            Some(issued) if !resumes && issued > self.unix(now + CLOCK_DIFFERENCE) => 0,
            Some(issued) => issued.as_secs() + longest.as_secs(),
            None => self.unix(now).as_secs() + (longest + CLOCK_DIFFERENCE).as_secs(),
        };
        if applicant.expires <= latest { Ok(()) } else { Err(DropReason::Expired) }
    }

    /// The rules, asked when a request comes and again when the address is proved.
    fn may_come_in(&self, applicant: &Applicant, from: Route, unix: UnixTime) -> Result<Place, DropReason> {
        // A token from before the start may have been consumed by the server that was here then.
        let fresh = match applicant.issued {
            Some(issued) => issued + ROUNDING >= self.started,
            None => {
                let first = self.unix(self.started + self.config.token_lifetime);
                applicant.expires.saturating_mul(1_000) >= first.as_millis()
            }
        };
        // Tickets need no such check: each start has epochs of its own.
        if !fresh && applicant.purpose.resume.is_none() {
            return Err(DropReason::BeforeStart);
        }
        if applicant.purpose.resume.is_none() && !self.history.has_room(unix.as_secs()) {
            return Err(DropReason::HistoryFull);
        }
        self.roster.place(applicant, from, &self.config, self.draining)
    }

    /// Who holds a genuine token is told that it is refused; others hear nothing.
    fn deny(&mut self, to: Route, key: &Key) {
        // A late copy of a request must not disturb the session that it has led to.
        if self.roster.at(to).is_none() && !to.is_secured() {
            self.reply(to, key, Kind::Denied, &[]);
        }
    }

    /// Answers outside of a session.
    fn reply(&mut self, to: Route, key: &Key, kind: Kind, contents: &[u8]) {
        if self.replies.len() < REPLIES {
            let mut packet = Vec::new();
            let number = OUTSIDE | self.replied;
            self.replied += 1;
            packet::seal((kind, number), self.config.protocol, &PacketKey::new(key), contents, &mut packet);
            self.answer(to, Parcel::Datagram(packet));
        }
    }

    pub(super) fn take_response(
        &mut self,
        from: Route,
        header: Header,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let Some(attempt) = self.half_open.at(from) else {
            let present = self.roster.at(from).is_some();
            return Err(if present { DropReason::AddressPresent } else { DropReason::Stranger });
        };
        let key = PacketKey::new(&attempt.applicant.client_key);
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        let contents = packet::open(header, self.config.protocol, &key, &mut self.scratch)?;
        packet::check_size(Kind::Response, contents)?;
        let (user, user_data) =
            self.challenges.open(from.address, contents).ok_or(DropReason::ForeignChallenge)?;
        // The purpose holds when the token was issued, and for which session: it is as good as the token itself.
        let purpose = Purpose::read(&user_data);
        if user != attempt.applicant.user || purpose != Some(attempt.applicant.purpose) {
            return Err(DropReason::ForeignChallenge);
        }
        let Some(attempt) = self.half_open.remove(from) else { return Err(DropReason::Stranger) };
        self.let_in(attempt.applicant, user_data, (from, PAYLOAD_BYTES), key, now)
    }

    pub(super) fn let_in(
        &mut self,
        applicant: Applicant,
        user_data: UserData,
        (from, room): (Route, usize),
        opening: PacketKey,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let client = match self.grant(&applicant, from, now)? {
            Place::Moved(client) => return self.move_on(client, (from, room), now),
            Place::Resumed(client) => self.give_back(client, &applicant, from, false),
            Place::TakenOver(client) => self.give_back(client, &applicant, from, true),
            Place::New => self.open(&applicant, from, user_data),
            Place::Instead(old) => {
                self.say_farewell(old);
                self.roster.remove(old);
                self.changes.push_back(Change::Replaced(old));
                self.open(&applicant, from, user_data)
            }
        };
        // First, so that its client index is free again.
        if let Some(old) = self.roster.disconnect(client) {
            self.hang_up(old.route);
        }
        let live = Live {
            route: from,
            room,
            index: self.roster.free_index(),
            timeout: timeout(applicant.timeout_s),
            opening,
            sealing: PacketKey::new(&applicant.server_key),
            next: 0,
            replay: ReplayWindow::default(),
            opened: 0,
            heard_at: now,
            sent_at: now,
        };
        self.roster.connect(client, live);
        self.welcome(client, now);
        Ok(())
    }

    /// Tells a client that its session is open.
    fn welcome(&mut self, client: ClientId, now: Timestamp) {
        let most = self.config.sessions as u32;
        match self.roster.get(client).and_then(|session| session.live.as_ref()) {
            Some(live) if live.route.is_secured() => {
                self.answer(live.route, Parcel::Frame(secured::write_accepted(live.index, most)));
            }
            _ => self.keep_alive(client, now),
        }
    }

    /// The place of an applicant whose address is proved. It spends the token; one that is refused is not spent.
    fn grant(&mut self, applicant: &Applicant, from: Route, now: Timestamp) -> Result<Place, DropReason> {
        let unix = self.unix(now);
        let place = self.may_come_in(applicant, from, unix);
        let place = place.inspect_err(|_| self.deny(from, &applicant.server_key))?;
        if let Place::Resumed(client) = place {
            let (per_second, burst) = RESUMES;
            let session = self.roster.get_mut(client);
            if session.is_some_and(|session| !session.resumes.allows(Rate { per_second, burst }, now)) {
                return Err(DropReason::RateLimited);
            }
        }
        // A ticket serves once because the session's epoch rises.
        let remembered = applicant.purpose.resume.is_some()
            || self.history.consume(applicant.tag, applicant.expires, unix.as_secs());
        if !remembered {
            self.deny(from, &applicant.server_key);
            return Err(DropReason::HistoryFull);
        }
        Ok(place)
    }

    fn open(&mut self, applicant: &Applicant, route: Route, user_data: UserData) -> ClientId {
        let client = self.roster.open(applicant, route.is_secured());
        let (user, purpose, user_data) = (applicant.user, applicant.purpose, Box::new(user_data));
        self.changes.push_back(Change::Opened { client, user, route, purpose, user_data });
        client
    }

    /// A session goes on under new keys: with its own client, or anew with another of the same user.
    fn give_back(&mut self, client: ClientId, applicant: &Applicant, route: Route, anew: bool) -> ClientId {
        if anew {
            self.say_farewell(client);
        }
        if let Some(session) = self.roster.get_mut(client) {
            session.epoch = session.epoch.wrapping_add(1);
            session.resumed_by = applicant.purpose.resume.map(|_| applicant.tag);
            session.issued = if anew { applicant.issued } else { session.issued };
            session.heard = false;
            session.secured = route.is_secured();
        }
        self.changes.push_back(Change::Resumed { client, route, anew });
        client
    }

    /// A session that was resumed goes on at another address under the same keys, whose numbers go on.
    fn move_on(
        &mut self,
        client: ClientId,
        (route, room): (Route, usize),
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let live = self.roster.disconnect(client).ok_or(DropReason::StaleTicket)?;
        self.hang_up(live.route);
        self.roster.connect(client, Live { route, room, heard_at: now, ..live });
        self.changes.push_back(Change::Resumed { client, route, anew: false });
        self.welcome(client, now);
        Ok(())
    }

    /// Whoever held a session that goes to another is told that it is over.
    fn say_farewell(&mut self, client: ClientId) {
        let Some(live) = self.roster.get_mut(client).and_then(|session| session.live.as_mut()) else {
            return;
        };
        let (route, protocol) = (live.route, self.config.protocol);
        let copies = if route.is_secured() { 0 } else { DISCONNECT_PACKETS };
        let farewells: Vec<_> = (0..copies).map(|_| live.pack(Kind::Disconnect, protocol, &[])).collect();
        farewells.into_iter().for_each(|farewell| self.answer(route, farewell));
        self.hang_up(route);
    }
}

/// A token's time-out: never where it is not positive.
fn timeout(seconds: i32) -> Option<Duration> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}
