//! Decides when the command for each slot of the server's time line is due, so that it arrives just
//! before it is needed.
//!
//! The clock measures *transit*: a command's arrival on the server's time line minus its departure
//! on the local clock, which is path delay and clock offset in one number. Transit does not depend
//! on what the clock did meanwhile, so there is no feedback loop, and the phase survives pauses: a
//! slot's command is due at `time(slot) - lead`.
//!
//! ```text
//! lead = transit of least cost (DelayWindow) + wait for a frame + SPARE_US
//! ```
//!
//! * The lead is raised at once: due slots are skipped, since their commands would be late in any
//!   case. It is lowered slowly.
//! * A late command while none is in time means a longer path: its transit is adopted at once, and
//!   confirmed by the window or dropped. Many commands that were late together were held up and
//!   released, which is not a longer path.
//! * Slots whose commands would be too late are not produced, so that a pause of any length costs
//!   nothing beyond it.

use std::time::Duration;

use super::delay_window::{DelaySample, DelayWindow};
use super::frame_wait::FrameWait;
use crate::limits::PREDICTION_TICKS;
use crate::mutant::{Mutant, is_planted};
use crate::replication::snapshot::{FEEDBACK_UNIT_US, Feedback};
use crate::tick::Tick;
use crate::time::Timestamp;

/// Lead added to what is needed, in microseconds: covers a thread's wake-up and the reading of a
/// burst.
const SPARE_US: f64 = 2_500.0;

/// Cost of being late with all commands, as an equivalent lead in microseconds: 1 % of
/// commands being late costs 10 ms.
const WEIGHT_US: i64 = 1_000_000;

/// A command's cost rises from none to all within this lateness, in microseconds: a late command
/// has no effect at all.
const STEP_US: i64 = 500;

/// Number of samples before which the handshake's round trip gives the transit.
const FIRST_SAMPLES: usize = 6;

/// Time for which the transit of a late command is adopted, in addition to four ticks, in
/// microseconds.
const ALARM_US: f64 = 600_000.0;

/// Time in which an excessive lead is lowered, in microseconds.
const LOWERED_US: f64 = 850_000.0;
/// Least and largest rate at which the lead is lowered.
const RATES: (f64, f64) = (0.01, 0.35);

/// Excess of the lead up to which it is not lowered, in microseconds.
const SETTLED_US: f64 = 500.0;

/// A command that will be late by no more than this or a tick is still produced, in microseconds.
const HOPELESS_US: f64 = 20_000.0;

/// Time for which late commands are still sent, in microseconds: their lateness measures the path.
/// With a short time, 30 % loss leaves input dead for longer than the bound of `truetick-sim feel`;
/// with 150 ms, commands at 128 Hz do not fit into 15 kB/s. The value between was chosen with one
/// seed.
const TOLD_US: f64 = 35_000.0;

/// Commands that were late together were held up if their departures span more than this many ticks
/// or frames.
const RELEASED: f64 = 2.5;

/// Number of slots whose commands' departure is remembered.
const SLOTS: usize = PREDICTION_TICKS.next_power_of_two();

/// Distance from the origin at which the origin moves, since slots wrap.
const REBASE_SLOTS: i32 = 1 << 20;

/// When a slot's command left, and whether the server has reported its arrival.
#[derive(Clone, Copy, Debug)]
struct Left {
    slot: Tick,
    at_us: f64,
    told: bool,
}

/// The transit of a late command, adopted for a limited time.
#[derive(Clone, Copy, Debug)]
struct Alarm {
    transit_us: f64,
    until_us: f64,
}

/// The clock that decides when commands are due. Server times are microseconds since the origin's
/// slot, local times microseconds since the start.
#[derive(Clone, Debug)]
pub struct TickClock {
    dt_us: f64,
    origin: Tick,
    start: Timestamp,
    next: Tick,
    lead_us: f64,
    /// Rate at which the lead is being lowered.
    lowering: f64,
    steered_us: f64,
    /// The handshake's round trip, and the transit that follows from it and the newest snapshot.
    round_trip_us: f64,
    guess_us: f64,
    transits: DelayWindow,
    window_us: Option<f64>,
    alarm: Option<Alarm>,
    left: Box<[Option<Left>; SLOTS]>,
    frames: FrameWait,
    /// Since when no command was in time.
    missing_since: Option<f64>,
    /// Whether a command was given since the last feedback.
    gave: bool,
}

impl TickClock {
    /// A clock for a server of `tick_rate` ticks per second, whose newest snapshot was of the slot
    /// `server`, at a distance of `round_trip`.
    pub fn new(tick_rate: u32, server: Tick, round_trip: Duration, now: Timestamp) -> Self {
        let dt_us = 1e6 / f64::from(tick_rate);
        let round_trip_us = round_trip.as_secs_f64() * 1e6;
        let mut clock = Self {
            dt_us,
            origin: server,
            start: now,
            next: server,
            lead_us: round_trip_us,
            lowering: 0.0,
            steered_us: 0.0,
            round_trip_us,
            guess_us: round_trip_us,
            transits: DelayWindow::default(),
            window_us: None,
            alarm: None,
            left: Box::new([None; SLOTS]),
            frames: FrameWait::new(dt_us),
            missing_since: None,
            gave: false,
        };
        clock.lead_us = clock.wanted_us(0.0);
        // The first command must be in time.
        clock.next = server + (clock.lead_us / dt_us).ceil() as u32;
        clock
    }

    /// When the next command is due.
    pub(crate) fn next_due(&self) -> Timestamp {
        let due_us = self.time_us(self.next) - self.lead_us;
        self.start.offset_micros(due_us.ceil() as i64)
    }

    /// The slot whose command is due next.
    pub fn next_slot(&self) -> Tick {
        self.next
    }

    /// The slot of a command given now, as a real number of slots after `slot`; for the display of
    /// the own entity.
    pub(super) fn slots_since(&self, slot: Tick, now: Timestamp) -> f64 {
        (self.local_us(now) + self.lead_us - self.time_us(slot)) / self.dt_us
    }

    /// Time for which no command has been in time, by the server's feedback. Zero while commands
    /// are in time.
    pub(crate) fn unheard_for(&self, now: Timestamp) -> Duration {
        let since = self
            .missing_since
            .map_or(0.0, |since| self.local_us(now) - since);
        Duration::from_micros(since.max(0.0) as u64)
    }

    /// The newest slot whose command the server need not receive any more: this command and those
    /// before it would be too late if sent now.
    pub(super) fn oldest_told(&self, now: Timestamp) -> Tick {
        self.first_useful(self.local_us(now))
            .back((TOLD_US / self.dt_us).ceil() as u32)
    }

    fn local_us(&self, now: Timestamp) -> f64 {
        now.micros_from(self.start) as f64
    }

    fn time_us(&self, slot: Tick) -> f64 {
        f64::from(slot.distance(self.origin)) * self.dt_us
    }

    fn transit_us(&self, local_us: f64) -> f64 {
        let known = self
            .window_us
            .filter(|_| self.transits.len() >= FIRST_SAMPLES);
        let transit_us = known.unwrap_or(self.guess_us);
        match self.alarm.filter(|alarm| local_us < alarm.until_us) {
            Some(alarm) => transit_us.max(alarm.transit_us),
            None => transit_us,
        }
    }

    fn wanted_us(&self, local_us: f64) -> f64 {
        self.transit_us(local_us) + self.frames.wait_us() + SPARE_US
    }

    /// The first slot whose command would not be much too late.
    fn first_useful(&self, local_us: f64) -> Tick {
        let arrives_us = local_us + self.transit_us(local_us) - self.dt_us.max(HOPELESS_US);
        let slots = (arrives_us / self.dt_us).ceil();
        match slots < 0.0 {
            true => self.origin.back(-slots as u32),
            false => self.origin + slots as u32,
        }
    }

    /// The slot whose command is due, if there is one.
    pub fn poll(&mut self, now: Timestamp) -> Option<Tick> {
        let local_us = self.local_us(now);
        self.steer(local_us);
        self.next = self.next.later(self.first_useful(local_us));
        let due_us = self.time_us(self.next) - self.lead_us;
        if (local_us as i64) < due_us.ceil() as i64 {
            self.frames.polled(local_us);
            return None;
        }
        let slot = self.next;
        let at_us = self.frames.given(due_us, local_us);
        self.left[slot.0 as usize % SLOTS] = Some(Left {
            slot,
            at_us,
            told: false,
        });
        self.next = slot.next();
        self.gave = true;
        Some(slot)
    }

    /// Handles a newer snapshot, of the tick that ran in `slot`. `round_trip` is the measured one,
    /// if there is a measurement.
    pub fn snapshot(&mut self, slot: Tick, round_trip: Option<Duration>, now: Timestamp) {
        if self.transits.len() < FIRST_SAMPLES {
            // A lost handshake packet makes the path look longer than it is.
            let measured_us = round_trip.map_or(f64::MAX, |measured| measured.as_secs_f64() * 1e6);
            self.round_trip_us = self.round_trip_us.min(measured_us);
            self.guess_us = self.time_us(slot) - self.local_us(now) + self.round_trip_us;
        }
        if slot.distance(self.origin) > REBASE_SLOTS {
            let moved_us = self.time_us(slot);
            self.origin = slot;
            self.transits.shift(-moved_us as i64);
            [&mut self.lead_us, &mut self.guess_us]
                .into_iter()
                .for_each(|us| *us -= moved_us);
            self.window_us = self.window_us.map(|us| us - moved_us);
            self.alarm = None;
        }
    }

    /// Handles the server's feedback on the command of `slot` and on late ones.
    pub fn feedback(&mut self, slot: Tick, feedback: &Feedback, now: Timestamp) {
        if is_planted(Mutant::DeafClock) {
            return;
        }
        let local_us = self.local_us(now);
        let unit_us = |units: u16| f64::from(units) * FEEDBACK_UNIT_US as f64;
        if let Some(margin) = feedback.margin {
            self.sample(slot, self.time_us(slot) - unit_us(margin), local_us);
        }
        let mut late: Option<(Left, f64)> = None;
        let (mut first_us, mut last_us) = (f64::MAX, f64::MIN);
        for told in feedback.lates.as_slice() {
            let of = slot.back(u32::from(told.back));
            let transit = self.sample(of, self.time_us(of) + unit_us(told.by), local_us);
            if let Some((left, transit_us)) = transit {
                (first_us, last_us) = (first_us.min(left.at_us), last_us.max(left.at_us));
                if late.is_none_or(|(before, _)| left.slot.is_after(before.slot)) {
                    late = Some((left, transit_us));
                }
            }
        }
        let gave = std::mem::take(&mut self.gave);
        self.missing_since = match feedback.margin {
            Some(_) => None,
            None => self.missing_since.or(gave.then_some(local_us)),
        };
        self.window_us = self.transits.cheapest(WEIGHT_US).map(|us| us as f64);
        let released = last_us - first_us > RELEASED * self.dt_us.max(self.frames.wait_us());
        if let Some((_, transit_us)) = late.filter(|_| feedback.margin.is_none() && !released)
            && transit_us > self.transit_us(local_us)
        {
            self.alarm = Some(Alarm {
                transit_us,
                until_us: local_us + ALARM_US + 4.0 * self.dt_us,
            });
        }
        self.steer(local_us);
    }

    /// Adds the arrival of a slot's command, in the server's time. Returns its transit if the
    /// arrival was not known before.
    fn sample(&mut self, slot: Tick, arrived_us: f64, local_us: f64) -> Option<(Left, f64)> {
        let left = self.left[slot.0 as usize % SLOTS]
            .as_mut()
            .filter(|left| left.slot == slot && !left.told)?;
        left.told = true;
        let (left, transit_us) = (*left, arrived_us - left.at_us);
        let sample = DelaySample {
            at_us: local_us as i64,
            need_us: transit_us.ceil() as i64,
            span_us: STEP_US,
        };
        self.transits.push(sample);
        Some((left, transit_us))
    }

    /// Moves the lead towards the wanted one: up at once, down slowly.
    fn steer(&mut self, local_us: f64) {
        let passed_us = (local_us - std::mem::replace(&mut self.steered_us, local_us)).max(0.0);
        let excess_us = self.lead_us - self.wanted_us(local_us);
        if excess_us <= 0.0 || self.transits.len() < FIRST_SAMPLES {
            self.lead_us -= excess_us;
            self.lowering = 0.0;
        } else if excess_us < SETTLED_US {
            self.lowering = 0.0;
        } else {
            self.lowering = self
                .lowering
                .max((excess_us / LOWERED_US).clamp(RATES.0, RATES.1));
            self.lead_us -= (self.lowering * passed_us).min(excess_us);
        }
    }
}

#[cfg(test)]
mod tests;
