//! The decisions of a bot: a view of its surroundings in, a command out. Seeded, without clock or
//! network.

use glam::Vec2;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::ArenaCommand;

/// Health below which a bot flees.
const AFRAID: f32 = 45.0;

/// Distance within which a bot fights other players, in metres.
const FIGHT_RANGE: f32 = 18.0;

/// A bot's view of its surroundings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BotView {
    /// Position of the bot, in metres.
    pub position: Vec2,
    /// Health of the bot, 0 to 100.
    pub health: f32,
    /// Positions of other living players and drones, in metres.
    pub targets: Vec<Vec2>,
}

/// Decides a bot's commands. It moves at random, fights near targets, and flees at low health.
#[derive(Debug)]
pub(crate) struct Bot {
    rng: Xoshiro256PlusPlus,
    heading: f32,
    turn_in: u32,
    side: f32,
}

impl Bot {
    /// A bot whose random decisions follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            heading: 0.0,
            turn_in: 0,
            side: 1.0,
        }
    }

    /// The command for the next tick.
    pub fn decide(&mut self, view: &BotView) -> ArenaCommand {
        self.change_mind();
        let nearest = view.targets.iter().copied().min_by(|a, b| {
            a.distance_squared(view.position)
                .total_cmp(&b.distance_squared(view.position))
        });
        match nearest.filter(|target| target.distance(view.position) < FIGHT_RANGE) {
            Some(target) if view.health < AFRAID => self.flee(view.position, target),
            Some(target) => self.fight(view.position, target),
            None => self.wander(),
        }
    }

    fn change_mind(&mut self) {
        if self.turn_in == 0 {
            self.heading = self.rng.random_range(0.0..std::f32::consts::TAU);
            self.turn_in = self.rng.random_range(15..90);
            self.side = -self.side;
        }
        self.turn_in -= 1;
    }

    fn wander(&mut self) -> ArenaCommand {
        let dash = self.rng.random_ratio(1, 120);
        ArenaCommand::new(Vec2::from_angle(self.heading), self.heading, dash, false)
    }

    /// Circles the target and fires at it, with some error.
    fn fight(&mut self, own: Vec2, target: Vec2) -> ArenaCommand {
        let towards = (target - own).normalize_or(Vec2::X);
        let closing = if own.distance(target) > 8.0 {
            0.8
        } else {
            -0.2
        };
        let thrust = towards * closing + towards.perp() * self.side * 0.7;
        let aim = towards.to_angle() + self.rng.random_range(-0.08..0.08);
        let dash = self.rng.random_ratio(1, 180);
        ArenaCommand::new(thrust, aim, dash, true)
    }

    fn flee(&mut self, own: Vec2, target: Vec2) -> ArenaCommand {
        let away = (own - target).normalize_or(Vec2::X);
        let thrust = away + Vec2::from_angle(self.heading) * 0.4;
        ArenaCommand::new(thrust, away.to_angle(), true, false)
    }
}
