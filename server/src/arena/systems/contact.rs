//! Contact of bodies: players and drones push each other apart, and players take pick-ups.

use bevy_ecs::change_detection::Res;
use bevy_ecs::entity::Entity;
use bevy_ecs::query::Without;
use bevy_ecs::system::Query;
use glam::Vec2;
use truetick_arena::components::{Abilities, Body, Drone, Pickup, Place, PlayerBody, Vitals};
use truetick_arena::map::BODY_RADIUS;

use crate::arena::ArenaRules;
use crate::entity_table::EntityTable;

/// Speed per tick at which bodies that overlap wholly are pushed apart, in metres per second.
const PUSH: f32 = 3.0;

/// Distance from which a player takes a pick-up, in metres.
const REACH: f32 = 1.2;

/// Health that a pick-up gives.
const HEAL: u8 = 40;
const PICKUP_S: f32 = 8.0;

struct Round {
    entity: Entity,
    position: Vec2,
    push: Vec2,
}

/// Pushes overlapping players and drones away from each other.
pub fn push_apart(
    rules: Res<'_, ArenaRules>,
    table: Res<'_, EntityTable>,
    mut players: Query<'_, '_, (&mut PlayerBody, &mut Abilities, &Vitals)>,
    mut drones: Query<'_, '_, &mut Body, Without<PlayerBody>>,
) {
    if rules.ghosts {
        return;
    }
    let place = |entity: Entity| match players.get(entity) {
        Ok((body, _, vitals)) => (vitals.health > 0).then_some(body.position),
        Err(_) => drones.get(entity).ok().map(|body| body.position),
    };
    let solid = table
        .rows()
        .filter(|row| row.kind == rules.kinds.player || row.kind == rules.kinds.drone);
    let rounds = solid.filter_map(|row| {
        Some(Round {
            entity: row.entity,
            position: place(row.entity)?,
            push: Vec2::ZERO,
        })
    });
    let mut rounds: Vec<Round> = rounds.collect();
    push_pairs(&mut rounds);
    for round in rounds.iter().filter(|round| round.push != Vec2::ZERO) {
        if let Ok((mut body, mut abilities, _)) = players.get_mut(round.entity) {
            body.velocity += round.push;
            abilities.contacts = abilities.contacts.wrapping_add(1);
        } else if let Ok(mut body) = drones.get_mut(round.entity) {
            body.velocity += round.push;
        }
    }
}

fn push_pairs(rounds: &mut [Round]) {
    let least = 2.0 * BODY_RADIUS;
    for i in 1..rounds.len() {
        let (before, rest) = rounds.split_at_mut(i);
        let round = &mut rest[0];
        for other in before {
            let apart = round.position - other.position;
            let squared = apart.length_squared();
            if squared < least * least {
                let normal = apart.try_normalize().unwrap_or(Vec2::X);
                let push = normal * (PUSH * (1.0 - squared.sqrt() / least));
                round.push += push;
                other.push -= push;
            }
        }
    }
}

/// Gives pick-ups to living players within reach that lack health. A taken pick-up reappears after
/// `PICKUP_S` seconds.
pub fn take_pickups(
    rules: Res<'_, ArenaRules>,
    table: Res<'_, EntityTable>,
    mut pickups: Query<'_, '_, (&Place, &mut Pickup)>,
    mut players: Query<'_, '_, (&PlayerBody, &mut Vitals), Without<Drone>>,
) {
    for row in table.of_kind(rules.kinds.pickup) {
        let Ok((place, mut pickup)) = pickups.get_mut(row.entity) else {
            continue;
        };
        if pickup.present == 0 {
            pickup.ticks_left = pickup.ticks_left.saturating_sub(1);
            pickup.present = u8::from(pickup.ticks_left == 0);
            continue;
        }
        if rules.ghosts {
            continue;
        }
        for player in table.of_kind(rules.kinds.player) {
            let Ok((body, mut vitals)) = players.get_mut(player.entity) else {
                continue;
            };
            let near = body.position.distance_squared(place.position) < REACH * REACH;
            if near && (1..100).contains(&vitals.health) {
                vitals.health = (vitals.health + HEAL).min(100);
                *pickup = Pickup {
                    present: 0,
                    ticks_left: rules.step.ticks(PICKUP_S) as u16,
                };
                break;
            }
        }
    }
}
