//! The client's clock, which runs ahead of the server's so that commands arrive just before they are needed.
//!
//! The server tells by how much each command was early or late. The clock keeps the low end of those margins
//! at a small target by running a little faster or slower; a tick's wall length changes, never the step's dt.
//!
//! A margin is known one round trip after its command left, and the clock has moved meanwhile. Each command's
//! phase (how much the clock had gained when it left) is remembered, so that old margins can be read as if
//! their commands left now: the loop has no delay and cannot overshoot.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{FIRST_LEAD_TICKS, UNHEARD_SNAPSHOTS};
use crate::replication::snapshot::{FEEDBACK_UNIT_US, Feedback};
use crate::tick::Tick;
use crate::time::Timestamp;

/// Commands aim to come this long before their tick's drain: covers a thread's wake-up and a burst's reading.
const TARGET_US: f64 = 4_000.0;

/// Margins considered: 4 s at 60 Hz, so that a loss of 1 % counts and one mishap is forgotten soon.
const WINDOW: usize = 240;

/// Of the margins in the window, this many from below are ignored.
const IGNORED: usize = 1;

/// Largest change of rate in steady state, and while commands come late.
const STEADY: f64 = 0.05;
const LATE: f64 = 0.25;

/// After this many margins a clock that started too far ahead is put right at once: its first guess was made
/// from one round trip of the handshake.
const START: usize = 12;

/// The clock corrects an error within about this many seconds: fast ahead, slow back.
const AHEAD_S: f64 = 0.3;
const BACK_S: f64 = 2.0;

/// Errors below this are left alone.
const DEAD_BAND_US: f64 = 500.0;

/// A command later than this says nothing of the link: the process or the path stood still.
const MAX_LATE_US: f64 = 150_000.0;

/// Behind by more than this the clock jumps instead of catching up tick by tick.
const MAX_BEHIND: Duration = Duration::from_millis(250);

const PHASES: usize = 256;

/// Says which tick's command is due when.
#[derive(Clone, Debug)]
pub struct TickClock {
    dt_us: f64,
    next: Tick,
    /// When `next` is due.
    due: Timestamp,
    rate: f64,
    /// How far the clock has gained on an undilated one since it was set, in microseconds.
    phase_us: f64,
    /// Phase at which each recent tick's command left.
    phases: Box<[Option<(Tick, f64)>; PHASES]>,
    /// Margin minus phase at sending, newest last.
    margins: VecDeque<f64>,
    settled: bool,
    jumps: u32,
    /// Snapshots in a row that told nothing of our commands, though we sent some.
    unheard: u32,
    /// Snapshots in a row whose command was missing while others came too late.
    behind: u32,
    /// A command was due since the last feedback.
    spoke: bool,
}

impl TickClock {
    /// A clock for a server that was at `server` when its newest packet came, `rtt` away.
    pub fn new(tick_rate: u32, server: Tick, rtt: Duration, now: Timestamp) -> Self {
        let dt_us = 1e6 / f64::from(tick_rate);
        Self {
            dt_us,
            next: server + lead_ticks(dt_us, rtt),
            due: now,
            rate: 1.0,
            phase_us: 0.0,
            phases: Box::new([None; PHASES]),
            margins: VecDeque::with_capacity(WINDOW),
            settled: false,
            jumps: 0,
            unheard: 0,
            behind: 0,
            spoke: false,
        }
    }

    /// When the next command is due.
    pub fn next_due(&self) -> Timestamp {
        self.due
    }

    /// How often the clock had to jump.
    pub fn jumps(&self) -> u32 {
        self.jumps
    }

    /// Current rate, 1 being undilated.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The tick whose command is due, if one is.
    pub fn poll(&mut self, now: Timestamp) -> Option<Tick> {
        if now < self.due {
            return None;
        }
        if now.since(self.due) > MAX_BEHIND {
            let ticks = (now.since(self.due).as_secs_f64() * 1e6 / self.dt_us) as u32;
            self.next = self.next + ticks;
            self.due = now;
            self.jumps += 1;
        }
        let tick = self.next;
        self.spoke = true;
        self.phases[tick.0 as usize % PHASES] = Some((tick, self.phase_us));
        let length_us = self.dt_us / self.rate;
        self.phase_us += self.dt_us - length_us;
        self.due += Duration::from_nanos((length_us * 1e3) as u64);
        self.next = tick.next();
        Some(tick)
    }

    /// Whether the server has not heard of our commands in time for so long that the clock must be set anew: a
    /// faster clock alone would take seconds to make up for a large error.
    pub fn is_lost(&self) -> bool {
        self.unheard.max(self.behind) >= UNHEARD_SNAPSHOTS
    }

    /// Sets the clock anew. No tick gets a second command: where the clock is too far ahead it waits.
    pub fn restart(&mut self, server: Tick, rtt: Duration, now: Timestamp) {
        let wanted = server + lead_ticks(self.dt_us, rtt);
        let ahead = self.next.distance(wanted).max(0);
        self.due = now + Duration::from_micros((f64::from(ahead) * self.dt_us) as u64);
        self.next = self.next.later(wanted);
        self.rate = 1.0;
        // What is said of earlier commands is said of their repeats.
        self.margins.clear();
        self.phases.fill(None);
        self.settled = false;
        (self.unheard, self.behind) = (0, 0);
        self.jumps += 1;
    }

    /// The server moved its time line by `us`: its ticks are due that much later. Commands that left before are
    /// early by as much, which says nothing of those to come.
    pub fn time_line_moved(&mut self, us: i64) {
        self.due = self.due.offset_micros(us);
        self.margins.clear();
        self.phases.fill(None);
    }

    /// Takes in what the server said of the command of `tick` and of late ones.
    pub fn feedback(&mut self, tick: Tick, feedback: &Feedback) {
        let heard = feedback.margin.is_some() || feedback.late.is_some();
        let spoke = std::mem::take(&mut self.spoke);
        self.unheard = if heard { 0 } else { self.unheard + u32::from(spoke) };
        self.behind =
            if feedback.margin.is_some() { 0 } else { self.behind + u32::from(feedback.late.is_some()) };
        if let Some(margin) = feedback.margin {
            self.sample(tick, (i64::from(margin) * FEEDBACK_UNIT_US) as f64);
        }
        if let Some((back, late)) = feedback.late {
            let late = (i64::from(late) * FEEDBACK_UNIT_US) as f64;
            self.sample(tick.back(u32::from(back)), -late.min(MAX_LATE_US));
        }
        self.steer();
    }

    fn sample(&mut self, tick: Tick, margin_us: f64) {
        let known = self.phases[tick.0 as usize % PHASES].filter(|(at, _)| *at == tick);
        let Some((_, phase)) = known else { return };
        if self.margins.len() == WINDOW {
            self.margins.pop_front();
        }
        self.margins.push_back(margin_us - phase);
    }

    /// The low end of the margins, were their commands to leave now.
    fn low_margin_us(&self) -> Option<f64> {
        let mut lowest = [f64::MAX; IGNORED + 1];
        for margin in &self.margins {
            if *margin < lowest[IGNORED] {
                lowest[IGNORED] = *margin;
                lowest.sort_by(f64::total_cmp);
            }
        }
        let low = if self.margins.len() >= START { lowest[IGNORED] } else { lowest[0] };
        (low != f64::MAX).then_some(low + self.phase_us)
    }

    /// Lets the next tick come later by `us`, if that is more than nothing.
    fn hold_back(&mut self, us: f64) {
        if us > 0.0 {
            self.due += Duration::from_micros(us as u64);
            self.phase_us -= us;
        }
    }

    fn steer(&mut self) {
        let Some(low) = self.low_margin_us() else { return };
        let error = TARGET_US - low;
        if !self.settled && self.margins.len() >= START {
            self.settled = true;
            self.hold_back(-error - self.dt_us / 4.0);
            return;
        }
        let (most, span) = match error {
            e if e.abs() < DEAD_BAND_US => (0.0, 1.0),
            e if e < 0.0 => (STEADY, BACK_S),
            _ if low < 0.0 => (LATE, AHEAD_S),
            _ => (STEADY, AHEAD_S),
        };
        self.rate = 1.0 + (error / 1e6 / span).clamp(-most, most);
    }
}

/// By how many ticks to lead a server that is a round trip away, at a first guess.
fn lead_ticks(dt_us: f64, rtt: Duration) -> u32 {
    let lead = (rtt.as_secs_f64() * 1e6 + TARGET_US) / dt_us;
    (lead.ceil() as u32 + 2).min(FIRST_LEAD_TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's view of the clock over a link with this one-way delay per tick; returns the margins in ms.
    fn run(delay_us: impl Fn(u32) -> i64, ticks: u32) -> Vec<f64> {
        let rate = 60;
        let deadline = |tick: Tick| Timestamp::from_nanos(u64::from(tick.0) * 1_000_000_000 / rate as u64);
        let start = deadline(Tick(1_000));
        let mut clock = TickClock::new(rate, Tick(997), Duration::from_millis(100), start);
        let (mut margins, mut answers) = (Vec::new(), VecDeque::<(Timestamp, Tick, Feedback)>::new());
        for _ in 0..ticks {
            let now = clock.next_due();
            while answers.front().is_some_and(|(at, ..)| *at <= now) {
                let (_, tick, feedback) = answers.pop_front().unwrap();
                clock.feedback(tick, &feedback);
            }
            let Some(tick) = clock.poll(now) else { continue };
            let margin = deadline(tick).micros_from(now.offset_micros(delay_us(tick.0)));
            let unit = |us: i64| (us / FEEDBACK_UNIT_US) as u16;
            let feedback = match margin >= 0 {
                true => Feedback { margin: Some(unit(margin)), ..Feedback::default() },
                false => Feedback { late: Some((0, unit(-margin))), ..Feedback::default() },
            };
            answers.push_back((deadline(tick) + Duration::from_millis(50), tick, feedback));
            margins.push(margin as f64 / 1e3);
        }
        margins
    }

    #[test]
    fn a_clock_far_behind_is_set_anew_and_one_that_is_late_now_and_then_is_not() {
        let now = Timestamp::from_millis(1_000);
        let late = Feedback { margin: None, late: Some((9, 5_000)), ..Feedback::default() };
        let in_time = Feedback { margin: Some(100), ..late };
        let mut clock = TickClock::new(60, Tick(100), Duration::ZERO, now);
        for tick in 100..200 {
            clock.feedback(Tick(tick), if tick % 20 == 0 { &in_time } else { &late });
            assert!(!clock.is_lost());
        }
        (200..200 + UNHEARD_SNAPSHOTS).for_each(|tick| clock.feedback(Tick(tick), &late));
        assert!(clock.is_lost());
        clock.restart(Tick(300), Duration::ZERO, now);
        assert!(!clock.is_lost() && clock.poll(now).is_some_and(|tick| tick.is_after(Tick(300))));
    }

    #[test]
    fn commands_that_left_before_the_time_line_moved_say_nothing_of_those_to_come() {
        let mut now = Timestamp::from_millis(1_000);
        let mut clock = TickClock::new(60, Tick(100), Duration::from_millis(240), now);
        let mut sent = Vec::new();
        for _ in 0..30 {
            now = clock.next_due();
            sent.extend(clock.poll(now));
        }
        clock.time_line_moved(437_000);
        let due = clock.next_due();
        for tick in sent {
            let margin = Some((440_000 / FEEDBACK_UNIT_US) as u16);
            clock.feedback(tick, &Feedback { margin, ..Feedback::default() });
        }
        assert_eq!(clock.next_due(), due);
    }

    #[test]
    fn settles_just_before_the_deadline() {
        let margins = run(|_| 50_000, 1_200);
        for margin in &margins[600..] {
            assert!((3.0..5.5).contains(margin), "{margin}");
        }
    }

    #[test]
    fn a_bad_first_guess_is_put_right_within_half_a_second() {
        let margins = run(|_| 5_000, 60);
        assert!(
            margins[0] > 80.0 && margins[30..].iter().all(|margin| (0.0..15.0).contains(margin)),
            "{margins:?}"
        );
    }

    #[test]
    fn jitter_is_covered() {
        let margins = run(|tick| 50_000 + i64::from(tick.wrapping_mul(2_654_435_761) >> 20) * 10, 2_400);
        let late = margins[1_200..].iter().filter(|margin| **margin < 0.0).count();
        assert!(late <= 6, "{late} late");
        assert!(margins[1_200..].iter().all(|margin| *margin < 50.0));
    }

    #[test]
    fn a_slower_path_is_followed_fast() {
        let margins = run(|tick| if tick < 1_600 { 20_000 } else { 80_000 }, 1_200);
        let changed = 600;
        assert!(margins[changed..changed + 10].iter().any(|m| *m < 0.0));
        assert!(margins[changed + 60..].iter().all(|m| *m > 0.0));
    }

    #[test]
    fn a_long_stall_jumps() {
        let mut clock = TickClock::new(60, Tick(0), Duration::ZERO, Timestamp::default());
        let first = clock.poll(Timestamp::default()).unwrap();
        let after = clock.poll(Timestamp::from_millis(2_000)).unwrap();
        assert!((118..=121).contains(&after.distance(first)));
        assert_eq!(clock.jumps(), 1);
    }
}
