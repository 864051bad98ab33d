//! The arena's schema: its components and kinds.

use truetick_netcode::schema::{KindId, Schema, SchemaError};

use super::components::{
    Abilities, Body, Dice, Drone, Pickup, Place, PlayerBody, Projectile, Vitals,
};
use super::priors::PRIORS;

/// The arena's schema and the ids of its kinds.
#[derive(Clone, Debug)]
pub struct ArenaSchema {
    /// The components and kinds.
    pub schema: Schema,
    /// Kind of a player: `player_body`, `abilities`, `vitals`.
    pub player: KindId,
    /// Kind of a drone: `body`, `drone`.
    pub drone: KindId,
    /// Kind of a projectile: `body`, `projectile`.
    pub projectile: KindId,
    /// Kind of a pick-up: `place`, `pickup`.
    pub pickup: KindId,
    /// Kind of the room's own entity: `dice`.
    pub room: KindId,
}

/// Positions of components and fields in a player's field array.
pub mod player_fields {
    /// Fields of [`super::PlayerBody`]: x, y, vx, vy.
    pub(crate) const BODY: std::ops::Range<usize> = 0..4;
    /// Fields of [`super::Abilities`].
    pub(crate) const ABILITIES: std::ops::Range<usize> = 4..8;
    /// Index of the field [`super::Abilities::contacts`].
    pub(crate) const CONTACTS: usize = 7;
    /// Fields of [`super::Vitals`].
    pub const VITALS: std::ops::Range<usize> = 8..11;
}

/// Builds the arena's schema.
///
/// # Errors
///
/// The component and kind tables are constant, so no error occurs in practice; a test proves it.
pub fn arena_schema() -> Result<ArenaSchema, SchemaError> {
    let mut schema = Schema::new();
    let player_body = schema.add_component::<PlayerBody>()?;
    let abilities = schema.add_component::<Abilities>()?;
    let vitals = schema.add_component::<Vitals>()?;
    let body = schema.add_component::<Body>()?;
    let drone = schema.add_component::<Drone>()?;
    let projectile = schema.add_component::<Projectile>()?;
    let place = schema.add_component::<Place>()?;
    let pickup = schema.add_component::<Pickup>()?;
    let dice = schema.add_component::<Dice>()?;
    Ok(ArenaSchema {
        player: schema.add_kind("player", &[player_body, abilities, vitals])?,
        drone: schema.add_kind("drone", &[body, drone])?,
        projectile: schema.add_kind("projectile", &[body, projectile])?,
        pickup: schema.add_kind("pickup", &[place, pickup])?,
        room: schema.add_kind("room", &[dice])?,
        schema: schema.with_priors(PRIORS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_they_are_said_to() {
        let arena = arena_schema().unwrap();
        let player = arena.schema.kind(arena.player);
        let at = |component, field| player.field(&arena.schema, component, field).unwrap();
        assert_eq!(at("player_body", "x"), player_fields::BODY.start);
        assert_eq!(at("abilities", "dash_wait"), player_fields::ABILITIES.start);
        assert_eq!(at("abilities", "contacts"), player_fields::CONTACTS);
        assert_eq!(at("vitals", "health"), player_fields::VITALS.start);
        assert_eq!(player.fields.len(), player_fields::VITALS.end);
    }

    #[test]
    fn a_respawn_is_a_teleport_and_a_hit_is_none() {
        let arena = arena_schema().unwrap();
        let player = arena.schema.kind(arena.player);
        let health = player_fields::VITALS.start;
        let with_health = |health_now| {
            let mut state = vec![0; player.fields.len()];
            state[health] = health_now;
            state
        };
        assert!(player.is_teleport(&with_health(0), &with_health(100)));
        assert!(!player.is_teleport(&with_health(100), &with_health(80)));
        assert!(!player.is_teleport(&with_health(20), &with_health(0)));
    }
}
