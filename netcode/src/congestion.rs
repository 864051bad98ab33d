//! Congestion control: a byte budget per tick, from round trips, from loss and from what arrives.
//!
//! A filling queue shows as a round trip above the recent minimum (as in LEDBAT, RFC 6817). The
//! sender then drains the queue: it sends a part of what arrives, and measures.
//!
//! - The round trip falls: the sender caused the queue. Once the queue is gone, the budget is a
//!   little less than what arrived.
//! - The round trip stays: the path is longer now. The new round trip becomes the minimum, and the
//!   budget returns to its former value.
//!
//! Loss counts only where it is heavy, and is tested in the same way: if a smaller share of packets
//! is lost while less is sent, the path was full. Radio links lose packets without being full.
//!
//! Otherwise the budget rises. Near a confirmed capacity (the path was full twice at about the same
//! rate) it rises by 4 % of it a second, so that the next queue is still short when it is detected.
//! Packets that are faster than that capacity allows show that the path carries more; the budget
//! then doubles in each interval, as at the start. A path on which a long queue stays although no
//! more than the floor of the budget is sent is called narrow: it carries less than the floor in
//! each tick, so the snapshots of some ticks are not sent.
//!
//! A sender that is late itself makes round trips longer and loses acknowledgements, so its
//! measurements show little about the path. While it is late, it begins to drain at most once a
//! second. It does begin, because the path of a sender that is late for long may be full, too.

use std::time::Duration;

use self::capacity::Capacity;
use self::drain::{Drain, Verdict};
use self::interval::{Interval, LEAST_OVER, Measured};
use crate::mutant::{Mutant, is_planted};
use crate::rtt::{Fates, RoundTrip};
use crate::time::Timestamp;

mod capacity;
mod drain;
mod interval;
mod rise;
#[cfg(test)]
mod tests;

/// Least queueing delay that counts as a queue. A round trip shows a filling queue if it exceeds
/// the minimum by this, plus half of the jitter, plus a quarter of the minimum. Round trips that
/// differ by less than this plus half of the jitter count as equal.
const QUEUE: Duration = Duration::from_millis(15);

/// A queueing delay of more than this plus twice the minimum round trip is long, and drained fast.
const LONG_QUEUE: Duration = Duration::from_millis(100);

/// Share of lost packets above which the path may be full, whatever the round trip.
const HEAVY_LOSS: f64 = 0.4;

/// Margin above a heavy share of loss that turned out not to come from a queue: the limit becomes
/// that share plus this.
const MORE_LOSS: f64 = 0.15;

/// Shortest interval over which a path is measured. On long paths it is half of the minimum round
/// trip.
const INTERVAL: Duration = Duration::from_millis(100);

/// Least time between two falls of the budget while the sender is late.
pub const LATE_INTERVAL: Duration = Duration::from_secs(1);

/// Share of the path's measured capacity that is sent while a queue drains.
const DRAIN: f64 = 0.5;

/// Share of the path's measured capacity that is sent while a long queue drains.
const DRAIN_FAST: f64 = 0.1;

/// After a full path, the first step up is this share of the budget, or of a quarter of the floor
/// if that is more.
const FIRST_UP: f64 = 1.0 / 64.0;

/// Share of the ceiling that is the first budget of an unknown path.
const START: f64 = 0.125;

/// If no acknowledgement arrives for this time or for two round trips, whichever is longer, the
/// path may be full: the budget falls to [`SILENT_SHARE`] of itself, but not below the least rate.
const SILENT: Duration = Duration::from_secs(1);
const SILENT_SHARE: f64 = 0.25;

/// Bytes that a tick takes beyond its budget are deducted from the next ticks, up to this many
/// floors.
const DEBT: f64 = 4.0;

/// Longest pause between two snapshots on a narrow path, unless messages used more than the budget.
const LONGEST_INTERVAL: Duration = Duration::from_millis(200);

/// Byte budget per tick of one path.
#[derive(Clone, Debug)]
pub struct Congestion {
    limits: Limits,
    /// Bytes per tick that may be sent; may be less than the floor.
    rate: f64,
    /// Bytes that may be sent now, used where the rate is below the floor.
    credit: f64,
    /// Bytes that were sent before this tick, in all.
    sent: u64,
    /// Size of the next step up, in bytes per tick.
    step_up: f64,
    /// Capacity of the path when it was last full, until the path is known to carry more.
    full: Option<Capacity>,
    /// Minimum round trip of the present span and of the one before; see [`LEAST_OVER`].
    least: [Duration; 2],
    span_ends: Timestamp,
    /// Smoothed spread of the round trips within an interval.
    jitter: Duration,
    /// Share of lost packets above which the path may be full, 0 to 1.
    loss_limit: f64,
    interval: Interval,
    state: State,
    /// Whether the path is known to carry less than the floor in each tick.
    is_narrow: bool,
    /// Time of the last fall of the budget.
    fell_at: Timestamp,
}

/// Constants of the path; rates are in bytes per tick.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Least budget of a tick that is sent, in bytes. A tick may take less.
    floor: f64,
    ceiling: f64,
    least_rate: f64,
    tick: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The path has not been full yet.
    Starting,
    Rising,
    /// The last interval looked as if a queue filled.
    Suspecting,
    Draining(Drain),
    /// Nothing arrives; holds the rate from before.
    Silent(f64),
}

/// What a sender knows about its path.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathState {
    /// Round trip of the packet that was acknowledged last; `None` before the first
    /// acknowledgement.
    pub round_trip: Option<RoundTrip>,
    /// Bytes sent so far, in all.
    pub sent: u64,
    /// Numbers of packets that were delivered and lost so far.
    pub fates: Fates,
    /// Smoothed share of recent packets that were lost, 0 to 1.
    pub loss: f64,
}

impl Congestion {
    /// Creates the budget of an unknown path, which may rise up to `ceiling` bytes in each `tick`.
    /// A tick that is sent may always have `floor` bytes (at most `ceiling`).
    pub fn new(floor: usize, ceiling: usize, tick: Duration, now: Timestamp) -> Self {
        let (floor, ceiling) = (floor.min(ceiling) as f64, ceiling as f64);
        let least_rate = (floor * tick.as_secs_f64() / LONGEST_INTERVAL.as_secs_f64()).min(floor);
        Self {
            limits: Limits {
                floor,
                ceiling,
                least_rate,
                tick,
            },
            rate: (ceiling * START).max(floor),
            credit: 0.0,
            sent: 0,
            step_up: ceiling,
            full: None,
            least: [Duration::MAX; 2],
            span_ends: now + LEAST_OVER,
            jitter: Duration::ZERO,
            loss_limit: HEAVY_LOSS,
            interval: Interval::new(PathState::default(), now),
            state: State::Starting,
            is_narrow: false,
            fell_at: now,
        }
    }

    /// Returns the bytes that this tick may take, or `None` if it must not be sent. Call it once
    /// per tick. `late_since` is the time at which the sender began to run behind its own ticks, if
    /// it is late now or was a moment ago.
    pub fn budget(
        &mut self,
        path: PathState,
        late_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<usize> {
        if let Some(measured) = self.measure(path, late_since.is_some(), now) {
            self.step(measured, path, late_since, now);
        }
        let spent = (path.sent - std::mem::replace(&mut self.sent, path.sent)) as f64;
        let Limits { floor, .. } = self.limits;
        if self.rate >= floor && !self.is_narrow {
            self.credit = 0.0;
            return Some(self.rate as usize);
        }
        // Messages count, too: bytes beyond a tick's rate are deducted from the next ticks.
        let most = floor.max(self.rate);
        self.credit = (self.credit + self.rate - spent).clamp(-DEBT * floor, 2.0 * most);
        (self.credit >= floor).then_some(most.min(self.credit) as usize)
    }

    /// Bytes that a tick takes at most if it is sent.
    pub fn bytes(&self) -> usize {
        self.rate.max(self.limits.floor) as usize
    }

    fn step(
        &mut self,
        measured: Measured,
        path: PathState,
        late_since: Option<Timestamp>,
        now: Timestamp,
    ) {
        let is_doubtful =
            late_since.is_some_and(|since| now.since(since.max(self.fell_at)) < LATE_INTERVAL);
        let is_doubtful = is_doubtful && !is_planted(Mutant::BlamePaths);
        let queue = measured.round_trip.saturating_sub(self.least());
        let has_queue = queue > self.least() / 4 + QUEUE + measured.jitter;
        // After an outage the smoothed share stays high although packets are no longer lost.
        let is_lossy = measured.loss.min(path.loss) > self.loss_limit;
        let is_sure = self.is_long(queue) || (has_queue && !measured.all_arrived());
        self.state = match self.state {
            State::Draining(_) if is_doubtful => return,
            State::Draining(drain) => {
                self.drain(drain, late_since.is_some(), measured, path.fates, now)
            }
            State::Silent(rate) if !has_queue => {
                self.rate = rate;
                State::Rising
            }
            _ if !has_queue && !is_lossy => self.rise(measured),
            _ if is_doubtful => return,
            State::Starting | State::Rising if !is_sure => State::Suspecting,
            _ => self.begin_to_drain(measured, is_lossy, now),
        };
    }

    fn fall_silent(&mut self, path: PathState, now: Timestamp) {
        let before = self.rate_before();
        self.interval = Interval::new(path, now);
        self.state = State::Silent(before);
        self.rate = (self.rate * SILENT_SHARE).max(self.limits.least_rate.min(self.rate));
        self.fell_at = now;
    }

    /// The rate before the present state began.
    fn rate_before(&self) -> f64 {
        match self.state {
            State::Silent(rate) => rate,
            State::Draining(drain) => drain.rate,
            _ => self.rate,
        }
    }

    fn begin_to_drain(&mut self, measured: Measured, is_lossy: bool, now: Timestamp) -> State {
        let rate = self.rate_before();
        let drain = Drain::new(
            rate,
            self.is_narrow,
            self.limits,
            is_lossy.then_some(measured.loss),
            measured,
            now,
        );
        self.go_on_draining(drain, measured, now)
    }

    fn go_on_draining(&mut self, drain: Drain, measured: Measured, now: Timestamp) -> State {
        let is_long = self.is_long(measured.round_trip.saturating_sub(self.least()));
        let rate = self.least_of(
            &drain,
            drain.carries() * if is_long { DRAIN_FAST } else { DRAIN },
        );
        if rate < self.rate {
            self.fell_at = now;
        }
        self.rate = rate;
        State::Draining(drain)
    }

    fn drain(
        &mut self,
        mut drain: Drain,
        is_late: bool,
        measured: Measured,
        fates: Fates,
        now: Timestamp,
    ) -> State {
        let verdict = drain.judge(measured, self.least(), is_late, fates, now);
        self.is_narrow = drain.is_narrow;
        self.rate = match verdict {
            Verdict::Open => return self.go_on_draining(drain, measured, now),
            Verdict::Passed => drain.rate,
            Verdict::Drained => self.after(&drain, now),
            Verdict::DrainedTo(round_trip) => {
                self.least = [round_trip, Duration::MAX];
                self.after(&drain, now)
            }
            Verdict::Longer(round_trip) => {
                self.least = [round_trip, Duration::MAX];
                self.is_narrow = drain.was_narrow;
                drain.rate
            }
            Verdict::Lossy(loss) => {
                self.loss_limit = (loss + MORE_LOSS).min(1.0);
                drain.rate
            }
        };
        State::Rising
    }

    /// The rate once the path's queue is gone.
    fn after(&mut self, drain: &Drain, now: Timestamp) -> f64 {
        let rate = self.least_of(drain, drain.rate_after(self.least(), now));
        let bytes = drain.carries();
        // A short queue of which everything arrived may have been jitter. It counts as a capacity
        // only where it agrees with the known one.
        let has_shown = !drain.is_small(self.least(), now)
            || self.full.is_some_and(|full| full.is_about(bytes));
        self.full =
            (has_shown && drain.heavy_loss.is_none()).then(|| Capacity::new(bytes, self.full));
        self.step_up = rate.max(self.limits.floor / 4.0) * FIRST_UP;
        rate
    }

    /// Limits a rate. Only a narrow path may fall below the floor: a path that merely became longer
    /// skips no tick.
    fn least_of(&self, drain: &Drain, rate: f64) -> f64 {
        let Limits {
            floor,
            ceiling,
            least_rate,
            ..
        } = self.limits;
        rate.clamp(if drain.is_narrow { least_rate } else { floor }, ceiling)
    }

    fn least(&self) -> Duration {
        self.least[0].min(self.least[1])
    }

    fn is_long(&self, queue: Duration) -> bool {
        queue > self.least().saturating_mul(2) + LONG_QUEUE
    }
}
