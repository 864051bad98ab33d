//! The remaining time of a lot, as far as a client knows it.

use std::time::Duration;

use truetick_netcode::time::Timestamp;

use super::public_lot::PublicLot;
use super::time_sync::TimeSync;

/// The remaining time of a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Countdown {
    /// Time until the last moment at which a bid counts, by the client's estimate; zero for a lot
    /// that has ended.
    pub left: Duration,
    /// A bid sent within this time arrives before the close, provided that the path delay does not
    /// grow.
    pub send_within: Duration,
    /// Bound of the error of both times: half of the round trip plus a thousandth of the time since
    /// the measurement. A client clock that stood still, as on a laptop that slept, is detected
    /// with the server's next message; then there is no countdown until the next time answer.
    pub uncertainty: Duration,
    /// Whether the auction's clock is paused.
    pub paused: bool,
}

impl Countdown {
    /// Computes a lot's countdown at `now`. Tick 0 of the auction was due at `epoch_us` of the
    /// server's clock; `tick_rate` is in ticks per second. `None` while the server's clock is
    /// unknown.
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
        // The last tick before the close takes the bids of whole milliseconds that had ended when
        // the tick was due.
        let last_us = at_us(lot.closes.saturating_sub(1)) - 1_000;
        let left_us = if lot.ending.is_some() {
            0
        } else {
            u64::try_from((last_us - from_us).max(0)).ok()?
        };
        let (left, uncertainty) = (Duration::from_micros(left_us), time.uncertainty_at(now)?);
        // Leaves time for one way there and for the clock's error.
        let send_within = left.saturating_sub(time.round_trip()? / 2 + uncertainty);
        Some(Self {
            left,
            send_within,
            uncertainty,
            paused: lot.paused.is_some(),
        })
    }
}
