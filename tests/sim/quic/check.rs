//! Invariants at the end of a QUIC run.

use std::collections::BTreeMap;

use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::replication::entity;
use truetick_netcode::replication::state_ring::Entry;
use truetick_netcode::tick::Tick;
use truetick_server::game::Game;

use super::serving::arena;
use super::world::QuicWorld;
use crate::messaging_game::{CHANNELS, PERIOD};
use crate::server_process::world_of;

/// Ticks within which everyone holds a new entity after the heal.
const ARRIVES_IN: u32 = 40;

impl QuicWorld {
    /// Checks that everyone plays, holds the current world, and received every message once and in
    /// order.
    pub(super) fn look(&mut self, healed: Tick) {
        let mut wrong = Vec::new();
        for (place, member) in self.members.iter().enumerate() {
            let runtime = member.bot.runtime();
            let stats = runtime.stats();
            if runtime.state() != ClientState::Playing {
                wrong.push(format!(
                    "client {place} does not play: {:?}",
                    runtime.state()
                ));
                continue;
            }
            if stats.decode_errors + stats.hash_mismatches > 0 {
                wrong.push(format!("client {place} decoded wrongly: {stats:?}"));
            }
            wrong.extend(self.wrong_entities(place));
            if runtime
                .buffer()
                .newest()
                .is_none_or(|newest| !newest.is_after(healed))
            {
                wrong.push(format!(
                    "client {place} has heard nothing since all is healed"
                ));
            }
        }
        self.wrong.extend(wrong);
        (0..self.members.len()).for_each(|place| self.look_at_messages(place));
        for (place, member) in self.members.iter().enumerate() {
            if let ClientState::Ended(End::Disconnected(
                DisconnectReason::Misbehaved | DisconnectReason::Overflow,
            )) = member.bot.runtime().state()
            {
                self.wrong.push(format!(
                    "client {place} was sent away: {:?}",
                    member.bot.runtime().state()
                ));
            }
        }
    }

    /// Entities that a client lacks or holds in another state than the server.
    fn wrong_entities(&self, place: usize) -> Vec<String> {
        let (ring, game) = (world_of(&self.server).ring(), arena());
        let buffer = self.members[place].bot.runtime().buffer();
        // A younger entity may still be in flight.
        let long_ago = ring.tick().back(ARRIVES_IN);
        let is_seen = |entry: &&Entry| {
            entry
                .at(long_ago)
                .is_some_and(|old| game.place(entry.kind, &old.fields).is_some())
        };
        let mut wrong = Vec::new();
        for entry in ring.entries().filter(is_seen) {
            let Some(held) = buffer
                .entity(entry.id.slot)
                .filter(|held| held.id == entry.id)
            else {
                wrong.push(format!("client {place} lacks {}", entry.id));
                continue;
            };
            let (kind, audience) = (self.kinds.schema.kind(held.kind), held.audience as usize);
            let as_of = entry.at(held.newest().tick).unwrap_or(entry.current());
            if entity::hash(kind, held.audience, held.newest().fields) != as_of.hashes[audience] {
                wrong.push(format!("client {place} holds another {}", entry.id));
            }
        }
        wrong
    }

    /// Checks that reliable messages arrived once, ordered ones in order, and none is missing
    /// between two others.
    pub(super) fn look_at_messages(&mut self, place: usize) {
        let mut by_channel: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for (channel, tick) in &self.members[place].told {
            by_channel.entry(*channel).or_default().push(tick.0);
        }
        for (channel, mut ticks) in by_channel.into_iter().filter(|(channel, _)| *channel > 0) {
            let ordered = channel > 1;
            // The newest may be reordered on an unordered channel.
            if !ordered {
                ticks.sort_unstable();
            }
            if let Some(pair) = ticks.windows(2).find(|pair| pair[1] != pair[0] + PERIOD) {
                let name = CHANNELS[channel];
                self.wrong.push(format!(
                    "client {place} on {name:?}: tick {} follows {}",
                    pair[1], pair[0]
                ));
            }
        }
    }
}
