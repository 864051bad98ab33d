//! One story per fault: after it everyone recovers, and every invariant holds.

use std::time::Duration;

use truetick_netcode::link_sim::{Bursts, LinkConfig};
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::tick::Tick;
use truetick_tests::fault::{Fault, Scheduled, Step};
use truetick_tests::mark::Mark;
use truetick_tests::network::Ways;
use truetick_tests::plan::{Plan, SimConfig};
use truetick_tests::scenario::Scenario;
use truetick_tests::world::Sim;

const WAN: LinkConfig = LinkConfig {
    latency: Duration::from_millis(40),
    jitter: Duration::from_millis(6),
    loss: 0.0,
    bursts: None,
    duplicate: 0.0,
    reorder: 0.0,
    corrupt: 0.0,
    rate: None,
    queue: Duration::ZERO,
    holds: None,
    outages: None,
    steps: None,
};

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

#[test]
fn a_client_that_stands_still_behind_a_small_socket() {
    let story = Scenario::new(10).with(|config| config.socket_bytes = 8 * 1_024);
    let marks = [Mark::ClientPaused, Mark::SocketOverflowed];
    story
        .fault(700, 900, Fault::PauseClient(2))
        .must_hit(&marks)
        .heals();
}

#[test]
fn a_server_that_stands_still() {
    let story = Scenario::new(11)
        .link(WAN)
        .fault(600, 60, Fault::PauseServer)
        .fault(1_000, 400, Fault::PauseServer);
    story
        .must_hit(&[Mark::ServerPaused, Mark::CaughtUp, Mark::Slipped])
        .heals();
}

/// The server returns to its full rate within a second after it has its processor again; no packet
/// counts as a flood, and no session ends.
#[test]
fn a_server_that_is_starved() {
    for (stolen_ms, starved_ms) in [(60, 3_000), (250, 3_000), (700, 12_000)] {
        let config = SimConfig {
            seed: 40,
            clients: 12,
            link: WAN,
            ..SimConfig::default()
        };
        let fault = Fault::StarveServer { stolen_ms };
        let (at, lasting) = (Duration::from_secs(2), Duration::from_millis(starved_ms));
        let faults = vec![Scheduled { at, lasting, fault }];
        let mut sim = Sim::of(&Plan::quiet(config).with(faults, at + lasting), None);
        sim.run(at + lasting);
        let must_hit = [
            Mark::ServerStarved,
            Mark::CaughtUp,
            Mark::ServerPaused,
            Mark::Slipped,
        ];
        let claimed = if stolen_ms > 100 {
            &must_hit[..]
        } else {
            &must_hit[..3]
        };
        assert_eq!(sim.marks.missed(claimed), []);
        sim.run(Duration::from_secs(1));
        let before = sim.room().metrics();
        sim.run(Duration::from_secs(1));
        let after = sim.room().metrics();
        let snapshots = (after.snapshots - before.snapshots) / 12;
        assert!(
            snapshots >= 58 && after.ticks - before.ticks >= 58,
            "{snapshots} snapshots a client"
        );
        assert_eq!(sim.core().drops().count(DropReason::Flood), 0);
        assert_eq!((sim.playing(), after.joined, after.lost), (12, 12, 0));
    }
}

#[test]
fn a_client_that_crashes_and_comes_back() {
    let story = Scenario::new(12).fault(900, 300, Fault::CrashClient(0));
    story.must_hit(&[Mark::ClientCrashed]).heals();
}

#[test]
fn a_server_that_crashes_and_starts_empty() {
    let marks = [Mark::ServerCrashed, Mark::ClientCameBack];
    Scenario::new(13)
        .link(WAN)
        .fault(1_500, 500, Fault::CrashServer)
        .must_hit(&marks)
        .heals();
}

#[test]
fn a_power_cut_that_tears_the_recording() {
    let marks = [Mark::ServerCrashed, Mark::WriteLost, Mark::RecordingCut];
    let story =
        Scenario::new(18)
            .with(|config| config.record = true)
            .fault(3_500, 500, Fault::PowerCut);
    story.must_hit(&marks).heals();
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_room() {
    let story = Scenario::new(19)
        .with(|config| config.record = true)
        .trouble_ms(3_000);
    story
        .fault(1_500, 0, Fault::FillDisk)
        .must_hit(&[Mark::DiskFull])
        .heals();
}

#[test]
fn a_disk_that_fails_a_read_is_read_again() {
    let story =
        Scenario::new(20)
            .with(|config| config.record = true)
            .fault(1_500, 300, Fault::FailRead);
    story
        .fault(2_000, 300, Fault::CrashServer)
        .must_hit(&[Mark::DiskUnreadable])
        .heals();
}

#[test]
fn a_client_whose_address_changes() {
    let marks = [Mark::AddressChanged, Mark::SilenceNoticed, Mark::Resumed];
    Scenario::new(14)
        .link(WAN)
        .fault(1_000, 0, Fault::ChangeAddress(5))
        .must_hit(&marks)
        .heals();
}

#[test]
fn everyones_address_changes_at_once() {
    let marks = [Mark::AddressChanged, Mark::SilenceNoticed, Mark::Resumed];
    let story = Scenario::new(21)
        .link(WAN)
        .fault(1_500, 0, Fault::ChangeAllAddresses)
        .must_hit(&marks);
    assert_eq!(story.heals().marks.count(Mark::Resumed), 8);
}

#[test]
fn a_client_cut_off_for_longer_than_the_time_out_right_after_any_step_of_its_resume() {
    for (seed, after) in (40..).zip(Step::ALL) {
        let story = Scenario::new(seed)
            .link(WAN)
            .with(|config| config.timeout = Duration::from_secs(2));
        let story = story.fault(1_500, 3_500, Fault::Outage { client: 2, after });
        let outcome = story
            .must_hit(&[after.mark(), Mark::TimedOut, Mark::Resumed])
            .heals();
        // Once the keep-alive has arrived the ticket is spent, and the next one is lost.
        let joins_again = u64::from(after == Step::KeepAlive);
        assert_eq!(
            outcome.marks.count(Mark::ClientCameBack),
            joins_again,
            "{after:?}"
        );
    }
}

#[test]
fn a_client_cut_off_for_longer_than_the_time_out_right_after_any_step_of_its_join() {
    for (seed, after) in (50..).zip(Step::ALL) {
        let story = Scenario::new(seed)
            .link(WAN)
            .with(|config| config.timeout = Duration::from_secs(2));
        story
            .fault(1, 3_500, Fault::Outage { client: 2, after })
            .must_hit(&[after.mark()])
            .heals();
    }
}

#[test]
fn an_address_that_a_nat_gives_to_another_client() {
    let fault = Fault::HandOn { from: 1, to: 6 };
    let marks = [Mark::AddressHandedOn, Mark::SilenceNoticed, Mark::Resumed];
    let parked = (60..64).map(|seed| {
        let outcome = Scenario::new(seed)
            .link(WAN)
            .fault(1_500, 0, fault)
            .must_hit(&marks)
            .heals();
        assert_eq!(outcome.marks.count(Mark::ClientCameBack), 0);
        outcome.marks.count(Mark::TimedOut)
    });
    // Either of the two may be the first to resume.
    assert!(parked.sum::<u64>() > 0);
}

#[test]
fn two_clients_whose_addresses_are_swapped() {
    let marks = [Mark::AddressHandedOn, Mark::SilenceNoticed, Mark::Resumed];
    let outcome = Scenario::new(61)
        .link(WAN)
        .fault(1_500, 0, Fault::Swap(1, 6))
        .must_hit(&marks)
        .heals();
    assert_eq!(
        (
            outcome.marks.count(Mark::ClientCameBack),
            outcome.marks.count(Mark::Resumed)
        ),
        (0, 2)
    );
}

#[test]
fn a_client_that_starts_again_somewhere_else_takes_its_session_over() {
    let marks = [Mark::ClientCrashed, Mark::TakenOver];
    Scenario::new(22)
        .link(WAN)
        .fault(1_500, 400, Fault::MoveClient(2))
        .must_hit(&marks)
        .heals();
}

#[test]
fn a_server_that_is_drained_and_starts_anew() {
    let marks = [Mark::Moved, Mark::ClientCameBack];
    Scenario::new(23)
        .link(WAN)
        .fault(1_500, 1_200, Fault::Drain)
        .must_hit(&marks)
        .heals();
}

#[test]
fn a_flood_of_forged_requests() {
    Scenario::new(24)
        .link(WAN)
        .fault(1_500, 100, Fault::Flood)
        .must_hit(&[Mark::Flooded])
        .heals();
}

#[test]
fn a_wall_clock_set_back_while_a_client_starts_again() {
    let story = Scenario::new(25).fault(1_000, 1_000, Fault::CrashClient(1));
    story
        .fault(1_500, 0, Fault::JumpWall { by_ms: -90_000 })
        .must_hit(&[Mark::TakenOver])
        .heals();
}

/// 1 s, 60 s, 1 h and 10 years, in milliseconds.
const STEPS_MS: [i64; 4] = [1_000, 60_000, 3_600_000, 315_576_000_000];

#[test]
fn a_wall_clock_that_is_set_while_datagrams_wait_moves_no_receive_time() {
    for by_ms in STEPS_MS.iter().flat_map(|step| [*step, -*step]) {
        for at in [300, 1_300] {
            let story = Scenario::new(26).fault(at - 200, 600, Fault::PauseServer);
            let story = story.fault(at, 0, Fault::JumpWall { by_ms });
            story
                .must_hit(&[Mark::ServerPaused, Mark::WallJumped])
                .heals();
        }
    }
}

#[test]
fn ticks_that_pass_the_middle_of_their_range_and_its_end() {
    for start in [(1 << 31) - 100, u32::MAX - 99] {
        let story = Scenario::new(27)
            .link(WAN)
            .with(|config| config.start_tick = Tick(start));
        let story = story.with(|config| config.spectators = 1).trouble_ms(4_000);
        story
            .fault(1_000, 300, Fault::PauseServer)
            .must_hit(&[Mark::Slipped])
            .heals();
    }
}

#[test]
fn clocks_that_run_apart_and_one_that_is_set() {
    let story = Scenario::new(15)
        .with(|config| config.drift_ppm = 500)
        .trouble_ms(20_000);
    let story = story.fault(1_000, 0, Fault::JumpWall { by_ms: -3_600_000 });
    let outcome = story
        .must_hit(&[Mark::ClockDrifted, Mark::WallJumped])
        .heals();
    assert_eq!(outcome.marks.count(Mark::CommandMissing), 0);
}

#[test]
fn more_leaves_sight_at_once_than_one_packet_can_tell() {
    let story = Scenario::new(3)
        .clients(24)
        .with(|config| config.arena.drones = 200);
    story
        .trouble_ms(8_000)
        .must_hit(&[Mark::LeftInterest, Mark::WrongByTouch])
        .heals();
}

#[test]
fn a_budget_too_small_for_the_world() {
    let story = Scenario::new(16).with(|config| config.room.snapshot_bytes = 300);
    story
        .with(|config| config.arena.drones = 80)
        .must_hit(&[Mark::Deferred])
        .heals();
}

#[test]
#[should_panic(expected = "never happened: [ServerCrashed]")]
fn a_story_that_claims_what_never_happened_fails() {
    Scenario::new(17)
        .clients(1)
        .must_hit(&[Mark::ServerCrashed])
        .heals();
}

#[test]
fn a_server_that_starts_again_with_a_clock_ahead_of_every_tickets_expiry() {
    for by_ms in [611_000, 3_600_000, 315_576_000_000] {
        let story = Scenario::new(8).fault(1_400, 0, Fault::JumpWall { by_ms });
        story
            .fault(1_500, 200, Fault::CrashServer)
            .must_hit(&[Mark::WallJumped, Mark::ServerCrashed])
            .heals();
    }
}
