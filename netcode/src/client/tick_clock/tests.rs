use super::*;
use crate::replication::snapshot::Late;
use std::collections::BTreeMap;

/// A server that answers each slot, seen from a client with another clock.
struct Path<'a> {
    rate: u32,
    /// Transit of a command that leaves at this time, in milliseconds.
    up_ms: &'a dyn Fn(f64) -> f64,
    down_ms: f64,
    /// Interval at which the caller polls, in milliseconds; 0 for a caller that waits until a
    /// command is due.
    frame_ms: f64,
}

/// When each slot's command left, and by how much it was in time, in milliseconds.
type Margins = BTreeMap<u32, (f64, f64)>;

impl Path<'_> {
    fn tick_ms(&self) -> f64 {
        1e3 / f64::from(self.rate)
    }

    fn run(&self, seconds: f64) -> Margins {
        let local = |ms: f64| Timestamp::from_micros(7_000_000 + (ms * 1e3) as u64);
        let round_trip =
            Duration::from_micros(((self.up_ms)(0.0) * 1e3 + self.down_ms * 1e3) as u64);
        let mut clock = TickClock::new(self.rate, Tick(0), round_trip, local(self.down_ms));
        let (mut margins, mut now, mut answered) = (Margins::new(), self.down_ms, 0u32);
        while now < seconds * 1e3 {
            while f64::from(answered + 1) * self.tick_ms() + self.down_ms <= now {
                answered += 1;
                self.answer(&mut clock, answered, &margins, local(now));
            }
            while let Some(slot) = clock.poll(local(now)) {
                let margin = f64::from(slot.0) * self.tick_ms() - now - (self.up_ms)(now);
                assert!(
                    margins.insert(slot.0, (now, margin)).is_none(),
                    "one command per slot"
                );
            }
            let next_answer = f64::from(answered + 1) * self.tick_ms() + self.down_ms;
            let due = clock.next_due().micros_from(local(0.0)) as f64 / 1e3;
            let asks = if self.frame_ms > 0.0 {
                now + self.frame_ms
            } else {
                due
            };
            now = if self.frame_ms > 0.0 {
                asks
            } else {
                asks.min(next_answer).max(now + 0.01)
            };
        }
        margins
    }

    fn answer(&self, clock: &mut TickClock, slot: u32, margins: &Margins, now: Timestamp) {
        let units = |ms: f64| (ms * 1e3 / FEEDBACK_UNIT_US as f64) as u16;
        let margin = margins
            .get(&slot)
            .filter(|(_, margin)| *margin >= 0.0)
            .map(|(_, ms)| units(*ms));
        let mut feedback = Feedback {
            margin,
            ..Feedback::default()
        };
        let due = f64::from(slot) * self.tick_ms();
        for (of, (_, margin)) in margins.range(slot.saturating_sub(200)..slot) {
            let came = f64::from(*of) * self.tick_ms() - margin;
            if *margin < 0.0 && came > due - self.tick_ms() && came <= due {
                feedback.lates.push(Late {
                    back: (slot - of) as u8,
                    by: units(-margin),
                });
            }
        }
        clock.snapshot(Tick(slot), None, now);
        clock.feedback(Tick(slot), &feedback, now);
    }
}

fn steady(rate: u32, up_ms: f64, down_ms: f64) -> Margins {
    Path {
        rate,
        up_ms: &|_| up_ms,
        down_ms,
        frame_ms: 0.0,
    }
    .run(6.0)
}

#[test]
fn commands_arrive_just_in_time_on_every_path_and_rate() {
    for rate in [10, 20, 60, 128] {
        for (up, down) in [(0.0, 0.0), (5.0, 200.0), (40.0, 40.0), (500.0, 500.0)] {
            let margins = steady(rate, up, down);
            let late = margins.values().filter(|(_, margin)| *margin < 0.0).count();
            assert_eq!(late, 0, "{rate} Hz, {up} + {down} ms");
            let settled = margins.values().filter(|(left, _)| *left > 4_000.0);
            settled.for_each(|(_, margin)| {
                assert!((1.5..4.0).contains(margin), "{rate} Hz: {margin}")
            });
        }
    }
}

#[test]
fn a_longer_way_costs_a_round_trip_and_the_step() {
    for step in [10.0, 30.0, 150.0, 300.0] {
        let up = move |left: f64| if left < 3_000.0 { 40.0 } else { 40.0 + step };
        let margins = Path {
            rate: 60,
            up_ms: &up,
            down_ms: 40.0,
            frame_ms: 0.0,
        }
        .run(8.0);
        let late = margins.values().filter(|(_, margin)| *margin < 0.0);
        let last = late.map(|(left, _)| *left).fold(0.0, f64::max);
        assert!(
            last - 3_000.0 <= 80.0 + step + 34.0,
            "{step}: dead for {} ms",
            last - 3_000.0
        );
    }
}

#[test]
fn a_shorter_way_is_followed_slowly_and_no_slot_is_left_out() {
    let up = |left: f64| if left < 3_000.0 { 240.0 } else { 40.0 };
    let margins = Path {
        rate: 60,
        up_ms: &up,
        down_ms: 40.0,
        frame_ms: 0.0,
    }
    .run(8.0);
    let first = *margins.keys().next().unwrap();
    assert!(
        margins
            .keys()
            .copied()
            .eq(first..first + margins.len() as u32)
    );
    let settled = margins.values().filter(|(left, _)| *left > 5_800.0);
    settled.for_each(|(_, margin)| assert!(*margin < 8.0, "{margin}"));
}

#[test]
fn what_was_held_up_and_released_is_no_longer_way() {
    let up = |left: f64| {
        if (3_000.0..3_500.0).contains(&left) {
            3_540.0 - left
        } else {
            40.0
        }
    };
    let margins = Path {
        rate: 60,
        up_ms: &up,
        down_ms: 40.0,
        frame_ms: 0.0,
    }
    .run(6.0);
    let after = margins.values().filter(|(left, _)| *left > 3_700.0);
    after.for_each(|(left, margin)| assert!((1.0..8.0).contains(margin), "{left}: {margin}"));
}

#[test]
fn a_caller_that_asks_once_per_frame_is_in_time() {
    for frame_ms in [333.0, 33.3, 16.7, 7.0] {
        let margins = Path {
            rate: 60,
            up_ms: &|_| 40.0,
            down_ms: 40.0,
            frame_ms,
        }
        .run(12.0);
        let settled: Vec<_> = margins
            .values()
            .filter(|(left, _)| *left > 4_000.0)
            .collect();
        let late = settled.iter().filter(|(_, margin)| *margin < 0.0).count();
        assert!(
            late * 100 <= settled.len(),
            "{frame_ms}: {late} of {}",
            settled.len()
        );
        settled.iter().for_each(|(_, margin)| {
            assert!(*margin < 2.0 * frame_ms + 25.0, "{frame_ms}: {margin}")
        });
    }
}

#[test]
fn a_pause_of_the_caller_costs_nothing_beyond_it() {
    let start = Timestamp::from_millis(1_000);
    let mut clock = TickClock::new(60, Tick(100), Duration::from_millis(80), start);
    let before = clock.poll(clock.next_due()).unwrap();
    let now = start + Duration::from_secs(60);
    let after = clock.poll(now).unwrap();
    let passed = f64::from(after.distance(before)) / 60.0;
    assert!((59.9..60.1).contains(&passed), "{passed}");
    assert!(clock.poll(now).is_some_and(|slot| slot == after.next()) || clock.next_due() > now);
}

#[test]
fn commands_that_never_arrive_in_time_are_noticed() {
    let (mut now, mut clock) = (
        Timestamp::from_millis(1_000),
        TickClock::new(60, Tick(0), Duration::ZERO, Timestamp::from_millis(1_000)),
    );
    for slot in 1..300 {
        now += Duration::from_micros(16_667);
        while clock.poll(now).is_some() {}
        clock.feedback(Tick(slot), &Feedback::default(), now);
    }
    assert!(clock.unheard_for(now) > Duration::from_secs(4));
    clock.feedback(
        Tick(300),
        &Feedback {
            margin: Some(1),
            ..Feedback::default()
        },
        now,
    );
    assert_eq!(clock.unheard_for(now), Duration::ZERO);
}

#[test]
fn slots_may_wrap_and_go_on_for_years() {
    let mut now = Timestamp::from_millis(1_000);
    let mut slot = Tick(u32::MAX - 40);
    let mut clock = TickClock::new(64, slot, Duration::from_millis(40), now);
    for step in 0..200u32 {
        let slots = if step % 4 == 0 { 1 << 24 } else { 1 };
        (slot, now) = (slot + slots, now + Duration::from_micros(15_625) * slots);
        clock.snapshot(slot, None, now);
        let given = std::iter::from_fn(|| clock.poll(now)).last();
        assert!(
            given.is_some_and(|given| given.distance(slot).abs() < 8),
            "{given:?} at {slot:?}"
        );
    }
}
