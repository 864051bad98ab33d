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
    pub fn time_line_moved(&mut self, us: i64) {
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
        if let CompiledEstimator::Moved { velocity, .. } = coded.estimator
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
mod tests {
    use super::*;
    use crate::schema::Replicate;

    struct Shell;

    impl Replicate for Shell {
        const NAME: &'static str = "shell";
        const FIELDS: &'static [Field] = &[
            Field::linear("vx", -64.0, 64.0, 1.0 / 256.0),
            Field::linear("x", -64.0, 64.0, 1.0 / 256.0).moved_by(0),
            Field::count("teleports", 2).teleport_mark(),
        ];
        fn quantise(&self, _: &mut [u32]) {}
        fn restore(_: &[u32]) -> Self {
            Self
        }
    }

    fn schema() -> Schema {
        let mut schema = Schema::new();
        let shell = schema.add_component::<Shell>().unwrap();
        schema.add_kind("shell", &[shell]).unwrap();
        schema
    }

    fn state(schema: &Schema, vx: f32, x: f32, teleports: u32) -> Vec<u32> {
        let fields = &schema.kind(KindId(0)).fields;
        vec![fields[0].quantise(vx), fields[1].quantise(x), teleports]
    }

    const RATE: u32 = 60;

    fn at(tick: f64) -> Timestamp {
        Timestamp::from_micros(1_000_000 + (tick * 1e6 / f64::from(RATE)) as u64)
    }

    /// A display of 240 Hz of ticks without transit time. Returns for each frame the display time
    /// in ticks, and x where the shell is drawn.
    fn shown(
        states: &[(u32, Vec<u32>)],
        removed: Option<u32>,
        ticks: u32,
    ) -> Vec<(f64, Option<f32>)> {
        let schema = schema();
        let mut interpolation = Interpolation::new(RATE);
        let (mut remote, mut drawn): (Option<RemoteEntity>, _) = (None, Vec::new());
        for frame in 0..ticks * 4 {
            let now = at(f64::from(frame) / 4.0);
            let tick = Tick(frame / 4);
            if frame % 4 == 0 {
                interpolation.snapshot(tick, now);
                if let Some((_, fields)) = states.iter().find(|(of, _)| *of == tick.0) {
                    remote = match remote.take() {
                        None => Some(RemoteEntity::told(tick, fields)),
                        Some(known) => Some(known.and(tick, fields)),
                    };
                }
                if removed == Some(tick.0) {
                    interpolation.removed(Removed {
                        remote: remote.take().unwrap(),
                        at: tick,
                    });
                }
            }
            interpolation.advance(now);
            let leaving = interpolation
                .sample_leaving(0, &schema, now)
                .map(|(_, _, values)| values);
            let present = remote.as_ref();
            let values =
                leaving.or_else(|| interpolation.sample(present?, schema.kind(KindId(0)), now));
            drawn.push((
                interpolation.clock().shown_tick().unwrap(),
                values.map(|values| values[1]),
            ));
        }
        drawn
    }

    /// From tick 40 on the shell flies at 30 m/s.
    fn flight(schema: &Schema, ticks: std::ops::Range<u32>) -> Vec<(u32, Vec<u32>)> {
        ticks
            .map(|tick| (tick, state(schema, 30.0, (tick - 40) as f32 * 0.5, 0)))
            .collect()
    }

    #[test]
    fn a_shell_is_drawn_from_its_spawn_to_its_despawn_in_the_time_shown() {
        let schema = schema();
        let drawn = shown(&flight(&schema, 40..60), Some(60), 80);
        for (shown, x) in drawn {
            match x {
                Some(x) => {
                    assert!((39.9..60.1).contains(&shown), "drawn at {shown}");
                    assert!(
                        (f64::from(x) - (shown - 40.0) * 0.5).abs() < 0.05,
                        "{x} at {shown}"
                    );
                }
                None => assert!(!(40.3..59.7).contains(&shown), "not drawn at {shown}"),
            }
        }
    }

    #[test]
    fn a_teleport_is_cut_and_not_drawn_in_between() {
        let schema = schema();
        let mut states = flight(&schema, 40..50);
        states.extend((50..70).map(|tick| {
            (
                tick,
                state(&schema, 30.0, (tick - 50) as f32 * 0.5 - 20.0, 1),
            )
        }));
        for (shown, x) in shown(&states, None, 70) {
            let Some(x) = x.map(f64::from) else { continue };
            let right = if shown < 50.0 {
                (shown - 40.0) * 0.5
            } else {
                (shown - 50.0) * 0.5 - 20.0
            };
            assert!((x - right).abs() < 0.05, "{x} at {shown}");
        }
    }

    #[test]
    fn a_turn_takes_the_short_way() {
        let field = Field::turn("heading", 8);
        let value = between(&field, 250, 4, 0.5);
        assert!((value - field.value(255)).abs() < 1e-5);
    }
}
