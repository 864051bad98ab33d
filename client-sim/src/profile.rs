//! The networks between bots and server, with their numbers.
//!
//! | profile | round trip | jitter | loss, each way | else |
//! |---|---|---|---|---|
//! | `clean` | loopback itself, no relay | | | |
//! | `lan` | 1 ms | 0.2 ms | none | |
//! | `wan` | 80 ms | 10 ms | 1 % | |
//! | `mobile` | 120 ms | 40 ms | 3 %, in bursts of 6 datagrams on average | |
//! | `awful` | 200 ms | 60 ms | 10 % | 2 % overtaken, 2 % doubled |
//! | `wifi` | 20 ms | 4 ms | none | every 2 s all is held up for 50 ms, each way |
//! | `handover` | 80 or 230 ms, changing every 5 s | 4 ms | none | every 12 s nothing for 1 s |
//! | `congested` | 60 ms | 4 ms | by a full queue | 15 kB/s each way, 2 s of queue |
//!
//! Jitter is the width of the distribution of the one-way delay.

use std::time::Duration;

use clap::ValueEnum;
use truetick_netcode::link_sim::{Bursts, Holds, LinkConfig, Steps};

/// A network profile; the module lists the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Loopback itself, without a relay
    Clean,
    /// A local network
    Lan,
    /// A wired path across a continent
    Wan,
    /// A mobile phone
    Mobile,
    /// The worst path that is supported
    Awful,
    /// A radio that scans other channels
    Wifi,
    /// A moving phone that changes its station
    Handover,
    /// A path of low rate with a long queue
    Congested,
}

impl Profile {
    /// One direction of the path; `None` for a path without relay.
    pub fn link(self) -> Option<LinkConfig> {
        let path = |rtt_us: u64, jitter_us: u64| LinkConfig {
            latency: Duration::from_micros(rtt_us / 2),
            jitter: Duration::from_micros(jitter_us),
            ..LinkConfig::default()
        };
        let every = |interval_ms: u64, length_ms: u64| Holds {
            interval: Duration::from_millis(interval_ms),
            length: Duration::from_millis(length_ms),
        };
        let steps = Steps {
            interval: Duration::from_secs(5),
            by: Duration::from_millis(75),
        };
        // 0.5 % of datagrams begin a burst of 6 on average: 3 % are in a burst.
        let bursts = Bursts {
            enter: 0.005_2,
            leave: 1.0 / 6.0,
            loss: 1.0,
        };
        match self {
            Self::Clean => None,
            Self::Lan => Some(path(1_000, 200)),
            Self::Wan => Some(LinkConfig {
                loss: 0.01,
                ..path(80_000, 10_000)
            }),
            Self::Mobile => Some(LinkConfig {
                bursts: Some(bursts),
                ..path(120_000, 40_000)
            }),
            Self::Awful => Some(LinkConfig {
                loss: 0.1,
                reorder: 0.02,
                duplicate: 0.02,
                ..path(200_000, 60_000)
            }),
            Self::Wifi => Some(LinkConfig {
                holds: Some(every(2_000, 50)),
                ..path(20_000, 4_000)
            }),
            Self::Handover => Some(LinkConfig {
                steps: Some(steps),
                outages: Some(every(12_000, 1_000)),
                ..path(80_000, 4_000)
            }),
            Self::Congested => Some(LinkConfig {
                rate: Some(15_000),
                queue: Duration::from_secs(2),
                ..path(60_000, 4_000)
            }),
        }
    }

    /// A description with the numbers.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Clean => "clean: loopback itself",
            Self::Lan => "lan: 1 ms round trip, 0.2 ms jitter",
            Self::Wan => "wan: 80 ms round trip, 10 ms jitter, 1 % loss",
            Self::Mobile => "mobile: 120 ms round trip, 40 ms jitter, 3 % loss in bursts",
            Self::Awful => {
                "awful: 200 ms round trip, 60 ms jitter, 10 % loss, 2 % overtaken, 2 % doubled"
            }
            Self::Wifi => "wifi: 20 ms round trip, every 2 s all is held up for 50 ms",
            Self::Handover => {
                "handover: 80 or 230 ms round trip, changing every 5 s, and every 12 s nothing for 1 s"
            }
            Self::Congested => "congested: 60 ms round trip, 15 kB/s each way, 2 s of queue",
        }
    }
}
