//! The courses of the observed entities. They are known functions of time, so that what a display
//! draws can be compared with the true state at any time.

use glam::Vec2;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Speed of every moving entity, in metres per second.
pub(crate) const SPEED: f64 = 7.5;

/// How an entity moves. Its velocity changes at whole seconds only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Straight on in one direction.
    Straight,
    /// Straight on, in another direction each second.
    Turning,
    /// Alternately a second straight on and a second at rest.
    StopAndGo,
}

impl Style {
    /// The style of the mover with this index.
    pub fn of(index: usize) -> Self {
        [Self::Straight, Self::Turning, Self::StopAndGo][index % 3]
    }
}

/// A position and a velocity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Motion {
    /// Position in metres.
    pub position: Vec2,
    /// Velocity in metres per second.
    pub velocity: Vec2,
}

/// The course of one entity.
#[derive(Clone, Debug)]
pub struct Course {
    /// Motion at each whole second.
    seconds: Vec<Motion>,
}

impl Course {
    /// The course of a style over `seconds` seconds; its directions follow from `seed`.
    pub fn new(style: Style, seconds: usize, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut position = Vec2::new(rng.random_range(-64.0..64.0), rng.random_range(-64.0..64.0));
        let mut heading = rng.random_range(0.0..std::f32::consts::TAU);
        let mut path = Vec::with_capacity(seconds + 1);
        for second in 0..=seconds {
            if style == Style::Turning {
                heading += rng.random_range(-1.6..1.6);
            }
            let rests = style == Style::StopAndGo && second % 2 == 1;
            let speed = if rests { 0.0 } else { SPEED as f32 };
            let velocity = Vec2::from_angle(heading) * speed;
            path.push(Motion { position, velocity });
            position += velocity;
        }
        Self { seconds: path }
    }

    /// The motion at a time in seconds since the start; beyond the last second it goes straight on.
    pub fn at(&self, seconds: f64) -> Motion {
        let whole = (seconds.max(0.0) as usize).min(self.seconds.len() - 1);
        let Motion { position, velocity } = self.seconds[whole];
        Motion {
            position: position + velocity * (seconds - whole as f64) as f32,
            velocity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_continuous_and_has_the_speed_that_it_says() {
        for style in [Style::Straight, Style::Turning, Style::StopAndGo] {
            let course = Course::new(style, 20, 3);
            for ms in 0..19_999 {
                let (now, then) = (f64::from(ms) / 1e3, f64::from(ms + 1) / 1e3);
                let moved = (course.at(then).position - course.at(now).position).length();
                assert!(moved < 0.0077, "{style:?} {ms}: {moved}");
            }
        }
        assert_eq!(
            Course::new(Style::StopAndGo, 20, 3).at(1.5).velocity,
            Vec2::ZERO
        );
    }
}
