//! Projectiles fly, end at walls and pillars, and hit players and drones.

use bevy_ecs::change_detection::{Res, ResMut};
use bevy_ecs::query::Without;
use bevy_ecs::system::{Commands, Query};
use glam::Vec2;
use truetick_arena::components::{Abilities, Body, Dice, Drone, PlayerBody, Projectile, Vitals};
use truetick_arena::event::ArenaEvent;
use truetick_arena::map::{BODY_RADIUS, is_solid};
use truetick_netcode::channel::Channel;
use truetick_netcode::messages::encode;
use truetick_netcode::replication::NetId;

use crate::arena::{ArenaRules, free_place};
use crate::entity_table::EntityTable;
use crate::game::{GameEvent, Outbox};

/// Health that a hit takes.
const DAMAGE: u8 = 20;

/// Speed that a hit gives its victim, in metres per second.
const KNOCK: f32 = 6.0;

/// Time until a dead player respawns, in seconds.
const RESPAWN_S: f32 = 2.0;

/// Moves every projectile. Removes those whose time is over or that meet something solid.
pub fn fly_projectiles(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, ArenaRules>,
    mut table: ResMut<'_, EntityTable>,
    mut projectiles: Query<'_, '_, (&mut Body, &mut Projectile)>,
) {
    let rows: Vec<_> = table.of_kind(rules.kinds.projectile).copied().collect();
    for row in rows {
        let Ok((mut body, mut projectile)) = projectiles.get_mut(row.entity) else {
            continue;
        };
        let velocity = body.velocity;
        body.position += velocity * rules.step.dt();
        projectile.ticks_left = projectile.ticks_left.saturating_sub(1);
        if projectile.ticks_left == 0 || is_solid(body.position) {
            table.despawn(&mut commands, row.id);
        }
    }
}

#[derive(Clone, Copy)]
struct Flight {
    id: NetId,
    shooter: u16,
    position: Vec2,
    velocity: Vec2,
}

impl Flight {
    fn touches(&self, body: Vec2) -> bool {
        self.position.distance_squared(body) < (BODY_RADIUS + 0.2) * (BODY_RADIUS + 0.2)
    }
}

type Players<'w, 's, 'a> = Query<'w, 's, (&'a mut PlayerBody, &'a mut Abilities, &'a mut Vitals)>;
type Drones<'w, 's, 'a> = Query<'w, 's, (&'a mut Body, &'a mut Drone)>;
type Projectiles<'w, 's, 'a> = Query<'w, 's, (&'a Body, &'a Projectile), Without<Drone>>;

/// Applies hits: a projectile that touches a drone, or a living player other than its shooter, is
/// spent.
#[allow(clippy::too_many_arguments, reason = "a system names what it touches")]
pub fn hit_bodies(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, ArenaRules>,
    mut table: ResMut<'_, EntityTable>,
    mut outbox: ResMut<'_, Outbox>,
    projectiles: Projectiles<'_, '_, '_>,
    mut players: Players<'_, '_, '_>,
    mut drones: Drones<'_, '_, '_>,
    mut dice: Query<'_, '_, &mut Dice>,
) {
    let Ok(mut dice) = dice.single_mut() else {
        return;
    };
    if rules.ghosts {
        return;
    }
    let flights: Vec<Flight> = table
        .of_kind(rules.kinds.projectile)
        .filter_map(|row| {
            let (body, projectile) = projectiles.get(row.entity).ok()?;
            let (position, velocity) = (body.position, body.velocity);
            Some(Flight {
                id: row.id,
                shooter: projectile.shooter,
                position,
                velocity,
            })
        })
        .collect();
    for flight in flights {
        let victim = hit_player(&rules, &table, &flight, &mut players);
        if let Some((victim, true)) = victim {
            credit(&table, &flight, &mut players);
            let died = ArenaEvent::Died {
                victim,
                shooter: flight.shooter,
            };
            outbox.0.push(GameEvent {
                to: None,
                channel: Channel::Ordered(1),
                data: encode(&died),
            });
        }
        if victim.is_some() || hit_drone(&rules, &table, &flight, &mut drones, &mut dice) {
            table.despawn(&mut commands, flight.id);
        }
    }
}

/// Hits the first player that the projectile touches. Returns its slot and whether it died.
fn hit_player(
    rules: &ArenaRules,
    table: &EntityTable,
    flight: &Flight,
    players: &mut Players<'_, '_, '_>,
) -> Option<(u16, bool)> {
    for row in table
        .of_kind(rules.kinds.player)
        .filter(|row| row.id.slot != flight.shooter)
    {
        let Ok((mut body, mut abilities, mut vitals)) = players.get_mut(row.entity) else {
            continue;
        };
        if vitals.health == 0 || !flight.touches(body.position) {
            continue;
        }
        body.velocity += flight.velocity.normalize_or_zero() * KNOCK;
        abilities.contacts = abilities.contacts.wrapping_add(1);
        vitals.health = vitals.health.saturating_sub(DAMAGE);
        let died = vitals.health == 0;
        if died {
            vitals.deaths = vitals.deaths.wrapping_add(1);
            abilities.respawn_wait = rules.step.ticks(RESPAWN_S) as u16;
        }
        return Some((row.id.slot, died));
    }
    None
}

fn credit(table: &EntityTable, flight: &Flight, players: &mut Players<'_, '_, '_>) {
    let shooter = table
        .row(flight.shooter)
        .and_then(|row| players.get_mut(row.entity).ok());
    if let Some((_, _, mut vitals)) = shooter {
        vitals.kills = vitals.kills.wrapping_add(1);
    }
}

/// Hits the first drone that the projectile touches, and returns whether there was one. A drone
/// without health reappears elsewhere at once.
fn hit_drone(
    rules: &ArenaRules,
    table: &EntityTable,
    flight: &Flight,
    drones: &mut Drones<'_, '_, '_>,
    dice: &mut Dice,
) -> bool {
    for row in table.of_kind(rules.kinds.drone) {
        let Ok((mut body, mut drone)) = drones.get_mut(row.entity) else {
            continue;
        };
        if !flight.touches(body.position) {
            continue;
        }
        body.velocity += flight.velocity.normalize_or_zero() * KNOCK;
        drone.health = drone.health.saturating_sub(DAMAGE);
        if drone.health == 0 {
            drone.health = 100;
            *body = Body {
                position: free_place(dice),
                velocity: Vec2::ZERO,
            };
        }
        return true;
    }
    false
}
