//! How long a lot still has, as well as a client knows.

use std::time::Duration;

use truetick_netcode::time::Timestamp;

use super::public_lot::PublicLot;
use super::time_sync::TimeSync;

/// How long a lot still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Countdown {
    /// Until the last moment at which a bid may arrive, as well as the client knows; nothing for a
    /// lot that has ended.
    pub left: Duration,
    /// What is sent within this time comes before the close for sure, if the way is no longer than
    /// it was.
    pub send_within: Duration,
    /// By how much both may be wrong: half of a round trip, and a thousandth of the time since it
    /// was measured. A clock that stood still, as that of a laptop that slept, is noticed with the
    /// server's next message, and until the next answer to a question for the time there is no
    /// countdown.
    pub uncertainty: Duration,
    /// Whether the auction's clock stands still.
    pub paused: bool,
}

impl Countdown {
    /// A lot's countdown at `now`; tick 0 of the auction was due at `epoch_us` of the server's
    /// clock, and `tick_rate` follow each second. `None` while the server's clock is not known.
    pub fn of(
        lot: &PublicLot,
        time: &TimeSync,
        (epoch_us, tick_rate): (i64, u32),
        now: Timestamp,
    ) -> Option<Self> {
        let at_us =
            |tick: u64| i128::from(epoch_us) + i128::from(tick) * 1_000_000 / i128::from(tick_rate);
        let from_us = match lot.paused {
            Some(since) => at_us(since),
            None => i128::from(time.server_us(now)?),
        };
        // The last tick before the close takes what came in milliseconds that were over when it was
        // due.
        let last_us = at_us(lot.closes.saturating_sub(1)) - 1_000;
        let left_us = if lot.ending.is_some() {
            0
        } else {
            u64::try_from((last_us - from_us).max(0)).ok()?
        };
        let (left, uncertainty) = (Duration::from_micros(left_us), time.uncertainty_at(now)?);
        // One way there, and what the clock may be wrong by.
        let send_within = left.saturating_sub(time.round_trip()? / 2 + uncertainty);
        Some(Self { left, send_within, uncertainty, paused: lot.paused.is_some() })
    }
}
