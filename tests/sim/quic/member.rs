//! A bot over QUIC with its end and its links, and what it does in a step.

use std::net::SocketAddr;
use std::time::Duration;

use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::client::runtime::ClientEvent;
use truetick_netcode::client::state::ClientState;
use truetick_netcode::link_sim::LinkSim;
use truetick_netcode::session::UserId;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::TransportKind;

use super::end::QuicEnd;
use super::secrets;
use super::world::{QuicWorld, as_event};
use crate::messaging_game::{self, PatterCheck};
use crate::tokens::{SERVER, wall};

/// Delay before a player whose session ended joins again.
const REJOIN: Duration = Duration::from_millis(700);

/// One bot with its QUIC end and its links.
pub struct Member {
    /// The bot of the present life.
    pub bot: BotClient,
    pub(super) end: Option<QuicEnd>,
    pub(super) address: SocketAddr,
    pub(super) up: LinkSim,
    pub(super) down: LinkSim,
    pub(super) cut_until: Timestamp,
    pub(super) rejoin_at: Option<Timestamp>,
    pub(super) lives: u64,
    /// Messages received in this life: channel and tick, in order of arrival.
    pub(super) told: Vec<(usize, Tick)>,
    /// Check of the small messages received.
    pub patter: PatterCheck,
    pub(super) newest: Option<Tick>,
    pub(super) heard_at: Timestamp,
    /// Times from a tick's deadline until the client held a snapshot of it or of a later one.
    pub latencies: Vec<Duration>,
    /// Longest time between two snapshots since the last failure that cuts the client off.
    pub longest_gap: Duration,
}

impl QuicWorld {
    pub(super) fn client_end(&mut self, place: usize) -> Option<QuicEnd> {
        let seed = self.plan.seed.wrapping_mul(64) + place as u64;
        let config = secrets::endpoint(seed, &mut self.rng);
        let end = |base| QuicEnd::new(config, None, Some(secrets::client(seed)), base);
        (self.plan.kind == TransportKind::Quic).then(|| end(self.base))
    }

    fn bot(&mut self, place: usize, life: u64) -> BotClient {
        let user = UserId(place as u64 + 1);
        let token = self.tokens.issue(user, 0, wall(self.now));
        let seed = user.0 + (life << 32) + (self.plan.seed << 8);
        BotClient::new(self.kinds.clone(), token, seed, self.now).transport(self.plan.kind)
    }

    pub(super) fn member(&mut self, place: usize) -> Member {
        let seed = self.plan.seed.wrapping_mul(1_009) + place as u64 * 2;
        let link = |seed| LinkSim::new(self.plan.link, seed);
        let (up, down) = (link(seed), link(seed + 1));
        Member {
            bot: self.bot(place, 0),
            end: self.client_end(place),
            address: SocketAddr::from(([127, 0, 0, 2], 1_000 + place as u16)),
            up,
            down,
            cut_until: Timestamp::default(),
            rejoin_at: None,
            lives: 0,
            told: Vec::new(),
            patter: PatterCheck::default(),
            newest: None,
            heard_at: self.now,
            latencies: Vec::new(),
            longest_gap: Duration::ZERO,
        }
    }

    pub(super) fn arrive(&mut self, place: usize) {
        let (now, server) = (self.now, SocketAddr::from(SERVER));
        let member = &mut self.members[place];
        while let Some(bytes) = member.down.pop(now) {
            match &mut member.end {
                _ if now < member.cut_until => {}
                Some(end) => end.receive(server, &bytes, now),
                None => member.bot.receive(server, &bytes, now),
            }
        }
        if let Some(end) = &mut member.end {
            end.drive(now);
            while let Some((addr, came)) = end.poll() {
                member.bot.receive(addr, as_event(&came), now);
            }
        }
        self.note_messages(place);
        self.note_newest(place);
    }

    /// Records the messages that a client received.
    fn note_messages(&mut self, place: usize) {
        let member = &mut self.members[place];
        while let Some(event) = member.bot.poll_event() {
            let ClientEvent::Game(_, data) = event else {
                continue;
            };
            if let Some((each_tick, at)) = messaging_game::parse_patter(&data) {
                let wrong = member
                    .patter
                    .take(each_tick, at)
                    .map(|what| format!("client {place}: {what}"));
                self.wrong.extend(wrong);
                continue;
            }
            match messaging_game::parse(&data) {
                Some((channel, tick)) => {
                    self.figures.messages += 1;
                    member.told.push((channel, tick));
                }
                None => self.figures.bulk += data.len() as u64,
            }
        }
    }

    /// Records when a client received a newer tick than before.
    fn note_newest(&mut self, place: usize) {
        let (now, member) = (self.now, &mut self.members[place]);
        let newest = member.bot.runtime().buffer().newest();
        if newest != member.newest {
            let timeline = self.server.rooms()[0].timeline();
            let from = member.newest.map_or(newest, |tick| Some(tick + 1));
            if let (Some(from), Some(to)) = (from, newest) {
                let ticks = to.distance(from).clamp(0, 64) as u32;
                let latencies = (0..=ticks).map(|back| now.since(timeline.deadline(to.back(back))));
                member.latencies.extend(latencies);
            }
            member.longest_gap = member.longest_gap.max(now.since(member.heard_at));
            (member.newest, member.heard_at) = (newest, now);
        }
    }

    /// Opens a new session for a client whose session ended.
    pub(super) fn rejoin(&mut self, place: usize) {
        let member = &self.members[place];
        if !matches!(member.bot.runtime().state(), ClientState::Ended(_)) {
            return;
        }
        let at = *self.members[place]
            .rejoin_at
            .get_or_insert(self.now + REJOIN);
        if at > self.now {
            return;
        }
        self.look_at_messages(place);
        let life = self.members[place].lives + 1;
        let bot = self.bot(place, life);
        self.figures.rejoins += 1;
        self.figures.resumes += self.members[place].bot.runtime().stats().resumes;
        let member = &mut self.members[place];
        (member.bot, member.lives, member.rejoin_at, member.newest) = (bot, life, None, None);
        member.told.clear();
    }

    pub(super) fn advance(&mut self, place: usize) {
        let (now, member) = (self.now, &mut self.members[place]);
        if now >= member.bot.next_timeout() {
            member.bot.advance(now);
        }
        let mut out = Vec::new();
        while let Some((to, transmit)) = member.bot.poll_transmit() {
            match &mut member.end {
                Some(end) => end.send(to, transmit, now),
                None => out.push(transmit.into_bytes()),
            }
        }
        if let Some(end) = &mut member.end {
            out.extend(std::iter::from_fn(|| end.poll_transmit()).map(|(_, bytes)| bytes));
        }
        for bytes in out {
            self.note_sent(place as u64 * 2, bytes.len());
            let member = &mut self.members[place];
            if now >= member.cut_until {
                member.up.push(&bytes, now);
            }
        }
    }
}
