//! Estimate of the server's clock at a client, with a bound of its error (after the four timestamps
//! of RFC 5905).

use std::time::Duration;

use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::time::Timestamp;

/// Number of recent samples from which the best is chosen: about a quarter of a minute.
const SAMPLES: usize = 8;

/// With fewer samples than this the next request should follow soon.
const YOUNG: usize = 3;

/// Tolerance for rounding and drift, in microseconds, by which the server's hold time may exceed
/// the whole exchange.
const HELD_LONGER_US: u64 = 1_000;

/// Bound of the drift between two clocks, in millionths: each may be slewed by the limit of a
/// kernel.
const DRIFT_PPM: u128 = 1_000;

/// The four timestamps of one time request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Transmission of the request, by the client's clock, in microseconds.
    pub asked_us: u64,
    /// Reception of the request, by the server's clock, in microseconds.
    pub arrived_us: u64,
    /// Transmission of the answer, by the server's clock, in microseconds.
    pub sent_us: u64,
    /// Reception of the answer, by the client's clock, in microseconds.
    pub heard_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    offset_us: i64,
    round_trip_us: u64,
    /// Reception of the answer, by the client's clock.
    heard_us: u64,
    /// Time by which the server's hold time exceeds the whole exchange as the client measured it.
    held_longer_us: u64,
}

impl Sample {
    /// Bound of the offset's error at a client time: half of the round trip plus the possible drift
    /// since.
    fn doubt_us(&self, at_us: u64) -> u64 {
        let drift = u128::from(at_us.abs_diff(self.heard_us)) * DRIFT_PPM / 1_000_000;
        (self.round_trip_us / 2).saturating_add(u64::try_from(drift).unwrap_or(u64::MAX))
    }
}

/// Estimate of the server's clock from the last few exchanges.
#[derive(Clone, Debug, Default)]
pub struct TimeSync {
    samples: Vec<Sample>,
}

impl TimeSync {
    /// Adds an exchange. An impossible one (an answer before its request) is ignored. Returns false
    /// if it contradicts the estimate by more than the error bounds allow: then a clock was stopped
    /// or set, and the estimate restarts from this exchange.
    pub fn heard(&mut self, exchange: Exchange) -> bool {
        let Some(sample) = Sample::of(exchange) else {
            return true;
        };
        if sample.held_longer_us > HELD_LONGER_US {
            // The client's clock stood still during the exchange, which therefore does not hold for
            // the time after.
            self.samples.clear();
            return false;
        }
        let agrees = self.best(sample.heard_us).is_none_or(|best| {
            let apart = best.offset_us.abs_diff(sample.offset_us);
            apart
                <= best
                    .doubt_us(sample.heard_us)
                    .saturating_add(sample.doubt_us(sample.heard_us))
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

    /// Takes `server_us` (microseconds) as a lower bound of the server's clock at `now`. Returns
    /// false if the estimate contradicts it; then there is no estimate until the next exchange.
    pub fn not_before(&mut self, server_us: i64, now: Timestamp) -> bool {
        let latest =
            self.server_us(now)
                .zip(self.uncertainty_at(now))
                .map(|(shown, uncertainty)| {
                    shown.saturating_add(i64::try_from(uncertainty.as_micros()).unwrap_or(i64::MAX))
                });
        let agrees = latest.is_none_or(|latest| latest >= server_us);
        let agrees = agrees || is_planted(Mutant::TrustShortest);
        if !agrees {
            self.samples.clear();
        }
        agrees
    }

    /// Returns whether there are so few samples that the next request should follow soon.
    pub(crate) fn is_young(&self) -> bool {
        self.samples.len() < YOUNG
    }

    /// The sample with the least error bound at a client time.
    fn best(&self, at_us: u64) -> Option<Sample> {
        self.samples
            .iter()
            .min_by_key(|sample| sample.doubt_us(at_us))
            .copied()
    }

    /// The best sample at the reception of the last answer, and that time.
    fn best_then(&self) -> Option<(Sample, u64)> {
        let at_us = self.samples.last()?.heard_us;
        Some((self.best(at_us)?, at_us))
    }

    /// Returns the server's clock at client time `now`, in microseconds; `None` without a sample.
    pub fn server_us(&self, now: Timestamp) -> Option<i64> {
        Some((now.as_micros() as i64).saturating_add(self.best(now.as_micros())?.offset_us))
    }

    /// Returns the error bound of [`Self::server_us`] at the reception of the last answer.
    pub fn uncertainty(&self) -> Option<Duration> {
        let (best, at_us) = self.best_then()?;
        Some(Duration::from_micros(best.doubt_us(at_us)))
    }

    /// Returns the error bound of [`Self::server_us`] at `now`. It grows by a thousandth of the
    /// time since the sample.
    pub(crate) fn uncertainty_at(&self, now: Timestamp) -> Option<Duration> {
        Some(Duration::from_micros(
            self.best(now.as_micros())?.doubt_us(now.as_micros()),
        ))
    }

    /// Returns the round trip of the best sample.
    pub fn round_trip(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.best_then()?.0.round_trip_us))
    }
}

impl Sample {
    fn of(exchange: Exchange) -> Option<Self> {
        let Exchange {
            asked_us,
            arrived_us,
            sent_us,
            heard_us,
        } = exchange;
        let (out, held) = (
            heard_us.checked_sub(asked_us)?,
            sent_us.checked_sub(arrived_us)?,
        );
        let middle = |a: u64, b: u64| (i128::from(a) + i128::from(b)) / 2;
        let offset = middle(arrived_us, sent_us) - middle(asked_us, heard_us);
        let offset_us = i64::try_from(offset).ok()?;
        let (round_trip_us, held_longer_us) = (out.abs_diff(held), held.saturating_sub(out));
        Some(Self {
            offset_us,
            round_trip_us,
            heard_us,
            held_longer_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_exchange_decides_and_its_error_is_within_its_half() {
        let mut sync = TimeSync::default();
        // The server is 1,000,000 us ahead. The delays are 20,000 and 80,000 us, the hold time
        // 5,000.
        sync.heard(Exchange {
            asked_us: 0,
            arrived_us: 1_020_000,
            sent_us: 1_025_000,
            heard_us: 105_000,
        });
        let wrong = |sync: &TimeSync| {
            sync.server_us(Timestamp::from_micros(0))
                .unwrap()
                .abs_diff(1_000_000)
        };
        assert_eq!(
            (wrong(&sync), sync.uncertainty().unwrap().as_micros()),
            (30_000, 50_000)
        );
        sync.heard(Exchange {
            asked_us: 200_000,
            arrived_us: 1_203_000,
            sent_us: 1_203_000,
            heard_us: 205_000,
        });
        assert_eq!(
            (wrong(&sync), sync.uncertainty().unwrap().as_micros()),
            (500, 2_500)
        );
        sync.heard(Exchange {
            asked_us: 9,
            arrived_us: 8,
            sent_us: 7,
            heard_us: 10,
        });
        sync.heard(Exchange {
            asked_us: 9,
            arrived_us: 8,
            sent_us: 9,
            heard_us: 8,
        });
        assert_eq!(wrong(&sync), 500);
    }

    /// A client whose clock starts at the server's, drifts by `drift_ppm` millionths and stands
    /// still while it sleeps.
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

        /// Runs an exchange with these delays; returns whether it agrees with the estimate.
        fn ask(&mut self, there_us: u64, back_us: u64) -> bool {
            let (asked_us, arrived_us) = (self.shown(self.now_us), self.now_us + there_us);
            self.now_us += there_us + back_us;
            let heard_us = self.shown(self.now_us);
            self.sync.heard(Exchange {
                asked_us,
                arrived_us,
                sent_us: arrived_us,
                heard_us,
            })
        }

        /// Error of the estimate and its bound, in microseconds.
        fn wrong(&self) -> (u64, u64) {
            let now = Timestamp::from_micros(self.shown(self.now_us));
            let wrong = (self.sync.server_us(now).unwrap() - self.now_us as i64).unsigned_abs();
            (
                wrong,
                self.sync.uncertainty_at(now).unwrap().as_micros() as u64,
            )
        }
    }

    #[test]
    fn after_a_sleep_the_first_exchange_starts_the_estimate_over() {
        for slept_ms in [30, 1_000, 20_000, 3_600_000] {
            for drift_ppm in [-500, 0, 500] {
                let sync = TimeSync::default();
                let mut client = Client {
                    sync,
                    now_us: 1_000_000_000,
                    slept_us: 0,
                    drift_ppm,
                };
                for _ in 0..10 {
                    assert!(client.ask(4_000, 6_000));
                    client.now_us += 2_000_000;
                }
                client.slept_us += slept_ms * 1_000;
                client.now_us += slept_ms * 1_000;
                // The delay is longer than before: the shortest exchange is from before the sleep.
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
        let mut client = Client {
            sync,
            now_us: 1_000_000_000,
            slept_us: 0,
            drift_ppm: 0,
        };
        client.ask(5_000, 5_000);
        let (asked_us, arrived_us) = (client.shown(client.now_us), client.now_us + 5_000);
        (client.slept_us, client.now_us) = (20_000_000, client.now_us + 20_010_000);
        let heard_us = client.shown(client.now_us);
        client.sync.heard(Exchange {
            asked_us,
            arrived_us,
            sent_us: arrived_us,
            heard_us,
        });
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
            let mut client = Client {
                sync,
                now_us: 1_000_000_000,
                slept_us: 0,
                drift_ppm,
            };
            for question in 0..1_000u64 {
                // Delays of 1 to 80 ms, and now and then a minute without an answer.
                let [there, back] = [7, 13].map(|by| 1_000 + question * by * 7_919 % 80_000);
                assert!(
                    client.ask(there, back),
                    "{drift_ppm} ppm, question {question}"
                );
                for pause in [
                    0,
                    if question % 50 == 0 {
                        60_000_000
                    } else {
                        2_000_000
                    },
                ] {
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
        let mut client = Client {
            sync,
            now_us: 1_000_000_000,
            slept_us: 0,
            drift_ppm: 0,
        };
        client.ask(5_000, 5_000);
        let now = Timestamp::from_micros(client.shown(client.now_us));
        assert!(client.sync.not_before(client.now_us as i64, now));
        assert!(
            !client
                .sync
                .not_before(client.now_us as i64 + 20_000_000, now)
        );
        assert_eq!(
            (client.sync.server_us(now), client.sync.uncertainty_at(now)),
            (None, None)
        );
    }
}
