//! One story per fault of a path, such as loss, a cut or a clog: after it everyone recovers, and
//! every invariant holds.

use std::time::Duration;

use truetick_netcode::link_sim::{Bursts, LinkConfig};
use truetick_tests::fault::Fault;
use truetick_tests::mark::Mark;
use truetick_tests::network::Ways;
use truetick_tests::plan::SimConfig;
use truetick_tests::scenario::{Scenario, WAN};
use truetick_tests::world::Sim;

#[test]
fn three_of_ten_datagrams_lost() {
    Scenario::new(1)
        .link(LinkConfig { loss: 0.3, ..WAN })
        .must_hit(&[Mark::Lost, Mark::CommandMissing])
        .heals();
}

#[test]
fn every_other_datagram_twice() {
    let link = LinkConfig {
        duplicate: 0.5,
        ..WAN
    };
    Scenario::new(2)
        .link(link)
        .must_hit(&[Mark::Doubled, Mark::CopyStale])
        .heals();
}

#[test]
fn datagrams_overtaken_and_damaged() {
    let link = LinkConfig {
        reorder: 0.2,
        corrupt: 0.1,
        ..WAN
    };
    Scenario::new(3)
        .link(link)
        .must_hit(&[Mark::Overtaken, Mark::Damaged, Mark::DamageRefused])
        .heals();
}

#[test]
fn losses_in_bursts_on_a_narrow_path() {
    let bursts = Some(Bursts {
        enter: 0.02,
        leave: 0.1,
        loss: 1.0,
    });
    let link = LinkConfig {
        bursts,
        rate: Some(9_000),
        ..WAN
    };
    Scenario::new(4)
        .link(link)
        .must_hit(&[Mark::Lost, Mark::Overflowed])
        .heals();
}

/// A queue that could hold two seconds does not stay full, and fewer ticks are sent.
///
/// Most round trips are within 100 ms of the path's own. That includes the transmission time of a
/// packet of 950 bytes (state and messages).
#[test]
fn a_narrow_path_with_a_long_queue() {
    for (tick_rate, bytes_per_s, seed) in [
        (60, 15_000, 12),
        (60, 10_000, 13),
        (128, 15_000, 14),
        (20, 8_000, 15),
        (30, 24_000, 16),
    ] {
        let narrow = LinkConfig {
            rate: Some(bytes_per_s),
            queue: Duration::from_secs(2),
            ..WAN
        };
        let mut config = SimConfig {
            seed,
            clients: 2,
            link: narrow,
            ..SimConfig::default()
        };
        (config.arena.drones, config.arena.tick_rate) = (300, tick_rate);
        config.room.relevance_radius_m = None;
        let mut sim = Sim::new(config);
        sim.run(Duration::from_secs(5));
        let before = sim.room().metrics();
        let mut waits = Vec::new();
        for sample in 0..300 {
            sim.run(Duration::from_millis(100));
            let (_, connection) = sim.core().session(sim.address(sample % 2)).unwrap();
            let round_trip = connection.rtt().latest().unwrap().time;
            waits.push(round_trip.saturating_sub(2 * WAN.latency).as_millis());
        }
        let after = sim.room().metrics();
        let (sent, ticks) = (
            after.snapshots - before.snapshots,
            2 * (after.ticks - before.ticks),
        );
        waits.sort_unstable();
        let packet = u128::from(950_000 / bytes_per_s);
        let [median, most, longest] = [150, 270, 299].map(|at| waits[at]);
        let case = format!(
            "{bytes_per_s} B/s, {tick_rate} Hz: {median}, 90 % {most}, at most {longest} ms; {sent} of {ticks} ticks"
        );
        println!("{case}");
        assert!(
            median < packet + 50 && most < packet + 100 && longest < packet + 700,
            "{case}"
        );
        let is_narrow = bytes_per_s / tick_rate < 420;
        assert!(!is_narrow || sent < ticks * 9 / 10, "{case}");
    }
}

#[test]
fn a_path_that_carries_a_tenth_of_what_is_to_be_seen() {
    let fault = Fault::Narrow {
        client: 0,
        bytes_per_s: 9_000,
    };
    let crowd = |config: &mut SimConfig| {
        config.arena.drones = 120;
        config.room.relevance_radius_m = Some(60.0);
    };
    let marks = [Mark::BudgetFell, Mark::BudgetAtFloor, Mark::Deferred];
    let story = Scenario::new(31)
        .with(crowd)
        .link(WAN)
        .fault(500, 6_000, fault)
        .must_hit(&marks);
    story.heals();
}

#[test]
fn sight_that_shrinks_and_grows_under_loss() {
    let lossy = LinkConfig {
        loss: 0.2,
        reorder: 0.1,
        ..WAN
    };
    let (near, far) = (Fault::Interest(5), Fault::Interest(58));
    let story = Scenario::new(32)
        .link(lossy)
        .fault(600, 150, near)
        .fault(900, 100, far)
        .fault(1_200, 60, near);
    let story = story
        .fault(1_400, 200, far)
        .fault(1_700, 30, near)
        .fault(1_760, 30, far);
    story
        .must_hit(&[
            Mark::InterestChanged,
            Mark::LeftInterest,
            Mark::BackInInterest,
        ])
        .heals();
}

#[test]
fn a_client_that_is_not_heard() {
    let fault = Fault::Cut {
        client: 0,
        ways: Ways::Up,
    };
    Scenario::new(5)
        .fault(700, 1_200, fault)
        .must_hit(&[Mark::CutUp, Mark::CommandMissing])
        .heals();
}

#[test]
fn a_client_that_hears_nothing() {
    let fault = Fault::Cut {
        client: 0,
        ways: Ways::Down,
    };
    Scenario::new(6)
        .fault(700, 1_200, fault)
        .must_hit(&[Mark::CutDown])
        .heals();
}

#[test]
fn a_client_cut_off_until_its_session_is_parked_comes_back_to_what_it_owns() {
    let fault = Fault::Cut {
        client: 3,
        ways: Ways::Both,
    };
    let marks = [
        Mark::CutBoth,
        Mark::SilenceNoticed,
        Mark::TimedOut,
        Mark::Resumed,
    ];
    let outcome = Scenario::new(7)
        .fault(1_000, 12_000, fault)
        .must_hit(&marks)
        .heals();
    assert_eq!(outcome.marks.count(Mark::ClientCameBack), 0);
}

#[test]
fn a_client_cut_off_for_longer_than_the_grace_joins_anew() {
    let story = Scenario::new(7).with(|config| config.grace = Duration::from_secs(2));
    let marks = [Mark::TimedOut, Mark::GraceOver, Mark::ClientCameBack];
    story
        .fault(
            1_000,
            14_000,
            Fault::Cut {
                client: 3,
                ways: Ways::Both,
            },
        )
        .must_hit(&marks)
        .heals();
}

#[test]
fn everyone_cut_off_at_once() {
    let cut = |story: Scenario, client| {
        story.fault(
            800,
            900,
            Fault::Cut {
                client,
                ways: Ways::Both,
            },
        )
    };
    (0..8)
        .fold(Scenario::new(8), cut)
        .must_hit(&[Mark::CutBoth, Mark::CommandMissing])
        .heals();
}

#[test]
fn a_clog_that_lets_all_out_at_once() {
    let fault = Fault::Clog {
        client: 1,
        ways: Ways::Both,
    };
    Scenario::new(9)
        .fault(800, 1_400, fault)
        .must_hit(&[Mark::Clogged])
        .heals();
}

#[test]
fn a_clog_longer_than_the_prediction_still_explains_what_it_hid() {
    let fault = Fault::Clog {
        client: 4,
        ways: Ways::Down,
    };
    let story = Scenario::new(3_633).with(|config| config.arena.tick_rate = 128);
    story
        .fault(1_572, 1_424, fault)
        .must_hit(&[Mark::Clogged, Mark::WrongByTouch])
        .heals();
}
