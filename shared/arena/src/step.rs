//! The player step that server and client both run. It is pure and ends on the wire grid.

use glam::Vec2;
use truetick_netcode::client::prediction::Predict;
use truetick_netcode::schema::{KindId, Replicate};

use super::command::ArenaCommand;
use super::components::{Abilities, PlayerBody};
use super::map::collide;
use super::schema::player_fields::{ABILITIES, BODY, CONTACTS};

/// Maximum acceleration, in m/s^2.
const ACCELERATION: f32 = 60.0;
/// Friction: share of the speed lost per second. With [`ACCELERATION`] it limits the speed to 10
/// m/s.
const FRICTION: f32 = 6.0;
/// Speed at the start of a dash, in m/s.
const DASH_SPEED: f32 = 28.0;
/// Minimum time between dashes, in seconds.
const DASH_WAIT_S: f32 = 1.5;
/// Minimum time between shots, in seconds.
const FIRE_WAIT_S: f32 = 0.4;

/// Parameters of the step beside state and command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepConfig {
    /// Ticks per second, 10 to 128; 60 by default.
    pub tick_rate: u32,
}

impl Default for StepConfig {
    fn default() -> Self {
        Self { tick_rate: 60 }
    }
}

impl StepConfig {
    /// Returns the length of a tick in seconds.
    pub fn dt(&self) -> f32 {
        1.0 / self.tick_rate as f32
    }

    /// Converts a time span in seconds to ticks, rounded to the nearest.
    pub fn ticks(&self, seconds: f32) -> u32 {
        (seconds * self.tick_rate as f32).round() as u32
    }
}

/// The predicted part of a player's state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayerState {
    /// Position and velocity.
    pub body: PlayerBody,
    /// Ticks until the player can dash, fire and respawn.
    pub abilities: Abilities,
}

/// Advances a player by one tick under a command. Returns the next state, on the wire grid, and
/// whether the player fired.
pub fn step_player(
    state: PlayerState,
    command: &ArenaCommand,
    config: &StepConfig,
) -> (PlayerState, bool) {
    let PlayerState {
        mut body,
        mut abilities,
    } = state;
    abilities.dash_wait = abilities.dash_wait.saturating_sub(1);
    abilities.fire_wait = abilities.fire_wait.saturating_sub(1);
    if abilities.respawn_wait > 0 {
        abilities.respawn_wait -= 1;
        body.velocity = Vec2::ZERO;
        return (PlayerState { body, abilities }, false);
    }
    let thrust = command.thrust();
    if command.dash && abilities.dash_wait == 0 && thrust != Vec2::ZERO {
        body.velocity = thrust.normalize() * DASH_SPEED;
        abilities.dash_wait = config.ticks(DASH_WAIT_S) as u8;
    }
    body.velocity += (thrust * ACCELERATION - body.velocity * FRICTION) * config.dt();
    body.position += body.velocity * config.dt();
    (body.position, body.velocity) = collide(body.position, body.velocity);
    let fired = command.fire && abilities.fire_wait == 0;
    if fired {
        abilities.fire_wait = config.ticks(FIRE_WAIT_S) as u8;
    }
    (
        PlayerState {
            body: snap(&body),
            abilities,
        },
        fired,
    )
}

/// Rounds a component to its wire grid.
pub fn snap<T: Replicate>(component: &T) -> T {
    let mut fields = [0; 16];
    let fields = &mut fields[..T::FIELDS.len()];
    component.quantise(fields);
    T::restore(fields)
}

/// The arena's prediction: runs [`step_player`] on the owner's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArenaPredict {
    config: StepConfig,
}

impl Predict for ArenaPredict {
    type Command = ArenaCommand;

    fn welcomed(&mut self, tick_rate: u32) {
        self.config.tick_rate = tick_rate;
    }

    fn predict(&self, _: KindId, fields: &mut [u32], command: &ArenaCommand) {
        let body = PlayerBody::restore(&fields[BODY]);
        let abilities = Abilities::restore(&fields[ABILITIES]);
        let (after, _) = step_player(PlayerState { body, abilities }, command, &self.config);
        after.body.quantise(&mut fields[BODY]);
        after.abilities.quantise(&mut fields[ABILITIES]);
    }

    fn interactions(&self, fields: &[u32]) -> u32 {
        fields[CONTACTS]
    }

    fn distance_m(&self, a: &[u32], b: &[u32]) -> f32 {
        PlayerBody::restore(&a[BODY])
            .position
            .distance(PlayerBody::restore(&b[BODY]).position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{HALF_SIZE, is_solid};
    use proptest::prelude::*;

    const CONFIG: StepConfig = StepConfig { tick_rate: 60 };

    fn run(start: Vec2, ticks: u32, command: impl Fn(u32) -> ArenaCommand) -> PlayerState {
        let body = PlayerBody {
            position: start,
            velocity: Vec2::ZERO,
        };
        let state = PlayerState {
            body: snap(&body),
            ..PlayerState::default()
        };
        (0..ticks).fold(state, |state, tick| {
            step_player(state, &command(tick), &CONFIG).0
        })
    }

    proptest! {
        #[test]
        fn nobody_leaves_the_arena(seed: u32, start in (-50f32..50.0, -50f32..50.0)) {
            let angle = |tick: u32| (seed.wrapping_add(tick / 20).wrapping_mul(2_654_435_761) >> 16) as f32 / 1e4;
            let state = run(start.into(), 600, |tick| {
                ArenaCommand::new(Vec2::from_angle(angle(tick)), 0.0, true, false)
            });
            prop_assert!(state.body.position.abs().max_element() < HALF_SIZE);
            prop_assert!(!is_solid(state.body.position));
        }

        #[test]
        fn every_step_ends_on_the_grid(x in -127i8..=127, y in -127i8..=127, ticks in 1u32..40) {
            let state = run(Vec2::new(10.0, 8.0), ticks, |_| ArenaCommand { thrust: [x, y], ..ArenaCommand::default() });
            prop_assert_eq!(snap(&state.body), state.body);
        }
    }

    #[test]
    fn thrust_reaches_top_speed_and_friction_stops() {
        let go = ArenaCommand::new(Vec2::X, 0.0, false, false);
        let moving = run(Vec2::new(-50.0, 10.0), 120, |_| go);
        assert!((9.0..10.1).contains(&moving.body.velocity.x), "{moving:?}");
        let stopped = run(Vec2::new(-50.0, 10.0), 400, |tick| {
            if tick < 60 {
                go
            } else {
                ArenaCommand::default()
            }
        });
        assert!(stopped.body.velocity.length() < 0.05, "{stopped:?}");
    }

    #[test]
    fn the_smallest_thrust_moves() {
        let creep = run(Vec2::new(10.0, 8.0), 60, |_| ArenaCommand {
            thrust: [1, 0],
            ..ArenaCommand::default()
        });
        assert!(creep.body.position.x > 10.03, "{creep:?}");
    }

    #[test]
    fn dash_and_fire_wait_for_their_cool_down() {
        let both = ArenaCommand::new(Vec2::X, 0.0, true, true);
        let mut state = PlayerState::default();
        state.body.position = Vec2::new(-50.0, 10.0);
        let (mut shots, mut dashes) = (0, 0);
        for _ in 0..120 {
            let before = state.abilities.dash_wait;
            let (after, fired) = step_player(state, &both, &CONFIG);
            shots += u32::from(fired);
            dashes += u32::from(after.abilities.dash_wait > before);
            state = after;
        }
        assert_eq!((shots, dashes), (5, 2));
    }
}
