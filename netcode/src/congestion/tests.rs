use super::*;
use crate::link_sim::{LinkConfig, LinkSim};
use crate::rtt::{RoundTrip, RttEstimator};

/// A sender that sends once per tick over a path and receives acknowledgements in each tick.
struct Path {
    now: Timestamp,
    tick: Duration,
    there: LinkSim,
    back: LinkSim,
    congestion: Congestion,
    rtt: RttEstimator,
    sent: u64,
    /// Bytes that the sender has to send in a tick.
    wanted: usize,
    sent_at: Vec<(Timestamp, u32, bool)>,
    /// Bytes that arrived, queueing delays in milliseconds, and most ticks in a row without a
    /// packet, all since [`Path::forget`].
    came: u64,
    waits: Vec<f64>,
    pause: u32,
    longest_pause: u32,
    late_since: Option<Timestamp>,
}

impl Path {
    fn new(tick_rate: u32, config: LinkConfig) -> Self {
        let (now, tick) = (
            Timestamp::from_millis(1_000),
            Duration::from_secs(1) / tick_rate,
        );
        let back = LinkConfig {
            latency: config.latency,
            ..LinkConfig::default()
        };
        Self {
            now,
            tick,
            there: LinkSim::new(config, 7),
            back: LinkSim::new(back, 8),
            congestion: Congestion::new(300, 2_400, tick, now),
            rtt: RttEstimator::default(),
            sent: 0,
            wanted: 2_400,
            sent_at: Vec::new(),
            came: 0,
            waits: Vec::new(),
            pause: 0,
            longest_pause: 0,
            late_since: None,
        }
    }

    fn forget(&mut self) {
        (self.came, self.longest_pause) = (0, 0);
        self.waits.clear();
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            while let Some((at, packet)) = pop(&mut self.there, self.now) {
                self.came += packet.len() as u64;
                self.back.push(&packet[..4], at);
            }
            let mut newest = None;
            while let Some((at, ack)) = pop(&mut self.back, self.now) {
                let packet = u32::from_le_bytes(ack[..4].try_into().unwrap()) as usize;
                self.sent_at[packet].2 = true;
                newest = Some((at, packet));
            }
            if let Some((at, newest)) = newest {
                self.acknowledge(at, newest);
            }
            let path = PathState {
                round_trip: self.rtt.latest(),
                sent: self.sent,
                fates: self.rtt.fates(),
                loss: self.rtt.loss(),
            };
            let budget = self.congestion.budget(path, self.late_since, self.now);
            self.pause = if budget.is_none() { self.pause + 1 } else { 0 };
            self.longest_pause = self.longest_pause.max(self.pause);
            let mut left = budget.map_or(0, |budget| budget.min(self.wanted));
            while left > 0 {
                let bytes = left.min(1_200);
                let mut packet = vec![0; bytes.max(4)];
                packet[..4].copy_from_slice(&(self.sent_at.len() as u32).to_le_bytes());
                self.there.push(&packet, self.now);
                self.sent_at.push((self.now, bytes as u32, false));
                self.sent += bytes as u64;
                left -= bytes;
            }
            self.now += self.tick;
        }
    }

    /// Marks all packets up to the newest acknowledged one as delivered or lost.
    fn acknowledge(&mut self, at: Timestamp, newest: usize) {
        let (round_trip, bytes) = (at.since(self.sent_at[newest].0), self.sent_at[newest].1);
        self.rtt.sample(RoundTrip {
            time: round_trip,
            bytes,
        });
        for packet in &mut self.sent_at[..=newest] {
            match packet.1 {
                0 => {}
                bytes if packet.2 => self.rtt.delivered(bytes),
                _ => self.rtt.lost(),
            }
            packet.1 = 0;
        }
        let way = self.there.config().latency + self.back.config().latency;
        self.waits
            .push(round_trip.saturating_sub(way).as_secs_f64() * 1e3);
    }
}

fn pop(link: &mut LinkSim, now: Timestamp) -> Option<(Timestamp, Vec<u8>)> {
    let at = link.next_delivery().filter(|at| *at <= now)?;
    Some((at, link.pop(at)?))
}

fn path(round_trip_ms: u64) -> LinkConfig {
    LinkConfig {
        latency: Duration::from_micros(round_trip_ms * 500),
        ..LinkConfig::default()
    }
}

fn narrow(round_trip_ms: u64, rate: u32, queue_ms: u64) -> LinkConfig {
    let queue = Duration::from_millis(queue_ms);
    LinkConfig {
        rate: Some(rate),
        queue,
        jitter: Duration::from_millis(4),
        ..path(round_trip_ms)
    }
}

#[test]
fn a_wide_path_is_given_all_however_long_and_lossy_it_is() {
    for (round_trip, jitter, loss) in [
        (0, 0, 0.0),
        (20, 50, 0.0),
        (250, 0, 0.1),
        (1_000, 20, 0.0),
        (60, 0, 0.3),
    ] {
        let jitter = Duration::from_millis(jitter);
        let mut path = Path::new(
            60,
            LinkConfig {
                jitter,
                loss,
                ..path(round_trip)
            },
        );
        path.run(4.0);
        for _ in 0..120 {
            path.run(0.25);
            assert_eq!(
                path.congestion.rate, 2_400.0,
                "{round_trip} ms, {jitter:?}, {loss}"
            );
        }
    }
}

#[test]
fn a_narrow_path_is_filled_and_its_queue_kept_short() {
    for tick_rate in [20, 60, 128] {
        for rate in [8_000, 15_000, 30_000, 60_000] {
            for (round_trip, queue) in [(20, 200), (60, 2_000), (300, 500)] {
                let mut path = Path::new(tick_rate, narrow(round_trip, rate, queue));
                path.run(5.0);
                path.forget();
                path.run(30.0);
                let wanted = (2_400.0 * f64::from(tick_rate)).min(f64::from(rate));
                let share = path.came as f64 / 30.0 / wanted;
                let case = format!(
                    "{rate} B/s, {tick_rate} Hz, {round_trip} ms, {queue} ms of queue: {share:.2}"
                );
                let wait = path.waits.iter().sum::<f64>() / path.waits.len() as f64;
                let longest = path.waits.iter().copied().fold(0.0, f64::max);
                println!("{case}, waits {wait:.0}, at most {longest:.0} ms");
                assert!(share > if tick_rate < 60 { 0.6 } else { 0.85 }, "{case}");
                assert!(
                    wait < 30.0 + round_trip as f64 / 2.0 + 450e3 / f64::from(rate),
                    "{case}: waits {wait} ms"
                );
                assert!(
                    longest < 300.0 + round_trip as f64,
                    "{case}: waits {longest} ms"
                );
                let pause = path.longest_pause as f64 * path.tick.as_secs_f64();
                assert!(pause < 0.25, "{case}: nothing for {pause} s");
            }
        }
    }
}

#[test]
fn a_path_that_becomes_longer_or_stops_for_a_while_has_its_budget_again() {
    for (step, within) in [(20, 1.0), (75, 1.5), (300, 2.5), (900, 5.0)] {
        let mut path = Path::new(60, path(80));
        path.run(10.0);
        let longer = Duration::from_millis(step);
        path.there.set_config(LinkConfig {
            latency: Duration::from_millis(40) + longer,
            ..LinkConfig::default()
        });
        path.run(within);
        assert_eq!(path.congestion.rate, 2_400.0, "{step} ms");
    }
    for pause in [50, 300, 1_000, 4_000] {
        let mut path = Path::new(60, path(80));
        path.run(10.0);
        path.there.clog(path.now + Duration::from_millis(pause));
        path.run(pause as f64 / 1e3 + 1.0);
        assert!(path.congestion.rate > 2_000.0, "held for {pause} ms");
        let link = path.there.config();
        path.there.set_config(LinkConfig::cut());
        path.run(pause as f64 / 1e3);
        path.there.set_config(link);
        path.run(1.0);
        assert!(path.congestion.rate > 2_000.0, "cut for {pause} ms");
    }
}

#[test]
fn a_path_that_becomes_narrow_and_wide_again_is_followed() {
    for (rate, round_trip, narrow_for) in [
        (20_000, 60, 5.0),
        (8_000, 20, 5.0),
        (12_000, 100, 2.0),
        (8_000, 150, 30.0),
        (15_000, 60, 30.0),
        (40_000, 60, 30.0),
    ] {
        let mut path = Path::new(60, path(round_trip));
        path.run(10.0);
        path.there.set_config(narrow(round_trip, rate, 2_000));
        path.run(narrow_for);
        let case = format!("{rate} B/s, {round_trip} ms, for {narrow_for} s");
        if narrow_for > 4.0 {
            let carries = f64::from(rate) / 60.0;
            assert!(
                (0.45..1.35).contains(&(path.congestion.rate / carries)),
                "{case}: {}",
                path.congestion.rate
            );
        }
        path.there.set_config(self::path(round_trip));
        let began = path.now;
        while path.congestion.rate < 2_400.0 && path.now.since(began) < Duration::from_secs(9) {
            path.run(0.1);
        }
        println!("{case}: whole after {:?}", path.now.since(began));
        assert!(path.now.since(began) < Duration::from_secs(9), "{case}");
    }
}

#[test]
fn a_policer_that_drops_what_is_too_much_is_obeyed() {
    let mut path = Path::new(60, narrow(60, 40_000, 5));
    path.run(10.0);
    path.forget();
    path.run(20.0);
    let (sent, came) = (path.congestion.rate * 60.0, path.came as f64 / 20.0);
    assert!(sent < 90_000.0 && came > 25_000.0, "{sent} {came}");
}

/// Runs a path of 20 ms that becomes narrow for `span`, with a server that is late or not. Returns
/// the budget that is left of 2,400 bytes.
fn left_after(span: Duration, is_late: bool) -> usize {
    let mut path = Path::new(60, path(20));
    path.run(5.0);
    assert_eq!(path.congestion.bytes(), 2_400);
    path.late_since = is_late.then_some(path.now);
    path.there.set_config(narrow(20, 20_000, 8_000));
    path.run(span.as_secs_f64());
    path.congestion.bytes()
}

#[test]
fn a_late_sender_does_not_blame_its_paths_but_finds_a_full_one_in_the_end() {
    assert!(left_after(Duration::from_millis(900), false) < 400);
    assert_eq!(left_after(Duration::from_millis(900), true), 2_400);
    assert!(left_after(Duration::from_millis(3_000), true) < 400);
}
