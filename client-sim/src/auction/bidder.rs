//! One client of the auction house: its strategy, its record of the answers and its figures.
//! Sans-IO.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::UserId;
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr, Transmit, TransportKind};
use truetick_server::metrics::Times;
use truetick_shared::auction::client::{AuctionClient, AuctionEvent};
use truetick_shared::auction::event::{LotEvent, LotEventKind};
use truetick_shared::auction::order::{
    Admin, Answer, BidStanding, Command, CommandId, Outcome, Receipt,
};
use truetick_shared::auction::public_lot::PublicLot;
use truetick_shared::auction::terms::LotId;

use super::strategy::{self, House, Strategy};

/// Interval at which the bidder requests the catalogue.
const CATALOGUE_PAUSE: Duration = Duration::from_secs(2);

/// Decisions that are further overdue are not made up for.
const MISSED: Duration = Duration::from_millis(20);

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
    /// Creates a bidder that starts to use its token now. Its decisions follow from `seed`; `pace`
    /// divides the pauses of its strategy.
    pub fn new(
        (user, token): (UserId, ConnectToken),
        strategy: Strategy,
        house: Option<House>,
        (seed, pace): (u64, f64),
        now: Timestamp,
    ) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            user,
            strategy,
            house,
            client: AuctionClient::new(token, rng.random(), now),
            rng,
            pace,
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
    pub fn begin_to_measure(&mut self) {
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
    pub fn was_extended(&self, lot: LotId) -> bool {
        self.extended.contains(&lot)
    }

    /// When an event of a lot, or a later one, was first known; `None` before that.
    pub fn sighting(&self, lot: LotId, sequence: u64) -> Option<Timestamp> {
        let sightings = self.sightings.get(&lot)?;
        sightings
            .get(sightings.partition_point(|(seen, _)| *seen < sequence))
            .map(|(_, at)| *at)
    }

    /// When anything of any lot was first known.
    pub fn first_sighting(&self) -> Option<Timestamp> {
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
        let replaced = ClientState::Ended(End::Told(DisconnectReason::Replaced));
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

    /// Handles an event of the transport.
    pub fn receive<'a>(
        &mut self,
        from: impl Into<PeerAddr>,
        event: impl Into<Event<'a>>,
        now: Timestamp,
    ) {
        self.client.receive(from, event, now);
        while let Some(event) = self.client.poll_event() {
            self.take(event, now);
        }
    }

    fn take(&mut self, event: AuctionEvent, now: Timestamp) {
        match event {
            AuctionEvent::Answered(id, Answer::Receipt(receipt)) => self.answered(id, receipt, now),
            AuctionEvent::Answered(id, Answer::Conflict) => {
                self.figures.wrong.push(format!(
                    "{:?}: {id:?} is said to be another's name",
                    self.user
                ));
            }
            AuctionEvent::Refused(id, _) => {
                self.figures.refused += 1;
                self.said.remove(&id);
                self.refused.insert(id);
            }
            AuctionEvent::Happened(event) => {
                self.figures.events += 1;
                self.sightings
                    .entry(event.lot)
                    .or_default()
                    .push((event.sequence, now));
                self.note_close(&event);
                self.seen
                    .iter_mut()
                    .for_each(|seen| seen.push(event.clone()));
            }
            AuctionEvent::Shown(lot) => {
                self.figures.shown += 1;
                if let Some(known) = self.client.lot(lot) {
                    self.sightings
                        .entry(lot)
                        .or_default()
                        .push((known.sequence, now));
                }
            }
            AuctionEvent::Gone(lot) => {
                self.lots.retain(|known| *known != lot);
                self.gone.insert(lot);
            }
            AuctionEvent::Catalogue(lots) => {
                for lot in lots {
                    if !self.lots.contains(&lot) {
                        self.lots.push(lot);
                        self.client.watch(lot);
                    }
                }
            }
            AuctionEvent::Account(_) | AuctionEvent::House(_) => {}
        }
    }

    fn note_close(&mut self, event: &LotEvent) {
        let closes = match event.what {
            LotEventKind::Opened { closes, .. } | LotEventKind::Resumed { closes, .. } => {
                self.closes.insert(event.lot, closes);
                return;
            }
            LotEventKind::Bid { closes, .. } => closes,
            _ => return,
        };
        if self
            .closes
            .insert(event.lot, closes)
            .is_some_and(|before| before != closes)
        {
            self.extended.insert(event.lot);
        }
    }

    fn answered(&mut self, id: CommandId, receipt: Receipt, now: Timestamp) {
        if let Some(before) = self.receipts.insert(id, receipt) {
            if before != receipt {
                self.figures.wrong.push(format!(
                    "{:?}: {id:?} got {before:?} and then {receipt:?}",
                    self.user
                ));
            }
            return;
        }
        let Some((command, first)) = self.said.get(&id) else {
            return;
        };
        self.figures.answer.add(now.since(*first));
        match receipt.outcome {
            Outcome::Rejected(_) => self.figures.rejected += 1,
            Outcome::Accepted { stands, alias } => {
                self.figures.accepted += 1;
                match command {
                    Command::Bid(bid) => {
                        self.aliases.insert(bid.lot, alias);
                        if stands != BidStanding::Sealed {
                            self.bids.push((bid.lot, receipt.tick, *first));
                        }
                    }
                    Command::Admin(Admin::Deposit { user, .. }) => drop(self.funded.insert(*user)),
                    _ => {}
                }
            }
        }
    }

    /// Handles what is due by now, decisions included.
    pub fn advance(&mut self, now: Timestamp) {
        if self.client.state() == ClientState::Playing && !self.forgot {
            if now >= self.catalogue_at {
                self.catalogue_at = now + CATALOGUE_PAUSE;
                self.client.ask_catalogue();
            }
            self.think_at = self.think_at.max(now - MISSED);
            while now >= self.think_at {
                let share = self.rng.random_range(0.5..1.5) / self.pace;
                self.think_at += self.strategy.pause().mul_f64(share);
                self.think(now);
            }
        }
        self.client.advance(now);
    }

    fn think(&mut self, now: Timestamp) {
        if self.still || self.client.unanswered() >= OPEN {
            return;
        }
        let commands = match (self.strategy, &self.house) {
            (Strategy::Watcher, _) => return,
            (Strategy::Keeper, Some(house)) if self.client.unanswered() == 0 => {
                let is_open = |lot: &u32| {
                    let known = self.client.lot(LotId(*lot));
                    known.map_or(!self.gone.contains(&LotId(*lot)), |lot| {
                        lot.ending.is_none()
                    })
                };
                let open = (0..self.opened).filter(is_open).count();
                let commands = strategy::keep(
                    house,
                    (self.opened, open),
                    self.funded.len() as u64,
                    &mut self.rng,
                );
                let opens =
                    |command: &&Command| matches!(command, Command::Admin(Admin::Open { .. }));
                self.opened += commands.iter().filter(opens).count() as u32;
                commands
            }
            (Strategy::Keeper, _) => return,
            _ => {
                let aliases = &self.aliases;
                let leads = |lot: &PublicLot| {
                    lot.leader.is_some() && aliases.get(&lot.lot).copied() == lot.leader
                };
                strategy::think(
                    self.strategy,
                    &self.client,
                    &self.lots,
                    leads,
                    (now, &mut self.rng),
                )
            }
        };
        for command in commands {
            self.figures.said += 1;
            let id = CommandId(self.next_id);
            self.next_id += 1;
            self.said.insert(id, (command.clone(), now));
            self.client.command(id, command);
        }
        if self.strategy == Strategy::Forgetful && self.rng.random_bool(0.15) {
            self.forgot = true;
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
