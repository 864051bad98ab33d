//! Stories in the simulator: prediction, convergence, determinism.

use std::time::Duration;

use clap::ValueEnum;
use truetick_client_sim::profile::Profile;
use truetick_netcode::client::prediction::Cause;
use truetick_netcode::link_sim::LinkConfig;
use truetick_tests::plan::{Plan, SimConfig};
use truetick_tests::run::run;
use truetick_tests::world::Sim;

fn ghosts(profile: Profile) -> SimConfig {
    let mut config = SimConfig {
        link: profile.link().unwrap_or_default(),
        ..SimConfig::default()
    };
    config.arena.ghosts = true;
    config
}

#[test]
fn a_clean_link_predicts_without_a_fault() {
    let mut sim = Sim::new(ghosts(Profile::Clean));
    sim.run(Duration::from_secs(20));
    let stats = sim.stats();
    assert_eq!(sim.playing(), 8);
    assert!(stats.compared > 8 * 1_000, "{stats:?}");
    assert_eq!(
        (
            stats.mispredictions,
            stats.hash_mismatches,
            stats.decode_errors
        ),
        (0, 0, 0)
    );
    let commands = sim.room().metrics().commands;
    assert_eq!(
        (commands.late, commands.missing, commands.rejected),
        (0, 0, 0),
        "{commands:?}"
    );
}

#[test]
fn on_every_profile_only_missing_commands_are_mispredicted() {
    for &profile in Profile::value_variants() {
        let mut sim = Sim::new(ghosts(profile));
        sim.run(Duration::from_secs(30));
        assert!(
            sim.stats().compared > 8 * 1_000,
            "{profile:?} {:?}",
            sim.stats()
        );
        for client in &sim.clients {
            let id = client.bot.runtime().id().unwrap();
            let missing = sim.room().command_counts(id).unwrap().missing;
            assert!(
                client.wrong.iter().all(|w| w.cause == Cause::Command),
                "{profile:?} {:?}",
                client.wrong
            );
            assert!(
                client.wrong.len() as u64 <= missing,
                "{profile:?}: {} of {missing}",
                client.wrong.len()
            );
        }
    }
}

#[test]
fn every_tick_rate_predicts_exactly() {
    for tick_rate in [10, 30, 128] {
        let mut config = ghosts(Profile::Lan);
        config.arena.tick_rate = tick_rate;
        let mut sim = Sim::new(config);
        sim.run(Duration::from_secs(10));
        let (stats, commands) = (sim.stats(), sim.room().metrics().commands);
        assert!(
            stats.compared > u64::from(tick_rate) * 8 * 8,
            "{tick_rate} Hz: {stats:?}"
        );
        assert_eq!(
            (stats.mispredictions, commands.missing),
            (0, 0),
            "{tick_rate} Hz"
        );
    }
}

#[test]
fn meeting_bots_are_mispredicted_only_where_something_touched_them() {
    let mut sim = Sim::new(SimConfig {
        clients: 48,
        ..SimConfig::default()
    });
    sim.run(Duration::from_secs(20));
    let wrong: Vec<_> = sim
        .clients
        .iter()
        .flat_map(|client| &client.wrong)
        .collect();
    assert!(!wrong.is_empty());
    assert!(
        wrong.iter().all(|wrong| wrong.cause == Cause::Interaction),
        "{wrong:?}"
    );
    let stats = sim.stats();
    assert_eq!(
        (stats.stale, stats.hash_mismatches, stats.decode_errors),
        (0, 0, 0),
        "{stats:?}"
    );
    assert!(stats.longest_gap_us < 17_000, "{stats:?}");
}

#[test]
fn everyone_stays_and_converges_after_a_minute_of_mobile_or_awful() {
    for profile in [Profile::Mobile, Profile::Awful] {
        let mut sim = Sim::new(SimConfig {
            link: profile.link().unwrap(),
            ..SimConfig::default()
        });
        sim.run(Duration::from_secs(60));
        assert_eq!(sim.playing(), 8, "{profile:?}");
        assert!(
            sim.stats().longest_gap_us < 1_000_000,
            "{profile:?} {:?}",
            sim.stats()
        );
        sim.set_links(LinkConfig::default());
        let healed = sim.room().ring().tick();
        sim.run(Duration::from_secs(2));
        assert_eq!(
            sim.unconverged(healed, healed),
            Vec::<String>::new(),
            "{profile:?}"
        );
        assert_eq!(sim.room().metrics().lost, 0);
    }
}

#[test]
fn two_hundred_seeds_of_the_standard_mix_heal_and_repeat_exactly() {
    for seed in 1..=200 {
        let plan = Plan::standard(seed);
        let first = run(&plan, None);
        assert!(first.wrong.is_empty(), "{plan}\n{:#?}", first.wrong);
        let again = run(&plan, None);
        let differs = first
            .hashes
            .iter()
            .zip(&again.hashes)
            .position(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}: the world differs at that tick");
        assert_eq!(first, again, "seed {seed}");
    }
}

#[test]
fn another_seed_is_another_world() {
    let (one, two) = (run(&Plan::standard(1), None), run(&Plan::standard(2), None));
    assert_ne!(one.hashes.last(), two.hashes.last());
    assert_ne!(one.sent_hash, two.sent_hash);
}

#[test]
fn a_client_that_falls_silent_is_parked_after_ten_seconds_and_gone_after_the_grace() {
    let grace = Duration::from_secs(5);
    let mut sim = Sim::new(SimConfig {
        clients: 3,
        grace,
        ..SimConfig::default()
    });
    sim.run(Duration::from_secs(2));
    let own = sim.clients[0].bot.runtime().buffer().own().unwrap().id;
    let lives = |sim: &Sim| {
        sim.room()
            .ring()
            .entry(own.slot)
            .is_some_and(|entry| entry.id == own)
    };
    sim.set_client_links(0, LinkConfig::cut(), LinkConfig::cut());
    sim.run(Duration::from_millis(9_500));
    assert_eq!(sim.core().session_server().roster().live(), 3);
    sim.run(Duration::from_secs(1));
    assert_eq!(
        (
            sim.core().session_server().roster().live(),
            sim.core().sessions()
        ),
        (2, 3)
    );
    assert!(lives(&sim));
    sim.run(grace);
    assert_eq!((sim.core().sessions(), sim.room().metrics().lost), (2, 1));
    assert!(!lives(&sim));
    let seen = sim.clients[1].bot.runtime().buffer().entity(own.slot);
    assert!(seen.is_none_or(|remote| remote.id != own));
}

#[test]
fn a_client_that_leaves_is_gone_at_once_and_counts_as_no_loss() {
    let mut sim = Sim::new(SimConfig {
        clients: 3,
        ..SimConfig::default()
    });
    sim.run(Duration::from_secs(2));
    sim.clients[0].bot.leave();
    sim.run(Duration::from_millis(100));
    assert_eq!((sim.core().sessions(), sim.room().metrics().lost), (2, 0));
}

#[test]
fn a_game_event_reaches_everyone_in_spite_of_loss() {
    let link = LinkConfig {
        loss: 0.3,
        ..LinkConfig::default()
    };
    let mut sim = Sim::new(SimConfig {
        clients: 24,
        link,
        ..SimConfig::default()
    });
    sim.run(Duration::from_secs(60));
    sim.set_links(LinkConfig::default());
    sim.run(Duration::from_secs(2));
    let told = sim.clients[0].events.clone();
    assert!(!told.is_empty(), "nobody died in a minute");
    assert!(told.is_sorted_by_key(|(tick, _)| tick.0));
    // Later bots may have joined after the first death.
    assert!(
        sim.clients
            .iter()
            .all(|client| told.ends_with(&client.events) || client.events.ends_with(&told))
    );
}

#[test]
fn play_goes_on_after_the_server_stood_still() {
    for stall_ms in [50, 500, 1_500, 4_000] {
        let mut sim = Sim::new(ghosts(Profile::Lan));
        sim.run(Duration::from_secs(3));
        sim.stall_server(Duration::from_millis(stall_ms));
        sim.run(Duration::from_millis(stall_ms) + Duration::from_secs(1));
        let (before, received) = (sim.stats(), sim.room().metrics().commands.received);
        sim.run(Duration::from_secs(2));
        let (after, commands) = (sim.stats(), sim.room().metrics().commands);
        assert_eq!(sim.playing(), 8, "{stall_ms} ms");
        assert!(
            commands.received - received > 8 * 115,
            "{stall_ms} ms: {commands:?}"
        );
        assert_eq!(
            after.mispredictions, before.mispredictions,
            "{stall_ms} ms: still wrong"
        );
        let lead = sim
            .clients
            .iter()
            .filter_map(|c| c.bot.runtime().predicted())
            .map(|(slot, _)| slot);
        let now = sim.room().timeline().slot(sim.room().ring().tick());
        let ahead = lead.map(|slot| slot.distance(now)).max().unwrap();
        assert!(ahead < 8, "{stall_ms} ms: {ahead} slots ahead");
    }
}

#[test]
fn an_outage_in_the_middle_of_joining_heals() {
    for cut_ms in [1, 30, 60, 90] {
        let link = LinkConfig {
            latency: Duration::from_millis(25),
            ..LinkConfig::default()
        };
        let mut sim = Sim::new(SimConfig {
            clients: 1,
            link,
            ..ghosts(Profile::Clean)
        });
        sim.run(Duration::from_millis(cut_ms));
        sim.set_links(LinkConfig::cut());
        sim.run(Duration::from_millis(2_700));
        sim.set_links(link);
        sim.run(Duration::from_secs(4));
        let stats = sim.stats();
        assert!(
            stats.compared > 120,
            "cut after {cut_ms} ms: {stats:?} {:?}",
            sim.room().metrics().commands
        );
    }
}
