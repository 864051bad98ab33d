//! Players move by their commands, fire, and respawn after death.

use bevy_ecs::change_detection::{Res, ResMut};
use bevy_ecs::system::{Commands, Query};
use truetick_arena::components::{Abilities, Body, Dice, PlayerBody, Projectile, Vitals};
use truetick_arena::map::BODY_RADIUS;
use truetick_arena::{ArenaCommand, PlayerState, step_player};

use crate::arena::{ArenaRules, free_place};
use crate::entity_table::EntityTable;
use crate::game::Inputs;

/// Speed of a projectile in metres per second.
const PROJECTILE_SPEED: f32 = 25.0;

/// Time that a projectile flies, in seconds.
const PROJECTILE_LIFE_S: f32 = 1.2;

/// Runs the shared step for each player. Shots become projectiles.
pub fn move_players(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, ArenaRules>,
    inputs: Res<'_, Inputs<ArenaCommand>>,
    mut table: ResMut<'_, EntityTable>,
    mut players: Query<'_, '_, (&mut PlayerBody, &mut Abilities)>,
) {
    let rows: Vec<_> = table.of_kind(rules.kinds.player).copied().collect();
    for row in rows {
        let Some(owner) = row.owner else { continue };
        let Ok((mut body, mut abilities)) = players.get_mut(row.entity) else {
            continue;
        };
        let command = inputs
            .0
            .binary_search_by_key(&owner, |(client, _)| *client)
            .map(|at| inputs.0[at].1);
        let command = command.unwrap_or_default();
        let state = PlayerState {
            body: *body,
            abilities: *abilities,
        };
        let (after, fired) = step_player(state, &command, &rules.step);
        (*body, *abilities) = (after.body, after.abilities);
        if fired {
            let direction = command.direction();
            let position = body.position + direction * (BODY_RADIUS + 0.3);
            let flight = Body {
                position,
                velocity: direction * PROJECTILE_SPEED,
            };
            let ticks_left = rules.step.ticks(PROJECTILE_LIFE_S) as u8;
            let parts = (
                flight,
                Projectile {
                    shooter: row.id.slot,
                    ticks_left,
                },
            );
            table.spawn(&mut commands, rules.kinds.projectile, None, parts);
        }
    }
}

/// Respawns dead players whose wait is over at a random position.
pub fn bring_back(
    rules: Res<'_, ArenaRules>,
    table: Res<'_, EntityTable>,
    mut dice: Query<'_, '_, &mut Dice>,
    mut players: Query<'_, '_, (&mut PlayerBody, &mut Abilities, &mut Vitals)>,
) {
    let Ok(mut dice) = dice.single_mut() else {
        return;
    };
    for row in table.of_kind(rules.kinds.player) {
        let Ok((mut body, mut abilities, mut vitals)) = players.get_mut(row.entity) else {
            continue;
        };
        if vitals.health == 0 && abilities.respawn_wait == 0 {
            vitals.health = 100;
            body.position = free_place(&mut dice);
            abilities.contacts = abilities.contacts.wrapping_add(1);
        }
    }
}
