//! Drones wander: each chooses a heading from time to time and accelerates in its direction.

use bevy_ecs::change_detection::Res;
use bevy_ecs::system::Query;
use glam::Vec2;
use rand::RngExt;
use truetick_arena::components::{Body, Dice, Drone};
use truetick_arena::map::collide;

use crate::arena::{ArenaRules, rng};
use crate::entity_table::EntityTable;

/// Acceleration in metres per second squared. With the friction it limits the speed to 4 m/s.
const ACCELERATION: f32 = 8.0;
const FRICTION: f32 = 2.0;

/// Moves every drone.
pub fn steer_drones(
    rules: Res<'_, ArenaRules>,
    table: Res<'_, EntityTable>,
    mut dice: Query<'_, '_, &mut Dice>,
    mut drones: Query<'_, '_, (&mut Body, &mut Drone)>,
) {
    let Ok(mut dice) = dice.single_mut() else {
        return;
    };
    let dt = rules.step.dt();
    for row in table.of_kind(rules.kinds.drone) {
        let Ok((mut body, mut drone)) = drones.get_mut(row.entity) else {
            continue;
        };
        if drone.ticks_left == 0 {
            let mut rng = rng(&mut dice);
            drone.heading = rng.random_range(0..1 << 12);
            drone.ticks_left = rules.step.ticks(rng.random_range(0.4..1.6)) as u8;
        }
        drone.ticks_left = drone.ticks_left.saturating_sub(1);
        let heading = Vec2::from_angle(f32::from(drone.heading) * std::f32::consts::TAU / 4096.0);
        let velocity = body.velocity;
        body.velocity += (heading * ACCELERATION - velocity * FRICTION) * dt;
        let position = body.position + body.velocity * dt;
        (body.position, body.velocity) = collide(position, body.velocity);
    }
}
