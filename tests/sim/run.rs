//! One run of a plan from its start to its verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use truetick_netcode::tick::Tick;

use crate::mark::Marks;
use crate::plan::Plan;
use crate::world::{Sim, Trace};

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// The end of the time to settle, in which nothing may disturb anyone any more.
const CALM: Duration = Duration::from_secs(1);

/// Runs a plan: its trouble, the heal, and the time to settle. A panic is a defect like any other.
pub fn run(plan: &Plan, trace: Option<Trace>) -> Outcome {
    let judged = catch_unwind(AssertUnwindSafe(|| judge(plan, trace)));
    judged.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| text.to_string()));
        Outcome {
            wrong: vec![format!("panic: {}", text.unwrap_or_default())],
            ..Outcome::default()
        }
    })
}

fn judge(plan: &Plan, trace: Option<Trace>) -> Outcome {
    let mut sim = Sim::of(plan, trace);
    let mut wrong = settle(&mut sim, plan);
    wrong.splice(0..0, sim.violations().iter().cloned());
    Outcome {
        wrong,
        marks: sim.final_marks(),
        sent_hash: sim.sent_hash(),
        client_time: sim.elapsed() * u32::from(plan.config.clients),
        hashes: sim.hashes,
    }
}

/// Runs to the end or to the first broken invariant; returns what did not come right.
fn settle(sim: &mut Sim, plan: &Plan) -> Vec<String> {
    sim.run_until_broken(plan.trouble);
    let Some(healed) = sim.tick() else {
        return vec!["the server is down when all is healed".into()];
    };
    sim.run_until_broken(plan.settle.saturating_sub(CALM));
    let before = sim.disturbances();
    sim.calm_begins();
    sim.run_until_broken(CALM);
    if !sim.violations().is_empty() {
        return Vec::new();
    }
    let told = sim.tick().map_or(healed, |tick: Tick| tick.back(plan.config.arena.tick_rate / 2));
    let mut wrong = sim.unconverged(healed, told);
    let after = sim.disturbances();
    wrong.extend(
        (after != before)
            .then(|| format!("disturbed in a calm second: {before:?} became {after:?}")),
    );
    wrong.extend(sim.check_recording());
    wrong
}
