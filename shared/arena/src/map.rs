//! The static world: walls and pillars. Both sides know it, so collisions with it are predictable.

use glam::Vec2;

/// Distance of the walls from the origin on both axes, in metres.
pub const HALF_SIZE: f32 = 60.0;

/// Radius of a player or drone, in metres.
pub const BODY_RADIUS: f32 = 0.5;

/// Round pillars: centre and radius, in metres.
pub const PILLARS: [(Vec2, f32); 9] = [
    (Vec2::new(0.0, 0.0), 4.0),
    (Vec2::new(30.0, 0.0), 2.5),
    (Vec2::new(-30.0, 0.0), 2.5),
    (Vec2::new(0.0, 30.0), 2.5),
    (Vec2::new(0.0, -30.0), 2.5),
    (Vec2::new(25.0, 25.0), 3.0),
    (Vec2::new(-25.0, 25.0), 3.0),
    (Vec2::new(25.0, -25.0), 3.0),
    (Vec2::new(-25.0, -25.0), 3.0),
];

/// Share of the speed into a surface that is kept, reversed, after a collision.
const BOUNCE: f32 = 0.3;

/// Moves a body of [`BODY_RADIUS`] out of walls and pillars and reflects the part of its velocity
/// that points into them. Returns the new position and velocity.
pub fn collide(position: Vec2, velocity: Vec2) -> (Vec2, Vec2) {
    let (mut position, mut velocity) = (position, velocity);
    for (middle, radius) in PILLARS {
        let away = position - middle;
        let least = radius + BODY_RADIUS;
        if away.length_squared() < least * least {
            let normal = away.try_normalize().unwrap_or(Vec2::X);
            position = middle + normal * least;
            velocity = bounce(velocity, normal);
        }
    }
    let limit = HALF_SIZE - BODY_RADIUS;
    for (outside, normal) in [
        (position.x - limit, Vec2::NEG_X),
        (-limit - position.x, Vec2::X),
        (position.y - limit, Vec2::NEG_Y),
        (-limit - position.y, Vec2::Y),
    ] {
        if outside > 0.0 {
            position += normal * outside;
            velocity = bounce(velocity, normal);
        }
    }
    (position, velocity)
}

fn bounce(velocity: Vec2, normal: Vec2) -> Vec2 {
    let into = velocity.dot(normal);
    if into < 0.0 {
        velocity - normal * into * (1.0 + BOUNCE)
    } else {
        velocity
    }
}

/// Returns whether a point is inside a pillar or beyond a wall.
pub fn is_solid(point: Vec2) -> bool {
    point.abs().max_element() > HALF_SIZE
        || PILLARS
            .iter()
            .any(|(middle, radius)| point.distance_squared(*middle) < radius * radius)
}
