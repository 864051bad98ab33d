//! The house's room. Its tick, on one page, is `AuctionRoom::take_due` in `slices`.

mod requests;
mod slices;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use truetick_netcode::channel::Channel;
use truetick_netcode::error::WireError;
use truetick_netcode::messages::decode;
use truetick_netcode::session::client_table::ClientTable;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_shared::auction::event::LotEvent;
use truetick_shared::auction::house::{House, HouseRules, Output, RULES};
use truetick_shared::auction::limits::{RELEASED_AT_ONCE, REQUEST_BYTES};
use truetick_shared::auction::order::CommandId;
use truetick_shared::auction::public_book::PublicBook;
use truetick_shared::auction::terms::LotId;
use truetick_shared::auction::wire::{COMMANDS, HouseState, Refusal, Reply, WIRE};

use self::slices::Slice;
use super::entry::{Entry, HouseReplica};
use super::fanout::{Encoded, FanoutStats, PATIENCE, message, tell_lots};
use super::participant::Participant;
use super::sequencer::Sequencer;
use crate::journal::CommitLog;
use crate::metrics::RoomMetrics;
use crate::room::{Outbox, Room, RoomConfig};
use crate::timeline::{Due, Timeline};

/// If nothing becomes durable for so long, the auction's clock stops.
pub const STALL: Duration = Duration::from_millis(250);

/// Nothing that is this old waits any more when it runs again.
const RECOVERED: Duration = Duration::from_millis(100);

/// If nothing becomes durable for so long, no more commands are taken.
pub const BUSY: Duration = Duration::from_secs(5);

/// How a house's room runs.
#[derive(Clone, Debug, PartialEq)]
pub struct AuctionConfig {
    /// Ticks, clients.
    pub room: RoomConfig,
    /// What a new house goes by; an old one goes by what it was founded on.
    pub rules: HouseRules,
    /// What a client may ask for, weighed by how many it makes work for.
    pub rate: Rate,
    /// Receipts that the house keeps, of all users; more bids are refused as [`Refusal::Busy`]
    /// until some have been forgotten. The last sixteenth is for those who run the house. See
    /// [`truetick_shared::auction::limits::RECEIPT_BYTES`].
    pub receipts: u64,
}

/// How much of the house's work a room has done at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The most in one tick; see [`truetick_shared::auction::limits::WORK_PER_TICK`].
    pub most: usize,
    /// Ticks that left work for the next.
    pub left_over: u64,
    /// The most answers, events and forgotten lots that were handed out at once.
    pub most_released: usize,
}

/// What a tick says, until it may be said.
struct Pending {
    /// The entry that must be durable.
    sequence: u64,
    since: Timestamp,
    replies: Vec<(ClientId, Reply)>,
    events: Vec<LotEvent>,
    forgotten: Vec<LotId>,
}

/// See the module.
pub struct AuctionRoom {
    config: AuctionConfig,
    house: House,
    public_book: PublicBook,
    journal: Box<dyn CommitLog<Entry>>,
    timeline: Timeline,
    /// Ticks of the auction before tick 0 of the room, which counts anew with each server.
    before: u64,
    /// The server's time, in milliseconds after the last order of the journal.
    start: (Timestamp, u64),
    sequencer: Sequencer,
    /// Ticks that are due and not over: their numbers, and the milliseconds before which orders
    /// belong to them.
    due: VecDeque<(u64, u64)>,
    /// A slice of the first of them that is on its way through the house.
    slice: Option<Slice>,
    /// The first of them has begun: what is left of it are orders.
    begun: bool,
    work: Work,
    participants: ClientTable<Participant>,
    watchers: BTreeMap<LotId, BTreeSet<ClientId>>,
    /// Entries handed to the journal.
    submitted: u64,
    pending: VecDeque<Pending>,
    /// Who wants to know what is in an account.
    queries: Vec<ClientId>,
    state: HouseState,
    encoded: Encoded,
    told: FanoutStats,
    metrics: RoomMetrics,
}

impl AuctionRoom {
    /// Goes on with a house as its journal tells it, or founds one.
    pub fn open(
        config: AuctionConfig,
        replica: HouseReplica,
        journal: Box<dyn CommitLog<Entry>>,
        now: Timestamp,
    ) -> Self {
        let (epoch, last_ms, is_new) =
            (replica.epoch() + 1, replica.last_ms(), replica.house().is_none());
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
            let founded = Entry::Founded { version: RULES, rules, tick_rate };
            room.submit(founded, Vec::new(), Output::default(), now);
        }
        room.submit(Entry::Opened { epoch }, Vec::new(), Output::default(), now);
        room
    }

    /// What everyone may know: all of it is durable.
    pub fn public_book(&self) -> &PublicBook {
        &self.public_book
    }

    /// The house as it is in memory, ahead of what is durable: for checks.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// How watchers were told.
    pub fn told(&self) -> FanoutStats {
        self.told
    }

    /// How much it did at once.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Whether it runs.
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

    /// When the auction's tick 0 was due, in microseconds.
    fn epoch_us(&self) -> i64 {
        let before = self.before * 1_000_000 / u64::from(self.timeline.rate());
        self.timeline.first_epoch_us() - before as i64
    }

    /// Whether nothing has become durable for so long that nothing more is taken.
    fn is_busy(&self, now: Timestamp) -> bool {
        self.pending.front().is_some_and(|oldest| now.since(oldest.since) > BUSY)
    }

    /// Hands an entry to the journal; what the tick says waits for it.
    fn submit(
        &mut self,
        entry: Entry,
        replies: Vec<(ClientId, Reply)>,
        out: Output,
        now: Timestamp,
    ) {
        if !self.journal.submit(entry) {
            return self.stop();
        }
        self.submitted += 1;
        let Output { events, forgotten, .. } = out;
        self.pending.push_back(Pending {
            sequence: self.submitted,
            since: now,
            replies,
            events,
            forgotten,
        });
    }

    /// What follows from no entry of its own waits for the last one: it may tell of its effects.
    fn wait_for_last(&mut self, replies: Vec<(ClientId, Reply)>, now: Timestamp) {
        let sequence = self.submitted;
        let (events, forgotten) = (Vec::new(), Vec::new());
        self.pending.push_back(Pending { sequence, since: now, replies, events, forgotten });
    }

    /// Says what has become durable.
    fn release(&mut self, now: Timestamp) -> bool {
        let (durable, failed) = (self.journal.durable(), self.journal.failure().is_some());
        let (mut any, mut released) = (false, 0);
        while released < RELEASED_AT_ONCE
            && let Some(done) = self.pending.pop_front_if(|pending| pending.sequence <= durable)
        {
            any = true;
            released += done.replies.len() + done.events.len() + done.forgotten.len();
            self.metrics.commit.add(now.since(done.since));
            for (client, reply) in done.replies {
                self.say(client, COMMANDS, &reply);
            }
            for event in done.events {
                self.mark_due(event.lot);
                self.public_book.apply(event);
            }
            for lot in done.forgotten {
                self.mark_due(lot);
                self.watchers.remove(&lot);
                self.public_book.forget(lot);
            }
        }
        self.work.most_released = self.work.most_released.max(released);
        if any {
            self.encoded.clear();
        }
        if failed {
            self.stop();
        }
        any
    }

    fn mark_due(&mut self, lot: LotId) {
        for client in self.watchers.get(&lot).into_iter().flatten() {
            if let Some(participant) = self.participants.get_mut(*client) {
                participant.due.insert(lot);
            }
        }
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

    /// Nothing can be made durable any more: nothing more is taken, and nothing that waits is ever
    /// said.
    fn stop(&mut self) {
        if self.state != HouseState::Stopped {
            let cause = self.journal.failure().unwrap_or("the disk does not keep up");
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
            participant.watching.keys().for_each(|lot| self.unwatch(client, *lot));
        }
    }

    fn account(&mut self, client: ClientId) -> Option<(ClientId, Reply)> {
        let participant = self.participants.get_mut(client)?;
        participant.asked_account = false;
        let ledger = self.house.ledger();
        let account = ledger.find(participant.user).map(|index| ledger.account(index));
        let [available, held, paid] = account.map_or_else(Default::default, |account| {
            [account.available, account.held, account.paid]
        });
        Some((client, Reply::Account { available, held, paid }))
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
            // What it may ask for is the session's, whoever has it now.
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
        let (tick, epoch_us) = (self.timeline.next().0, self.epoch_us());
        let Some(participant) =
            self.participants.get_mut(client).filter(|participant| !participant.away)
        else {
            return;
        };
        participant.outbox.drain(..).for_each(|(channel, message)| outbox.send(channel, message));
        for (client_us, arrived) in participant.asked_time.drain(..) {
            let (arrived_us, sent_us) = (arrived.as_micros(), now.as_micros());
            let time = Reply::Time { client_us, arrived_us, sent_us, epoch_us };
            outbox.send(COMMANDS, message(tick, &time));
        }
        tell_lots(
            participant,
            (&self.public_book, &mut self.encoded),
            (tick, now),
            &mut self.told,
            outbox,
        );
    }

    fn tick_sent(&mut self, drained: Timestamp, skipped: bool, now: Timestamp) {
        self.metrics.tick_sent(drained, now, skipped || now > self.timeline.next_deadline());
    }

    fn is_overwhelmed(&self, client: ClientId) -> bool {
        let now = self.timeline.next_deadline();
        let slow = self.participants.get(client).and_then(|participant| participant.slow_since);
        slow.is_some_and(|since| now.since(since) > PATIENCE)
    }

    fn metrics(&self) -> RoomMetrics {
        self.metrics.clone()
    }

    /// What was submitted still becomes durable; nothing more is submitted.
    fn abandon(&mut self) {
        self.journal.close();
    }
}
