//! Raises the budget while nothing shows that the path is full.

use super::interval::Measured;
use super::{Congestion, Limits, State};

/// The largest step up per [`INTERVAL`](super::INTERVAL) is the ceiling divided by the first
/// number, or the floor divided by the second, whichever is larger.
const STEPS_UP: f64 = 64.0;
const STEPS_TO_FLOOR: f64 = 12.0;

/// Where no capacity is known, the largest step up per [`INTERVAL`](super::INTERVAL) is this share
/// of the budget if that is more than [`STEPS_UP`] and [`STEPS_TO_FLOOR`] allow.
const FASTEST_UP: f64 = 0.1;

/// Factor by which each further step up grows per [`INTERVAL`](super::INTERVAL).
const LONGER_UP: f64 = 1.12;

/// The budget of a narrow path rises only while at least this share of it is used.
const USED: f64 = 0.6;

impl Congestion {
    /// Raises the budget by one step and returns the next state.
    pub(super) fn rise(&mut self, measured: Measured) -> State {
        let Limits {
            floor,
            ceiling,
            tick,
            ..
        } = self.limits;
        let is_outgrown = self
            .full
            .as_mut()
            .is_some_and(|full| full.is_outgrown(measured, floor, tick));
        self.full = self
            .full
            .filter(|full| !is_outgrown && !full.is_below(self.rate));
        let is_starting = is_outgrown || matches!(self.state, State::Starting);
        let state = if is_starting && self.rate < ceiling {
            State::Starting
        } else {
            State::Rising
        };
        // A narrow path was not shown to carry bytes that were not sent.
        if self.is_narrow && measured.sent < self.rate * USED {
            return state;
        }
        let length = measured.length.min(2.0);
        // Where no capacity is known, or the rate is well above it, the budget rises in proportion.
        let known = if self.full.is_none() {
            self.rate * FASTEST_UP
        } else {
            0.0
        };
        let most = (ceiling / STEPS_UP).max(floor / STEPS_TO_FLOOR).max(known);
        let near = self.full.and_then(|full| full.step(self.rate));
        let step = match (state, near) {
            (State::Starting, _) => self.rate,
            (_, Some(step)) => step * length,
            (_, None) => {
                let step = self.step_up.min(most) * length;
                self.step_up = (self.step_up * LONGER_UP.powf(length)).min(most);
                step
            }
        };
        self.rate = (self.rate + step).min(ceiling);
        self.is_narrow &= self.rate < 2.0 * floor;
        state
    }
}
