//! Invariants, checked after each tick of the server and at each packet and message.
//!
//! | checker | holds that |
//! |---|---|
//! | [`lateness`] | of several ticks that are due at once one is sent; a client that sends in time is no flood, however late the server reads |
//! | [`identity`] | an id is never used again while it lives, nor after; kind and owner stay; client numbers rise |
//! | [`budget`] | a path's budget stays within its limits, a tick's state within the budget; nothing that is due is left out for long |
//! | [`copies`] | a client's copy of an entity is what the server had at that tick, was in its sight, and holds nothing hidden; every baseline that the server builds on is held |
//! | [`display`] | the time shown never goes back, never leaps, and does not stand still while packets flow |
//! | [`input`] | no honest command is refused; input is not dead for longer than the path explains |
//! | [`delivery`] | reliable messages come exactly once (in order where promised), unreliable ones at most once |
//! | [`estimator`] | while nothing disturbs anyone, the world becomes what each client foresaw |
//! | [`numbers`] | no packet is sealed under a number that its key has used before, on either side |
//! | [`repeats`] | no packet is taken twice |
//! | [`sessions`] | each session is its user's; who falls silent keeps what he owns for the grace |
//! | [`sizes`] | windows, queues and rings stay within their limits |
//!
//! Here: a prediction is wrong only by counted causes, no decoded state differs from the server's,
//! no honest client is taken for a liar.

pub mod budget;
pub mod copies;
pub mod delivery;
pub mod display;
pub mod estimator;
pub mod identity;
pub mod input;
pub mod lateness;
pub mod numbers;
pub mod repeats;
pub mod sessions;
pub mod sizes;

use std::collections::BTreeSet;

use truetick_netcode::client::prediction::Cause;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::connection::Connection;
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::schema::Schema;
use truetick_netcode::session::ClientId;
use truetick_netcode::session::server::Resume;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::server::Server;
use truetick_server::session_event::SessionEvent;

use crate::client_process::ClientProcess;
use crate::mark::Marks;
use crate::network::{Network, Way};
use crate::plan::SimConfig;
use crate::server_process::world_of;

use budget::BudgetCheck;
use copies::CopyCheck;
use delivery::DeliveryCheck;
use display::{DisplayCheck, Frame};
use estimator::EstimateCheck;
use identity::IdentityCheck;
use input::InputCheck;
use lateness::LatenessCheck;
use repeats::RepeatCheck;
use sessions::SessionCheck;

/// Looks at a calm world after which the last corrections of what was before have come.
const CALM_LOOKS: u32 = 10;

/// Violations kept; a run stops at the first anyway.
const VIOLATIONS: usize = 16;

/// All checkers of one run.
pub struct Checks {
    ghosts: bool,
    /// Numbers of clients that a test plays by hand: they may lie.
    strangers: BTreeSet<ClientId>,
    violations: Vec<String>,
    identity: IdentityCheck,
    budgets: BudgetCheck,
    copies: CopyCheck,
    delivery: DeliveryCheck,
    repeats: RepeatCheck,
    estimator: EstimateCheck,
    sessions: SessionCheck,
    lateness: LatenessCheck,
    display: DisplayCheck,
    input: InputCheck,
    /// Looks at the world since nothing disturbs anyone any more.
    calm: Option<u32>,
}

/// A client and the server's side of the very session that it is in.
pub struct Pair<'a> {
    /// Its place in the run.
    pub at: usize,
    /// The client's side.
    pub client: &'a ClientProcess,
    /// Its number.
    pub id: ClientId,
    /// The server's side.
    pub server: &'a Connection,
}

/// The client at a place, if both sides have the same session.
fn pair<'a>(
    at: usize,
    client: &'a ClientProcess,
    core: &'a Server,
    network: &Network,
) -> Option<Pair<'a>> {
    let own = client.bot.runtime().connection().filter(|_| client.is_playing());
    let (id, server) = core.session(network.address(client.path))?;
    let same = client.bot.runtime().id() == Some(id) && core.is_playing(id);
    own.filter(|_| same).map(|_| Pair { at, client, id, server })
}

impl Checks {
    /// Checkers for a run.
    pub fn new(config: &SimConfig) -> Self {
        Self {
            ghosts: config.arena.ghosts,
            strangers: BTreeSet::new(),
            violations: Vec::new(),
            identity: IdentityCheck::default(),
            budgets: BudgetCheck::new(config.room.snapshot_floor_bytes, config.room.snapshot_bytes),
            copies: CopyCheck::new(config),
            delivery: DeliveryCheck::new(config.patter),
            repeats: RepeatCheck::default(),
            estimator: EstimateCheck::default(),
            sessions: SessionCheck::new(config.grace),
            lateness: LatenessCheck::default(),
            display: DisplayCheck::default(),
            input: InputCheck::default(),
            calm: None,
        }
    }

    /// What was broken so far.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Something that was found elsewhere is broken.
    pub fn broken(&mut self, what: Vec<String>) {
        let room = VIOLATIONS.saturating_sub(self.violations.len());
        self.violations.extend(what.into_iter().take(room));
    }

    /// From now on nothing disturbs anyone: paths are perfect, and clients have found their lead.
    pub fn calm_begins(&mut self) {
        self.calm = Some(0);
    }

    /// From the next tick on everyone sees so far.
    pub fn sight_changes(&mut self, radius_m: Option<f32>) {
        self.copies.sight_changes(radius_m);
    }

    /// What is missing of the comparisons that a calm second must have brought.
    pub fn too_few_compared(&self) -> Option<String> {
        let few = self.calm.is_some() && self.ghosts && self.estimator.compared() == 0;
        few.then(|| "nobody foresaw anything in a calm second".into())
    }

    /// The server lives again: its ids and numbers begin anew.
    pub fn server_restarted(&mut self) {
        self.identity = IdentityCheck::default();
        self.budgets.forget();
        self.copies.forget();
        self.sessions.forget();
        self.lateness = LatenessCheck::default();
        self.input = InputCheck::default();
    }

    /// The server ran one or more ticks.
    pub fn after_tick(
        &mut self,
        (core, schema, now): (&Server, &Schema, Timestamp),
        clients: &[ClientProcess],
        network: &Network,
        marks: &mut Marks,
    ) {
        let mut wrong = Vec::new();
        let room = world_of(core);
        self.calm = self.calm.map(|looks| looks + 1);
        self.identity.check(room.ring(), &mut wrong);
        sizes::check_ring(room.ring(), &mut wrong);
        self.sessions.check(core, clients, network, &mut wrong);
        for (at, client) in clients.iter().enumerate() {
            let Some(pair) = pair(at, client, core, network) else {
                continue;
            };
            self.copies.check(&pair, room, marks, &mut wrong);
            self.budgets.check(&pair, core, (&self.lateness, now), marks, &mut wrong);
            sizes::check_client(&pair, &mut wrong);
            if let Some(counts) = room.command_counts(pair.id) {
                self.input.check(&pair, counts, now, marks, &mut wrong);
            }
            let calm = self.ghosts && self.calm.is_some_and(|looks| looks > CALM_LOOKS);
            let now = room.timeline().slot(room.ring().tick());
            self.estimator.check(&pair, (room.ring(), schema, now), calm, &mut wrong);
            if client.bot.runtime().stats().hash_mismatches > 0 {
                wrong.push(format!("client {at} decoded a state that the server does not have"));
            }
        }
        let liars = clients.iter().enumerate().filter(|(_, client)| {
            client.bot.runtime().state()
                == ClientState::Ended(End::Told(DisconnectReason::Misbehaved))
        });
        wrong.extend(liars.map(|(at, _)| format!("client {at} was taken for a liar")));
        let replaced = clients.iter().enumerate().filter(|(_, client)| {
            client.bot.runtime().state()
                == ClientState::Ended(End::Told(DisconnectReason::Replaced))
        });
        wrong.extend(
            replaced.map(|(at, _)| format!("client {at} was told that its only user is elsewhere")),
        );
        self.broken(wrong);
    }

    /// A client learned that a prediction was wrong.
    pub fn mispredicted(
        &mut self,
        at: usize,
        client: &ClientProcess,
        core: Option<&Server>,
        network: &Network,
    ) {
        let Some(last) = client.wrong.last() else {
            return;
        };
        let mut wrong = Vec::new();
        match last.cause {
            Cause::Unexplained => {
                wrong.push(format!("client {at}: nothing explains that slot {} differs", last.slot))
            }
            Cause::Interaction if self.ghosts => {
                wrong.push(format!("client {at}: a ghost was touched at slot {}", last.slot));
            }
            Cause::Interaction | Cause::Command => {}
        }
        let counts = core
            .and_then(|core| pair(at, client, core, network).map(|pair| (pair, core)))
            .and_then(|(pair, core)| world_of(core).command_counts(pair.id));
        let by_command =
            client.wrong.iter().filter(|wrong| wrong.cause == Cause::Command).count() as u64;
        if let Some(counts) = counts.filter(|counts| by_command > counts.missing) {
            wrong.push(format!(
                "client {at}: {by_command} wrong for lack of {} commands",
                counts.missing
            ));
        }
        self.broken(wrong);
    }

    /// Someone came or went.
    pub fn session_changed(
        &mut self,
        event: &SessionEvent,
        core: Option<&Server>,
        network: &Network,
        now: Timestamp,
    ) {
        let mut wrong = Vec::new();
        self.sessions.changed(event, core, now, &mut wrong);
        match event {
            SessionEvent::Joined(id, _, addr) => {
                if network.path_of(addr.address).is_none() {
                    self.strangers.insert(*id);
                }
                self.identity.client_joined(*id, &mut wrong);
                self.stream_begins(*id, core);
            }
            SessionEvent::Resumed { client, resume: Resume::Restarted, .. } => {
                self.stream_begins(*client, core)
            }
            SessionEvent::Ended(
                id,
                reason @ (DisconnectReason::Misbehaved | DisconnectReason::Overflow),
            ) if !self.strangers.contains(id) => {
                wrong.push(format!("client number {} was sent away: {reason:?}", id.0));
            }
            SessionEvent::Mismatch(id, divergence) if !self.strangers.contains(id) => {
                wrong.push(format!("client number {} reports: {divergence}", id.0));
            }
            SessionEvent::RoomEnded { room, cause } => {
                wrong.push(format!("room {room} panicked: {cause}"))
            }
            SessionEvent::Mismatch(..) | SessionEvent::Ended(..) => {}
            SessionEvent::Parked(_) | SessionEvent::Resumed { .. } | SessionEvent::Displaced(_) => {
            }
        }
        self.broken(wrong);
    }

    /// From the next tick on all that is said is for this client.
    fn stream_begins(&mut self, client: ClientId, core: Option<&Server>) {
        if let Some(core) = core {
            self.delivery.joined(client, world_of(core).timeline().next());
        }
    }

    /// A client's display shows a frame.
    pub fn shown(&mut self, client: (usize, u64), frame: Frame, marks: &mut Marks) {
        let mut wrong = Vec::new();
        self.display.frame(client, frame, marks, &mut wrong);
        self.broken(wrong);
    }

    /// The server ran.
    pub fn server_ran(&mut self, ran: &lateness::Ran, now: Timestamp) {
        let mut wrong = Vec::new();
        self.lateness.ran(ran, now, &mut wrong);
        self.broken(wrong);
    }

    /// A packet came at the server on a path at that time, in a room of so many ticks a second, and
    /// was taken for a flood's or not.
    pub fn packet_counted(
        &mut self,
        path: usize,
        (rate, arrived): (u32, Timestamp),
        dropped: bool,
    ) {
        let mut wrong = Vec::new();
        self.lateness.came(path, (rate, arrived), dropped, &mut wrong);
        self.broken(wrong);
    }

    /// One side took a packet.
    pub fn packet_taken(&mut self, way: (usize, Way), bytes: &[u8]) {
        let mut wrong = Vec::new();
        self.repeats.taken(way, bytes, &mut wrong);
        self.broken(wrong);
    }

    /// A client was told something. False if that is the game's own affair.
    pub fn told(
        &mut self,
        at: usize,
        client: &ClientProcess,
        event: (Tick, &[u8]),
        marks: &mut Marks,
    ) -> bool {
        let mut wrong = Vec::new();
        let Some(id) = client.bot.runtime().id() else {
            return false;
        };
        let known = self.delivery.told((at, id, client.life), event, marks, &mut wrong);
        self.broken(wrong);
        known
    }

    /// Reliable messages said until `until` that a client was not told.
    pub fn untold(&self, clients: &[ClientProcess], until: Tick) -> Vec<String> {
        let playing = clients.iter().enumerate().filter(|(_, client)| client.is_playing());
        let sessions =
            playing.filter_map(|(at, client)| Some((at, client.bot.runtime().id()?, client.life)));
        sessions.flat_map(|session| self.delivery.untold(session, until)).collect()
    }
}
