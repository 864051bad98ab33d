//! Predictions, looked at from outside: what a client foresaw for a slot is kept, and compared with
//! the world when the server's tick of that slot has run. Whatever the client itself makes of it.

use std::collections::BTreeMap;

use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::schema::Schema;
use truetick_netcode::tick::Tick;

use super::Pair;

/// Ticks for which foresight is kept.
const KEPT: u32 = 256;

/// What one client foresaw in one of its lives, by slot.
type EstimatedField = BTreeMap<u32, Box<[u32]>>;

/// See the module.
#[derive(Debug, Default)]
pub struct EstimateCheck {
    estimated: BTreeMap<(usize, u64), EstimatedField>,
    /// Comparisons made while nothing disturbed anyone.
    compared: u64,
}

impl EstimateCheck {
    /// Keeps what a client foresees now; compares what it foresaw for the slot `now`, that of the
    /// newest tick, if `calm`: nothing touches anyone, and every command comes in time.
    pub fn check(
        &mut self,
        pair: &Pair<'_>,
        (ring, schema, now): (&StateRing, &Schema, Tick),
        calm: bool,
        wrong: &mut Vec<String>,
    ) {
        let estimated = self.estimated.entry((pair.at, pair.client.life)).or_default();
        // What was foreseen before the calm may have been put right since.
        match calm {
            true => *estimated = estimated.split_off(&now.0.saturating_sub(KEPT)),
            false => estimated.clear(),
        }
        if let Some((slot, state)) = pair.client.bot.runtime().predicted() {
            estimated.entry(slot.0).or_insert_with(|| state.into());
        }
        let own = ring.entries().find(|entry| entry.owner == Some(pair.id));
        let (Some(own), Some(state), true) = (own, estimated.get(&now.0), calm) else {
            return;
        };
        self.compared += 1;
        let fields = &schema.kind(own.kind).fields;
        for (i, field) in fields.iter().enumerate().filter(|(_, field)| field.predicted) {
            let there = own.current().fields[i];
            if state[i] != there {
                wrong.push(format!(
                    "client {}: foresaw {} {} for slot {now}, but it is {there}",
                    pair.at, field.name, state[i]
                ));
            }
        }
    }

    /// Comparisons made while calm.
    pub fn compared(&self) -> u64 {
        self.compared
    }
}
