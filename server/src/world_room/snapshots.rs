//! Snapshots of a world: what each client is sent, and what is recorded.

use std::time::Duration;

use truetick_netcode::bits::BitWriter;
use truetick_netcode::messages::MismatchReport;
use truetick_netcode::replication::client_view::{ClientView, Interest, Shared};
use truetick_netcode::replication::snapshot::Feedback;
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::sequence::Sequence;
use truetick_netcode::session::{ClientId, Role};
use truetick_netcode::time::Timestamp;

use super::WorldRoom;
use crate::command_queue::CommandCounts;
use crate::game::Game;
use crate::recording::difference::{Divergence, explain};
use crate::recording::recorder::{Chunk, Recorder, RecorderConfig};
use crate::room::RoomConfig;
use crate::world_access::WorldAccess;

impl<G: Game> WorldAccess for WorldRoom<G> {
    fn packet_acked(&mut self, client: ClientId, sequence: Sequence) {
        if let Some(client) = self.clients.get_mut(client) {
            client.view.packet_acked(sequence);
        }
    }

    fn resync(&mut self, client: ClientId) {
        if let Some(client) = self.clients.get_mut(client) {
            client.view.reset();
        }
    }

    fn plan_snapshot(&mut self, client: ClientId, budget: usize, round_trip: Duration) -> bool {
        let Some(client) = self.clients.get_mut(client) else {
            return false;
        };
        client.repeat = round_trip
            .max(self.config.shortest_repeat)
            .min(self.config.longest_repeat);
        let (schema, ring) = (self.simulation.registry().schema(), self.simulation.ring());
        let own = client.entity.and_then(|id| ring.entry(id.slot));
        let team = own.map_or(0, |entry| {
            self.game.team(entry.kind, &entry.current().fields)
        });
        let center = own.and_then(|entry| self.game.place(entry.kind, &entry.current().fields));
        let (masks, weights) = match (client.role, self.config.relevance_radius_m) {
            (Role::Spectator, _) | (_, None) => (&self.all, None),
            (Role::Player, Some(radius)) => {
                let was_relevant = |slot| client.view.was_relevant(slot);
                self.grid.see(center, radius, was_relevant, &mut self.seen);
                (&self.seen.masks, Some(&*self.seen.weights))
            }
        };
        client.feedback = client
            .arrivals
            .feedback(&mut client.queue, ring.tick(), &self.timeline);
        let interest = Interest {
            own: client.entity,
            team,
            masks,
            weights,
            budget,
        };
        let mut shared = Shared {
            schema,
            ring,
            cache: &mut self.cache,
        };
        client.view.plan(&mut shared, &interest);
        true
    }

    fn write_snapshot(
        &mut self,
        client: ClientId,
        packet: (Sequence, usize),
        now: Timestamp,
        writer: &mut BitWriter,
    ) -> bool {
        let Some(client) = self.clients.get_mut(client) else {
            return false;
        };
        let (schema, ring) = (self.simulation.registry().schema(), self.simulation.ring());
        let since = now.since(self.timeline.deadline(ring.tick())).as_micros() / 64;
        let feedback = Feedback {
            processing: since.min(255) as u8,
            ..client.feedback
        };
        let mut shared = Shared {
            schema,
            ring,
            cache: &mut self.cache,
        };
        client
            .view
            .write_packet(&mut shared, packet.0, packet.1, feedback, writer)
    }

    fn snapshot_sent(&mut self, client: ClientId, packets: u64, bytes: u64, now: Timestamp) {
        self.metrics.snapshots += 1;
        self.metrics.packets_out += packets;
        self.metrics.bytes_out += bytes;
        let Some(client) = self.clients.get_mut(client) else {
            return;
        };
        client
            .arrivals
            .take()
            .for_each(|arrived| self.metrics.arrival_to_sent.add(now.since(arrived)));
    }

    fn command_counts(&self, client: ClientId) -> Option<CommandCounts> {
        Some(self.clients.get(client)?.queue.counts())
    }

    fn world_hash(&self) -> u64 {
        self.simulation.world_hash()
    }

    fn set_relevance_radius(&mut self, radius_m: Option<f32>) {
        self.config.relevance_radius_m = radius_m;
    }

    fn ring(&self) -> &StateRing {
        self.simulation.ring()
    }

    fn explain(&self, client: ClientId, report: &MismatchReport) -> Divergence {
        explain(
            self.simulation.registry().schema(),
            self.simulation.ring(),
            client,
            report,
        )
    }

    fn start_recording(&mut self, config: RecorderConfig) {
        let RoomConfig {
            tick_rate, seed, ..
        } = self.config;
        let recorder = Recorder::begin(config, tick_rate, seed, &self.simulation);
        self.recorder = Some(recorder);
    }

    fn poll_recording(&mut self) -> Option<Chunk> {
        self.recorder.as_mut()?.poll()
    }

    fn finish_recording(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.finish();
        }
    }

    fn stop_recording(&mut self) {
        self.recorder = None;
    }

    fn view(&self, client: ClientId) -> Option<&ClientView> {
        Some(&self.clients.get(client)?.view)
    }
}
