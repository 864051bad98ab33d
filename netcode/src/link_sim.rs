//! A network path as a pure state machine: seeded latency, jitter, loss, duplication, reordering,
//! corruption, a rate limit and a queue.
//!
//! One [`LinkSim`] is one direction. A datagram is pushed with a time and popped at its delivery
//! time; equal seeds and calls give equal results.
//!
//! ```
//! use std::time::Duration;
//! use truetick_netcode::link_sim::{LinkConfig, LinkSim};
//! use truetick_netcode::time::Timestamp;
//!
//! let config = LinkConfig { latency: Duration::from_millis(40), ..LinkConfig::default() };
//! let (mut link, now) = (LinkSim::new(config, 1), Timestamp::from_millis(1_000));
//! link.push(b"hello", now);
//! assert_eq!(link.pop(now), None);
//! assert_eq!(link.pop(now + config.latency).as_deref(), Some(&b"hello"[..]));
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Add;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::limits::LINK_QUEUE;
use crate::time::Timestamp;

/// Burst loss by the Gilbert-Elliott model: a good and a bad state with a transition probability
/// per datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Probability of a change from good to bad, per datagram.
    pub enter: f64,
    /// Probability of a change from bad to good, per datagram; its inverse is the mean length of a
    /// burst.
    pub leave: f64,
    /// Probability of loss in the bad state.
    pub loss: f64,
}

/// Periodic holds, like those of a radio that scans other channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// Time from the beginning of one hold to that of the next.
    pub interval: Duration,
    /// Duration of each hold. Datagrams sent during a hold are released at its end, all at once and
    /// in order.
    pub length: Duration,
}

/// Periodic changes of the delay, like those of a handover between two base stations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Time from one change to the next.
    pub interval: Duration,
    /// Additional delay in every second interval, beginning with the second one.
    pub by: Duration,
}

/// Behaviour of one direction of a path. The default neither delays, loses nor changes datagrams.
/// All probabilities are from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkConfig {
    /// Mean one-way delay.
    pub latency: Duration,
    /// Range of the delay: each datagram is delayed by `latency` plus a uniform random value within
    /// plus or minus half of this. The order is kept.
    pub jitter: Duration,
    /// Probability that a datagram is lost, independent of others.
    pub loss: f64,
    /// Burst loss in addition to `loss`; `None` for no bursts.
    pub bursts: Option<Bursts>,
    /// Probability that a datagram is duplicated.
    pub duplicate: f64,
    /// Probability that a datagram is reordered: it is delayed by another 1 to 50 ms, and later
    /// ones may overtake it.
    pub reorder: f64,
    /// Probability that one bit of a datagram is flipped.
    pub corrupt: f64,
    /// Rate limit in bytes per second; `None` for no limit.
    pub rate: Option<u32>,
    /// Longest time for which a datagram waits for the rate limit; if it would wait longer it is
    /// dropped. Zero stands for 200 ms.
    pub queue: Duration,
    /// Periodic holds; `None` for none.
    pub holds: Option<Holds>,
    /// Periodic outages, during which every datagram is lost; `None` for none.
    pub outages: Option<Holds>,
    /// Periodic changes of the delay; `None` for none.
    pub steps: Option<Steps>,
}

impl Holds {
    /// Time at which a datagram sent at `at` is released.
    fn release(&self, at: Timestamp) -> Timestamp {
        let phase = phase(at, self.interval);
        if phase < self.length {
            at + (self.length - phase)
        } else {
            at
        }
    }

    fn is_held(&self, at: Timestamp) -> bool {
        phase(at, self.interval) < self.length
    }
}

impl Steps {
    fn delay(&self, at: Timestamp) -> Duration {
        let is_longer = phase(at, self.interval * 2) >= self.interval;
        if is_longer { self.by } else { Duration::ZERO }
    }
}

/// Time since the last multiple of `interval`.
fn phase(at: Timestamp, interval: Duration) -> Duration {
    Duration::from_nanos((u128::from(at.as_nanos()) % interval.as_nanos().max(1)) as u64)
}

impl LinkConfig {
    /// Configuration of a path that loses every datagram.
    pub fn cut() -> Self {
        Self {
            loss: 1.0,
            ..Self::default()
        }
    }
}

/// Counts of what happened to datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Number of datagrams pushed.
    pub sent: u64,
    /// Number of datagrams lost at random, in bursts or in outages.
    pub lost: u64,
    /// Number of datagrams dropped by a full queue.
    pub overflowed: u64,
    /// Number of datagrams duplicated.
    pub duplicated: u64,
    /// Number of datagrams delayed so that later ones may overtake them.
    pub reordered: u64,
    /// Number of datagrams with a flipped bit.
    pub corrupted: u64,
    /// Number of datagrams delayed by [`LinkSim::clog`].
    pub clogged: u64,
}

impl Add for LinkStats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            lost: self.lost + other.lost,
            overflowed: self.overflowed + other.overflowed,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            corrupted: self.corrupted + other.corrupted,
            clogged: self.clogged + other.clogged,
        }
    }
}

/// A simulator of one direction of a path.
#[derive(Debug)]
pub struct LinkSim {
    config: LinkConfig,
    rng: Xoshiro256PlusPlus,
    bad: bool,
    /// Time at which the rate limit lets the next datagram pass.
    free_at: Timestamp,
    /// Latest delivery time so far of a datagram that keeps its order.
    last_at: Timestamp,
    /// No new datagram is delivered before this time.
    clogged_until: Timestamp,
    order: u64,
    in_flight: BinaryHeap<Reverse<(Timestamp, u64, Vec<u8>)>>,
    stats: LinkStats,
}

impl LinkSim {
    /// Creates a path whose random numbers follow from `seed`.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            bad: false,
            free_at: Timestamp::default(),
            last_at: Timestamp::default(),
            clogged_until: Timestamp::default(),
            order: 0,
            in_flight: BinaryHeap::new(),
            stats: LinkStats::default(),
        }
    }

    /// Returns the present configuration.
    pub fn config(&self) -> LinkConfig {
        self.config
    }

    /// Changes the configuration for datagrams that are pushed from now on.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
        self.bad = false;
    }

    /// Changes the route: datagrams that are pushed from now on follow `config` and may overtake
    /// earlier ones.
    pub fn reroute(&mut self, config: LinkConfig) {
        self.set_config(config);
        self.last_at = Timestamp::default();
    }

    /// Delays datagrams that are pushed from now on until `until` at least, so that they are
    /// delivered at once then.
    pub fn clog(&mut self, until: Timestamp) {
        self.clogged_until = until;
    }

    /// Returns the counts of what happened to datagrams so far.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Time of the next delivery; `None` if no datagram is in flight.
    pub fn next_delivery(&self) -> Option<Timestamp> {
        self.in_flight.peek().map(|Reverse((at, ..))| *at)
    }

    /// Pushes a datagram at time `now`.
    pub fn push(&mut self, bytes: &[u8], now: Timestamp) {
        self.stats.sent += 1;
        let is_out = self
            .config
            .outages
            .is_some_and(|outages| outages.is_held(now));
        if self.is_lost() || is_out {
            self.stats.lost += 1;
            return;
        }
        let Some(passed) = self.pass_rate(bytes.len(), now) else {
            self.stats.overflowed += 1;
            return;
        };
        self.deliver(bytes.to_vec(), passed);
        if self.chance(self.config.duplicate) {
            self.stats.duplicated += 1;
            self.deliver(bytes.to_vec(), passed);
        }
    }

    /// Pops the next datagram that is delivered by `now`; `None` if there is none.
    pub fn pop(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        if self.next_delivery()? > now {
            return None;
        }
        self.in_flight.pop().map(|Reverse((_, _, bytes))| bytes)
    }

    fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && self.rng.random_bool(p.min(1.0))
    }

    fn is_lost(&mut self) -> bool {
        if let Some(bursts) = self.config.bursts {
            self.bad = if self.bad {
                !self.chance(bursts.leave)
            } else {
                self.chance(bursts.enter)
            };
            if self.bad && self.chance(bursts.loss) {
                return true;
            }
        }
        self.chance(self.config.loss)
    }

    /// Time at which a datagram of `len` bytes has passed the rate limit; `None` if the queue is
    /// full.
    fn pass_rate(&mut self, len: usize, now: Timestamp) -> Option<Timestamp> {
        if self.in_flight.len() >= LINK_QUEUE {
            return None;
        }
        let Some(rate) = self.config.rate else {
            return Some(now);
        };
        let longest = if self.config.queue.is_zero() {
            Duration::from_millis(200)
        } else {
            self.config.queue
        };
        let start = self.free_at.max(now);
        if start.since(now) > longest {
            return None;
        }
        self.free_at = start + Duration::from_secs_f64(len as f64 / f64::from(rate.max(1)));
        Some(self.free_at)
    }

    fn deliver(&mut self, mut bytes: Vec<u8>, passed: Timestamp) {
        let spread = self.config.jitter.as_micros() as i64;
        let jitter = if spread > 0 {
            self.rng.random_range(-spread / 2..=spread / 2)
        } else {
            0
        };
        let released = self
            .config
            .holds
            .map_or(passed, |holds| holds.release(passed));
        let latency = self.config.latency
            + self
                .config
                .steps
                .map_or(Duration::ZERO, |steps| steps.delay(passed));
        let mut at = (passed + latency).offset_micros(jitter).max(passed);
        at = at.max(released + latency.saturating_sub(self.config.jitter / 2));
        if self.chance(self.config.reorder) {
            self.stats.reordered += 1;
            at += Duration::from_micros(self.rng.random_range(1_000..50_000));
        } else {
            at = at.max(self.last_at);
            self.last_at = at;
        }
        if at < self.clogged_until {
            self.stats.clogged += 1;
            at = self.clogged_until;
            self.last_at = self.last_at.max(at);
        }
        if !bytes.is_empty() && self.chance(self.config.corrupt) {
            self.stats.corrupted += 1;
            let bit = self.rng.random_range(0..bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        self.in_flight.push(Reverse((at, self.order, bytes)));
        self.order += 1;
    }
}

#[cfg(test)]
mod tests;
