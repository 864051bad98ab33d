//! The auction house: stories in virtual time.

use std::time::Duration;

use truetick_auction::event::LotEventKind;
use truetick_auction::terms::LotId;
use truetick_client_sim::auction::strategy::Strategy;
use truetick_netcode::link_sim::LinkConfig;
use truetick_tests::auction::check::AuctionFigures;
use truetick_tests::auction::plan::{AuctionPlan, Trouble};
use truetick_tests::auction::world::{AuctionWorld, Member};

/// Number of seeds in this test; `cargo simulate --auction` runs thousands.
const SEEDS: u64 = 100;

fn run(plan: AuctionPlan) -> (AuctionWorld, AuctionFigures) {
    let mut world = AuctionWorld::new(plan);
    let figures = world.run();
    let (trace, wrong) = (
        world.trace.join("\n"),
        world.wrong.iter().take(5).cloned().collect::<Vec<_>>(),
    );
    assert!(
        wrong.is_empty(),
        "seed {}\n{trace}\n{}",
        world.plan.seed,
        wrong.join("\n")
    );
    (world, figures)
}

fn with(troubles: Vec<(u64, Trouble)>) -> AuctionPlan {
    AuctionPlan {
        troubles,
        ..AuctionPlan::quiet(7)
    }
}

#[test]
fn on_a_quiet_day_everyone_gets_answers_and_all_see_the_same() {
    let (_, figures) = run(AuctionPlan::quiet(1));
    assert!(
        figures.answered > 60 && figures.seen > 100 && figures.ended > 3,
        "{figures:?}"
    );
}

#[test]
fn whatever_goes_wrong_nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let mut torn = 0;
    for seed in 1..=SEEDS {
        torn += run(AuctionPlan::standard(seed)).1.damage.0;
    }
    assert!(torn > 0, "no sector was torn");
}

#[test]
fn a_machine_that_slept_says_nothing_wrong_of_the_time() {
    for slept in [100, 1_000, 20_000].map(Duration::from_millis) {
        let mut world = AuctionWorld::new(AuctionPlan::quiet(11));
        world.run_for(Duration::from_secs(6));
        for member in 1..5 {
            world.sleep(member, slept);
            // The delay is longer from now on: the shortest exchange is from before.
            let link = LinkConfig {
                latency: Duration::from_millis(80),
                ..LinkConfig::default()
            };
            world.members[member].throttle(link);
        }
        world.run_for(slept + Duration::from_secs(12));
        assert_eq!(world.wrong, Vec::<String>::new(), "slept {slept:?}");
        let knows = |member: &Member| {
            member
                .bidder
                .client()
                .server_time(world.now - slept)
                .is_some()
        };
        assert!(world.members[1..5].iter().all(knows), "slept {slept:?}");
    }
}

#[test]
fn one_seed_is_one_run() {
    let runs = [3, 3].map(|seed| {
        let (world, figures) = run(AuctionPlan::standard(seed));
        (world.trace, figures)
    });
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn while_the_disk_stalls_the_clock_stands_still_and_every_close_moves() {
    let (world, _) = run(with(vec![(4_000, Trouble::Stall)]));
    let watcher = world
        .members
        .iter()
        .find(|member| member.bidder.strategy() == Strategy::Watcher)
        .unwrap();
    let seen = watcher.bidder.seen();
    let paused = seen.iter().find_map(|event| match event.what {
        LotEventKind::Paused { since } => Some((event.lot, since)),
        _ => None,
    });
    let (lot, since) = paused.expect("the clock stopped");
    let resumed = seen
        .iter()
        .find(|event| event.lot == lot && matches!(event.what, LotEventKind::Resumed { .. }));
    let resumed = resumed.expect("and ran again");
    assert!(
        (10..240).contains(&(resumed.tick - since)),
        "{since} {resumed:?}"
    );
    let closed = seen
        .iter()
        .find(|event| matches!(event.what, LotEventKind::Ended { .. }) && event.tick > since);
    assert!(
        closed.is_none_or(|closed| closed.tick >= resumed.tick),
        "{closed:?}"
    );
}

#[test]
fn a_disk_that_is_full_for_a_while_stops_no_house() {
    let mut waits = 0;
    for seed in 1..=8 {
        let troubles = vec![
            (2_500, Trouble::Full),
            (5_500, Trouble::Full),
            (8_500, Trouble::Full),
        ];
        let plan = AuctionPlan {
            troubles,
            pace: 8.0,
            segment_bytes: 15 << 10,
            ..AuctionPlan::quiet(seed)
        };
        let (world, figures) = run(plan);
        assert_eq!(
            figures.openings,
            1,
            "seed {seed}: {}",
            world.trace.join("\n")
        );
        waits += world.waits();
    }
    assert!(waits > 0, "no commit ever lacked space");
}

#[test]
fn a_failed_sync_stops_the_house_and_a_restart_goes_on() {
    let (world, figures) = run(with(vec![(4_000, Trouble::Failing)]));
    assert_eq!(figures.openings, 2, "{}", world.trace.join("\n"));
    let refused: u64 = world
        .members
        .iter()
        .map(|member| member.bidder.figures().refused)
        .sum();
    assert!(refused > 0, "nobody was told");
}

#[test]
fn a_restart_in_the_middle_of_a_soft_close_keeps_the_time_that_is_left() {
    let mut world = AuctionWorld::new(AuctionPlan {
        lots: 1,
        pace: 6.0,
        ..AuctionPlan::quiet(5)
    });
    let extended = |world: &AuctionWorld| {
        let lot = world.members[0].bidder.client().lot(LotId(0));
        lot.is_some_and(|lot| lot.ending.is_none() && lot.closes > lot.opened + 120 && lot.bids > 3)
    };
    assert!(
        world.run_until(Duration::from_secs(8), extended),
        "no soft close"
    );
    world
        .members
        .iter_mut()
        .for_each(|member| member.bidder.be_still());
    world.run_for(Duration::from_millis(300));
    let client = world.members[0].bidder.client();
    let (before, left) = (
        client.lot(LotId(0)).unwrap().clone(),
        client.countdown(LotId(0), world.now).unwrap(),
    );
    world.inflict(Trouble::PowerCut);
    assert!(world.run_until(Duration::from_secs(5), |world| world.server().is_some()));
    let restarted = world.now;
    let told = |world: &AuctionWorld| {
        let client = world.members[0].bidder.client();
        client.link().id().is_some()
            && client
                .countdown(LotId(0), world.now)
                .is_some_and(|left| !left.paused)
    };
    world.run_for(Duration::from_millis(1_500));
    assert!(
        world.run_until(Duration::from_secs(12), told),
        "nobody came back"
    );
    let client = world.members[0].bidder.client();
    let after = client.lot(LotId(0)).unwrap();
    assert_eq!(
        (after.closes, &after.ending, after.sequence),
        (before.closes, &None, before.sequence)
    );
    let now = client.countdown(LotId(0), world.now).unwrap();
    // The time since the last journalled heartbeat is added: at most a tenth of a second.
    let expected = left.left.saturating_sub(world.now.since(restarted));
    assert!(
        now.left.abs_diff(expected) < Duration::from_millis(150),
        "{now:?} for {expected:?}"
    );
    world.run_for(Duration::from_secs(20));
    world.check();
    assert_eq!(world.wrong, Vec::<String>::new());
}

#[test]
fn a_slow_watcher_gets_the_price_and_holds_nobody_up() {
    let mut world = AuctionWorld::new(AuctionPlan {
        pace: 40.0,
        lots: 8,
        ..AuctionPlan::quiet(9)
    });
    let slow = world.members.len() - 1;
    let thin = LinkConfig {
        rate: Some(1_000),
        latency: Duration::from_millis(15),
        ..LinkConfig::default()
    };
    world.members[slow].throttle(thin);
    world.run_for(Duration::from_secs(8));
    let figures =
        |world: &AuctionWorld, place: usize| world.members[place].bidder.figures().clone();
    let (quick, dull) = (figures(&world, slow - 1), figures(&world, slow));
    assert!(
        quick.events > 100 && quick.shown < 40,
        "{} {}",
        quick.events,
        quick.shown
    );
    assert!(
        dull.events < quick.events * 2 / 3,
        "{} of {}",
        dull.events,
        quick.events
    );
    world.members[slow].throttle(LinkConfig {
        latency: Duration::from_millis(15),
        ..LinkConfig::default()
    });
    world.run_for(Duration::from_secs(20));
    world.check();
    assert_eq!(world.wrong, Vec::<String>::new());
}
