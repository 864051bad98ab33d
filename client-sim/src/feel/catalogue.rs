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
    let mut all = Vec::new();
    let mut add = |name: String, case: Case| all.push(NamedCase { name, case });
    let base = Case::default;
    for rtt_ms in [0, 80, 300, 600, 1_000] {
        for tick_rate in [10, 20, 30, 60, 128] {
            add(
                format!("clean {rtt_ms} ms, {tick_rate} Hz"),
                Case {
                    rtt_ms,
                    tick_rate,
                    ..base()
                },
            );
        }
    }
    for ms in [10, 30, 80, 150, 300] {
        add(
            format!("way up +{ms}"),
            Case {
                step_up_ms: ms,
                ..base()
            },
        );
        add(
            format!("way down +{ms}"),
            Case {
                step_down_ms: ms,
                ..base()
            },
        );
        let longer = Case {
            rtt_ms: 680,
            ..base()
        };
        add(
            format!("way up -{ms}, rtt 680"),
            Case {
                step_up_ms: -ms,
                ..longer.clone()
            },
        );
        add(
            format!("way down -{ms}, rtt 680"),
            Case {
                step_down_ms: -ms,
                ..longer
            },
        );
    }
    for tick_rate in [10, 128] {
        add(
            format!("way up +150, {tick_rate} Hz"),
            Case {
                step_up_ms: 150,
                tick_rate,
                ..base()
            },
        );
        add(
            format!("way down +150, {tick_rate} Hz"),
            Case {
                step_down_ms: 150,
                tick_rate,
                ..base()
            },
        );
    }
    for hitch_ms in [50, 100, 240, 300, 600] {
        add(format!("hitch {hitch_ms}"), Case { hitch_ms, ..base() });
    }
    for stall_ms in [300, 1_000, 5_000] {
        add(
            format!("stall {stall_ms}"),
            Case {
                stall_ms,
                seconds: 20.0,
                ..base()
            },
        );
    }
    for ms in [300, 1_000] {
        add(
            format!("held {ms}"),
            Case {
                hold_ms: ms,
                ..base()
            },
        );
        add(
            format!("outage {ms}"),
            Case {
                outage_ms: ms,
                ..base()
            },
        );
    }
    add(
        "outage 3000".into(),
        Case {
            outage_ms: 3_000,
            seconds: 20.0,
            ..base()
        },
    );
    for display_hz in [30, 144, 240] {
        add(
            format!("display {display_hz} Hz"),
            Case {
                display_hz,
                ..base()
            },
        );
    }
    add(
        "display irregular".into(),
        Case {
            irregular: 60,
            ..base()
        },
    );
    let slow = Case {
        display_hz: 3,
        frame_bound: true,
        ..base()
    };
    add("3 frames a second, frame-bound".into(), slow);
    add(
        "jitter 40".into(),
        Case {
            jitter_ms: 40,
            ..base()
        },
    );
    add(
        "bursts of 50 ms".into(),
        Case {
            jitter_ms: 50,
            jitter_bursts: true,
            seconds: 30.0,
            ..base()
        },
    );
    add(
        "loss 5 %".into(),
        Case {
            loss: 0.05,
            seconds: 30.0,
            ..base()
        },
    );
    add(
        "loss 30 %".into(),
        Case {
            loss: 0.3,
            seconds: 30.0,
            ..base()
        },
    );
    for drift_ppm in [-500, 500] {
        add(
            format!("drift {drift_ppm} ppm"),
            Case {
                drift_ppm,
                seconds: 60.0,
                ..base()
            },
        );
    }
    add(
        "3,000 movers".into(),
        Case {
            movers: 3_000,
            display_hz: 30,
            seconds: 8.0,
            ..base()
        },
    );
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
