//! Checks predictions independently of the client: the state that a client predicted for a slot is
//! kept and compared with the world when the server has run the tick of that slot.

use std::collections::BTreeMap;

use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::schema::Schema;
use truetick_netcode::tick::Tick;

use super::Pair;

/// Ticks for which predictions are kept.
const KEPT: u32 = 256;

/// Predicted fields of one client in one life, by slot.
type PredictedStates = BTreeMap<u32, Box<[u32]>>;

/// Checks the predictions of all clients.
#[derive(Debug, Default)]
pub(crate) struct PredictionCheck {
    predicted: BTreeMap<(usize, u64), PredictedStates>,
    /// Number of comparisons while nothing disturbs anyone.
    compared: u64,
}

/// The server's state after its newest tick.
#[derive(Clone, Copy)]
pub(crate) struct NewestTick<'a> {
    /// The states of all entities.
    pub ring: &'a StateRing,
    /// The schema of the states.
    pub schema: &'a Schema,
    /// Slot of the tick on the time line.
    pub slot: Tick,
}

impl PredictionCheck {
    /// Records a client's current prediction. If `calm` (no interactions, and every command arrives
    /// in time), compares its prediction for the slot of the newest tick.
    pub fn check(
        &mut self,
        pair: &Pair<'_>,
        newest: NewestTick<'_>,
        calm: bool,
        wrong: &mut Vec<String>,
    ) {
        let NewestTick { ring, schema, slot } = newest;
        let predicted = self
            .predicted
            .entry((pair.at, pair.client.life))
            .or_default();
        // A prediction from before the calm may have been corrected since.
        match calm {
            true => *predicted = predicted.split_off(&slot.0.saturating_sub(KEPT)),
            false => predicted.clear(),
        }
        if let Some((of, state)) = pair.client.bot.runtime().predicted() {
            predicted.entry(of.0).or_insert_with(|| state.into());
        }
        let own = ring.entries().find(|entry| entry.owner == Some(pair.id));
        let (Some(own), Some(state), true) = (own, predicted.get(&slot.0), calm) else {
            return;
        };
        self.compared += 1;
        let fields = &schema.kind(own.kind).fields;
        for (i, field) in fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.predicted)
        {
            let there = own.current().fields[i];
            if state[i] != there {
                wrong.push(format!(
                    "client {}: foresaw {} {} for slot {slot}, but it is {there}",
                    pair.at, field.name, state[i]
                ));
            }
        }
    }

    /// Returns the number of comparisons while calm.
    pub fn compared(&self) -> u64 {
        self.compared
    }
}
