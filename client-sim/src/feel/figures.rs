//! What a player noticed in one case, computed from its trace alone, without knowledge of how
//! client or server work.

use std::collections::BTreeMap;

use glam::DVec2;
use serde::Serialize;
use truetick_netcode::time::Timestamp;

use super::bounds::BRIDGED_MS;
use super::case::{Case, WARM_UP_S};
use super::courses::{SPEED, Style};
use super::trace::{Frame, Trace};

/// Interruptions of the input that are closer together count as one, in milliseconds.
const MERGED_MS: f64 = 250.0;

/// Share of its motion below which an entity stands still in a frame.
const STILL_SHARE: f64 = 0.05;

/// Time after its start for which an entity may be drawn at rest, in milliseconds: a display that
/// extrapolates for up to 250 ms does not know of the start yet. The error counts.
const STARTED_MS: f64 = 250.0;

/// Deviation from its motion above which a frame is uneven, as a share.
const UNEVEN_SHARE: f64 = 0.25;

/// Advance of the display time beyond the frame's length that counts as a cut, in milliseconds.
const CUT_MS: f64 = 1_000.0;

/// Time for which errors that arose while nothing arrived may last afterwards, in milliseconds.
const CORRECTED_MS: f64 = 500.0;

/// Ticks, in addition to three round trips, that opening a session may take. The own entity is
/// judged after that, and after the warm-up.
const OPENED_TICKS: f64 = 6.0;

/// Time after an outage in which larger frames are allowed, in milliseconds.
pub(crate) const RECOVERY_MS: f64 = 300.0;

/// The figures of one case. Times are in milliseconds, lengths in metres. The first two seconds do
/// not count.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Name of the case.
    pub name: String,
    /// Longest time in which the player gave input that the server never executed, beyond one tick
    /// (or frame, where the client runs once per frame). Interruptions less than 250 ms apart add
    /// up. Input that never has an effect again is dead to the end.
    pub dead_input_ms: f64,
    /// Longest time for which a moving entity was drawn at rest.
    pub still_ms: f64,
    /// The second longest time for which a moving entity was drawn at rest, apart from the longest.
    pub second_still_ms: f64,
    /// Largest motion of a mover in one frame, relative to the frame's length at its speed; cuts do
    /// not count.
    pub leap_frames: f64,
    /// Largest relative motion of a mover in one frame, without the 300 ms after an outage or a
    /// hold.
    pub leap_frames_later: f64,
    /// Motion in the frame of `leap_frames`, in metres.
    pub leap_m: f64,
    /// Time from the end of the event to the last frame whose motion was off by more than a
    /// quarter.
    pub settled_ms: f64,
    /// Median of how far the display time lies behind the server's, beyond the path's delay.
    pub display_delay_ms: f64,
    /// 99th percentile of the distance between what is drawn and the server's state at the display
    /// time. A hold, outage, stall or longer path of more than 165 ms and the 500 ms after it do
    /// not count, since no client can know the state then.
    pub shown_error_m_p99: f64,
    /// Largest distance between what is drawn and the server's state at the display time.
    pub shown_error_m_max: f64,
    /// Mean time from a change of the keys to the first frame in which the own entity follows.
    pub key_to_motion_ms: f64,
    /// Number of frames in which the display time advanced by more than a second too much.
    pub cuts: u64,
    /// Median of the time by which commands arrive before they are executed.
    pub margin_ms_p50: f64,
    /// Share of ticks that the server executed without a new command, 0 to 1.
    pub late_share: f64,
    /// Number of wrong predictions without a cause.
    pub unexplained: u64,
    /// Number of wrong predictions.
    pub mispredicted: u64,
    /// Longest time for which the own entity was drawn at rest though a key was held.
    pub own_still_ms: f64,
    /// Largest motion of the own entity in one frame, relative to the frame's length at its speed.
    pub own_leap_frames: f64,
    /// Share of frames in which the own entity did not move, 0 to 1.
    pub own_still_share: f64,
}

/// Computes the figures of a case.
pub fn figures(name: &str, case: &Case, trace: &Trace) -> Figures {
    let start = trace
        .frames
        .first()
        .map_or(Timestamp::default(), |frame| frame.at);
    let view = View { case, trace, start };
    let mut figures = Figures {
        name: name.into(),
        ..Figures::default()
    };
    view.input(&mut figures);
    view.movers(&mut figures);
    view.clock(&mut figures);
    view.player(&mut figures);
    figures.unexplained = trace.unexplained;
    figures.mispredicted = trace.mispredicted;
    figures
}

struct View<'a> {
    case: &'a Case,
    trace: &'a Trace,
    start: Timestamp,
}

/// The longest and the second longest run of frames at rest, in milliseconds.
#[derive(Default)]
struct Stillness {
    current: f64,
    longest: f64,
    second: f64,
}

impl Stillness {
    fn frame(&mut self, still: bool, ms: f64) {
        if still {
            self.current += ms;
        } else {
            self.end();
        }
    }

    fn end(&mut self) {
        let run = std::mem::take(&mut self.current);
        if run > self.longest {
            self.second = std::mem::replace(&mut self.longest, run);
        } else {
            self.second = self.second.max(run);
        }
    }
}

impl View<'_> {
    fn ms(&self, at: Timestamp) -> f64 {
        at.micros_from(self.start) as f64 / 1e3
    }

    fn is_judged(&self, at: Timestamp) -> bool {
        self.ms(at) >= WARM_UP_S * 1e3
    }

    /// Milliseconds since the end of the event; negative before it, and always negative in a case
    /// without an event.
    fn since_event(&self, at: Timestamp) -> f64 {
        match self.case.has_event() {
            true => self.ms(at) - self.case.event_end().as_secs_f64() * 1e3,
            false => -1.0,
        }
    }

    fn input(&self, figures: &mut Figures) {
        let judged: Vec<_> = self
            .trace
            .executed
            .iter()
            .filter(|tick| self.is_judged(tick.at))
            .collect();
        let (mut dead, mut last_given, mut last_gap) = (0.0f64, None, f64::MIN);
        let mut last_new = None;
        // A client that runs once per frame takes input once per frame.
        let frame_ms = if self.case.frame_bound {
            1e3 / f64::from(self.case.display_hz)
        } else {
            0.0
        };
        let spacing_ms = self.case.tick_ms().max(frame_ms);
        let mut margins = Vec::new();
        for tick in &judged {
            let (Some(margin), Some(given)) = (tick.margin_ms, tick.given) else {
                continue;
            };
            margins.push(margin);
            let given = self.ms(given);
            let before = last_given.replace(given).unwrap_or(given);
            let gap = given - before - spacing_ms;
            if gap > self.case.tick_ms() / 2.0 {
                dead = if before - last_gap < MERGED_MS {
                    dead + gap
                } else {
                    gap
                };
                last_gap = given;
                figures.dead_input_ms = figures.dead_input_ms.max(dead);
            }
            last_new = Some(self.ms(tick.at));
        }
        // Input that never has an effect again is dead to the end.
        let end = judged.last().map_or(0.0, |tick| self.ms(tick.at));
        let silent = end - last_new.unwrap_or(WARM_UP_S * 1e3);
        figures.dead_input_ms = figures.dead_input_ms.max(silent);
        figures.late_share = 1.0 - margins.len() as f64 / judged.len().max(1) as f64;
        figures.margin_ms_p50 = quantile(&mut margins, 0.5);
    }

    fn movers(&self, figures: &mut Figures) {
        let mut before: BTreeMap<usize, DVec2> = BTreeMap::new();
        let mut still: BTreeMap<usize, Stillness> = BTreeMap::new();
        let (mut errors, mut previous): (Vec<f64>, Option<&Frame>) = (Vec::new(), None);
        for frame in self
            .trace
            .frames
            .iter()
            .filter(|frame| self.is_judged(frame.at))
        {
            let Some(shown) = frame.shown_tick else {
                continue;
            };
            let seconds = shown / f64::from(self.case.tick_rate);
            for drawn in &frame.movers {
                let course = &self.trace.courses[drawn.index];
                let truth = course.at(seconds);
                let error = (drawn.position - truth.position.as_dvec2()).length();
                figures.shown_error_m_max = figures.shown_error_m_max.max(error);
                errors.extend(self.can_be_right(frame.at).then_some(error));
                let (Some(previous), Some(from)) =
                    (previous, before.insert(drawn.index, drawn.position))
                else {
                    continue;
                };
                let passed = self.ms(frame.at) - self.ms(previous.at);
                let moved = (drawn.position - from).length();
                let worth = moved / (SPEED * passed / 1e3);
                let earlier = course.at(seconds - STARTED_MS / 1e3);
                // A start while nothing arrived cannot be known either.
                let known = if self.can_be_right(frame.at) {
                    earlier
                } else {
                    course.at(self.case.at_s - 0.1)
                };
                let moves = [truth, earlier, known]
                    .iter()
                    .all(|at| at.velocity.length() > 0.0);
                still
                    .entry(drawn.index)
                    .or_default()
                    .frame(moves && worth < STILL_SHARE, passed);
                if !is_cut(self.case, previous, frame) {
                    self.note_leap(figures, frame, worth, moved);
                }
                let even = (worth - 1.0).abs() <= UNEVEN_SHARE;
                if Style::of(drawn.index) == Style::Straight && !even {
                    figures.settled_ms = figures.settled_ms.max(self.since_event(frame.at));
                }
            }
            previous = Some(frame);
        }
        for mut run in still.into_values() {
            run.end();
            figures.still_ms = figures.still_ms.max(run.longest);
            figures.second_still_ms = figures.second_still_ms.max(run.second);
        }
        figures.shown_error_m_p99 = quantile(&mut errors, 0.99);
    }

    /// Whether the client can know the state: not while nothing arrives, nor until corrections have
    /// glided.
    fn can_be_right(&self, at: Timestamp) -> bool {
        let pause = f64::from(
            self.case
                .outage_ms
                .max(self.case.hold_ms)
                .max(self.case.stall_ms),
        );
        let longer = f64::from(self.case.step_down_ms.max(0));
        let since = self.since_event(at) - f64::from(self.case.rtt_ms) / 2.0;
        pause.max(longer) <= BRIDGED_MS || !(-pause..longer + CORRECTED_MS).contains(&since)
    }

    fn note_leap(&self, figures: &mut Figures, frame: &Frame, worth: f64, moved: f64) {
        if worth > figures.leap_frames {
            (figures.leap_frames, figures.leap_m) = (worth, moved);
        }
        let since = self.since_event(frame.at);
        let recovers = self.case.outage_ms.max(self.case.hold_ms) > 250
            && since > -f64::from(self.case.pause_ms())
            && since < RECOVERY_MS + f64::from(self.case.rtt_ms) / 2.0 + self.case.tick_ms();
        if !recovers {
            figures.leap_frames_later = figures.leap_frames_later.max(worth);
        }
    }

    fn clock(&self, figures: &mut Figures) {
        let way_ms = |at: Timestamp| {
            let stepped = self.case.has_event() && self.ms(at) >= self.case.at_s * 1e3;
            let step = if stepped {
                f64::from(self.case.step_down_ms)
            } else {
                0.0
            };
            f64::from(self.case.rtt_ms) / 2.0 + step
        };
        let (mut delays, mut executed, mut before) = (Vec::new(), 0, None::<&Frame>);
        for frame in self
            .trace
            .frames
            .iter()
            .filter(|frame| self.is_judged(frame.at))
        {
            let Some(shown) = frame.shown_tick else {
                continue;
            };
            while self
                .trace
                .executed
                .get(executed + 1)
                .is_some_and(|next| next.at <= frame.at)
            {
                executed += 1;
            }
            let newest = self.trace.executed[executed];
            let shown_at =
                self.ms(newest.at) + (shown - f64::from(newest.tick.0)) * self.case.tick_ms();
            delays.push(self.ms(frame.at) - way_ms(frame.at) - shown_at);
            figures.cuts +=
                u64::from(before.is_some_and(|before| is_cut(self.case, before, frame)));
            before = Some(frame);
        }
        figures.display_delay_ms = quantile(&mut delays, 0.5);
    }

    fn player(&self, figures: &mut Figures) {
        let mut still = Stillness::default();
        let (mut frames, mut at_rest, mut delays) = (0u64, 0u64, Vec::new());
        let mut keys = self.trace.keys.iter().peekable();
        let (mut waiting, mut before): (
            Option<super::trace::KeyChange>,
            Option<(Timestamp, DVec2)>,
        ) = (None, None);
        for frame in &self.trace.frames {
            let Some(position) = frame.player else {
                continue;
            };
            while let Some(key) = keys.next_if(|key| key.at <= frame.at) {
                waiting = Some(*key);
            }
            let last = before.replace((frame.at, position));
            let opens = 3.0 * f64::from(self.case.rtt_ms) + OPENED_TICKS * self.case.tick_ms();
            let opened = self.ms(frame.at) > opens;
            let Some((at, from)) = last.filter(|_| opened && self.is_judged(frame.at)) else {
                continue;
            };
            let passed = self.ms(frame.at) - self.ms(at);
            let moved = position.x - from.x;
            let worth = moved.abs() / (SPEED * passed / 1e3);
            still.frame(worth < STILL_SHARE, passed);
            frames += 1;
            at_rest += u64::from(worth < STILL_SHARE);
            figures.own_leap_frames = figures.own_leap_frames.max(worth);
            let follows = |key: &super::trace::KeyChange| {
                worth >= STILL_SHARE && (moved > 0.0) == (key.direction > 0)
            };
            if let Some(key) = waiting.take_if(|key| follows(key)) {
                delays.push(self.ms(frame.at) - self.ms(key.at));
            }
        }
        still.end();
        figures.own_still_ms = still.longest;
        figures.own_still_share = at_rest as f64 / frames.max(1) as f64;
        figures.key_to_motion_ms = delays.iter().sum::<f64>() / delays.len().max(1) as f64;
    }
}

/// Whether the display cut between two frames.
fn is_cut(case: &Case, before: &Frame, frame: &Frame) -> bool {
    let passed_ms = frame.at.micros_from(before.at) as f64 / 1e3;
    let shown = before.shown_tick.zip(frame.shown_tick);
    shown.is_some_and(|(before, now)| (now - before) * case.tick_ms() - passed_ms > CUT_MS)
}

/// The value below which a share of all lies; 0 without values.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(((values.len() as f64 - 1.0).max(0.0) * share).round() as usize)
        .copied()
        .unwrap_or(0.0)
}
