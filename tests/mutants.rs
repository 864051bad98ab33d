//! The simulator finds planted defects: each within a stated number of seeds of the standard mix, none where none
//! is planted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::mutant::{Mutant, plant};
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::core::any_room::RoomConfig;
use truetick_server::core::room::Room;
use truetick_server::core::session_event::SessionEvent;
use truetick_server::recording::difference::What;
use truetick_shared::arena::arena_schema;
use truetick_tests::auction::plan::AuctionPlan;
use truetick_tests::auction::world::AuctionWorld;
use truetick_tests::entry;
use truetick_tests::plan::{Plan, SimConfig};
use truetick_tests::run::run;
use truetick_tests::tap::Tap;

/// Seeds within which each defect shows.
const WITHIN: u64 = 40;

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
    for (mutant, says) in [
        (Mutant::TakeRepeats, "taken twice"),
        (Mutant::ApplyTwice, "nothing explains"),
        (Mutant::AcceptUndecoded, "decoded a state that the server does not have"),
        (Mutant::TrustUnacknowledged, "lacks baseline"),
        (Mutant::NeverUrgent, "is left out of"),
    ] {
        let (seed, wrong) = first_caught(Some(mutant)).unwrap_or_else(|| panic!("{mutant:?} got away"));
        println!("{mutant:?}: seed {seed}: {wrong:?}");
        assert!(wrong.iter().any(|wrong| wrong.contains(says)), "{mutant:?}: {wrong:?}");
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
    assert!(wrong.iter().any(|wrong| wrong.contains("but the journal says")), "{wrong:?}");
}

#[test]
fn reliable_messages_that_are_held_back_or_forgotten_are_caught() {
    let wrong = |mutant| {
        let link = LinkConfig { latency: Duration::from_millis(150), loss: 0.02, ..LinkConfig::default() };
        let config = SimConfig { clients: 2, patter: 10, link, ..SimConfig::default() };
        plant(mutant);
        let outcome = run(&Plan::quiet(config).with(Vec::new(), Duration::from_secs(30)), None);
        plant(None);
        outcome.wrong
    };
    assert_eq!(wrong(None), Vec::<String>::new());
    for mutant in [Mutant::NarrowWindow, Mutant::ForgetReliable] {
        let wrong = wrong(Some(mutant));
        println!("{mutant:?}: {:?}", wrong.first());
        let says = |wrong: &String| wrong.contains("tiny message") || wrong.contains("Overflow");
        assert!(wrong.iter().any(says), "{mutant:?}: {wrong:?}");
    }
}

#[test]
fn a_copy_that_rots_is_reported_with_its_field_and_mended() {
    let (mut server, from) =
        (entry::server(Timestamp::from_millis(1_000)), SocketAddr::from(([127, 0, 0, 1], 100)));
    let mut now = Timestamp::from_millis(1_000);
    let arena = ArenaGame::new(ArenaConfig::default()).unwrap();
    server.add_room(Box::new(Room::new(arena, RoomConfig::default(), now).unwrap()));
    let mut bot = BotClient::new(Arc::new(arena_schema().unwrap()), entry::token(4, 0, now), 4, now);
    let mut reports = Vec::new();
    for ms in 1_000..4_000 {
        now = Timestamp::from_millis(ms);
        plant((2_000..2_100).contains(&ms).then_some(Mutant::RotCopy));
        let mut tap = Tap::default();
        server.send_replies(&mut tap);
        server.tick(&mut || now, &mut tap);
        tap.0.iter().for_each(|(_, bytes)| bot.receive(SocketAddr::from(entry::SERVER), bytes, now));
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
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    assert!(!report.differences.is_empty() && (55..70).contains(&report.tick.0), "{report}");
    for difference in &report.differences {
        let What::Field { field, left, right, .. } = difference.what else { panic!("{report}") };
        assert_eq!((field, left ^ right), ("x", 1), "{report}");
    }
    let stats = bot.runtime().stats();
    assert!(stats.hash_mismatches > 0 && stats.resyncs > 0, "{stats:?}");
    let newest = bot.runtime().buffer().newest().unwrap();
    assert!(
        server.rooms()[0].world().unwrap().ring().tick().distance(newest) <= 1,
        "the copy stands still since {newest}"
    );
}
