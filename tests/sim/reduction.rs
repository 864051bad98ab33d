//! Reduction of a plan to the part that shows a defect.

use std::fmt;

use truetick_netcode::link_sim::LinkConfig;

use crate::plan::Plan;

/// The part of a seed's plan that is kept. Its text is the matching command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reduction {
    /// Numbers of the faults to keep; `None` for all.
    pub only: Option<Vec<usize>>,
    /// Number of clients to keep; more are kept if a fault names them.
    pub clients: Option<u16>,
    /// Whether paths lose their own impairments.
    pub perfect_links: bool,
    /// Whether clocks have no drift.
    pub true_clocks: bool,
}

impl fmt::Display for Reduction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(only) = &self.only {
            let numbers: Vec<String> = only.iter().map(usize::to_string).collect();
            write!(
                out,
                " --only {}",
                if numbers.is_empty() {
                    "none".into()
                } else {
                    numbers.join(",")
                }
            )?;
        }
        if let Some(clients) = self.clients {
            write!(out, " --clients {clients}")?;
        }
        if self.perfect_links {
            write!(out, " --perfect-links")?;
        }
        if self.true_clocks {
            write!(out, " --true-clocks")?;
        }
        Ok(())
    }
}

impl Reduction {
    /// Checks that the plan has the parts to keep.
    ///
    /// # Errors
    ///
    /// A text if a fault or a number of clients is not within the plan.
    pub fn check(&self, plan: &Plan) -> Result<(), String> {
        if let Some(fault) = self
            .only
            .iter()
            .flatten()
            .find(|fault| **fault >= plan.faults.len())
        {
            return Err(format!(
                "there is no fault {fault}: the plan has {}",
                plan.faults.len()
            ));
        }
        match self.clients {
            Some(clients) if clients == 0 || clients > plan.config.clients => Err(format!(
                "the plan has 1 to {} clients, not {clients}",
                plan.config.clients
            )),
            _ => Ok(()),
        }
    }

    /// Returns the reduced plan. The time to settle stays, so that a smaller plan is no easier to
    /// pass.
    pub fn of(&self, plan: &Plan) -> Plan {
        let mut reduced = plan.clone();
        if let Some(only) = &self.only {
            reduced.faults = only
                .iter()
                .filter_map(|at| plan.faults.get(*at).copied())
                .collect();
        }
        if let Some(clients) = self.clients {
            let named = reduced
                .faults
                .iter()
                .filter_map(|scheduled| scheduled.fault.client());
            let needed = named.max().map_or(1, |client| client as u16 + 1);
            reduced.config.clients = clients.clamp(needed, plan.config.clients.max(needed));
        }
        if self.perfect_links {
            reduced.config.link = LinkConfig::default();
        }
        if self.true_clocks {
            reduced.config.drift_ppm = 0;
        }
        reduced
    }
}

/// Returns the smallest reduction found under which the plan still fails according to `fails`. It
/// removes halves of the faults, then single ones, then clients, impairments and drift.
pub fn minimise(plan: &Plan, mut fails: impl FnMut(&Plan) -> bool) -> Reduction {
    let mut best = Reduction::default();
    let mut kept: Vec<usize> = (0..plan.faults.len()).collect();
    let mut try_it = |candidate: Reduction, best: &mut Reduction| {
        let worked = fails(&candidate.of(plan));
        if worked {
            *best = candidate;
        }
        worked
    };
    let mut chunk = kept.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + chunk).min(kept.len()));
            if try_it(
                Reduction {
                    only: Some(fewer.clone()),
                    ..best.clone()
                },
                &mut best,
            ) {
                kept = fewer;
            } else {
                at += chunk;
            }
        }
        if chunk == 1 {
            break;
        }
        chunk = chunk.div_ceil(2);
    }
    try_it(
        Reduction {
            perfect_links: true,
            ..best.clone()
        },
        &mut best,
    );
    try_it(
        Reduction {
            true_clocks: true,
            ..best.clone()
        },
        &mut best,
    );
    for clients in [1, 2, 4] {
        if try_it(
            Reduction {
                clients: Some(clients),
                ..best.clone()
            },
            &mut best,
        ) {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_guilty_fault_of_many_is_found() {
        let mut plan = Plan::standard(4);
        while plan.faults.len() < 9 {
            plan.faults.push(plan.faults[0]);
        }
        let guilty = plan.faults[7];
        let best = minimise(&plan, |plan| plan.faults.contains(&guilty));
        assert_eq!(best.only.as_ref().map(Vec::len), Some(1));
        assert!(
            best.to_string()
                .ends_with("--clients 1 --perfect-links --true-clocks")
        );
        assert_eq!(best.of(&plan).faults, [guilty]);
    }
}
