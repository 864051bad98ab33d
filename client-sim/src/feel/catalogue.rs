//! The cases that run without parameters: each kind of change, in several sizes.

use super::case::Case;

/// A case and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedCase {
    /// Name in reports.
    pub name: String,
    /// Parameters of the case.
    pub case: Case,
}

/// All cases of the catalogue.
pub fn catalogue() -> Vec<NamedCase> {
    let families = [
        steady_paths(),
        steps(),
        interruptions(),
        displays(),
        noisy_paths(),
    ];
    families.into_iter().flatten().collect()
}

/// A case that differs from the default by `change`.
fn named(name: impl Into<String>, change: impl FnOnce(&mut Case)) -> NamedCase {
    let (name, mut case) = (name.into(), Case::default());
    change(&mut case);
    NamedCase { name, case }
}

/// Paths that stay as they are, and clocks that drift.
fn steady_paths() -> Vec<NamedCase> {
    let mut all = Vec::new();
    for rtt_ms in [0, 80, 300, 600, 1_000] {
        for tick_rate in [10, 20, 30, 60, 128] {
            all.push(named(
                format!("clean {rtt_ms} ms, {tick_rate} Hz"),
                |case| {
                    (case.rtt_ms, case.tick_rate) = (rtt_ms, tick_rate);
                },
            ));
        }
    }
    for drift_ppm in [-500, 500] {
        all.push(named(format!("drift {drift_ppm} ppm"), |case| {
            (case.drift_ppm, case.seconds) = (drift_ppm, 60.0);
        }));
    }
    all
}

/// Paths whose way up or way down becomes longer or shorter for good.
fn steps() -> Vec<NamedCase> {
    let mut all = Vec::new();
    for ms in [10, 30, 80, 150, 300] {
        all.push(named(format!("way up +{ms}"), |case| case.step_up_ms = ms));
        all.push(named(format!("way down +{ms}"), |case| {
            case.step_down_ms = ms;
        }));
        all.push(named(format!("way up -{ms}, rtt 680"), |case| {
            (case.rtt_ms, case.step_up_ms) = (680, -ms);
        }));
        all.push(named(format!("way down -{ms}, rtt 680"), |case| {
            (case.rtt_ms, case.step_down_ms) = (680, -ms);
        }));
    }
    for tick_rate in [10, 128] {
        all.push(named(format!("way up +150, {tick_rate} Hz"), |case| {
            (case.step_up_ms, case.tick_rate) = (150, tick_rate);
        }));
        all.push(named(format!("way down +150, {tick_rate} Hz"), |case| {
            (case.step_down_ms, case.tick_rate) = (150, tick_rate);
        }));
    }
    all
}

/// A client, a server or a path that stands still for a while.
fn interruptions() -> Vec<NamedCase> {
    let mut all = Vec::new();
    for hitch_ms in [50, 100, 240, 300, 600] {
        all.push(named(format!("hitch {hitch_ms}"), |case| {
            case.hitch_ms = hitch_ms;
        }));
    }
    for stall_ms in [300, 1_000, 5_000] {
        all.push(named(format!("stall {stall_ms}"), |case| {
            (case.stall_ms, case.seconds) = (stall_ms, 20.0);
        }));
    }
    for ms in [300, 1_000] {
        all.push(named(format!("held {ms}"), |case| case.hold_ms = ms));
        all.push(named(format!("outage {ms}"), |case| case.outage_ms = ms));
    }
    all.push(named("outage 3000", |case| {
        (case.outage_ms, case.seconds) = (3_000, 20.0);
    }));
    all
}

/// Displays of other rates.
fn displays() -> Vec<NamedCase> {
    let mut all = Vec::new();
    for display_hz in [30, 144, 240] {
        all.push(named(format!("display {display_hz} Hz"), |case| {
            case.display_hz = display_hz;
        }));
    }
    all.push(named("display irregular", |case| case.irregular = 60));
    all.push(named("3 frames a second, frame-bound", |case| {
        (case.display_hz, case.frame_bound) = (3, true);
    }));
    all
}

/// Paths that delay and lose packets at random, and a world that does not fit the budget.
fn noisy_paths() -> Vec<NamedCase> {
    let mut all = vec![
        named("jitter 40", |case| case.jitter_ms = 40),
        named("bursts of 50 ms", |case| {
            (case.jitter_ms, case.jitter_bursts, case.seconds) = (50, true, 30.0);
        }),
        named("loss 5 %", |case| (case.loss, case.seconds) = (0.05, 30.0)),
        named("loss 30 %", |case| (case.loss, case.seconds) = (0.3, 30.0)),
    ];
    all.push(named("3,000 movers", |case| {
        (case.movers, case.display_hz, case.seconds) = (3_000, 30, 8.0);
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_valid_and_has_a_name_of_its_own() {
        let all = catalogue();
        for named in &all {
            assert_eq!(named.case.validate(), Ok(()), "{}", named.name);
            assert_eq!(
                all.iter().filter(|other| other.name == named.name).count(),
                1,
                "{}",
                named.name
            );
        }
    }
}
