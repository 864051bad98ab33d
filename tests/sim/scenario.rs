//! A test story in a dozen lines: the clients, the faults with their times, and the marks that the
//! run must hit.
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

/// A path over a wide area network: 40 ms in each direction, with jitter of 6 ms and without loss.
pub const WAN: LinkConfig = LinkConfig {
    latency: Duration::from_millis(40),
    jitter: Duration::from_millis(6),
    loss: 0.0,
    bursts: None,
    duplicate: 0.0,
    reorder: 0.0,
    corrupt: 0.0,
    rate: None,
    queue: Duration::ZERO,
    holds: None,
    outages: None,
    steps: None,
};

/// A test story: configuration, faults and required marks of a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    config: SimConfig,
    faults: Vec<Scheduled>,
    trouble: Duration,
    claimed: Vec<Mark>,
}

impl Scenario {
    /// Creates a scenario with eight clients on perfect paths.
    pub fn new(seed: u64) -> Self {
        let config = SimConfig {
            seed,
            ..SimConfig::default()
        };
        Self {
            config,
            faults: Vec::new(),
            trouble: Duration::from_secs(2),
            claimed: Vec::new(),
        }
    }

    /// Sets the number of clients.
    pub fn clients(mut self, clients: u16) -> Self {
        self.config.clients = clients;
        self
    }

    /// Sets the properties of every path until the heal.
    pub fn link(mut self, link: LinkConfig) -> Self {
        self.config.link = link;
        self
    }

    /// Changes other settings.
    pub fn with(mut self, change: impl FnOnce(&mut SimConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Sets the minimum time before the heal, in milliseconds.
    pub fn trouble_ms(mut self, ms: u64) -> Self {
        self.trouble = self.trouble.max(Duration::from_millis(ms));
        self
    }

    /// Adds a fault, with its start and length in milliseconds.
    ///
    /// # Panics
    ///
    /// If the fault overlaps another one of the same process.
    pub fn fault(mut self, at_ms: u64, lasting_ms: u64, fault: Fault) -> Self {
        let (at, lasting) = (
            Duration::from_millis(at_ms),
            Duration::from_millis(lasting_ms),
        );
        let fault = Scheduled { at, lasting, fault };
        assert!(
            !self.faults.iter().any(|other| other.meets(&fault)),
            "two faults of one process overlap: {fault}"
        );
        self.faults.push(fault);
        self.trouble = self.trouble.max(at + lasting + Duration::from_millis(1));
        self
    }

    /// Requires marks: the run fails if it does not hit them.
    pub fn must_hit(mut self, marks: &[Mark]) -> Self {
        self.claimed.extend_from_slice(marks);
        self
    }

    /// Returns the plan of the run.
    pub fn plan(&self) -> Plan {
        Plan::quiet(self.config).with(self.faults.clone(), self.trouble)
    }

    /// Runs the scenario: no invariant may break, everyone must converge after the heal, and every
    /// required mark must be hit.
    ///
    /// # Panics
    ///
    /// With the violations and the plan, if the run fails.
    pub fn heals(&self) -> Outcome {
        let plan = self.plan();
        let outcome = run(&plan, None);
        assert!(outcome.wrong.is_empty(), "{plan}\n{:#?}", outcome.wrong);
        let missed = outcome.marks.missed(&self.claimed);
        assert!(missed.is_empty(), "{plan}\nnever happened: {missed:?}");
        outcome
    }
}
