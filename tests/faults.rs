//! One story per fault of a process, an address or a clock: after it everyone recovers, and every
//! invariant holds.

use std::time::Duration;

use truetick_netcode::session::drops::DropReason;
use truetick_netcode::tick::Tick;
use truetick_tests::fault::{Fault, Scheduled, Step};
use truetick_tests::mark::Mark;
use truetick_tests::plan::{Plan, SimConfig};
use truetick_tests::scenario::{Scenario, WAN};
use truetick_tests::world::Sim;

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
