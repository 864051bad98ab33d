//! The components of the arena's entities and the wire fields of each.

use bevy_ecs::component::Component;
use glam::Vec2;
use truetick_netcode::schema::{Field, Replicate};

const X: Field = Field::linear("x", -64.0, 64.0, 1.0 / 2048.0);
const Y: Field = Field { name: "y", ..X };
const VX: Field = Field::linear("vx", -32.0, 32.0, 1.0 / 1024.0).extrapolated();
const VY: Field = Field { name: "vy", ..VX };

/// Fields of a position that is estimated from its velocity, then of that velocity.
const MOTION: [Field; 4] = [X.moved_by(2), Y.moved_by(3), VX, VY];

/// Position and velocity of a player, predicted by its owner. The grid is fine enough that 0.1 m/s
/// is several steps per tick, so friction can bring a body to rest without sticking.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayerBody {
    /// Position in metres.
    pub position: Vec2,
    /// Velocity in metres per second.
    pub velocity: Vec2,
}

impl Replicate for PlayerBody {
    const NAME: &'static str = "player_body";
    const FIELDS: &'static [Field] = &[
        MOTION[0].predicted(),
        MOTION[1].predicted(),
        VX.predicted(),
        VY.predicted(),
    ];

    fn quantise(&self, out: &mut [u32]) {
        quantise_motion(self.position, self.velocity, out);
    }

    fn restore(fields: &[u32]) -> Self {
        let (position, velocity) = restore_motion(fields);
        Self { position, velocity }
    }
}

/// Position and velocity of an entity that only the server moves.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
pub struct Body {
    /// Position in metres.
    pub position: Vec2,
    /// Velocity in metres per second.
    pub velocity: Vec2,
}

impl Replicate for Body {
    const NAME: &'static str = "body";
    const FIELDS: &'static [Field] = &MOTION;

    fn quantise(&self, out: &mut [u32]) {
        quantise_motion(self.position, self.velocity, out);
    }

    fn restore(fields: &[u32]) -> Self {
        let (position, velocity) = restore_motion(fields);
        Self { position, velocity }
    }
}

fn quantise_motion(position: Vec2, velocity: Vec2, out: &mut [u32]) {
    out.copy_from_slice(&[
        X.quantise(position.x),
        Y.quantise(position.y),
        VX.quantise(velocity.x),
        VY.quantise(velocity.y),
    ]);
}

fn restore_motion(fields: &[u32]) -> (Vec2, Vec2) {
    let (x, y) = (X.value(fields[0]), Y.value(fields[1]));
    (
        Vec2::new(x, y),
        Vec2::new(VX.value(fields[2]), VY.value(fields[3])),
    )
}

/// Defines components whose fields are plain unsigned numbers.
macro_rules! counters {
    ($(#[$doc:meta])* $name:ident, $wire:literal { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $spec:expr,)* }) => {
        $(#[$doc])*
        #[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl Replicate for $name {
            const NAME: &'static str = $wire;
            const FIELDS: &'static [Field] = &[$($spec),*];

            fn quantise(&self, out: &mut [u32]) {
                out.copy_from_slice(&[$(u32::from(self.$field)),*]);
            }

            fn restore(fields: &[u32]) -> Self {
                let mut fields = fields.iter();
                $(let $field = fields.next().map_or(0, |n| *n as $kind);)*
                Self { $($field),* }
            }
        }
    };
}

counters! {
    /// A player's cool-downs and its count of contacts, replicated to the owner only. The
    /// cool-downs are predicted.
    Abilities, "abilities" {
        /// Ticks until the next dash is possible.
        dash_wait: u8 = Field::count("dash_wait", 8).owner().predicted(),
        /// Ticks until the next shot is possible.
        fire_wait: u8 = Field::count("fire_wait", 8).owner().predicted(),
        /// Ticks until the player respawns, 0 while alive.
        respawn_wait: u16 = Field::count("respawn_wait", 9).owner().predicted(),
        /// Counts changes of the player's predicted state by anything but its own commands; wraps.
        contacts: u8 = Field::count("contacts", 8).owner(),
    }
}

counters! {
    /// Health and score of a player.
    Vitals, "vitals" {
        /// Health, 0 (dead) to 100.
        health: u8 = Field::count("health", 7).revival_mark(),
        /// Players killed by this player's hits; wraps.
        kills: u16 = Field::count("kills", 16),
        /// Deaths of this player; wraps.
        deaths: u16 = Field::count("deaths", 16).teleport_mark(),
    }
}

counters! {
    /// Shooter and remaining flight time of a projectile.
    Projectile, "projectile" {
        /// Slot of the player who fired.
        shooter: u16 = Field::count("shooter", 14),
        /// Ticks until the projectile disappears. Not replicated.
        ticks_left: u8 = Field::count("ticks_left", 8).server(),
    }
}

counters! {
    /// Steering and health of a drone.
    Drone, "drone" {
        /// Direction of acceleration, in steps of 1/4,096 turn. Not replicated.
        heading: u16 = Field::count("heading", 12).server(),
        /// Ticks until the drone chooses another heading. Not replicated.
        ticks_left: u8 = Field::count("ticks_left", 8).server(),
        /// Health, 1 to 100.
        health: u8 = Field::count("health", 7),
    }
}

counters! {
    /// A pick-up that heals. It reappears some time after it was taken.
    Pickup, "pickup" {
        /// 1 while it can be taken, otherwise 0.
        present: u8 = Field::count("present", 1),
        /// Ticks until it reappears. Not replicated.
        ticks_left: u16 = Field::count("ticks_left", 12).server(),
    }
}

counters! {
    /// The room's random state: a seed and the number of rolls. It is part of the schema, so a
    /// restored world continues the original's sequence.
    Dice, "dice" {
        /// The room's seed.
        seed: u32 = Field::count("seed", 32).server(),
        /// Number of rolls so far.
        rolls: u32 = Field::count("rolls", 32).server(),
    }
}

/// Position of a pick-up.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// Position in metres.
    pub position: Vec2,
}

impl Replicate for Place {
    const NAME: &'static str = "place";
    const FIELDS: &'static [Field] = &[X, Y];

    fn quantise(&self, out: &mut [u32]) {
        out.copy_from_slice(&[X.quantise(self.position.x), Y.quantise(self.position.y)]);
    }

    fn restore(fields: &[u32]) -> Self {
        Self {
            position: Vec2::new(X.value(fields[0]), Y.value(fields[1])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid_is_exact<T: Replicate + PartialEq + std::fmt::Debug>(numbers: &[u32]) {
        let fields: Vec<u32> = T::FIELDS
            .iter()
            .zip(numbers)
            .map(|(f, n)| n & f.max())
            .collect();
        let mut again = vec![0; fields.len()];
        T::restore(&fields).quantise(&mut again);
        assert_eq!(again, fields, "{}", T::NAME);
    }

    proptest! {
        #[test]
        fn restoring_and_quantising_returns(numbers in any::<[u32; 8]>()) {
            grid_is_exact::<PlayerBody>(&numbers);
            grid_is_exact::<Body>(&numbers);
            grid_is_exact::<Abilities>(&numbers);
            grid_is_exact::<Vitals>(&numbers);
            grid_is_exact::<Projectile>(&numbers);
            grid_is_exact::<Drone>(&numbers);
            grid_is_exact::<Pickup>(&numbers);
            grid_is_exact::<Dice>(&numbers);
            grid_is_exact::<Place>(&numbers);
        }
    }
}
