//! The bounds of each figure. Each bound is a formula of the case's parameters and is printed
//! beside its figure.

use super::case::{Case, WARM_UP_S};
use super::figures::Figures;

/// Time for which a display may extrapolate past the newest state before it must stand, in
/// milliseconds.
pub(super) const BRIDGED_MS: f64 = 165.0;

/// A figure and its bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Name of the figure: its key in the report.
    pub figure: &'static str,
    /// Measured value, in the unit that the name gives.
    pub value: f64,
    /// Largest value that keeps the bound.
    pub most: f64,
    /// The formula of the bound as text.
    pub formula: String,
}

impl Bound {
    /// Whether the figure keeps its bound.
    pub fn holds(&self) -> bool {
        self.value <= self.most
    }
}

/// The figures of a case with their bounds. A case with a profile has only the bound on unexplained
/// mispredictions.
pub fn bounds(case: &Case, figures: &Figures) -> Vec<Bound> {
    let bound = |figure, value, (most, formula): (f64, String)| Bound {
        figure,
        value,
        most,
        formula,
    };
    if case.profile.is_some() {
        return vec![bound(
            "unexplained",
            figures.unexplained as f64,
            (0.0, "0".into()),
        )];
    }
    let mut all = vec![
        bound("dead_input_ms", figures.dead_input_ms, dead_input(case)),
        bound("still_ms", figures.still_ms, still(case)),
        bound(
            "second_still_ms",
            figures.second_still_ms,
            (20.0, "20".into()),
        ),
        bound("leap_frames", figures.leap_frames, leap(case)),
        bound(
            "leap_frames_later",
            figures.leap_frames_later,
            (2.0, "2".into()),
        ),
        bound("settled_ms", figures.settled_ms, settled(case)),
        bound("shown_error_m_p99", figures.shown_error_m_p99, error(case)),
        bound("own_leap_frames", figures.own_leap_frames, own_leap(case)),
        bound(
            "own_still_share",
            figures.own_still_share,
            own_still_share(case),
        ),
        bound("own_still_ms", figures.own_still_ms, own_still(case)),
        bound("cuts", figures.cuts as f64, cuts(case)),
        bound("unexplained", figures.unexplained as f64, (0.0, "0".into())),
    ];
    if !case.has_event() {
        all.push(bound(
            "display_delay_ms",
            figures.display_delay_ms,
            display_delay(case),
        ));
    }
    all
}

fn dead_input(case: &Case) -> (f64, String) {
    let (rtt, tick) = (f64::from(case.rtt_ms), case.tick_ms());
    let ms = |length: u32| f64::from(length);
    match case {
        Case { hitch_ms: 1.., .. } => (ms(case.hitch_ms) + 50.0 + tick, "hitch + 50 + tick".into()),
        Case { stall_ms: 1.., .. } => (ms(case.stall_ms) + rtt + 100.0, "stall + rtt + 100".into()),
        _ => {
            let step = f64::from(case.step_up_ms.max(0)) + f64::from(case.step_down_ms.max(0));
            let pause = ms(case.hold_ms.max(case.outage_ms));
            (
                step + pause + rtt + 50.0 + tick,
                "step + pause + rtt + 50 + tick".into(),
            )
        }
    }
}

fn still(case: &Case) -> (f64, String) {
    let gap = f64::from(case.pause_ms()).max(f64::from(case.step_down_ms));
    let frame = 1e3 / f64::from(case.display_hz);
    // In a hitch nothing is drawn: its one long frame does not count as standing still.
    let gap = if case.hitch_ms > 0 { 0.0 } else { gap };
    (
        (gap - BRIDGED_MS).max(0.0) + 20.0 + frame,
        "max(gap - 165, 0) + 20 + frame".into(),
    )
}

fn leap(case: &Case) -> (f64, String) {
    match case.outage_ms.max(case.hold_ms) > 250 {
        true => (4.0, "4 in the 300 ms after an outage".into()),
        false => (2.0, "2".into()),
    }
}

fn settled(case: &Case) -> (f64, String) {
    match case.outage_ms.max(case.hold_ms) > 0 {
        true => (2_000.0, "2,000 after an outage".into()),
        false => (1_000.0 + case.tick_ms(), "1,000 + tick".into()),
    }
}

fn error(case: &Case) -> (f64, String) {
    match case.has_event() {
        true if f64::from(case.step_down_ms) > BRIDGED_MS => {
            (0.6, "0.6 where the way is longer than is bridged".into())
        }
        true => (0.3, "0.3 where the path changes".into()),
        false => (0.15, "0.15 on a steady path".into()),
    }
}

fn own_still(case: &Case) -> (f64, String) {
    let frame = 1e3 / f64::from(case.display_hz);
    let pause = f64::from(case.stall_ms.max(case.outage_ms).max(case.hold_ms));
    (pause + 20.0 + frame, "pause + 20 + frame".into())
}

fn cuts(case: &Case) -> (f64, String) {
    let pause = case.outage_ms.max(case.hold_ms).max(case.hitch_ms);
    (
        f64::from(u8::from(pause >= 1_500)),
        "1 where more than 1.5 s are missing".into(),
    )
}

/// The display must not stand still for runs of lost snapshots that occur once a second.
fn display_delay(case: &Case) -> (f64, String) {
    let in_a_row = match case.loss > 0.0 {
        true => (f64::from(case.tick_rate).ln() / -case.loss.ln()).ceil(),
        false => 0.0,
    };
    let most = f64::from(case.jitter_ms) + (2.0 + in_a_row) * case.tick_ms();
    (most, "jitter + 2 ticks + lost in a row each second".into())
}

/// Motion that the server ran without the client's commands is corrected at the entity's own pace.
fn own_leap(case: &Case) -> (f64, String) {
    let pause = case
        .stall_ms
        .max(case.outage_ms)
        .max(case.hold_ms)
        .max(case.step_up_ms.max(0) as u32);
    if pause > 250 {
        (4.0, "4 where input was dead for more than 250 ms".into())
    } else {
        (2.0, "2".into())
    }
}

fn own_still_share(case: &Case) -> (f64, String) {
    let pause = f64::from(case.stall_ms.max(case.outage_ms).max(case.hold_ms));
    (
        0.05 + pause / 1e3 / (case.seconds - WARM_UP_S),
        "0.05 + pause / time judged".into(),
    )
}
