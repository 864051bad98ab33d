//! A room with one world, and for each client its command queue and its view
//! ([`ClientView`]). [`WorldRoom::simulate`] shows a whole tick.

mod interest;
mod snapshots;

use std::sync::Arc;
use std::time::Duration;

use truetick_netcode::bits::BitReader;
use truetick_netcode::command::{Command, read_commands};
use truetick_netcode::error::WireError;
use truetick_netcode::limits::REPEAT;
use truetick_netcode::messages::{ServerMessage, encode};
use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::replication::NetId;
use truetick_netcode::replication::client_view::ClientView;
use truetick_netcode::replication::delta_cache::DeltaCache;
use truetick_netcode::replication::snapshot::Feedback;
use truetick_netcode::schema::SchemaError;
use truetick_netcode::session::client_table::ClientTable;
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use super::command_feedback::CommandArrivals;
use super::command_queue::{CommandQueue, NextSlots};
use super::game::{Game, GameEvent};
use super::game_fault::{FaultLog, GameFault};
use super::metrics::RoomMetrics;
use super::relevance::{InterestSet, RelevanceGrid};
use super::room::{Outbox, Room, RoomConfig};
use super::simulation::{Simulation, TickInput};
use super::timeline::{Due, Timeline};
use super::world_access::WorldAccess;
use crate::recording::recorder::Recorder;

struct RoomClient<C> {
    role: Role,
    queue: CommandQueue<C>,
    view: ClientView,
    entity: Option<NetId>,
    feedback: Feedback,
    arrivals: CommandArrivals,
    /// Whether the client's session is parked ([`Room::suspend`]).
    away: bool,
    /// Time for which the last command replaces a missing one.
    repeat: Duration,
}

/// A room with one world of a game.
pub struct WorldRoom<G: Game> {
    game: Arc<G>,
    config: RoomConfig,
    simulation: Simulation<G>,
    timeline: Timeline,
    clients: ClientTable<RoomClient<G::Command>>,
    joins: Vec<(ClientId, Role)>,
    leaves: Vec<ClientId>,
    cache: DeltaCache,
    /// The live slots of each block, for clients that see everything.
    all: Vec<u64>,
    grid: RelevanceGrid,
    seen: InterestSet,
    events: Vec<(GameEvent, Vec<u8>)>,
    metrics: RoomMetrics,
    faults: FaultLog,
    recorder: Option<Recorder<G::Command>>,
}

impl<G: Game> WorldRoom<G> {
    /// Creates a room whose first tick is due one tick after `now`.
    ///
    /// # Errors
    /// If the game's schema is not valid.
    pub fn new(game: G, config: RoomConfig, now: Timestamp) -> Result<Self, SchemaError> {
        Self::starting_after(Tick(0), game, config, now)
    }

    /// Creates a room whose first tick follows `tick` and is due one tick after `now`. Tests use it
    /// to reach the wrap of ticks.
    ///
    /// # Errors
    /// If the game's schema is not valid.
    pub fn starting_after(
        tick: Tick,
        game: G,
        config: RoomConfig,
        now: Timestamp,
    ) -> Result<Self, SchemaError> {
        let game = Arc::new(game);
        let simulation = Simulation::starting_after(tick, game.clone(), config.seed)?;
        let timeline = Timeline::new(config.tick_rate, simulation.tick().next(), now);
        Ok(Self {
            game,
            config,
            simulation,
            timeline,
            clients: ClientTable::default(),
            joins: Vec::new(),
            leaves: Vec::new(),
            cache: DeltaCache::default(),
            all: Vec::new(),
            grid: RelevanceGrid::default(),
            seen: InterestSet::default(),
            events: Vec::new(),
            metrics: RoomMetrics::default(),
            faults: FaultLog::default(),
            recorder: None,
        })
    }

    /// The world and its rules.
    pub fn simulation(&self) -> &Simulation<G> {
        &self.simulation
    }

    /// Takes a tick's input: leaves, joins and one command per player, each by rising client
    /// number. A missing command is replaced. References of a command to entities that its client
    /// does not see become `None`. Spectators give no input.
    fn drain(&mut self, tick: Tick) -> TickInput<G::Command> {
        let commands = self.simulation.take_input_memory();
        let mut input = TickInput {
            leaves: std::mem::take(&mut self.leaves),
            joins: Vec::new(),
            commands,
        };
        input.leaves.sort_unstable();
        for (client, role) in std::mem::take(&mut self.joins) {
            self.clients
                .insert(client, RoomClient::new(role, self.config.tick_rate));
            if role == Role::Player {
                input.joins.push(client);
            }
        }
        input.joins.sort_unstable();
        let (ring, slot) = (self.simulation.ring(), self.timeline.slot(tick));
        for (id, client) in self
            .clients
            .iter_mut()
            .filter(|(_, client)| client.role == Role::Player)
        {
            let repeat = client.repeat.as_millis() as u32 * self.config.tick_rate / 1_000;
            let taken = client.queue.take(slot, repeat);
            client.arrivals.note(taken.arrived);
            // Keys that were held when the player fell silent must not stay held for the whole
            // grace.
            let idle = client.away && taken.arrived.is_none();
            let mut command = if idle {
                G::Command::default()
            } else {
                taken.command
            };
            let sees = |id: &NetId| {
                let lives = ring.entry(id.slot).is_some_and(|entry| entry.id == *id);
                lives && client.view.was_relevant(id.slot)
            };
            command
                .targets()
                .iter_mut()
                .for_each(|target| *target = target.filter(sees));
            input.commands.push((id, command));
        }
        input
    }

    fn note_clamped(&mut self) {
        let (first, count) = self.simulation.out_of_range();
        if let Some(first) = first {
            self.metrics.fields_clamped += count;
            self.faults.note(GameFault::OutOfRange(first), count);
        }
    }

    fn encode_events(&mut self, tick: Tick) {
        for event in self.simulation.take_events() {
            if let Err(error) = event.check() {
                self.metrics.events_refused += 1;
                self.faults.note(error.into(), 1);
                continue;
            }
            let message = ServerMessage::Event {
                tick: tick.0,
                data: event.data.clone(),
            };
            self.events.push((event, encode(&message)));
        }
    }

    fn forget(&mut self, client: ClientId) -> Option<Role> {
        let gone = self.clients.remove(client)?;
        self.note_gone(&gone);
        Some(gone.role)
    }

    fn note_gone(&mut self, gone: &RoomClient<G::Command>) {
        self.metrics.commands = self.metrics.commands + gone.queue.counts();
        self.metrics.add_view(gone.view.stats());
    }
}

impl<C: Command> RoomClient<C> {
    fn new(role: Role, tick_rate: u32) -> Self {
        Self {
            role,
            queue: CommandQueue::new(tick_rate),
            repeat: REPEAT,
            view: ClientView::new(),
            entity: None,
            feedback: Feedback::default(),
            arrivals: CommandArrivals::default(),
            away: false,
        }
    }
}

impl<G: Game> Room for WorldRoom<G> {
    fn config(&self) -> &RoomConfig {
        &self.config
    }

    fn schema_hash(&self) -> u64 {
        self.simulation.registry().schema().hash()
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn due(&mut self, now: Timestamp) -> Due {
        self.timeline.due(now)
    }

    fn population(&self) -> usize {
        self.clients.len() + self.joins.len()
    }

    fn spectators(&self) -> usize {
        let watching = self
            .clients
            .iter()
            .filter(|(_, client)| client.role == Role::Spectator)
            .count();
        watching
            + self
                .joins
                .iter()
                .filter(|(_, role)| *role == Role::Spectator)
                .count()
    }

    fn has(&self, client: ClientId) -> bool {
        self.clients.contains(client) || self.joins.iter().any(|(joining, _)| *joining == client)
    }

    fn suspend(&mut self, client: ClientId) {
        if let Some(client) = self.clients.get_mut(client) {
            client.away = true;
            client.arrivals = CommandArrivals::default();
        }
    }

    fn resume(&mut self, client: ClientId, resume: Resume) {
        self.metrics.resumed += 1;
        let Some(present) = self.clients.get_mut(client) else {
            return;
        };
        present.away = false;
        if resume == Resume::Restarted {
            let old = std::mem::replace(
                present,
                RoomClient::new(present.role, self.config.tick_rate),
            );
            self.note_gone(&old);
        }
    }

    fn takes_spectators(&self) -> bool {
        true
    }

    fn join(&mut self, client: ClientId, _user: UserId, role: Role) {
        self.metrics.joined += 1;
        self.joins.push((client, role));
    }

    fn leave(&mut self, client: ClientId, lost: bool) {
        self.metrics.lost += u64::from(lost);
        self.joins.retain(|(joining, _)| *joining != client);
        if self.forget(client) == Some(Role::Player) {
            self.leaves.push(client);
        }
    }

    fn receive_commands(
        &mut self,
        client: ClientId,
        mut reader: BitReader<'_>,
        arrived: Timestamp,
    ) -> Result<(), WireError> {
        let commands = read_commands::<G::Command>(&mut reader)?;
        reader.finish()?;
        let Some(client) = self.clients.get_mut(client) else {
            return Ok(());
        };
        if client.role == Role::Spectator {
            return Err(WireError::Misbehaving("a spectator sends no commands"));
        }
        let slots = NextSlots {
            simulated: self.timeline.slot(self.timeline.next()),
            due: self.timeline.slot_at(arrived),
        };
        for (slot, command) in commands {
            client.queue.push(slot, command, arrived, slots);
        }
        Ok(())
    }

    /// Runs one tick.
    fn simulate(&mut self, _now: Timestamp) {
        self.events.clear();
        let tick = self.timeline.next();
        assert!(
            !is_planted(Mutant::PanicInTick) || tick.0 != 200,
            "a planted panic"
        );
        let input = self.drain(tick);
        if let Some(recorder) = &mut self.recorder {
            recorder.input(tick, &input);
        }
        self.simulation.step(input);
        if let Some(recorder) = &mut self.recorder {
            recorder.outcome(&self.simulation);
        }
        self.note_clamped();
        self.encode_events(tick);
        self.update_interest();
        self.timeline.advance();
        self.metrics.ticks += 1;
    }

    fn messages(&mut self, client: ClientId, _now: Timestamp, outbox: &mut dyn Outbox) {
        for (event, message) in &self.events {
            if event.to.is_none_or(|to| to == client) {
                outbox.send(event.channel, message.clone());
            }
        }
    }

    fn tick_sent(&mut self, drained: Timestamp, skipped: bool, now: Timestamp) {
        self.metrics
            .tick_sent(drained, now, skipped || now > self.timeline.next_deadline());
    }

    fn is_overwhelmed(&self, client: ClientId) -> bool {
        self.clients
            .get(client)
            .is_some_and(|client| client.view.is_overwhelmed())
    }

    fn poll_fault(&mut self, now: Timestamp) -> Option<(GameFault, u64)> {
        self.faults.poll(now)
    }

    fn metrics(&self) -> RoomMetrics {
        let mut metrics = self.metrics.clone();
        for (_, client) in self.clients.iter() {
            metrics.commands = metrics.commands + client.queue.counts();
            metrics.add_view(client.view.stats());
        }
        metrics.encode_sharing = self.cache.sharing();
        metrics.encoded_individually = self.cache.individual();
        metrics
    }

    fn abandon(&mut self) {
        self.finish_recording();
    }

    fn world(&self) -> Option<&dyn WorldAccess> {
        Some(self)
    }

    fn world_mut(&mut self) -> Option<&mut dyn WorldAccess> {
        Some(self)
    }
}
