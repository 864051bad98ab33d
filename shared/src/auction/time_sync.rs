//! The server's clock as a client knows it, and how honest a countdown can be (after RFC 5905's
//! four timestamps).

use std::time::Duration;

use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::time::Timestamp;

/// Samples that are looked at: the best of about a quarter of a minute.
const SAMPLES: usize = 8;

/// With fewer samples the next should follow soon.
const YOUNG: usize = 3;

/// An answer may seem to have been held by so much longer than the exchange took, by rounding and
/// drift, in microseconds.
const HELD_LONGER_US: u64 = 1_000;

/// Two clocks run apart by this at the most, in millionths: each of them by what a kernel lets a
/// clock be slewed.
const DRIFT_PPM: u128 = 1_000;

/// One question and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When it was asked, by the client's clock, in microseconds.
    pub asked_us: u64,
    /// When that came, by the server's clock.
    pub arrived_us: u64,
    /// When the answer left, by the server's clock.
    pub sent_us: u64,
    /// When it came, by the client's clock.
    pub heard_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    offset_us: i64,
    round_trip_us: u64,
    /// When the answer came, by the client's clock.
    heard_us: u64,
    /// By how much longer the server says that it held the question than the whole exchange took,
    /// by the client's clock.
    held_longer_us: u64,
}

impl Sample {
    /// By how much the offset may be wrong at a time of the client's: half of the round trip, and
    /// what the clocks may have drifted since.
    fn doubt_us(&self, at_us: u64) -> u64 {
        let drift = u128::from(at_us.abs_diff(self.heard_us)) * DRIFT_PPM / 1_000_000;
        (self.round_trip_us / 2).saturating_add(u64::try_from(drift).unwrap_or(u64::MAX))
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct TimeSync {
    samples: Vec<Sample>,
}

impl TimeSync {
    /// Takes in an answer. One that cannot be (an answer before its question) is ignored. False if
    /// it contradicts the estimate so far by more than both may be wrong: one of the clocks stood
    /// still or was set, and the estimate starts over with this answer.
    pub fn heard(&mut self, exchange: Exchange) -> bool {
        let Some(sample) = Sample::of(exchange) else {
            return true;
        };
        if sample.held_longer_us > HELD_LONGER_US {
            // The client's clock stood still while the answer was under way: it says nothing of the
            // time after.
            self.samples.clear();
            return false;
        }
        let agrees = self.best(sample.heard_us).is_none_or(|best| {
            let apart = best.offset_us.abs_diff(sample.offset_us);
            apart <= best.doubt_us(sample.heard_us).saturating_add(sample.doubt_us(sample.heard_us))
        });
        let agrees = agrees || is_planted(Mutant::TrustShortest);
        if !agrees {
            self.samples.clear();
        }
        if self.samples.len() == SAMPLES {
            self.samples.remove(0);
        }
        self.samples.push(sample);
        agrees
    }

    /// The server's clock shows `server_us` microseconds at least. False if the estimate says that
    /// it cannot: then there is none until the next answer.
    pub fn not_before(&mut self, server_us: i64, now: Timestamp) -> bool {
        let latest =
            self.server_us(now).zip(self.uncertainty_at(now)).map(|(shown, resync_throttle)| {
                shown.saturating_add(i64::try_from(resync_throttle.as_micros()).unwrap_or(i64::MAX))
            });
        let agrees = latest.is_none_or(|latest| latest >= server_us);
        let agrees = agrees || is_planted(Mutant::TrustShortest);
        if !agrees {
            self.samples.clear();
        }
        agrees
    }

    /// Whether so few exchanges are known that the next should follow soon.
    pub fn is_young(&self) -> bool {
        self.samples.len() < YOUNG
    }

    /// The sample that can be wrong by the least at a time of the client's.
    fn best(&self, at_us: u64) -> Option<Sample> {
        self.samples.iter().min_by_key(|sample| sample.doubt_us(at_us)).copied()
    }

    /// The best sample when the last answer came.
    fn best_then(&self) -> Option<(Sample, u64)> {
        let at_us = self.samples.last()?.heard_us;
        Some((self.best(at_us)?, at_us))
    }

    /// What the server's clock shows at a time of the client's, in microseconds.
    pub fn server_us(&self, now: Timestamp) -> Option<i64> {
        Some((now.as_micros() as i64).saturating_add(self.best(now.as_micros())?.offset_us))
    }

    /// By how much [`Self::server_us`] could be wrong when the last answer came.
    pub fn uncertainty(&self) -> Option<Duration> {
        let (best, at_us) = self.best_then()?;
        Some(Duration::from_micros(best.doubt_us(at_us)))
    }

    /// By how much [`Self::server_us`] may be wrong now: it grows by a thousandth of the time since
    /// the last answer.
    pub fn uncertainty_at(&self, now: Timestamp) -> Option<Duration> {
        Some(Duration::from_micros(self.best(now.as_micros())?.doubt_us(now.as_micros())))
    }

    /// The way there and back of the sample that counts.
    pub fn round_trip(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.best_then()?.0.round_trip_us))
    }
}

impl Sample {
    fn of(exchange: Exchange) -> Option<Self> {
        let Exchange { asked_us, arrived_us, sent_us, heard_us } = exchange;
        let (out, held) = (heard_us.checked_sub(asked_us)?, sent_us.checked_sub(arrived_us)?);
        let middle = |a: u64, b: u64| (i128::from(a) + i128::from(b)) / 2;
        let offset = middle(arrived_us, sent_us) - middle(asked_us, heard_us);
        let offset_us = i64::try_from(offset).ok()?;
        let (round_trip_us, held_longer_us) = (out.abs_diff(held), held.saturating_sub(out));
        Some(Self { offset_us, round_trip_us, heard_us, held_longer_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_exchange_decides_and_its_error_is_within_its_half() {
        let mut sync = TimeSync::default();
        // The server is 1,000,000 us ahead. Ways of 20,000 and 80,000 us; the answer waits 5,000.
        sync.heard(Exchange {
            asked_us: 0,
            arrived_us: 1_020_000,
            sent_us: 1_025_000,
            heard_us: 105_000,
        });
        let wrong = |sync: &TimeSync| {
            sync.server_us(Timestamp::from_micros(0)).unwrap().abs_diff(1_000_000)
        };
        assert_eq!((wrong(&sync), sync.uncertainty().unwrap().as_micros()), (30_000, 50_000));
        sync.heard(Exchange {
            asked_us: 200_000,
            arrived_us: 1_203_000,
            sent_us: 1_203_000,
            heard_us: 205_000,
        });
        assert_eq!((wrong(&sync), sync.uncertainty().unwrap().as_micros()), (500, 2_500));
        sync.heard(Exchange { asked_us: 9, arrived_us: 8, sent_us: 7, heard_us: 10 });
        sync.heard(Exchange { asked_us: 9, arrived_us: 8, sent_us: 9, heard_us: 8 });
        assert_eq!(wrong(&sync), 500);
    }

    /// A client whose clock shows `ahead_us` less than the server's, and loses `drift_ppm`
    /// millionths; it sleeps now and then.
    struct Client {
        sync: TimeSync,
        /// True time, which is the server's, in microseconds.
        now_us: u64,
        slept_us: u64,
        drift_ppm: i64,
    }

    impl Client {
        fn shown(&self, at_us: u64) -> u64 {
            let awake = (at_us - self.slept_us) as i64;
            (awake + awake * self.drift_ppm / 1_000_000) as u64
        }

        /// Asks; the ways take that long. Whether the answer agrees.
        fn ask(&mut self, there_us: u64, back_us: u64) -> bool {
            let (asked_us, arrived_us) = (self.shown(self.now_us), self.now_us + there_us);
            self.now_us += there_us + back_us;
            let heard_us = self.shown(self.now_us);
            self.sync.heard(Exchange { asked_us, arrived_us, sent_us: arrived_us, heard_us })
        }

        /// By how much the estimate is wrong, and what it says of that.
        fn wrong(&self) -> (u64, u64) {
            let now = Timestamp::from_micros(self.shown(self.now_us));
            let wrong = (self.sync.server_us(now).unwrap() - self.now_us as i64).unsigned_abs();
            (wrong, self.sync.uncertainty_at(now).unwrap().as_micros() as u64)
        }
    }

    #[test]
    fn after_a_sleep_the_first_exchange_starts_the_estimate_over() {
        for slept_ms in [30, 1_000, 20_000, 3_600_000] {
            for drift_ppm in [-500, 0, 500] {
                let sync = TimeSync::default();
                let mut client = Client { sync, now_us: 1_000_000_000, slept_us: 0, drift_ppm };
                for _ in 0..10 {
                    assert!(client.ask(4_000, 6_000));
                    client.now_us += 2_000_000;
                }
                client.slept_us += slept_ms * 1_000;
                client.now_us += slept_ms * 1_000;
                // The way is worse than it was: the shortest exchange is from before the sleep.
                assert!(!client.ask(9_000, 3_000), "{slept_ms} ms");
                let (wrong, description) = client.wrong();
                assert!(
                    wrong <= description && description < 7_000,
                    "{slept_ms} ms: {wrong} us wrong, {description} said"
                );
            }
        }
    }

    #[test]
    fn an_exchange_that_spans_a_sleep_is_put_right_by_the_next() {
        let sync = TimeSync::default();
        let mut client = Client { sync, now_us: 1_000_000_000, slept_us: 0, drift_ppm: 0 };
        client.ask(5_000, 5_000);
        let (asked_us, arrived_us) = (client.shown(client.now_us), client.now_us + 5_000);
        (client.slept_us, client.now_us) = (20_000_000, client.now_us + 20_010_000);
        let heard_us = client.shown(client.now_us);
        client.sync.heard(Exchange { asked_us, arrived_us, sent_us: arrived_us, heard_us });
        assert!(!client.ask(5_000, 5_000));
        let (wrong, description) = client.wrong();
        assert!(
            wrong <= description && description <= 5_000,
            "{wrong} us wrong, {description} said"
        );
    }

    #[test]
    fn what_is_said_of_the_error_holds_for_clocks_that_run_apart() {
        for drift_ppm in [-900, -100, 0, 100, 900] {
            let sync = TimeSync::default();
            let mut client = Client { sync, now_us: 1_000_000_000, slept_us: 0, drift_ppm };
            for question in 0..1_000u64 {
                // Ways of 1 to 80 ms, and now and then a minute without an answer.
                let [there, back] = [7, 13].map(|by| 1_000 + question * by * 7_919 % 80_000);
                assert!(client.ask(there, back), "{drift_ppm} ppm, question {question}");
                for pause in [0, if question % 50 == 0 { 60_000_000 } else { 2_000_000 }] {
                    client.now_us += pause;
                    let (wrong, description) = client.wrong();
                    assert!(
                        wrong <= description + 1,
                        "{drift_ppm} ppm: {wrong} us wrong, {description} said"
                    );
                }
            }
        }
    }

    #[test]
    fn a_server_that_is_later_than_it_can_be_ends_the_estimate() {
        let sync = TimeSync::default();
        let mut client = Client { sync, now_us: 1_000_000_000, slept_us: 0, drift_ppm: 0 };
        client.ask(5_000, 5_000);
        let now = Timestamp::from_micros(client.shown(client.now_us));
        assert!(client.sync.not_before(client.now_us as i64, now));
        assert!(!client.sync.not_before(client.now_us as i64 + 20_000_000, now));
        assert_eq!((client.sync.server_us(now), client.sync.uncertainty_at(now)), (None, None));
    }
}
