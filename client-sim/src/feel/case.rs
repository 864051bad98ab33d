//! One case of a measurement: a path, its changes, and a display. Cases are parameters, not code.

use std::time::Duration;

use clap::Args;

use crate::profile::Profile;

/// Parameters of a measurement in virtual time.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Case {
    /// Network profile in place of round trip, jitter and loss; most bounds do not apply
    #[arg(long, value_enum)]
    pub profile: Option<Profile>,
    /// Round trip of the path, half of it each way, in milliseconds (0 to 2,000)
    #[arg(long, value_name = "MS", default_value_t = 80)]
    pub rtt_ms: u32,
    /// Ticks per second of the server (10 to 128)
    #[arg(long, value_name = "HZ", default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=128))]
    pub tick_rate: u32,
    /// Frames per second of the display (1 to 1,000)
    #[arg(long, value_name = "HZ", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub display_hz: u32,
    /// The client runs only when a frame is drawn, not by a timer of its own
    #[arg(long)]
    pub frame_bound: bool,
    /// Variation of frame lengths: each is even plus or minus up to this many percent (0 to 90)
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=90))]
    pub irregular: u32,
    /// When a step, hold, outage, hitch or stall happens, in seconds
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    pub at_s: f64,
    /// From --at-s on the path to the server is longer by this (below zero: shorter)
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub step_up_ms: i32,
    /// From --at-s on the path to the client is longer by this (below zero: shorter)
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub step_down_ms: i32,
    /// Both directions hold what they carry for this long and deliver it at once
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub hold_ms: u32,
    /// Both directions lose what they carry for this long
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub outage_ms: u32,
    /// The client's process, its display included, stands still for this long
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub hitch_ms: u32,
    /// The server's process stands still for this long
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub stall_ms: u32,
    /// Share of datagrams that is lost in each direction (0 to 0.9)
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub loss: f64,
    /// Each datagram takes up to this much longer in each direction; order is kept
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub jitter_ms: u32,
    /// Jitter in bursts: every 2 s both directions hold what they carry for the jitter's length
    #[arg(long)]
    pub jitter_bursts: bool,
    /// Moving entities: in turn straight on, turning once a second, stop and go (1 to 10,000)
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub movers: u32,
    /// Most bytes of state in a snapshot (300 to 8,000)
    #[arg(long, value_name = "BYTES", default_value_t = 2_400, value_parser = clap::value_parser!(u32).range(300..=8_000))]
    pub budget: u32,
    /// Drift of the client's clock in millionths (below zero: too slow)
    #[arg(
        long,
        value_name = "PPM",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub drift_ppm: i32,
    /// Length of the measurement in seconds (3 to 500)
    #[arg(long, value_name = "S", default_value_t = 15.0)]
    pub seconds: f64,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// A case with a parameter out of its range, named by its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is out of its range, see --help")]
pub(crate) struct InvalidCase(&'static str);

/// Length of the warm-up in seconds: the client joins in it, and it is not judged.
pub(crate) const WARM_UP_S: f64 = 2.0;

impl Default for Case {
    fn default() -> Self {
        Self {
            profile: None,
            rtt_ms: 80,
            tick_rate: 60,
            display_hz: 60,
            frame_bound: false,
            irregular: 0,
            at_s: 5.0,
            step_up_ms: 0,
            step_down_ms: 0,
            hold_ms: 0,
            outage_ms: 0,
            hitch_ms: 0,
            stall_ms: 0,
            loss: 0.0,
            jitter_ms: 0,
            jitter_bursts: false,
            movers: 6,
            budget: 2_400,
            drift_ppm: 0,
            seconds: 15.0,
            seed: 1,
        }
    }
}

impl Case {
    /// A case of 32 s over a profile's network.
    pub fn over(profile: Profile, tick_rate: u32) -> Self {
        let latency = profile.link().unwrap_or_default().latency;
        let rtt_ms = 2 * latency.as_millis() as u32;
        Self {
            profile: Some(profile),
            rtt_ms,
            tick_rate,
            seconds: 32.0,
            ..Self::default()
        }
    }

    /// Checks the ranges that the command line does not check by itself.
    ///
    /// # Errors
    /// A parameter is out of its range.
    pub(crate) fn validate(&self) -> Result<(), InvalidCase> {
        let half = (self.rtt_ms / 2) as i32;
        let checks = [
            (self.rtt_ms <= 2_000, "--rtt-ms"),
            ((3.0..=500.0).contains(&self.seconds), "--seconds"),
            ((WARM_UP_S..=self.seconds).contains(&self.at_s), "--at-s"),
            ((-half..=2_000).contains(&self.step_up_ms), "--step-up-ms"),
            (
                (-half..=2_000).contains(&self.step_down_ms),
                "--step-down-ms",
            ),
            ((0.0..=0.9).contains(&self.loss), "--loss"),
            (self.jitter_ms <= 1_000, "--jitter-ms"),
            (self.drift_ppm.unsigned_abs() <= 10_000, "--drift-ppm"),
            (
                self.pause_ms() <= 60_000,
                "the length of a hold, outage, hitch or stall",
            ),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, name)) => Err(InvalidCase(name)),
            None => Ok(()),
        }
    }

    /// Length of a tick in milliseconds.
    pub fn tick_ms(&self) -> f64 {
        1e3 / f64::from(self.tick_rate)
    }

    /// The longest pause of path, client or server, in milliseconds.
    pub(crate) fn pause_ms(&self) -> u32 {
        self.hold_ms
            .max(self.outage_ms)
            .max(self.hitch_ms)
            .max(self.stall_ms)
    }

    /// Whether an event happens at [`Case::at_s`].
    pub(crate) fn has_event(&self) -> bool {
        self.pause_ms() > 0 || self.step_up_ms != 0 || self.step_down_ms != 0
    }

    /// Time from the start to the end of the event.
    pub(crate) fn event_end(&self) -> Duration {
        Duration::from_secs_f64(self.at_s) + Duration::from_millis(u64::from(self.pause_ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_out_of_range_is_named() {
        assert_eq!(Case::default().validate(), Ok(()));
        let short = Case {
            rtt_ms: 80,
            step_up_ms: -41,
            ..Case::default()
        };
        assert_eq!(short.validate(), Err(InvalidCase("--step-up-ms")));
        assert!(
            Case {
                loss: f64::NAN,
                ..Case::default()
            }
            .validate()
            .is_err()
        );
    }
}
