//! Stories told by the simulator.

use std::time::Duration;

use truetick_netcode::client::prediction::Cause;
use truetick_tests::sim::{Sim, SimConfig};

#[test]
fn a_clean_link_predicts_without_a_fault() {
    let mut config = SimConfig::default();
    config.arena.ghosts = true;
    let mut sim = Sim::new(config);
    sim.run(Duration::from_secs(20));
    let stats = sim.stats();
    println!("{stats:?} {:?}", sim.room().metrics().commands);
    assert_eq!(sim.playing(), 8);
    assert!(stats.compared > 8 * 1_000, "{stats:?}");
    assert_eq!((stats.mispredictions, stats.hash_mismatches, stats.decode_errors), (0, 0, 0));
    let commands = sim.room().metrics().commands;
    assert_eq!((commands.missing, commands.rejected), (0, 0), "{commands:?}");
}

#[test]
fn meeting_bots_are_mispredicted_only_where_something_touched_them() {
    let mut sim = Sim::new(SimConfig { clients: 64, ..SimConfig::default() });
    sim.run(Duration::from_secs(20));
    let wrong: Vec<_> = sim.clients.iter().flat_map(|client| &client.wrong).collect();
    println!("{} wrong {:?}", wrong.len(), sim.stats());
    assert!(!wrong.is_empty());
    let stats = sim.stats();
    assert_eq!((stats.stale, stats.hash_mismatches, stats.decode_errors), (0, 0, 0), "{stats:?}");
    assert!(stats.longest_gap_us < 17_000, "{stats:?}");
    assert!(wrong.iter().all(|wrong| wrong.cause == Cause::Interaction), "{wrong:?}");
}
