//! Invariants, checked after each tick of the server and at each packet and message:
//!
//! - [`lateness`]: of several due ticks one is sent; a client that sends in time is no flood,
//!   however late the server reads.
//! - [`identity`]: an id is never used twice; kind and owner stay; client ids rise.
//! - [`budget`]: a path's budget stays within its limits, a tick's state within the budget; no due
//!   entity is omitted for long.
//! - [`copies`]: a client's copy equals the server's entity at that tick, is within interest, and
//!   has no hidden field; the client holds every baseline that the server uses.
//! - [`display`]: the displayed time never goes back, never jumps, and does not stand still while
//!   packets flow.
//! - [`input`]: no honest command is refused; input is not dead for longer than the path explains.
//! - [`delivery`]: reliable messages arrive exactly once (in order where promised), unreliable ones
//!   at most once.
//! - [`prediction`]: while nothing disturbs anyone, the world becomes what each client predicted.
//! - [`numbers`]: no packet is sealed under a number that its key has used before, on either side.
//! - [`repeats`]: no packet is accepted twice.
//! - [`sessions`]: each session belongs to its user; a silent client keeps its entities for the
//!   grace.
//! - [`sizes`]: windows, queues and rings stay within their limits.
//!
//! This module itself checks that a prediction is wrong only by counted causes, that no decoded
//! state differs from the server's, and that no honest client is rejected as misbehaving.

pub mod budget;
pub mod copies;
pub mod delivery;
pub mod display;
pub mod identity;
pub mod input;
pub mod lateness;
pub mod numbers;
mod pair;
pub mod prediction;
pub mod repeats;
pub mod sessions;
pub mod sizes;

use std::collections::BTreeSet;

use truetick_netcode::client::prediction::Cause;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::ClientId;
use truetick_netcode::session::server::Resume;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::server::Server;
use truetick_server::session_event::SessionEvent;

use crate::client_process::ClientProcess;
use crate::mark::Marks;
use crate::network::{LinkId, Network};
use crate::plan::SimConfig;
use crate::server_process::world_of;

use budget::BudgetCheck;
use copies::CopyCheck;
use delivery::{DeliveryCheck, Message, Session};
use display::{DisplayCheck, Frame, Life};
use identity::IdentityCheck;
use input::InputCheck;
use lateness::{CountedPacket, LatenessCheck};
use pair::pair;
pub use pair::{Pair, ServerView};
use prediction::{NewestTick, PredictionCheck};
use repeats::RepeatCheck;
use sessions::SessionCheck;

/// Checks of a calm world after which the last corrections of earlier disturbances have arrived.
const CALM_LOOKS: u32 = 10;

/// Maximum number of violations kept; a run stops at the first anyway.
const VIOLATIONS: usize = 16;

/// All checkers of one run.
pub struct Checks {
    ghosts: bool,
    /// Ids of clients that a test controls by hand and that may misbehave.
    strangers: BTreeSet<ClientId>,
    violations: Vec<String>,
    identity: IdentityCheck,
    budgets: BudgetCheck,
    copies: CopyCheck,
    delivery: DeliveryCheck,
    repeats: RepeatCheck,
    prediction: PredictionCheck,
    sessions: SessionCheck,
    lateness: LatenessCheck,
    display: DisplayCheck,
    input: InputCheck,
    /// Number of checks since disturbances ended.
    calm: Option<u32>,
}

impl Checks {
    /// Creates the checkers of a run.
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
            prediction: PredictionCheck::default(),
            sessions: SessionCheck::new(config.grace),
            lateness: LatenessCheck::default(),
            display: DisplayCheck::default(),
            input: InputCheck::default(),
            calm: None,
        }
    }

    /// Returns the violations so far.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Adds violations that were found elsewhere.
    pub fn broken(&mut self, what: Vec<String>) {
        let room = VIOLATIONS.saturating_sub(self.violations.len());
        self.violations.extend(what.into_iter().take(room));
    }

    /// Declares that from now on nothing disturbs anyone: paths are perfect, and clients have found
    /// their lead.
    pub(crate) fn calm_begins(&mut self) {
        self.calm = Some(0);
    }

    /// Sets the interest radius of the next ticks.
    pub(crate) fn sight_changes(&mut self, radius_m: Option<f32>) {
        self.copies.sight_changes(radius_m);
    }

    /// Returns a violation if a calm period had no comparisons of predictions.
    pub(crate) fn too_few_compared(&self) -> Option<String> {
        let few = self.calm.is_some() && self.ghosts && self.prediction.compared() == 0;
        few.then(|| "nobody foresaw anything in a calm second".into())
    }

    /// Resets the checkers after a restart of the server, which assigns ids from the start.
    pub(crate) fn server_restarted(&mut self) {
        self.identity = IdentityCheck::default();
        self.budgets.forget();
        self.copies.forget();
        self.sessions.forget();
        self.lateness = LatenessCheck::default();
        self.input = InputCheck::default();
    }

    /// Checks everything after the server ran one or more ticks.
    pub(crate) fn after_tick(
        &mut self,
        server: ServerView<'_>,
        clients: &[ClientProcess],
        network: &Network,
        marks: &mut Marks,
    ) {
        let ServerView { core, schema, now } = server;
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
            self.budgets
                .check(&pair, core, &self.lateness, now, marks, &mut wrong);
            sizes::check_client(&pair, &mut wrong);
            if let Some(counts) = room.command_counts(pair.id) {
                self.input.check(&pair, counts, now, marks, &mut wrong);
            }
            let calm = self.ghosts && self.calm.is_some_and(|looks| looks > CALM_LOOKS);
            let newest = NewestTick {
                ring: room.ring(),
                schema,
                slot: room.timeline().slot(room.ring().tick()),
            };
            self.prediction.check(&pair, newest, calm, &mut wrong);
            if client.bot.runtime().stats().hash_mismatches > 0 {
                wrong.push(format!(
                    "client {at} decoded a state that the server does not have"
                ));
            }
        }
        let liars = clients.iter().enumerate().filter(|(_, client)| {
            client.bot.runtime().state()
                == ClientState::Ended(End::Disconnected(DisconnectReason::Misbehaved))
        });
        wrong.extend(liars.map(|(at, _)| format!("client {at} was taken for a liar")));
        let replaced = clients.iter().enumerate().filter(|(_, client)| {
            client.bot.runtime().state()
                == ClientState::Ended(End::Disconnected(DisconnectReason::Replaced))
        });
        wrong.extend(
            replaced.map(|(at, _)| format!("client {at} was told that its only user is elsewhere")),
        );
        self.broken(wrong);
    }

    /// Checks the cause of a client's latest misprediction.
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
            Cause::Unexplained => wrong.push(format!(
                "client {at}: nothing explains that slot {} differs",
                last.slot
            )),
            Cause::Interaction if self.ghosts => {
                wrong.push(format!(
                    "client {at}: a ghost was touched at slot {}",
                    last.slot
                ));
            }
            Cause::Interaction | Cause::Command => {}
        }
        let counts = core
            .and_then(|core| pair(at, client, core, network).map(|pair| (pair, core)))
            .and_then(|(pair, core)| world_of(core).command_counts(pair.id));
        let by_command = client
            .wrong
            .iter()
            .filter(|wrong| wrong.cause == Cause::Command)
            .count() as u64;
        if let Some(counts) = counts.filter(|counts| by_command > counts.missing) {
            wrong.push(format!(
                "client {at}: {by_command} wrong for lack of {} commands",
                counts.missing
            ));
        }
        self.broken(wrong);
    }

    /// Checks a session event of the server.
    pub(crate) fn session_changed(
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
            SessionEvent::Resumed {
                client,
                resume: Resume::Restarted,
                ..
            } => self.stream_begins(*client, core),
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

    /// From the next tick on all messages are for this client.
    fn stream_begins(&mut self, client: ClientId, core: Option<&Server>) {
        if let Some(core) = core {
            self.delivery
                .joined(client, world_of(core).timeline().next());
        }
    }

    /// Checks a frame that a client displays.
    pub fn shown(&mut self, life: Life, frame: Frame, marks: &mut Marks) {
        let mut wrong = Vec::new();
        self.display.frame(life, frame, marks, &mut wrong);
        self.broken(wrong);
    }

    /// Checks a run of the server.
    pub(crate) fn server_ran(&mut self, ran: &lateness::Ran, now: Timestamp) {
        let mut wrong = Vec::new();
        self.lateness.ran(ran, now, &mut wrong);
        self.broken(wrong);
    }

    /// Checks whether a packet that arrived at the server was rightly taken or dropped as a flood.
    pub(crate) fn packet_counted(&mut self, packet: CountedPacket) {
        let mut wrong = Vec::new();
        self.lateness.came(packet, &mut wrong);
        self.broken(wrong);
    }

    /// Checks a packet that one side accepted.
    pub fn packet_taken(&mut self, link: LinkId, bytes: &[u8]) {
        let mut wrong = Vec::new();
        self.repeats.taken(link, bytes, &mut wrong);
        self.broken(wrong);
    }

    /// Checks a message that a client received. Returns false if it belongs to the game itself.
    pub fn told(
        &mut self,
        at: usize,
        client: &ClientProcess,
        message: Message<'_>,
        marks: &mut Marks,
    ) -> bool {
        let mut wrong = Vec::new();
        let Some(id) = client.bot.runtime().id() else {
            return false;
        };
        let session = Session {
            at,
            client: id,
            life: client.life,
        };
        let known = self.delivery.told(session, message, marks, &mut wrong);
        self.broken(wrong);
        known
    }

    /// Returns the reliable messages sent until `until` that a client did not receive.
    pub fn untold(&self, clients: &[ClientProcess], until: Tick) -> Vec<String> {
        let playing = clients
            .iter()
            .enumerate()
            .filter(|(_, client)| client.is_playing());
        let sessions = playing.filter_map(|(at, client)| {
            Some(Session {
                at,
                client: client.bot.runtime().id()?,
                life: client.life,
            })
        });
        sessions
            .flat_map(|session| self.delivery.untold(session, until))
            .collect()
    }
}
