//! One run of a plan from its start to its verdict.

use std::time::Duration;

use crate::mark::Marks;
use crate::plan::Plan;
use crate::world::{Sim, Trace};

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What is wrong with it: broken invariants, or what did not come right after the heal.
    pub wrong: Vec<String>,
    /// What it has been through.
    pub marks: Marks,
    /// World hash after each tick.
    pub hashes: Vec<u64>,
    /// Hash of every byte on every path.
    pub sent_hash: u64,
    /// Virtual time that clients spent in it, all together.
    pub client_time: Duration,
}

/// Runs a plan: its trouble, the heal, and the time to settle.
pub fn run(plan: &Plan, trace: Option<Trace>) -> Outcome {
    let mut sim = Sim::of(plan, trace);
    sim.run_until_broken(plan.trouble);
    let mut wrong = sim.violations().to_vec();
    if wrong.is_empty() {
        let healed = sim.server.core().map(|core| core.rooms()[0].ring().tick());
        sim.run_until_broken(plan.settle);
        wrong.extend_from_slice(sim.violations());
        if wrong.is_empty() {
            wrong = sim.unconverged(healed.unwrap_or_default());
            wrong.extend(sim.check_recording());
        }
    }
    Outcome {
        wrong,
        marks: sim.final_marks(),
        sent_hash: sim.sent_hash(),
        client_time: plan.length() * u32::from(plan.config.clients),
        hashes: sim.hashes,
    }
}
