//! The halo scene: 32 players, 50 projectiles and 8 vehicles in a large battle, all changing in
//! every tick.
//!
//! Position on 1/64 m within 512 m (16 bits an axis), velocity on 1/32 m/s (11 bits an axis),
//! rotation as the smallest three of a quaternion (7 bits each and 2). The field sizes are those of
//! the peer that publishes figures of such a scene, or finer. The motion is our own: players run,
//! strafe, jump and look about, vehicles drive, projectiles fly and burst.

use glam::{Quat, Vec3};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::replication::NetId;
use truetick_netcode::replication::quaternion::quantise;
use truetick_netcode::replication::state_ring::{ReplicaMeta, StateRing};
use truetick_netcode::schema::{Field, KindId, Replicate, Schema, SchemaError};
use truetick_netcode::tick::Tick;

use crate::halo_priors::PRIORS;

const X: Field = Field::linear("x", -512.0, 512.0, 1.0 / 64.0);
const VX: Field = Field::linear("vx", -32.0, 32.0, 1.0 / 32.0).extrapolated();
const TURN: [Field; 4] = Field::quaternion(["largest", "a", "b", "c"], 7);

const fn named(field: Field, name: &'static str) -> Field {
    Field { name, ..field }
}

/// Position and velocity.
struct Motion;

impl Replicate for Motion {
    const NAME: &'static str = "motion";
    const FIELDS: &'static [Field] = &[
        X.moved_by(3),
        named(X, "y").moved_by(4),
        named(X, "z").moved_by(5),
        VX,
        named(VX, "vy"),
        named(VX, "vz"),
    ];

    fn quantise(&self, _: &mut [u32]) {}

    fn restore(_: &[u32]) -> Self {
        Self
    }
}

/// Rotation as a quaternion.
struct Rotation;

impl Replicate for Rotation {
    const NAME: &'static str = "rotation";
    const FIELDS: &'static [Field] = &TURN;

    fn quantise(&self, _: &mut [u32]) {}

    fn restore(_: &[u32]) -> Self {
        Self
    }
}

/// Returns the scene's schema: players, projectiles, vehicles.
///
/// # Errors
///
/// The schema is constant, so no error occurs in practice.
pub fn halo_schema() -> Result<Schema, SchemaError> {
    let mut schema = Schema::new();
    let (motion, rotation) = (
        schema.add_component::<Motion>()?,
        schema.add_component::<Rotation>()?,
    );
    schema.add_kind("player", &[motion, rotation])?;
    schema.add_kind("projectile", &[motion])?;
    schema.add_kind("vehicle", &[motion, rotation])?;
    Ok(schema.with_priors(PRIORS))
}

const DT: f32 = 1.0 / 60.0;
const GRAVITY: f32 = 9.8;
const HALF_SIZE: f32 = 200.0;

/// Numbers of players, projectiles and vehicles.
pub const COUNTS: [u16; 3] = [32, 50, 8];

#[derive(Clone, Copy, Debug)]
struct Body {
    id: NetId,
    kind: KindId,
    position: Vec3,
    velocity: Vec3,
    wanted: Vec3,
    yaw: f32,
    pitch: f32,
    turning: [f32; 2],
    ticks_left: u32,
}

/// The state of the halo scene.
pub struct Halo {
    bodies: Vec<Body>,
    rng: Xoshiro256PlusPlus,
    tick: Tick,
}

impl Halo {
    /// Creates a scene. `seed` determines its motion.
    pub fn new(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut bodies = Vec::new();
        for (kind, count) in COUNTS.into_iter().enumerate() {
            for _ in 0..count {
                let id = NetId {
                    slot: bodies.len() as u16,
                    generation: 0,
                };
                bodies.push(Body::new(id, KindId(kind as u8), &mut rng));
            }
        }
        Self {
            bodies,
            rng,
            tick: Tick(1_000),
        }
    }

    /// Advances the scene by one tick and records it in the ring.
    pub fn step(&mut self, schema: &Schema, ring: &mut StateRing) {
        self.tick = self.tick.next();
        ring.begin_tick(self.tick);
        for body in &mut self.bodies {
            body.step(&mut self.rng);
            let meta = ReplicaMeta {
                id: body.id,
                kind: body.kind,
                owner: None,
                team: 0,
            };
            ring.record(schema, meta, &body.fields());
        }
    }
}

impl Body {
    fn new(id: NetId, kind: KindId, rng: &mut Xoshiro256PlusPlus) -> Self {
        let mut place = || rng.random_range(-HALF_SIZE..HALF_SIZE);
        let position = Vec3::new(place(), place(), 1.0);
        let mut body = Self {
            id,
            kind,
            position,
            velocity: Vec3::ZERO,
            wanted: Vec3::ZERO,
            yaw: rng.random_range(0.0..6.0),
            pitch: 0.0,
            turning: [0.0; 2],
            ticks_left: 0,
        };
        if kind.0 == 1 {
            body.fire(rng);
        }
        body
    }

    fn fire(&mut self, rng: &mut Xoshiro256PlusPlus) {
        let heading = Quat::from_rotation_z(rng.random_range(0.0..6.3));
        let up = rng.random_range(0.0..0.5);
        self.velocity = heading * Vec3::new(1.0, 0.0, up) * rng.random_range(12.0..26.0);
        self.position.z = 1.5;
        self.ticks_left = rng.random_range(60..180);
    }

    fn step(&mut self, rng: &mut Xoshiro256PlusPlus) {
        match self.kind.0 {
            0 => self.run(rng),
            1 => self.fly(rng),
            _ => self.drive(rng),
        }
        self.position += self.velocity * DT;
        for axis in 0..2 {
            if self.position[axis].abs() > HALF_SIZE {
                self.velocity[axis] = self.velocity[axis].abs() * -self.position[axis].signum();
            }
        }
        if self.position.z < 1.0 {
            (self.position.z, self.velocity.z) = (
                1.0,
                if self.kind.0 == 1 {
                    self.velocity.z * -0.5
                } else {
                    0.0
                },
            );
        }
    }

    fn run(&mut self, rng: &mut Xoshiro256PlusPlus) {
        if rng.random_bool(0.04) {
            let heading = Quat::from_rotation_z(rng.random_range(0.0..6.3));
            self.wanted = heading * Vec3::X * rng.random_range(2.0..7.0);
        }
        if rng.random_bool(0.06) {
            self.turning = [rng.random_range(-2.5..2.5), rng.random_range(-0.6..0.6)];
        }
        if self.position.z <= 1.0 && rng.random_bool(0.01) {
            self.velocity.z = 5.0;
        }
        let sway = Vec3::new(
            rng.random_range(-0.1..0.1),
            rng.random_range(-0.1..0.1),
            0.0,
        );
        let plane = Vec3::new(self.velocity.x, self.velocity.y, 0.0);
        self.velocity += (self.wanted - plane) * 0.12 + sway - Vec3::Z * GRAVITY * DT;
        self.yaw += self.turning[0] * DT + rng.random_range(-0.004..0.004);
        self.pitch =
            (self.pitch + self.turning[1] * DT + rng.random_range(-0.003..0.003)).clamp(-1.2, 1.2);
    }

    fn fly(&mut self, rng: &mut Xoshiro256PlusPlus) {
        if self.ticks_left == 0 {
            self.id.generation = self.id.generation.wrapping_add(1);
            self.fire(rng);
        }
        self.ticks_left -= 1;
        self.velocity.z -= GRAVITY * DT;
    }

    fn drive(&mut self, rng: &mut Xoshiro256PlusPlus) {
        if rng.random_bool(0.03) {
            self.wanted.x = rng.random_range(4.0..20.0);
            self.turning = [rng.random_range(-0.9..0.9), rng.random_range(-0.1..0.1)];
        }
        let speed = Vec3::new(self.velocity.x, self.velocity.y, 0.0).length();
        let speed = speed + (self.wanted.x - speed) * 0.03;
        self.yaw += self.turning[0] * DT;
        self.pitch = (self.pitch + self.turning[1] * DT).clamp(-0.2, 0.2);
        let bounce = if self.position.z <= 1.0 {
            rng.random_range(0.0..0.6)
        } else {
            0.0
        };
        self.velocity = Quat::from_rotation_z(self.yaw) * Vec3::X * speed
            + Vec3::Z * (self.velocity.z + bounce - GRAVITY * DT);
    }

    fn fields(&self) -> Vec<u32> {
        let mut fields: Vec<u32> = self
            .position
            .to_array()
            .iter()
            .map(|v| X.quantise(*v))
            .collect();
        fields.extend(self.velocity.to_array().iter().map(|v| VX.quantise(*v)));
        if self.kind.0 != 1 {
            let turn = Quat::from_rotation_z(self.yaw) * Quat::from_rotation_y(self.pitch);
            fields.extend(quantise(turn.to_array(), TURN[1].max));
        }
        fields
    }
}
