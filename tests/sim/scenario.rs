//! A story in a dozen lines: who plays, what goes wrong when, and what the run must have been
//! through.
//!
//! ```
//! use truetick_tests::{fault::Fault, mark::Mark, network::Ways, scenario::Scenario};
//!
//! Scenario::new(7)
//!     .clients(2)
//!     .fault(500, 800, Fault::Cut { client: 0, ways: Ways::Up })
//!     .must_hit(&[Mark::CutUp, Mark::CommandMissing])
//!     .heals();
//! ```

use std::time::Duration;

use truetick_netcode::link_sim::LinkConfig;

use crate::fault::{Fault, Scheduled};
use crate::mark::Mark;
use crate::plan::{Plan, SimConfig};
use crate::run::{Outcome, run};

/// See the module.
#[derive(Clone, Debug)]
pub struct Scenario {
    config: SimConfig,
    faults: Vec<Scheduled>,
    trouble: Duration,
    claimed: Vec<Mark>,
}

impl Scenario {
    /// Eight clients on perfect paths.
    pub fn new(seed: u64) -> Self {
        let config = SimConfig { seed, ..SimConfig::default() };
        Self { config, faults: Vec::new(), trouble: Duration::from_secs(2), claimed: Vec::new() }
    }

    /// So many clients instead.
    pub fn clients(mut self, clients: u16) -> Self {
        self.config.clients = clients;
        self
    }

    /// Every path behaves like this until the heal.
    pub fn link(mut self, link: LinkConfig) -> Self {
        self.config.link = link;
        self
    }

    /// Other settings.
    pub fn with(mut self, change: impl FnOnce(&mut SimConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Trouble goes on for so long at least; the heal comes right after.
    pub fn trouble_ms(mut self, ms: u64) -> Self {
        self.trouble = self.trouble.max(Duration::from_millis(ms));
        self
    }

    /// Something goes wrong, so many milliseconds after the start, for so many.
    pub fn fault(mut self, at_ms: u64, lasting_ms: u64, fault: Fault) -> Self {
        let (at, lasting) = (Duration::from_millis(at_ms), Duration::from_millis(lasting_ms));
        let fault = Scheduled { at, lasting, fault };
        assert!(
            !self.faults.iter().any(|other| other.meets(&fault)),
            "two faults of one process overlap: {fault}"
        );
        self.faults.push(fault);
        self.trouble = self.trouble.max(at + lasting + Duration::from_millis(1));
        self
    }

    /// The run fails if it was not through these.
    pub fn must_hit(mut self, marks: &[Mark]) -> Self {
        self.claimed.extend_from_slice(marks);
        self
    }

    /// Its plan.
    pub fn plan(&self) -> Plan {
        Plan::quiet(self.config).with(self.faults.clone(), self.trouble)
    }

    /// Runs it: no invariant may break, everyone must come right after the heal, every claimed mark
    /// must be hit.
    ///
    /// # Panics
    /// With what is wrong and the plan, if it is not so.
    pub fn heals(&self) -> Outcome {
        let plan = self.plan();
        let outcome = run(&plan, None);
        assert!(outcome.wrong.is_empty(), "{plan}\n{:#?}", outcome.wrong);
        let missed = outcome.marks.missed(&self.claimed);
        assert!(missed.is_empty(), "{plan}\nnever happened: {missed:?}");
        outcome
    }
}
