//! The clocks of a case: when its event begins and ends, the client's clock and its frames.

use std::time::Duration;

use rand::RngExt;
use truetick_netcode::time::Timestamp;

use super::{START, World};

impl World {
    pub(super) fn event_begin(&self) -> Timestamp {
        START + Duration::from_secs_f64(self.case.at_s)
    }

    pub(super) fn event_end(&self) -> Timestamp {
        START + self.case.event_end()
    }

    pub(super) fn in_event(&self, ms: u32) -> bool {
        let begin = self.event_begin();
        self.now >= begin && self.now < begin + Duration::from_millis(u64::from(ms))
    }

    pub(super) fn server_stands(&self) -> bool {
        self.in_event(self.case.stall_ms)
    }

    pub(super) fn client_stands(&self) -> bool {
        self.in_event(self.case.hitch_ms)
    }

    /// The client's clock: it may drift from true time.
    pub(super) fn client_time(&self, now: Timestamp) -> Timestamp {
        let passed = now.as_nanos() as i128 - START.as_nanos() as i128;
        let shown = passed + passed * i128::from(self.case.drift_ppm) / 1_000_000;
        Timestamp::from_nanos((START.as_nanos() as i128 + shown) as u64)
    }

    /// The first true time at which the client's clock shows `shown` or more.
    pub(super) fn true_time(&self, shown: Timestamp) -> Timestamp {
        let passed = i128::from(shown.as_nanos()) - i128::from(START.as_nanos());
        let rate = 1_000_000 + i128::from(self.case.drift_ppm);
        let real = (passed.max(0) * 1_000_000 + rate - 1) / rate;
        Timestamp::from_nanos(
            u64::try_from(i128::from(START.as_nanos()) + real).unwrap_or(u64::MAX),
        )
    }

    pub(super) fn frame_length(&mut self) -> Duration {
        let even = 1e9 / f64::from(self.case.display_hz);
        let spread = f64::from(self.case.irregular) / 100.0;
        let factor = if spread > 0.0 {
            self.rng.random_range(1.0 - spread..=1.0 + spread)
        } else {
            1.0
        };
        Duration::from_nanos((even * factor) as u64)
    }
}
