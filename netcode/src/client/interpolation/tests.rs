//! Tests of the interpolation: spawns, removals, teleports and turns at the time shown.

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
fn shown(states: &[(u32, Vec<u32>)], removed: Option<u32>, ticks: u32) -> Vec<(f64, Option<f32>)> {
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
