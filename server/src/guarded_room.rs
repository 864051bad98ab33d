//! A room whose panics end that room only.
//!
//! Every call of the server to a room passes through [`GuardedRoom`]. The first call that panics
//! ends the room: the cause is kept, [`Room::abandon`] closes what the room writes to, and the
//! room's own code is not called again. An ended room keeps its number and its timeline, so that
//! deadlines, drains and the end of the process do not depend on it. It has no clients and
//! simulates nothing, and clients that try to join it are refused.

use std::any::Any;
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::channel::Channel;
use truetick_netcode::error::WireError;
use truetick_netcode::messages::MismatchReport;
use truetick_netcode::replication::client_view::ClientView;
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::sequence::Sequence;
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use super::command_queue::CommandCounts;
use super::game_fault::GameFault;
use super::metrics::RoomMetrics;
use super::room::{Outbox, Room, RoomConfig};
use super::timeline::{Due, Timeline};
use super::world_access::WorldAccess;
use crate::recording::difference::Divergence;
use crate::recording::recorder::{Chunk, RecorderConfig};

/// Maximum length of the kept message of a panic, in characters.
const CAUSE_CHARS: usize = 512;

/// A room and, once it has panicked, the cause and its last figures.
pub struct GuardedRoom {
    inner: Box<dyn Room>,
    config: RoomConfig,
    timeline: Timeline,
    schema: u64,
    failure: OnceCell<String>,
    remains: Option<Remains>,
}

/// What is kept of a room that has ended.
struct Remains {
    metrics: RoomMetrics,
    recording: VecDeque<Chunk>,
}

impl GuardedRoom {
    /// Puts a guard around a room.
    pub fn new(inner: Box<dyn Room>) -> Self {
        let (config, timeline, schema) = (*inner.config(), *inner.timeline(), inner.schema_hash());
        Self {
            inner,
            config,
            timeline,
            schema,
            failure: OnceCell::new(),
            remains: None,
        }
    }

    /// Calls the room; `None` if it has ended or panics in this call.
    fn call<T>(&mut self, run: impl FnOnce(&mut dyn Room) -> T) -> Option<T> {
        if self.failure.get().is_some() {
            return None;
        }
        let done = catch_unwind(AssertUnwindSafe(|| run(&mut *self.inner)));
        done.map_err(|cause| self.note_panic(&*cause)).ok()
    }

    /// Calls the room by shared reference; `None` if it has ended or panics in this call.
    fn ask<'a, T>(&'a self, run: impl FnOnce(&'a dyn Room) -> T) -> Option<T> {
        if self.failure.get().is_some() {
            return None;
        }
        let done = catch_unwind(AssertUnwindSafe(|| run(&*self.inner)));
        done.map_err(|cause| self.note_panic(&*cause)).ok()
    }

    fn call_world<T>(&mut self, run: impl FnOnce(&mut dyn WorldAccess) -> T) -> Option<T> {
        self.call(|room| room.world_mut().map(run)).flatten()
    }

    fn ask_world<'a, T>(&'a self, run: impl FnOnce(&'a dyn WorldAccess) -> T) -> Option<T> {
        self.ask(|room| room.world().map(run)).flatten()
    }

    fn note_panic(&self, cause: &(dyn Any + Send)) {
        let text = cause.downcast_ref::<&str>().copied();
        let text = text.or_else(|| cause.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("a panic without a message");
        // Only the first panic is the cause; later ones follow from it.
        let _ = self.failure.set(text.chars().take(CAUSE_CHARS).collect());
    }
}

/// Runs one of the last steps of an ended room, which may panic too.
fn at_last<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

impl Room for GuardedRoom {
    fn config(&self) -> &RoomConfig {
        &self.config
    }

    fn schema_hash(&self) -> u64 {
        self.schema
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn due(&mut self, now: Timestamp) -> Due {
        match self.call(|room| (room.due(now), *room.timeline())) {
            Some((due, timeline)) => {
                self.timeline = timeline;
                due
            }
            None => self.timeline.due(now),
        }
    }

    fn population(&self) -> usize {
        self.ask(|room| room.population()).unwrap_or(0)
    }

    fn spectators(&self) -> usize {
        self.ask(|room| room.spectators()).unwrap_or(0)
    }

    fn is_full(&self, role: Role) -> bool {
        self.ask(|room| room.is_full(role)).unwrap_or(true)
    }

    fn has(&self, client: ClientId) -> bool {
        self.ask(|room| room.has(client)).unwrap_or(false)
    }

    fn suspend(&mut self, client: ClientId) {
        self.call(|room| room.suspend(client));
    }

    fn resume(&mut self, client: ClientId, resume: Resume) {
        self.call(|room| room.resume(client, resume));
    }

    fn takes_spectators(&self) -> bool {
        self.ask(|room| room.takes_spectators()).unwrap_or(false)
    }

    fn join(&mut self, client: ClientId, user: UserId, role: Role) {
        self.call(|room| room.join(client, user, role));
    }

    fn leave(&mut self, client: ClientId, lost: bool) {
        self.call(|room| room.leave(client, lost));
    }

    fn receive_commands(
        &mut self,
        client: ClientId,
        reader: BitReader<'_>,
        arrived: Timestamp,
    ) -> Result<(), WireError> {
        self.call(|room| room.receive_commands(client, reader, arrived))
            .unwrap_or(Ok(()))
    }

    fn receive_message(
        &mut self,
        client: ClientId,
        channel: Channel,
        message: &[u8],
        arrived: Timestamp,
    ) -> Result<(), WireError> {
        self.call(|room| room.receive_message(client, channel, message, arrived))
            .unwrap_or(Ok(()))
    }

    fn simulate(&mut self, now: Timestamp) {
        match self.call(|room| {
            room.simulate(now);
            *room.timeline()
        }) {
            Some(timeline) => self.timeline = timeline,
            None => self.timeline.advance(),
        }
    }

    fn has_pending_output(&mut self, now: Timestamp) -> bool {
        self.call(|room| room.has_pending_output(now))
            .unwrap_or(false)
    }

    fn awaits_news(&self) -> bool {
        self.ask(|room| room.awaits_news()).unwrap_or(false)
    }

    fn messages(&mut self, client: ClientId, now: Timestamp, outbox: &mut dyn Outbox) {
        self.call(|room| room.messages(client, now, outbox));
    }

    fn tick_sent(&mut self, drained: Timestamp, skipped: bool, now: Timestamp) {
        self.call(|room| room.tick_sent(drained, skipped, now));
    }

    fn is_overwhelmed(&self, client: ClientId) -> bool {
        self.ask(|room| room.is_overwhelmed(client))
            .unwrap_or(false)
    }

    fn poll_fault(&mut self, now: Timestamp) -> Option<(GameFault, u64)> {
        self.call(|room| room.poll_fault(now)).flatten()
    }

    fn metrics(&self) -> RoomMetrics {
        let left = || self.remains.as_ref().map(|remains| remains.metrics.clone());
        self.ask(|room| room.metrics())
            .or_else(left)
            .unwrap_or_default()
    }

    fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    fn abandon(&mut self) {
        if self.failure.get().is_none() || self.remains.is_some() {
            return;
        }
        let room = &mut self.inner;
        at_last(|| room.abandon());
        let metrics = at_last(|| room.metrics()).unwrap_or_default();
        let mut recording = VecDeque::new();
        at_last(|| {
            let world = room.world_mut();
            recording.extend(
                world
                    .into_iter()
                    .flat_map(|world| std::iter::from_fn(|| world.poll_recording())),
            );
        });
        self.remains = Some(Remains { metrics, recording });
    }

    fn world(&self) -> Option<&dyn WorldAccess> {
        self.inner.world().is_some().then_some(self)
    }

    fn world_mut(&mut self) -> Option<&mut dyn WorldAccess> {
        self.inner.world().is_some().then_some(self)
    }
}

impl WorldAccess for GuardedRoom {
    fn packet_acked(&mut self, client: ClientId, sequence: Sequence) {
        self.call_world(|world| world.packet_acked(client, sequence));
    }

    fn resync(&mut self, client: ClientId) {
        self.call_world(|world| world.resync(client));
    }

    fn plan_snapshot(&mut self, client: ClientId, budget: usize, round_trip: Duration) -> bool {
        self.call_world(|world| world.plan_snapshot(client, budget, round_trip))
            .unwrap_or(false)
    }

    fn write_snapshot(
        &mut self,
        client: ClientId,
        packet: (Sequence, usize),
        now: Timestamp,
        writer: &mut BitWriter,
    ) -> bool {
        self.call_world(|world| world.write_snapshot(client, packet, now, writer))
            .unwrap_or(false)
    }

    fn snapshot_sent(&mut self, client: ClientId, packets: u64, bytes: u64, now: Timestamp) {
        self.call_world(|world| world.snapshot_sent(client, packets, bytes, now));
    }

    fn command_counts(&self, client: ClientId) -> Option<CommandCounts> {
        self.ask_world(|world| world.command_counts(client))
            .flatten()
    }

    fn world_hash(&self) -> u64 {
        self.ask_world(|world| world.world_hash()).unwrap_or(0)
    }

    fn set_relevance_radius(&mut self, radius_m: Option<f32>) {
        self.call_world(|world| world.set_relevance_radius(radius_m));
        self.config.relevance_radius_m = radius_m;
    }

    /// The state ring; after the room's end, as the room left it.
    fn ring(&self) -> &StateRing {
        match self.inner.world() {
            Some(world) => world.ring(),
            None => unreachable!("a guarded room has a world where the room has one"),
        }
    }

    fn explain(&self, client: ClientId, report: &MismatchReport) -> Divergence {
        self.ask_world(|world| world.explain(client, report))
            .unwrap_or_else(|| Divergence::at(Tick(0)))
    }

    fn start_recording(&mut self, config: RecorderConfig) {
        self.call_world(|world| world.start_recording(config));
    }

    fn poll_recording(&mut self) -> Option<Chunk> {
        match &mut self.remains {
            Some(remains) => remains.recording.pop_front(),
            None => self.call_world(|world| world.poll_recording()).flatten(),
        }
    }

    /// Has no effect on an ended room, because its recording has ended with it.
    fn finish_recording(&mut self) {
        self.call_world(|world| world.finish_recording());
    }

    fn stop_recording(&mut self) {
        self.call_world(|world| world.stop_recording());
        if let Some(remains) = &mut self.remains {
            remains.recording.clear();
        }
    }

    fn view(&self, client: ClientId) -> Option<&ClientView> {
        self.ask_world(|world| world.view(client)).flatten()
    }
}
