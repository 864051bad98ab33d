//! QUIC in the simulator: many seeds, each run twice, and stories in virtual time.

use std::time::Duration;

use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::transport::TransportKind;
use truetick_tests::quic::plan::{QuicPlan, QuicTrouble};
use truetick_tests::quic::world::QuicWorld;

#[test]
fn seeds_are_well_and_come_out_the_same_each_time() {
    for seed in 1..=12 {
        let mut world = QuicWorld::new(QuicPlan::standard(seed));
        let figures = world.run();
        assert_eq!(
            world.wrong,
            Vec::<String>::new(),
            "seed {seed}: {:#?}",
            world.plan
        );
        assert!(
            figures.messages > 100 && figures.datagrams > 1_000,
            "seed {seed}: {figures:?}"
        );
        assert_eq!(
            QuicWorld::new(QuicPlan::standard(seed)).run(),
            figures,
            "seed {seed}"
        );
    }
}

/// Half of a round trip of 60 ms.
const LATENCY: Duration = Duration::from_millis(30);

#[test]
fn a_client_whose_port_changes_goes_on_within_two_round_trips() {
    let link = LinkConfig {
        latency: LATENCY,
        ..LinkConfig::default()
    };
    for seed in 1..=10 {
        let mut plan = QuicPlan::quiet(seed, TransportKind::Quic, link, Duration::from_secs(4));
        plan.troubles = vec![(Duration::from_secs(2), QuicTrouble::Move(1))];
        plan.settle = Duration::from_secs(1);
        let mut world = QuicWorld::new(plan);
        let figures = world.run();
        assert_eq!(
            (world.wrong.clone(), figures.resumes, figures.rejoins),
            (Vec::new(), 0, 0),
            "seed {seed}"
        );
        let gap = world.members[1].longest_gap;
        assert!(
            gap < LATENCY * 4 + Duration::from_millis(100),
            "seed {seed}: {gap:?}"
        );
    }
}

/// The 99th percentile of the time from a snapshot's tick to its arrival, over a path that loses 5
/// %, with `bulk` bytes per second on a reliable channel beside the snapshots.
fn snapshots_take(kind: TransportKind, bulk: u32) -> Duration {
    let link = LinkConfig {
        latency: LATENCY,
        loss: 0.05,
        rate: Some(120_000),
        ..LinkConfig::default()
    };
    let mut world = QuicWorld::new(QuicPlan {
        bulk,
        ..QuicPlan::quiet(7, kind, link, Duration::from_secs(40))
    });
    let figures = world.run();
    let clients = world.members.len() as u64;
    assert!(
        figures.bulk >= u64::from(bulk) * 38 * clients,
        "the transfer does not keep up: {figures:?}"
    );
    let mut latencies: Vec<Duration> = world
        .members
        .iter()
        .flat_map(|member| member.latencies.clone())
        .collect();
    // Few of the samples are from the joins.
    assert!(latencies.len() > 8_000, "{}", latencies.len());
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

#[test]
fn a_large_transfer_does_not_hold_up_snapshots() {
    for over in [TransportKind::Udp, TransportKind::Quic] {
        let (without, with) = (snapshots_take(over, 0), snapshots_take(over, 24_000));
        println!("{over}: snapshots p99 {without:?}, beside a transfer of 24 kB/s {with:?}");
        assert!(with <= without.mul_f64(1.2), "{over}: {without:?} {with:?}");
    }
}
