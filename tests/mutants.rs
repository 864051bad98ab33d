//! The simulator finds planted defects: each within a stated number of seeds of the standard mix,
//! and none without a defect.

#![cfg(truetick_mutants)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::arena_schema;
use truetick_auction::money::Amount;
use truetick_auction::order::{Action, Admin, Command, CommandId};
use truetick_auction::terms::{Increments, Sale};
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::mutant::{Mutant, plant};
use truetick_netcode::replication::client_view::Shared;
use truetick_netcode::replication::delta_cache::DeltaCache;
use truetick_netcode::session::UserId;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::recording::difference::{Divergence, DivergenceKind};
use truetick_server::room::RoomConfig;
use truetick_server::session_event::SessionEvent;
use truetick_server::simulation::{Simulation, TickInput};
use truetick_server::world_room::WorldRoom;
use truetick_tests::auction::audited::{AuditedRoom, RETENTION};
use truetick_tests::auction::plan::AuctionPlan;
use truetick_tests::auction::world::AuctionWorld;
use truetick_tests::capture_transport::CaptureTransport;
use truetick_tests::fault::Fault;
use truetick_tests::late_client::LateClient;
use truetick_tests::plan::{Plan, SimConfig};
use truetick_tests::run::run;
use truetick_tests::scenario::Scenario;
use truetick_tests::tokens;

/// Number of seeds within which each defect shows.
const WITHIN: u64 = 40;

/// Violations in a run of a plan with a planted defect.
fn run_with(mutant: Option<Mutant>, plan: &Plan) -> Vec<String> {
    plant(mutant);
    let wrong = run(plan, None).wrong;
    plant(None);
    wrong
}

/// Asserts that a violation contains the words of a description.
fn assert_found(wrong: &[String], description: &str) {
    assert!(
        wrong.iter().any(|wrong| wrong.contains(description)),
        "{description}: {wrong:?}"
    );
}

fn first_caught(mutant: Option<Mutant>) -> Option<(u64, Vec<String>)> {
    plant(mutant);
    let caught = (1..=WITHIN).find_map(|seed| {
        let wrong = run(&Plan::standard(seed), None).wrong;
        (!wrong.is_empty()).then_some((seed, wrong))
    });
    plant(None);
    caught
}

#[test]
fn every_planted_defect_is_caught_and_nothing_else() {
    assert_eq!(first_caught(None), None);
    for (mutant, description) in [
        (Mutant::TakeRepeats, "taken twice"),
        (Mutant::ForgetNumbers, "used twice under one key"),
        (Mutant::ApplyTwice, "nothing explains"),
        (
            Mutant::AcceptUndecoded,
            "decoded a state that the server does not have",
        ),
        (Mutant::TrustUnacknowledged, "lacks baseline"),
        (Mutant::NeverUrgent, "is left out of"),
        (Mutant::PanicInTick, "room 0 panicked: a planted panic"),
        (Mutant::WaitForBuffer, "stands still for"),
        (Mutant::LeapDisplay, "its display leaps by"),
        (Mutant::DeafClock, "its input is dead for"),
    ] {
        let (seed, wrong) =
            first_caught(Some(mutant)).unwrap_or_else(|| panic!("{mutant:?} got away"));
        println!("{mutant:?}: seed {seed}: {wrong:?}");
        assert_found(&wrong, description);
    }
}

/// A late server has stories of its own, since it is too rare in the standard mix.
#[test]
fn what_a_late_server_must_not_do_is_caught() {
    let starved = Fault::StarveServer { stolen_ms: 250 };
    for (mutant, fault, lasting_ms, description) in [
        (
            Mutant::SendEveryTick,
            Fault::PauseServer,
            25,
            "was sent more than one of",
        ),
        (
            Mutant::BlamePaths,
            starved,
            3_000,
            "is blamed for a late server",
        ),
        (
            Mutant::CountWhenRun,
            Fault::PauseServer,
            900,
            "taken for a flood",
        ),
    ] {
        let story = Scenario::new(40).with(|config| config.arena.tick_rate = 128);
        let plan = story.fault(1_500, lasting_ms, fault).plan();
        assert_eq!(run(&plan, None).wrong, Vec::<String>::new());
        let wrong = run_with(Some(mutant), &plan);
        println!("{mutant:?}: {wrong:?}");
        assert_found(&wrong, description);
    }
}

/// Maximum number of block deltas encoded in a tick, per block, for 200 clients with equal
/// interest. Each acknowledges after a delay of its own, 1 to 20 ticks, and loses a packet in
/// three.
fn most_encoded(mutant: Option<Mutant>) -> usize {
    let arena = ArenaConfig {
        drones: 100,
        ..ArenaConfig::default()
    };
    let mut simulation = Simulation::new(Arc::new(ArenaGame::new(arena).unwrap()), 1).unwrap();
    let mut clients: Vec<_> = (0..200).map(|at| LateClient::new(1 + at % 20)).collect();
    let (mut cache, mut most) = (DeltaCache::default(), 0);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    plant(mutant);
    for tick in 0..60 {
        simulation.step(TickInput::default());
        let (schema, ring) = (simulation.registry().schema(), simulation.ring());
        cache.begin_tick(ring);
        let masks: Vec<u64> = ring.blocks().iter().map(|block| block.live).collect();
        let before = cache.sharing().1;
        for client in &mut clients {
            let mut shared = Shared {
                schema,
                ring,
                cache: &mut cache,
            };
            client.send(tick, &mut shared, &masks, &mut rng);
        }
        let encoded = (cache.sharing().1 - before) as usize;
        most = if tick < 30 {
            0
        } else {
            most.max(encoded / masks.len())
        };
    }
    plant(None);
    most
}

#[test]
fn an_encoding_for_each_client_is_caught() {
    // Twelve baselines, and the whole block.
    let bound = 12 + 1;
    let (kept, broken) = (
        most_encoded(None),
        most_encoded(Some(Mutant::EncodeForEach)),
    );
    println!("{kept} units a block, {broken} with the defect");
    assert!(kept <= bound && broken > bound, "{kept} {broken}");
}

#[test]
fn a_stamp_of_a_clock_that_was_set_is_caught_where_it_is_believed() {
    let story = Scenario::new(26).fault(1_100, 600, Fault::PauseServer);
    let plan = story
        .fault(1_300, 0, Fault::JumpWall { by_ms: -60_000 })
        .plan();
    assert_eq!(run(&plan, None).wrong, Vec::<String>::new());
    let wrong = run_with(Some(Mutant::TrustStamps), &plan);
    assert_found(&wrong, "at a time that cannot be");
}

#[test]
fn reliable_messages_that_are_held_back_or_forgotten_are_caught() {
    let wrong = |mutant| {
        let link = LinkConfig {
            latency: Duration::from_millis(150),
            loss: 0.02,
            ..LinkConfig::default()
        };
        let config = SimConfig {
            clients: 2,
            patter: 10,
            link,
            ..SimConfig::default()
        };
        run_with(
            mutant,
            &Plan::quiet(config).with(Vec::new(), Duration::from_secs(30)),
        )
    };
    assert_eq!(wrong(None), Vec::<String>::new());
    for mutant in [Mutant::NarrowWindow, Mutant::ForgetReliable] {
        let wrong = wrong(Some(mutant));
        println!("{mutant:?}: {:?}", wrong.first());
        let description =
            |wrong: &String| wrong.contains("tiny message") || wrong.contains("Overflow");
        assert!(wrong.iter().any(description), "{mutant:?}: {wrong:?}");
    }
}

#[test]
fn a_copy_that_rots_is_reported_with_its_field_and_mended() {
    let (mut server, from) = (
        tokens::server(Timestamp::from_millis(1_000)),
        SocketAddr::from(([127, 0, 0, 1], 100)),
    );
    let mut now = Timestamp::from_millis(1_000);
    let arena = ArenaGame::new(ArenaConfig::default()).unwrap();
    server.add_room(Box::new(
        WorldRoom::new(arena, RoomConfig::default(), now).unwrap(),
    ));
    let mut bot = BotClient::new(
        Arc::new(arena_schema().unwrap()),
        tokens::token(4, 0, now),
        4,
        now,
    );
    let mut reports = Vec::new();
    for ms in 1_000..4_000 {
        now = Timestamp::from_millis(ms);
        plant((2_000..2_100).contains(&ms).then_some(Mutant::RotCopy));
        let mut capture_transport = CaptureTransport::default();
        server.send_replies(&mut capture_transport);
        server.tick(&mut || now, &mut capture_transport);
        capture_transport
            .0
            .iter()
            .for_each(|(_, bytes)| bot.receive(SocketAddr::from(tokens::SERVER), bytes, now));
        bot.advance(now);
        while let Some((_, bytes)) = bot.poll_transmit() {
            server.receive(from, &bytes, now);
        }
        let events = std::iter::from_fn(|| server.poll_event());
        reports.extend(events.filter_map(|event| match event {
            SessionEvent::Mismatch(_, divergence) => Some(divergence),
            _ => None,
        }));
    }
    assert_names_x(&reports);
    let stats = bot.runtime().stats();
    assert!(stats.hash_mismatches > 0 && stats.resyncs > 0, "{stats:?}");
    let newest = bot.runtime().buffer().newest().unwrap();
    assert!(
        server.rooms()[0]
            .world()
            .unwrap()
            .ring()
            .tick()
            .distance(newest)
            <= 1,
        "the copy stands still since {newest}"
    );
}

/// Asserts that there is one report, and that it names the field `x`, of which one bit differs.
fn assert_names_x(reports: &[Divergence]) {
    let [report] = reports else {
        panic!("{reports:?}")
    };
    assert!(
        !report.differences.is_empty() && (55..70).contains(&report.tick.0),
        "{report}"
    );
    for difference in &report.differences {
        let DivergenceKind::Field {
            field, left, right, ..
        } = difference.what
        else {
            panic!("{report}")
        };
        assert_eq!((field, left ^ right), ("x", 1), "{report}");
    }
}

#[test]
fn a_house_that_accepts_before_it_has_written_is_caught() {
    let caught = |mutant| {
        plant(mutant);
        let caught = (1..=WITHIN).find_map(|seed| {
            let mut world = AuctionWorld::new(AuctionPlan::standard(seed));
            world.run();
            (!world.wrong.is_empty()).then_some((seed, world.wrong))
        });
        plant(None);
        caught
    };
    assert_eq!(caught(None), None);
    let (seed, wrong) = caught(Some(Mutant::AcceptBeforeDurable)).expect("it got away");
    println!("seed {seed}: {:?}", wrong.first());
    assert_found(&wrong, "but the journal says");
}

#[test]
fn an_audit_finds_an_auction_that_breaks_its_rules() {
    let run = |mutant| {
        plant(mutant);
        let mut house = AuditedRoom::new(2, 1 << 20);
        let increments = Increments::flat(Amount(1));
        let sale = Sale::English {
            start: Amount(1),
            increments,
            reserve: None,
            buy_now: None,
        };
        house.open(1, sale, 1_000);
        house.tick();
        house.bid(1, 1, Action::UpTo(Amount(50)));
        (0..9_000).for_each(|_| _ = house.bid(2, 1, Action::BuyNow));
        let deposit = Command::Admin(Admin::Deposit {
            user: UserId(1),
            amount: Amount(100),
        });
        house.say(0, CommandId(u64::MAX), deposit.clone());
        house.admin(Admin::Deny {
            user: UserId(1),
            denied: true,
        });
        (0..RETENTION + 5).for_each(|_| house.tick());
        house.say(0, CommandId(u64::MAX), deposit);
        (0..3).for_each(|_| house.tick());
        let found = house.audit();
        plant(None);
        found
    };
    assert_eq!(run(None), Vec::<String>::new());
    for (mutant, description) in [
        (Mutant::CloseBeforeBacklog, "belongs to another tick"),
        (Mutant::ForgetMoney, "was decided twice"),
        (Mutant::DeniedLeads, "is led by a user who may not bid"),
    ] {
        assert_found(&run(Some(mutant)), description);
    }
}

#[test]
fn a_clock_that_believes_its_shortest_exchange_after_a_sleep_is_caught() {
    plant(Some(Mutant::TrustShortest));
    let mut world = AuctionWorld::new(AuctionPlan::quiet(11));
    world.run_for(Duration::from_secs(6));
    world.sleep(1, Duration::from_secs(2));
    // The delay is longer from now on: the shortest exchange is from before.
    world.members[1].throttle(LinkConfig {
        latency: Duration::from_millis(80),
        ..LinkConfig::default()
    });
    world.run_for(Duration::from_secs(8));
    plant(None);
    assert_found(&world.wrong, "says its clock is wrong by");
}
