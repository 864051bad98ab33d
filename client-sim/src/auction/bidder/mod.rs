//! One client of the auction house: its strategy, its record of the answers and its figures.
//! Sans-IO.

mod answers;
mod decisions;

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_auction::client::AuctionClient;
use truetick_auction::event::LotEvent;
use truetick_auction::order::{Command, CommandId, Receipt};
use truetick_auction::terms::LotId;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::UserId;
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{PeerAddr, Transmit, TransportKind};
use truetick_server::metrics::Times;

use super::strategy::{House, Strategy};

/// Number of unanswered commands at which the bidder waits.
const OPEN: usize = 64;

/// Figures of one bidder.
#[derive(Clone, Debug, Default)]
pub struct BidderFigures {
    /// Number of commands submitted, repeats not counted.
    pub said: u64,
    /// Number of commands answered as accepted.
    pub accepted: u64,
    /// Number of commands answered as rejected: they had no effect.
    pub rejected: u64,
    /// Number of commands refused before they were ordered.
    pub refused: u64,
    /// Number of lot events received.
    pub events: u64,
    /// Number of lots received as complete states, in place of events.
    pub shown: u64,
    /// Violations of the protocol: contradicting answers. There must be none.
    pub wrong: Vec<String>,
    /// Time from a command's first submission to its answer.
    pub answer: Times,
}

/// Configuration of one bidder.
#[derive(Clone, Debug)]
pub struct BidderConfig {
    /// The bidder's user, to whom the token belongs.
    pub user: UserId,
    /// Token of the first session.
    pub token: ConnectToken,
    /// How the bidder behaves.
    pub strategy: Strategy,
    /// The house that a keeper runs; `None` for all other strategies.
    pub house: Option<House>,
    /// Seed of the bidder's decisions.
    pub seed: u64,
    /// Divisor of the pauses of the strategy, above 0; 1 leaves them as they are.
    pub pace: f64,
}

/// A client of the auction house that acts by its strategy and checks the answers.
pub struct Bidder {
    user: UserId,
    strategy: Strategy,
    house: Option<House>,
    client: AuctionClient,
    rng: Xoshiro256PlusPlus,
    pace: f64,
    next_id: u64,
    think_at: Timestamp,
    catalogue_at: Timestamp,
    lots: Vec<LotId>,
    gone: BTreeSet<LotId>,
    closes: BTreeMap<LotId, u64>,
    extended: BTreeSet<LotId>,
    aliases: BTreeMap<LotId, u32>,
    /// Every command that was submitted, and when first; refused ones are removed.
    said: BTreeMap<CommandId, (Command, Timestamp)>,
    /// Commands that were refused.
    refused: BTreeSet<CommandId>,
    /// Every answer that was received: the bidder may rely on it.
    receipts: BTreeMap<CommandId, Receipt>,
    funded: BTreeSet<UserId>,
    opened: u32,
    /// Whether the bidder submits no new commands.
    still: bool,
    /// Whether the bidder has dropped its client's state and is about to join again.
    forgot: bool,
    /// Events that were received, if they are kept.
    seen: Option<Vec<LotEvent>>,
    /// By lot the sequence numbers of events, and when each or a later one was first known.
    sightings: BTreeMap<LotId, Vec<(u64, Timestamp)>>,
    /// Accepted bids: the lot, the tick, and the time of submission.
    bids: Vec<(LotId, u64, Timestamp)>,
    figures: BidderFigures,
}

impl Bidder {
    /// Creates a bidder that starts to use its token now.
    pub fn new(config: BidderConfig, now: Timestamp) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(config.seed);
        Self {
            user: config.user,
            strategy: config.strategy,
            house: config.house,
            client: AuctionClient::new(config.token, rng.random(), now),
            rng,
            pace: config.pace,
            next_id: 1,
            think_at: now,
            catalogue_at: now,
            lots: Vec::new(),
            gone: BTreeSet::new(),
            closes: BTreeMap::new(),
            extended: BTreeSet::new(),
            aliases: BTreeMap::new(),
            said: BTreeMap::new(),
            refused: BTreeSet::new(),
            receipts: BTreeMap::new(),
            funded: BTreeSet::new(),
            opened: 0,
            still: false,
            forgot: false,
            seen: None,
            sightings: BTreeMap::new(),
            bids: Vec::new(),
            figures: BidderFigures::default(),
        }
    }

    /// Stops submitting new commands.
    pub fn be_still(&mut self) {
        self.still = true;
    }

    /// Restarts the measurement of answer times.
    pub(crate) fn begin_to_measure(&mut self) {
        self.figures.answer = Times::default();
    }

    /// Keeps every event that is received from now on.
    pub fn keep_events(&mut self) {
        self.seen = Some(Vec::new());
    }

    /// The bidder's user.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The bidder's strategy.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The client of the bidder.
    pub fn client(&self) -> &AuctionClient {
        &self.client
    }

    /// The figures so far.
    pub fn figures(&self) -> &BidderFigures {
        &self.figures
    }

    /// The known lots.
    pub fn lots(&self) -> &[LotId] {
        &self.lots
    }

    /// Whether a late bid was seen to move a lot's close.
    pub(crate) fn was_extended(&self, lot: LotId) -> bool {
        self.extended.contains(&lot)
    }

    /// When an event of a lot, or a later one, was first known; `None` before that.
    pub(crate) fn sighting(&self, lot: LotId, sequence: u64) -> Option<Timestamp> {
        let sightings = self.sightings.get(&lot)?;
        sightings
            .get(sightings.partition_point(|(seen, _)| *seen < sequence))
            .map(|(_, at)| *at)
    }

    /// When anything of any lot was first known.
    pub(crate) fn first_sighting(&self) -> Option<Timestamp> {
        self.sightings
            .values()
            .filter_map(|seen| seen.first())
            .map(|(_, at)| *at)
            .min()
    }

    /// The accepted bids that others see: the lot, the tick, and the time of submission.
    pub fn bids(&self) -> &[(LotId, u64, Timestamp)] {
        &self.bids
    }

    /// Every answer that was received, by command.
    pub fn receipts(&self) -> &BTreeMap<CommandId, Receipt> {
        &self.receipts
    }

    /// The commands that were refused.
    pub fn refused(&self) -> &BTreeSet<CommandId> {
        &self.refused
    }

    /// The events received; empty unless [`Self::keep_events`] was called.
    pub fn seen(&self) -> &[LotEvent] {
        self.seen.as_deref().unwrap_or_default()
    }

    /// Whether the bidder needs a token to continue. False where another session of its user
    /// replaced this one, since the bidder would take that over.
    pub fn wants_token(&self) -> bool {
        let replaced = ClientState::Ended(End::Disconnected(DisconnectReason::Replaced));
        let state = self.client.state();
        self.forgot || matches!(state, ClientState::Ended(_)) && state != replaced
    }

    /// Joins again with another token. A bidder that has dropped its client's state submits its
    /// recent commands again.
    pub fn rejoin(&mut self, token: ConnectToken, now: Timestamp) {
        let seed = self.rng.random();
        if !std::mem::take(&mut self.forgot) {
            return self.client.rejoin(token, seed, now);
        }
        self.client = AuctionClient::new(token, seed, now)
            .transport(self.client.link().resumable().addr().kind);
        self.lots.clear();
        let recent = self
            .said
            .iter()
            .rev()
            .take(OPEN)
            .map(|(id, (command, _))| (*id, command.clone()));
        for (id, command) in recent.collect::<Vec<_>>() {
            self.client.command_again(id, command);
        }
    }

    /// Selects the transport; UDP by default. Call it before the first transmit.
    pub fn transport(self, kind: TransportKind) -> Self {
        Self {
            client: self.client.transport(kind),
            ..self
        }
    }

    /// The next packet to send, with its destination.
    pub fn poll_transmit(&mut self) -> Option<(PeerAddr, Transmit)> {
        self.client.poll_transmit()
    }

    /// When to call [`Self::advance`] next.
    pub fn next_timeout(&self) -> Timestamp {
        let client = self.client.next_timeout();
        match self.client.state() {
            ClientState::Playing => client.min(self.think_at).min(self.catalogue_at),
            _ => client,
        }
    }

    /// Ends the session.
    pub fn leave(&mut self) {
        self.client.leave();
    }
}
