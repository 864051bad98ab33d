//! The path of a case: its latency, jitter and loss, and the change in the middle of the case.

use std::time::Duration;

use truetick_netcode::link_sim::{Holds, LinkConfig};

use super::World;

impl World {
    pub(super) fn change_path(&mut self) {
        if !self.event_began && self.now >= self.event_begin() {
            self.event_began = true;
            let lost = if self.case.outage_ms > 0 { 1.0 } else { 0.0 };
            self.set_path(true, lost);
            if self.case.hold_ms > 0 {
                let until = self.now + Duration::from_millis(u64::from(self.case.hold_ms));
                self.up.clog(until + self.latency(self.case.step_up_ms));
                self.down.clog(until + self.latency(self.case.step_down_ms));
            }
        }
        if !self.event_ended && self.now >= self.event_end() {
            self.event_ended = true;
            if self.case.outage_ms > 0 {
                self.set_path(true, 0.0);
            }
        }
    }

    pub(super) fn latency(&self, step_ms: i32) -> Duration {
        let ms = f64::from(self.case.rtt_ms) / 2.0 + f64::from(step_ms);
        Duration::from_secs_f64(ms.max(0.0) / 1e3)
    }

    pub(super) fn set_path(&mut self, stepped: bool, extra_loss: f64) {
        let jitter = Duration::from_millis(u64::from(self.case.jitter_ms));
        let holds = Holds {
            interval: Duration::from_secs(2),
            length: jitter,
        };
        let bursts = self.case.jitter_bursts && self.case.jitter_ms > 0;
        let spread = if self.case.jitter_bursts {
            Duration::ZERO
        } else {
            jitter
        };
        let config = |latency: Duration| LinkConfig {
            latency: latency + spread / 2,
            jitter: spread,
            loss: self.case.loss.max(extra_loss),
            holds: bursts.then_some(holds),
            ..LinkConfig::default()
        };
        let step = |ms: i32| if stepped { ms } else { 0 };
        let up = config(self.latency(step(self.case.step_up_ms)));
        let down = config(self.latency(step(self.case.step_down_ms)));
        let whole = self
            .case
            .profile
            .map(|profile| profile.link().unwrap_or_default());
        self.up.reroute(whole.unwrap_or(up));
        self.down.reroute(whole.unwrap_or(down));
    }
}
