//! The player's own entity as it is drawn: between two predicted states, on a time line of its own.
//!
//! Prediction steps once per tick, but a display draws more or less often. The drawn time follows
//! the clock one tick behind, so that a state on either side is known.
//!
//! It advances at most `MAX_RATE` times as fast as real time, so that a sudden rise of the lead is
//! not visible. It brakes to a stop once no snapshot has arrived for a round trip and `CARRIED`: by
//! then the server applies neutral commands.

use std::time::Duration;

use super::glide::Glide;
use super::interpolation::between;
use super::prediction::Prediction;
use super::tick_clock::TickClock;
use crate::command::Command;
use crate::schema::KindInfo;
use crate::tick::Tick;
use crate::time::Timestamp;

/// Largest rate of the drawn time.
const MAX_RATE: f64 = 1.6;

/// Time in which an error of the drawn time is corrected, in seconds.
const FOLLOW_S: f64 = 0.12;

/// Time for which the own entity keeps moving after the newest snapshot, in addition to a round
/// trip.
const CARRIED: Duration = Duration::from_millis(250);

/// Time over which the motion brakes before it stops, in seconds.
const BRAKE_S: f64 = 0.1;

/// The drawn time: a slot, the fraction of a slot after it (0 to 1), and when it was drawn.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    slot: Tick,
    part: f64,
    at: Timestamp,
}

/// Time and corrections with which the own entity is drawn.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnView {
    drawn: Option<Drawn>,
    glide: Glide,
}

/// What is known when a frame is drawn.
pub(super) struct Now<'a, C> {
    pub at: Timestamp,
    pub clock: &'a TickClock,
    pub prediction: &'a Prediction<C>,
    /// Arrival of the newest snapshot.
    pub newest_at: Timestamp,
    pub round_trip: Duration,
    /// Length of a tick in seconds.
    pub dt_s: f64,
}

impl OwnView {
    /// Starts again for another own entity: no motion of the old one is visible.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// The values to draw, one per field; `None` without a predicted state.
    pub fn draw<C: Command>(&mut self, info: &KindInfo, now: &Now<'_, C>) -> Option<Vec<f32>> {
        self.advance(now)?;
        let values = self.values(info, now.prediction)?;
        Some(self.glide.draw(info, values, now.at))
    }

    /// Starts a glide from the drawn values to the corrected ones.
    pub fn corrected<C: Command>(&mut self, info: &KindInfo, prediction: &Prediction<C>) {
        if let Some(values) = self.values(info, prediction) {
            self.glide.corrected(info, values);
        }
    }

    /// The predicted values at the time drawn last.
    fn values<C: Command>(&self, info: &KindInfo, prediction: &Prediction<C>) -> Option<Vec<f32>> {
        let Drawn { slot, part, .. } = self.drawn?;
        let (a, b) = match (prediction.at(slot), prediction.at(slot.next())) {
            (Some(a), Some(b)) => (a, b),
            (Some(only), None) | (None, Some(only)) => (only, only),
            // Prediction began after the drawn time, or ends before it.
            (None, None) => {
                let newest = prediction.state()?;
                let oldest = prediction
                    .oldest()
                    .and_then(|oldest| prediction.at(oldest))?;
                let only = if slot.is_after(newest.0) {
                    newest.1
                } else {
                    oldest
                };
                (only, only)
            }
        };
        let b = if info.is_teleport(a, b) { a } else { b };
        let pairs = info.fields.iter().zip(a.iter().zip(b));
        Some(
            pairs
                .map(|(field, (a, b))| between(field, *a, *b, part as f32))
                .collect(),
        )
    }

    /// Advances the drawn time to now.
    fn advance<C: Command>(&mut self, now: &Now<'_, C>) -> Option<()> {
        let (newest, _) = now.prediction.state()?;
        let target = now.clock.slots_since(newest, now.at).clamp(0.0, 1.0) - 1.0;
        let (mut offset, passed) = match self.drawn {
            // Before the first command there is no motion to hide.
            Some(drawn) if now.prediction.is_heard() => {
                let passed = now.at.since(drawn.at).as_secs_f64() / now.dt_s;
                (f64::from(drawn.slot.distance(newest)) + drawn.part, passed)
            }
            _ => (target, 0.0),
        };
        let behind = target - offset;
        let rate = (1.0 + behind * now.dt_s / FOLLOW_S).clamp(0.0, MAX_RATE);
        let silent = now.at.since(now.newest_at).as_secs_f64();
        let left = now.round_trip.as_secs_f64() + CARRIED.as_secs_f64() - silent;
        offset += (passed * rate).min(behind) * (left / BRAKE_S).clamp(0.0, 1.0);
        if let Some(oldest) = now.prediction.oldest() {
            offset = offset.max(f64::from(oldest.distance(newest)));
        }
        let whole = offset.floor();
        let slot = if whole < 0.0 {
            newest.back(-whole as u32)
        } else {
            newest + whole as u32
        };
        self.drawn = Some(Drawn {
            slot,
            part: offset - whole,
            at: now.at,
        });
        Some(())
    }
}
