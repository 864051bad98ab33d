//! The room of an auction house. `AuctionRoom::take_due` in `slices` is its tick on one page.

mod output;
mod requests;
mod slices;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use truetick_auction::house::{House, HouseRules, Output, RULES};
use truetick_auction::limits::REQUEST_BYTES;
use truetick_auction::order::CommandId;
use truetick_auction::public_book::PublicBook;
use truetick_auction::terms::LotId;
use truetick_auction::wire::{COMMANDS, HouseState, Refusal, Reply, WIRE};
use truetick_netcode::channel::Channel;
use truetick_netcode::error::WireError;
use truetick_netcode::messages::decode;
use truetick_netcode::session::client_table::ClientTable;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use self::output::Pending;
use self::slices::Slice;
use super::entry::{Entry, HouseReplica};
use super::fanout::{Encoded, FanoutStats, PATIENCE, message};
use super::participant::Participant;
use super::sequencer::Sequencer;
use crate::journal::CommitLog;
use crate::metrics::RoomMetrics;
use crate::room::{Outbox, Room, RoomConfig};
use crate::timeline::{Due, Timeline};

/// If the oldest pending entry is not durable after this time, the auction's clock stops.
pub(crate) const STALL: Duration = Duration::from_millis(250);

/// If no pending entry is as old as this, a stopped clock runs again.
const RECOVERED: Duration = Duration::from_millis(100);

/// If the oldest pending entry is not durable after this time, commands are refused.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// Settings of the room of an auction house.
#[derive(Clone, Debug, PartialEq)]
pub struct AuctionConfig {
    /// Settings of the room: ticks and clients.
    pub room: RoomConfig,
    /// Rules of a new house. An existing house keeps the rules under which it was founded.
    pub rules: HouseRules,
    /// Rate of commands per client, each weighted by the number of clients for which it makes work.
    pub rate: Rate,
    /// Maximum number of receipts that the house keeps, of all users. Beyond it bids are refused as
    /// [`Refusal::Busy`] until some receipts are forgotten. The last sixteenth is reserved for the
    /// administrators. See [`truetick_auction::limits::RECEIPT_BYTES`].
    pub receipts: u64,
}

/// Largest amounts of work that a room has done at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Maximum work in one tick; see [`truetick_auction::limits::WORK_PER_TICK`].
    pub most: usize,
    /// Number of ticks that left work for the next one.
    pub left_over: u64,
    /// Maximum number of answers, events and forgotten lots that were released at once.
    pub most_released: usize,
}

/// The room of an auction house: it orders commands, runs the house, and releases what is durable.
pub struct AuctionRoom {
    config: AuctionConfig,
    house: House,
    public_book: PublicBook,
    journal: Box<dyn CommitLog<Entry>>,
    timeline: Timeline,
    /// Ticks of the auction before tick 0 of the room, which starts from 0 with each server.
    before: u64,
    /// The server's time at the start, and the milliseconds of the last order in the journal.
    start: (Timestamp, u64),
    sequencer: Sequencer,
    /// Ticks that are due and not complete: their numbers, and the milliseconds before which orders
    /// belong to them.
    due: VecDeque<(u64, u64)>,
    /// A slice of the first of these ticks that the house has not completed.
    slice: Option<Slice>,
    /// Whether the first of these ticks has begun, so that only orders of it remain.
    begun: bool,
    work: Work,
    participants: ClientTable<Participant>,
    watchers: BTreeMap<LotId, BTreeSet<ClientId>>,
    /// Number of the last entry handed to the journal.
    submitted: u64,
    pending: VecDeque<Pending>,
    /// Clients that have asked for their account.
    queries: Vec<ClientId>,
    state: HouseState,
    encoded: Encoded,
    told: FanoutStats,
    metrics: RoomMetrics,
}

impl AuctionRoom {
    /// Continues a house from its replica, or founds one.
    pub fn open(
        config: AuctionConfig,
        replica: HouseReplica,
        journal: Box<dyn CommitLog<Entry>>,
        now: Timestamp,
    ) -> Self {
        let (epoch, last_ms, is_new) = (
            replica.epoch() + 1,
            replica.last_ms(),
            replica.house().is_none(),
        );
        let (house, public_book) = replica
            .into_parts()
            .unwrap_or_else(|| (House::new(config.rules.clone()), PublicBook::default()));
        let timeline = Timeline::new(config.room.tick_rate, Tick(1), now);
        let (before, submitted) = (house.tick(), journal.durable());
        let mut room = Self {
            config,
            house,
            public_book,
            journal,
            timeline,
            before,
            start: (now, last_ms),
            sequencer: Sequencer::after(last_ms),
            due: VecDeque::new(),
            slice: None,
            begun: false,
            work: Work::default(),
            participants: ClientTable::default(),
            watchers: BTreeMap::new(),
            submitted,
            pending: VecDeque::new(),
            queries: Vec::new(),
            state: HouseState::Running,
            encoded: Encoded::default(),
            told: FanoutStats::default(),
            metrics: RoomMetrics::default(),
        };
        if is_new {
            let (rules, tick_rate) = (room.config.rules.clone(), room.config.room.tick_rate);
            let founded = Entry::Founded {
                version: RULES,
                rules,
                tick_rate,
            };
            room.submit(founded, Vec::new(), Output::default(), now);
        }
        room.submit(Entry::Opened { epoch }, Vec::new(), Output::default(), now);
        room
    }

    /// The public state of the lots, all of it durable.
    pub fn public_book(&self) -> &PublicBook {
        &self.public_book
    }

    /// The house in memory, which is ahead of what is durable. For checks only.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Statistics of the output to watchers.
    pub fn told(&self) -> FanoutStats {
        self.told
    }

    /// Largest amounts of work done at once.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Whether the house runs, is stalled or has stopped.
    pub fn state(&self) -> HouseState {
        self.state
    }

    fn ms(&self, at: Timestamp) -> u64 {
        let (start, last_ms) = self.start;
        last_ms + 1 + at.since(start).as_millis() as u64
    }

    fn tick(&self) -> u64 {
        self.before + self.timeline.number()
    }

    /// When tick 0 of the auction was due, in microseconds.
    fn epoch_us(&self) -> i64 {
        let before = self.before * 1_000_000 / u64::from(self.timeline.rate());
        self.timeline.first_epoch_us() - before as i64
    }

    fn say(&mut self, client: ClientId, channel: Channel, reply: &Reply) {
        let tick = self.timeline.next().0;
        if let Some(participant) = self.participants.get_mut(client) {
            participant.outbox.push((channel, message(tick, reply)));
        }
    }

    fn announce(&mut self, state: HouseState) {
        self.state = state;
        let message = message(self.timeline.next().0, &Reply::House(state));
        for participant in self.participants.values_mut() {
            participant.outbox.push((COMMANDS, message.clone()));
        }
    }

    /// Stops the house, because nothing can become durable any more: no command is accepted, and
    /// pending output is never sent.
    fn stop(&mut self) {
        if self.state != HouseState::Stopped {
            let cause = self
                .journal
                .failure()
                .unwrap_or("the disk does not keep up");
            tracing::error!(cause, "the auction house stops; other rooms go on");
            self.announce(HouseState::Stopped);
            self.pending.clear();
            (self.slice, self.begun) = (None, false);
            self.due.clear();
            for (id, client) in self.sequencer.clear() {
                self.refuse(client, id, Refusal::Stopped);
            }
        }
    }

    fn refuse(&mut self, client: ClientId, id: CommandId, why: Refusal) {
        self.metrics.refused += 1;
        self.say(client, COMMANDS, &Reply::Refused { id, why });
    }

    fn on_join(&mut self, client: ClientId, user: UserId) {
        self.participants.insert(client, Participant::new(user));
        if self.state != HouseState::Running {
            self.say(client, COMMANDS, &Reply::House(self.state));
        }
    }

    fn on_leave(&mut self, client: ClientId) {
        if let Some(participant) = self.participants.remove(client) {
            participant
                .watching
                .keys()
                .for_each(|lot| self.unwatch(client, *lot));
        }
    }
}

impl Room for AuctionRoom {
    fn config(&self) -> &RoomConfig {
        &self.config.room
    }

    fn schema_hash(&self) -> u64 {
        WIRE
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn due(&mut self, now: Timestamp) -> Due {
        self.timeline.due(now)
    }

    fn population(&self) -> usize {
        self.participants.len()
    }

    fn has(&self, client: ClientId) -> bool {
        self.participants.contains(client)
    }

    fn suspend(&mut self, client: ClientId) {
        if let Some(participant) = self.participants.get_mut(client) {
            participant.away = true;
            participant.slow_since = None;
        }
    }

    fn resume(&mut self, client: ClientId, resume: Resume) {
        self.metrics.resumed += 1;
        let Some(participant) = self.participants.get_mut(client) else {
            return;
        };
        participant.away = false;
        if resume == Resume::Restarted {
            let (user, meter) = (participant.user, participant.meter);
            self.on_leave(client);
            self.on_join(client, user);
            // The rate limit belongs to the session, whichever client has it now.
            if let Some(participant) = self.participants.get_mut(client) {
                participant.meter = meter;
            }
        }
    }

    fn join(&mut self, client: ClientId, user: UserId, _role: Role) {
        self.metrics.joined += 1;
        self.on_join(client, user);
    }

    fn leave(&mut self, client: ClientId, lost: bool) {
        self.metrics.lost += u64::from(lost);
        self.on_leave(client);
    }

    fn receive_message(
        &mut self,
        client: ClientId,
        _channel: Channel,
        message: &[u8],
        arrived: Timestamp,
    ) -> Result<(), WireError> {
        if message.len() > REQUEST_BYTES {
            return Err(WireError::Malformed("a request that is too long"));
        }
        let request = decode(message)?;
        self.take_request(client, request, arrived);
        Ok(())
    }

    fn simulate(&mut self, now: Timestamp) {
        self.encoded.clear();
        self.release(now);
        if self.state != HouseState::Stopped {
            self.take_due(now);
        }
        self.timeline.advance();
        self.metrics.ticks += 1;
    }

    fn has_pending_output(&mut self, now: Timestamp) -> bool {
        self.state != HouseState::Stopped && self.release(now)
    }

    fn awaits_news(&self) -> bool {
        !self.pending.is_empty()
    }

    fn messages(&mut self, client: ClientId, now: Timestamp, outbox: &mut dyn Outbox) {
        self.send_due(client, now, outbox);
    }

    fn tick_sent(&mut self, drained: Timestamp, skipped: bool, now: Timestamp) {
        self.metrics
            .tick_sent(drained, now, skipped || now > self.timeline.next_deadline());
    }

    fn is_overwhelmed(&self, client: ClientId) -> bool {
        let now = self.timeline.next_deadline();
        let slow = self
            .participants
            .get(client)
            .and_then(|participant| participant.slow_since);
        slow.is_some_and(|since| now.since(since) > PATIENCE)
    }

    fn metrics(&self) -> RoomMetrics {
        self.metrics.clone()
    }

    /// Entries that were submitted still become durable; no more are submitted.
    fn abandon(&mut self) {
        self.journal.close();
    }
}
