//! A world restored from a keyframe continues as the original did.

use std::sync::Arc;

use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::simulation::{Keyframe, Simulation};
use truetick_tests::script::script;

const TICKS: usize = 400;

#[test]
fn a_world_restored_at_any_tick_continues_with_the_same_hashes() {
    let game = Arc::new(
        ArenaGame::new(ArenaConfig {
            drones: 20,
            ..ArenaConfig::default()
        })
        .unwrap(),
    );
    let inputs = script(3, TICKS);
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
            assert_eq!(
                restored.world_hash(),
                hashes[i + 1],
                "restored at {at}, tick {}",
                i + 1
            );
        }
    }
}
