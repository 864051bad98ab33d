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

/// When the ticks of an auction are due. An auction counts its ticks with 64 bits, so they never
/// wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuctionTimeLine {
    /// Time at which tick 0 was due, in microseconds of the server's clock.
    pub epoch_us: i64,
    /// Ticks per second, from 1 to 1,000.
    pub tick_rate: u32,
}

impl AuctionTimeLine {
    /// Time at which a tick is due, in microseconds of the server's clock.
    fn due_us(&self, tick: u64) -> i128 {
        i128::from(self.epoch_us) + i128::from(tick) * 1_000_000 / i128::from(self.tick_rate)
    }
}

impl Countdown {
    /// Computes a lot's countdown at `now`; `None` while the server's clock is unknown.
    pub fn of(
        lot: &PublicLot,
        time: &TimeSync,
        line: AuctionTimeLine,
        now: Timestamp,
    ) -> Option<Self> {
        let from_us = match lot.paused {
            Some(since) => line.due_us(since),
            None => i128::from(time.server_us(now)?),
        };
        // The last tick before the close takes the bids of whole milliseconds that had ended when
        // the tick was due.
        let last_us = line.due_us(lot.closes.saturating_sub(1)) - 1_000;
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
