//! Tests of the link simulator: each disturbance has the share and the delay of its configuration.

use super::*;

fn run(config: LinkConfig, seed: u64, count: u32) -> (Vec<(u64, u32)>, LinkStats) {
    let mut link = LinkSim::new(config, seed);
    let mut came = Vec::new();
    for i in 0..count + 1_000 {
        let now = Timestamp::from_millis(u64::from(i));
        while let Some(at) = link.next_delivery().filter(|at| *at <= now) {
            let bytes = link.pop(at).unwrap();
            came.push((
                at.as_micros(),
                u32::from_le_bytes(bytes.try_into().unwrap()),
            ));
        }
        if i < count {
            link.push(&i.to_le_bytes(), now);
        }
    }
    (came, link.stats())
}

#[test]
fn a_perfect_link_is_prompt_and_in_order() {
    let (came, _) = run(LinkConfig::default(), 1, 100);
    assert!(
        came.iter()
            .enumerate()
            .all(|(i, (at, n))| *n == i as u32 && *at == i as u64 * 1_000)
    );
}

#[test]
fn jitter_spreads_the_delay_and_keeps_the_order() {
    let (latency, jitter) = (Duration::from_millis(40), Duration::from_millis(10));
    let (came, _) = run(
        LinkConfig {
            latency,
            jitter,
            ..LinkConfig::default()
        },
        1,
        2_000,
    );
    assert!(came.is_sorted_by_key(|(_, n)| *n));
    let delays: Vec<i64> = came
        .iter()
        .map(|(at, n)| *at as i64 - i64::from(*n) * 1_000)
        .collect();
    assert!(delays.iter().all(|d| (35_000..=45_000).contains(d)));
    assert!(delays.iter().any(|d| *d < 38_000) && delays.iter().any(|d| *d > 44_000));
}

#[test]
fn rates_are_what_they_say() {
    let bursts = Bursts {
        enter: 0.01,
        leave: 0.2,
        loss: 1.0,
    };
    let config = LinkConfig {
        bursts: Some(bursts),
        ..LinkConfig::default()
    };
    let share = run(config, 2, 50_000).1.lost as f64 / 50_000.0;
    assert!((0.04..0.056).contains(&share), "{share}");
    let config = LinkConfig {
        loss: 0.1,
        duplicate: 0.05,
        reorder: 0.02,
        corrupt: 0.01,
        ..LinkConfig::default()
    };
    let (came, stats) = run(config, 3, 50_000);
    for (count, p) in [
        (stats.lost, 0.1),
        (stats.duplicated, 0.05 * 0.9),
        (stats.reordered, 0.02 * 0.945),
        (stats.corrupted, 0.01 * 0.945),
    ] {
        assert!(
            (count as f64 / 50_000.0 / p - 1.0).abs() < 0.12,
            "{count} for {p}"
        );
    }
    assert_eq!(came.len() as u64, 50_000 - stats.lost + stats.duplicated);
}

#[test]
fn a_rate_queues_and_then_drops() {
    let config = LinkConfig {
        rate: Some(2_000),
        queue: Duration::from_millis(50),
        ..LinkConfig::default()
    };
    let (came, stats) = run(config, 4, 1_000);
    assert!(stats.overflowed > 400);
    assert!(came.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1_999));
    assert!(
        came.iter()
            .all(|(at, n)| at - u64::from(*n) * 1_000 <= 53_000)
    );
}

#[test]
fn steps_change_the_delay_and_outages_lose_everything() {
    let steps = Steps {
        interval: Duration::from_millis(200),
        by: Duration::from_millis(75),
    };
    let outages = Holds {
        interval: Duration::from_millis(500),
        length: Duration::from_millis(100),
    };
    let config = LinkConfig {
        steps: Some(steps),
        outages: Some(outages),
        ..LinkConfig::default()
    };
    let (came, stats) = run(config, 7, 1_000);
    assert_eq!((stats.lost, came.len()), (200, 800));
    let delay = |sent: u32| {
        came.iter()
            .find(|(_, n)| *n == sent)
            .map(|(at, _)| at / 1_000 - u64::from(sent))
    };
    let delays = [50, 150, 199, 250, 399, 550, 450].map(delay);
    // A datagram sent after the delay fell does not overtake earlier ones.
    assert_eq!(
        delays,
        [None, Some(0), Some(0), Some(75), Some(75), None, Some(24)]
    );
}

#[test]
fn holds_release_everything_at_once_at_their_end() {
    let (interval, length) = (Duration::from_millis(200), Duration::from_millis(50));
    let latency = Duration::from_millis(10);
    let config = LinkConfig {
        latency,
        holds: Some(Holds { interval, length }),
        ..LinkConfig::default()
    };
    let (came, _) = run(config, 6, 1_000);
    assert!(came.is_sorted_by_key(|(_, n)| *n));
    for (at, n) in came {
        let sent = u64::from(n);
        let released = if sent % 200 < 50 {
            sent - sent % 200 + 50
        } else {
            sent
        };
        assert_eq!(at, (released + 10) * 1_000);
    }
}

#[test]
fn another_route_lets_later_datagrams_overtake() {
    let config = |ms| LinkConfig {
        latency: Duration::from_millis(ms),
        ..LinkConfig::default()
    };
    let mut link = LinkSim::new(config(200), 1);
    link.push(b"slow", Timestamp::from_millis(0));
    link.reroute(config(50));
    link.push(b"fast", Timestamp::from_millis(20));
    assert_eq!(link.pop(Timestamp::from_millis(70)).unwrap(), b"fast");
    assert_eq!(link.pop(Timestamp::from_millis(200)).unwrap(), b"slow");
}

#[test]
fn the_same_seed_gives_the_same_fates() {
    let jitter = Duration::from_millis(7);
    let config = LinkConfig {
        jitter,
        loss: 0.1,
        reorder: 0.1,
        duplicate: 0.1,
        ..LinkConfig::default()
    };
    assert_eq!(run(config, 5, 1_000), run(config, 5, 1_000));
    assert_ne!(run(config, 5, 1_000), run(config, 6, 1_000));
}
