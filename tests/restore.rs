//! A world restored from a keyframe goes on as the original did.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::handshake::ClientId;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::core::simulation::{Keyframe, Simulation, TickInput};
use truetick_shared::arena::ArenaCommand;

const TICKS: usize = 400;

/// Joins, leaves and wild commands of up to twelve clients.
fn script(seed: u64) -> Vec<TickInput<ArenaCommand>> {
    let mut chances = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut next, mut present) = (1, Vec::<ClientId>::new());
    let mut tick = || {
        let mut input = TickInput::default();
        if present.len() < 12 && chances.random_bool(0.1) {
            input.joins.push(ClientId(next));
            present.push(ClientId(next));
            next += 1;
        }
        if present.len() > 4 && chances.random_bool(0.02) {
            input.leaves.push(present.remove(chances.random_range(0..present.len())));
        }
        input.commands = present
            .iter()
            .map(|client| {
                let thrust = [chances.random_range(-127..=127), chances.random_range(-127..=127)];
                let (dash, fire) = (chances.random_bool(0.05), chances.random_bool(0.5));
                (*client, ArenaCommand { thrust, aim: chances.random_range(0..4_096), dash, fire })
            })
            .collect();
        input
    };
    (0..TICKS).map(|_| tick()).collect()
}

#[test]
fn a_world_restored_at_any_tick_continues_with_the_same_hashes() {
    let game = Arc::new(ArenaGame::new(ArenaConfig { drones: 20, ..ArenaConfig::default() }).unwrap());
    let inputs = script(3);
    let mut original = Simulation::new(game.clone(), 3).unwrap();
    let mut keyframes: Vec<Keyframe> = vec![original.keyframe()];
    let mut hashes = vec![original.world_hash()];
    for input in &inputs {
        original.step(input.clone());
        keyframes.push(original.keyframe());
        hashes.push(original.world_hash());
    }
    for (at, keyframe) in keyframes.iter().enumerate() {
        let bytes = bitcode::encode(keyframe);
        let keyframe: Keyframe = bitcode::decode(&bytes).unwrap();
        let mut restored = Simulation::restore(game.clone(), &keyframe).unwrap();
        assert_eq!(restored.world_hash(), hashes[at], "restored at {at}");
        for (i, input) in inputs.iter().enumerate().skip(at).take(60) {
            restored.step(input.clone());
            assert_eq!(restored.world_hash(), hashes[i + 1], "restored at {at}, tick {}", i + 1);
        }
    }
}
