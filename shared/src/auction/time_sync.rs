//! The server's clock as a client knows it, and how honest a countdown can be (after RFC 5905's four timestamps).

use std::time::Duration;

use truetick_netcode::time::Timestamp;

/// Samples that are looked at: the best of about a quarter of a minute.
const SAMPLES: usize = 8;

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
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct TimeSync {
    samples: Vec<Sample>,
}

impl TimeSync {
    /// Takes in an answer. What cannot be (an answer before its question) is ignored.
    pub fn heard(&mut self, exchange: Exchange) {
        let Exchange { asked_us, arrived_us, sent_us, heard_us } = exchange;
        let (Some(out), Some(held)) = (heard_us.checked_sub(asked_us), sent_us.checked_sub(arrived_us))
        else {
            return;
        };
        let round_trip_us = out.saturating_sub(held);
        let middle = |a: u64, b: u64| (i128::from(a) + i128::from(b)) / 2;
        let offset = middle(arrived_us, sent_us) - middle(asked_us, heard_us);
        let Ok(offset_us) = i64::try_from(offset) else { return };
        if self.samples.len() == SAMPLES {
            self.samples.remove(0);
        }
        self.samples.push(Sample { offset_us, round_trip_us });
    }

    /// The sample with the shortest way: of all it can be wrong by the least, by half of its round trip.
    fn best(&self) -> Option<Sample> {
        self.samples.iter().min_by_key(|sample| sample.round_trip_us).copied()
    }

    /// What the server's clock shows at a time of the client's, in microseconds.
    pub fn server_us(&self, now: Timestamp) -> Option<i64> {
        Some((now.as_micros() as i64).saturating_add(self.best()?.offset_us))
    }

    /// By how much that may be wrong.
    pub fn uncertainty(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.best()?.round_trip_us / 2))
    }

    /// The shortest way there and back.
    pub fn round_trip(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.best()?.round_trip_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_exchange_decides_and_its_error_is_within_its_half() {
        let mut sync = TimeSync::default();
        // The server is 1,000,000 us ahead. Ways of 20,000 and 80,000 us; the answer waits 5,000.
        sync.heard(Exchange { asked_us: 0, arrived_us: 1_020_000, sent_us: 1_025_000, heard_us: 105_000 });
        let wrong = |sync: &TimeSync| sync.server_us(Timestamp::from_micros(0)).unwrap().abs_diff(1_000_000);
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
}
