//! Shows other entities slightly in the past, between two known states.
//!
//! [`DisplayClock`] gives the display time. Each entity adjusts it:
//!
//! - An entity whose updates are rarer than snapshots, since the budget does not hold all, has an
//!   additional delay of up to `EXTRA_US`.
//! - Past its newest state an entity is extrapolated by the schema's velocity, for at most half a
//!   second.
//! - Where a new state contradicts what was drawn, the entity glides to it: see `glide`.
//! - An entity is drawn from the time of its first state to the time of its removal, not from and
//!   to the arrival of these.
//! - Between two states with different teleport marks there is no interpolation: the first is
//!   extrapolated until the second.

use std::time::Duration;

use super::display_clock::DisplayClock;
use super::glide::Glide;
use super::remote_entity::{RemoteEntity, Removed};
use super::state_history::HeldState;
use crate::limits::LEAVING_ENTITIES;
use crate::replication::NetId;
use crate::schema::{CompiledEstimator, Field, KindId, KindInfo, Scale, Schema};
use crate::tick::Tick;
use crate::time::Timestamp;

/// Longest additional delay of an entity, in microseconds.
const EXTRA_US: f64 = 50_000.0;

/// Longest extrapolation past an entity's newest state, in microseconds. The display time stops
/// earlier where no snapshot arrives; this bound is for an entity that others displace from full
/// snapshots.
const EXTRAPOLATED_US: f64 = 500_000.0;

/// Largest change of the additional delay per microsecond: one part in ten is not noticeable.
const EXTRA_SLOPE: f64 = 0.1;

/// The display of other entities.
#[derive(Clone, Debug)]
pub struct Interpolation {
    clock: DisplayClock,
    /// What was drawn last, by slot.
    drawn: Vec<Option<Drawn>>,
    /// Entities that are removed, but still visible at the display time.
    leaving: Vec<Removed>,
}

/// An entity as it was drawn last.
#[derive(Clone, Debug)]
struct Drawn {
    id: NetId,
    at: Timestamp,
    /// The time at which it was drawn, and its additional delay, in microseconds.
    time_us: f64,
    extra_us: f64,
    /// Its newest state and its number of states then: they show whether a state was added since.
    known: (Tick, usize),
    glide: Glide,
}

impl Interpolation {
    /// An empty display for a server of `tick_rate` ticks per second.
    pub fn new(tick_rate: u32) -> Self {
        Self {
            clock: DisplayClock::new(tick_rate),
            drawn: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// The clock of the display time.
    pub fn clock(&self) -> &DisplayClock {
        &self.clock
    }

    /// How far the display time trails the newest snapshot; see [`DisplayClock::delay`].
    pub fn delay(&self) -> Duration {
        self.clock.delay()
    }

    /// Total time without newer states; see [`DisplayClock::starved`].
    pub fn starved(&self) -> Duration {
        self.clock.starved()
    }

    /// Handles the first packet of a newer snapshot.
    pub fn snapshot(&mut self, tick: Tick, now: Timestamp) {
        let moved_us = self.clock.snapshot(tick, now);
        if moved_us != 0.0 {
            self.drawn
                .iter_mut()
                .flatten()
                .for_each(|drawn| drawn.time_us -= moved_us);
        }
    }

    /// Handles a move of the server's time line: its ticks are due later by `us` microseconds.
    pub(crate) fn time_line_moved(&mut self, us: i64) {
        self.clock.time_line_moved(us);
    }

    /// Advances the display time to now. It never goes back.
    pub fn advance(&mut self, now: Timestamp) {
        self.clock.advance(now);
        let gone_us = self
            .clock
            .shown_us()
            .map_or(f64::MIN, |shown| shown - EXTRA_US);
        let clock = &self.clock;
        self.leaving
            .retain(|removed| clock.tick_us(removed.at) > gone_us);
    }

    /// Keeps an entity that was removed from the client's copy, to draw it until the display time
    /// reaches its removal. Above [`LEAVING_ENTITIES`] it vanishes at once.
    pub(super) fn removed(&mut self, removed: Removed) {
        if self.leaving.len() < LEAVING_ENTITIES {
            self.leaving.push(removed);
        }
    }

    /// The slots of entities that are removed, but still visible at the display time.
    pub(super) fn leaving(&self) -> impl Iterator<Item = u16> {
        self.leaving.iter().map(|removed| removed.remote.id.slot)
    }

    /// The values to draw of the entity in a slot that is removed, but still visible at the display
    /// time.
    pub(super) fn sample_leaving(
        &mut self,
        slot: u16,
        schema: &Schema,
        now: Timestamp,
    ) -> Option<(NetId, KindId, Vec<f32>)> {
        let place = self
            .leaving
            .iter()
            .position(|removed| removed.remote.id.slot == slot)?;
        let Removed { remote, at } = self.leaving.swap_remove(place);
        let drawn = self.sample(&remote, schema.kind(remote.kind), now);
        let time_us = self.drawn[usize::from(slot)]
            .as_ref()
            .map_or(f64::MAX, |drawn| drawn.time_us);
        if time_us >= self.clock.tick_us(at) {
            return None;
        }
        let values = drawn.map(|values| (remote.id, remote.kind, values));
        self.leaving.push(Removed { remote, at });
        values
    }

    /// The oldest tick that may still be shown. Of each entity's states before it only the last one
    /// is needed.
    pub(super) fn oldest_shown(&self) -> Option<Tick> {
        self.clock.tick_before(EXTRA_US)
    }

    /// An entity's values to draw now, one per field of its kind; `None` while its first state is
    /// later than the display time.
    pub fn sample(
        &mut self,
        remote: &RemoteEntity,
        info: &KindInfo,
        now: Timestamp,
    ) -> Option<Vec<f32>> {
        let shown_us = self.clock.shown_us()?;
        let slot = usize::from(remote.id.slot);
        if self.drawn.len() <= slot {
            self.drawn.resize(slot + 1, None);
        }
        let before = self.drawn[slot]
            .take()
            .filter(|drawn| drawn.id == remote.id);
        let passed_us = before
            .as_ref()
            .map_or(0.0, |drawn| now.micros_from(drawn.at).max(0) as f64);
        let extra_us = self.extra_us(remote, before.as_ref(), passed_us);
        let time_us = before
            .as_ref()
            .map_or(f64::MIN, |drawn| drawn.time_us)
            .max(shown_us - extra_us);
        if before.is_none() && self.clock.tick_us(remote.since()) > time_us {
            return None;
        }
        let known = (remote.newest().tick, remote.state_history().len());
        let mut glide = before.map_or_else(Glide::default, |before| {
            let mut glide = before.glide;
            if before.known != known {
                glide.corrected(info, self.values(remote, info, before.time_us));
            }
            glide
        });
        let drawn = glide.draw(info, self.values(remote, info, time_us), now);
        self.drawn[slot] = Some(Drawn {
            id: remote.id,
            at: now,
            time_us,
            extra_us,
            known,
            glide,
        });
        Some(drawn)
    }

    /// Additional delay that the entity's own updates need; it changes slowly.
    fn extra_us(&self, remote: &RemoteEntity, before: Option<&Drawn>, passed_us: f64) -> f64 {
        let wanted = ((remote.gap() - 1.0) * self.clock.dt_us()).clamp(0.0, EXTRA_US);
        let Some(before) = before else { return wanted };
        let step = EXTRA_SLOPE * passed_us;
        before.extra_us + (wanted - before.extra_us).clamp(-step, step)
    }

    /// The values that the known states give for a time.
    fn values(&self, remote: &RemoteEntity, info: &KindInfo, time_us: f64) -> Vec<f32> {
        let fields = &info.fields;
        let us = |tick: Tick| self.clock.tick_us(tick);
        let mut after = remote.newest();
        if us(after.tick) <= time_us {
            return carried(remote, info, &after, time_us - us(after.until));
        }
        for before in remote.state_history().rev().skip(1) {
            if us(before.tick) <= time_us {
                if info.is_teleport(before.fields, after.fields) {
                    return carried(remote, info, &before, time_us - us(before.until));
                }
                let to = us(after.tick);
                let from = us(before.until).min(to - self.clock.dt_us());
                let part = ((time_us - from) / (to - from)).clamp(0.0, 1.0) as f32;
                let pairs = fields.iter().zip(before.fields.iter().zip(after.fields));
                return pairs
                    .map(|(field, (a, b))| between(field, *a, *b, part))
                    .collect();
            }
            after = before;
        }
        fields
            .iter()
            .zip(after.fields)
            .map(|(field, n)| field.value(*n))
            .collect()
    }
}

/// The values of a state after extrapolation by its velocities.
fn carried(
    remote: &RemoteEntity,
    info: &KindInfo,
    state: &HeldState<'_>,
    ahead_us: f64,
) -> Vec<f32> {
    let fields = info.fields.iter().zip(state.fields);
    let mut values: Vec<f32> = fields.map(|(field, n)| field.value(*n)).collect();
    let seconds = (ahead_us.clamp(0.0, EXTRAPOLATED_US) / 1e6) as f32;
    for coded in info.plan.iter().flat_map(|component| &component.fields) {
        if let CompiledEstimator::Velocity { velocity, .. } = coded.estimator
            && remote.audience.sees(coded.field.visibility)
        {
            let (least, most) = (coded.field.value(0), coded.field.value(coded.field.max));
            values[coded.at] = (values[coded.at] + values[velocity] * seconds).clamp(least, most);
        }
    }
    values
}

/// The value at `part` (0 to 1) of the way from `a` to `b`; counts do not blend.
pub(super) fn between(field: &Field, a: u32, b: u32, part: f32) -> f32 {
    match field.scale {
        Scale::Count => field.value(if part < 1.0 { a } else { b }),
        Scale::Linear { .. } => field.value(a) + (field.value(b) - field.value(a)) * part,
        Scale::Turn => {
            let turned = field.value(a) + field.difference(a, b) as f32 * field.value(1) * part;
            turned.rem_euclid(std::f32::consts::TAU)
        }
    }
}

#[cfg(test)]
mod tests;
