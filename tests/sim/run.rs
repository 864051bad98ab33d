//! One run of a plan from its start to its verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use truetick_netcode::tick::Tick;

use crate::mark::Marks;
use crate::plan::Plan;
use crate::world::{Sim, Trace};

/// The outcome of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Violations: broken invariants, or a lack of convergence after the heal.
    pub wrong: Vec<String>,
    /// The marks of the run.
    pub marks: Marks,
    /// Hash of the world after each tick.
    pub hashes: Vec<u64>,
    /// Hash of every byte on every path.
    pub sent_hash: u64,
    /// Sum of the virtual time of all clients.
    pub client_time: Duration,
}

/// The last part of the time to settle, in which nothing may disturb anyone.
const CALM: Duration = Duration::from_secs(1);

/// Runs a plan: its faults, the heal, and the time to settle. A panic is reported as a violation.
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

/// Runs to the end or to the first broken invariant; returns the violations of convergence.
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
    let told = sim.tick().map_or(healed, |tick: Tick| {
        tick.back(plan.config.arena.tick_rate / 2)
    });
    let mut wrong = sim.unconverged(healed, told);
    let after = sim.disturbances();
    wrong.extend(
        (after != before)
            .then(|| format!("disturbed in a calm second: {before:?} became {after:?}")),
    );
    wrong.extend(sim.check_recording());
    wrong
}
