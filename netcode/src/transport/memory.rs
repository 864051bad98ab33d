//! A network inside the process, under the caller's time: every path is a [`LinkSim`].

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::link_sim::{LinkConfig, LinkSim, LinkStats};
use crate::time::Timestamp;

/// A datagram that came out of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When.
    pub at: Timestamp,
    /// From whom.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// Paths between addresses. The same seed and calls give the same deliveries.
#[derive(Debug)]
pub struct MemoryNetwork {
    seed: u64,
    default: LinkConfig,
    links: BTreeMap<(SocketAddr, SocketAddr), LinkSim>,
}

impl MemoryNetwork {
    /// A network whose paths behave as `default` until told otherwise.
    pub fn new(default: LinkConfig, seed: u64) -> Self {
        Self { seed, default, links: BTreeMap::new() }
    }

    /// Changes how datagrams behave from now on, on both ways between two addresses.
    pub fn set_path(&mut self, a: SocketAddr, b: SocketAddr, config: LinkConfig) {
        self.link(a, b).set_config(config);
        self.link(b, a).set_config(config);
    }

    /// Changes how datagrams behave from now on, one way only.
    pub fn set_link(&mut self, from: SocketAddr, to: SocketAddr, config: LinkConfig) {
        self.link(from, to).set_config(config);
    }

    /// Sends a datagram.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], now: Timestamp) {
        self.link(from, to).push(bytes, now);
    }

    /// When the next datagram comes out.
    pub fn next_delivery(&self) -> Option<Timestamp> {
        self.links.values().filter_map(LinkSim::next_delivery).min()
    }

    /// The next datagram that has come out by now; among equals that of the lower addresses.
    pub fn pop(&mut self, now: Timestamp) -> Option<Delivery> {
        let next =
            self.links.iter_mut().filter_map(|(ends, link)| Some((link.next_delivery()?, *ends, link)));
        let (at, (from, to), link) = next.min_by_key(|(at, ends, _)| (*at, *ends))?;
        Some(Delivery { at, from, to, bytes: link.pop(now)? })
    }

    /// What became of all datagrams so far.
    pub fn stats(&self) -> LinkStats {
        self.links.values().map(LinkSim::stats).fold(LinkStats::default(), |a, b| LinkStats {
            sent: a.sent + b.sent,
            lost: a.lost + b.lost,
            overflowed: a.overflowed + b.overflowed,
            duplicated: a.duplicated + b.duplicated,
            reordered: a.reordered + b.reordered,
            corrupted: a.corrupted + b.corrupted,
        })
    }

    fn link(&mut self, from: SocketAddr, to: SocketAddr) -> &mut LinkSim {
        let (default, seed) = (self.default, self.seed);
        self.links.entry((from, to)).or_insert_with(|| {
            let ports = u64::from(from.port()) << 16 | u64::from(to.port());
            LinkSim::new(default, seed ^ ports.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn datagrams_come_out_in_the_order_of_their_times() {
        let [a, b, c] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut network = MemoryNetwork::new(LinkConfig::default(), 1);
        let slow = LinkConfig { latency: Duration::from_millis(9), ..LinkConfig::default() };
        network.set_path(a, b, slow);
        network.send(a, b, b"slow", Timestamp::default());
        network.send(a, c, b"fast", Timestamp::default());
        assert_eq!(network.pop(Timestamp::default()).unwrap().bytes, b"fast");
        assert_eq!(network.pop(Timestamp::default()), None);
        let at = network.next_delivery().unwrap();
        assert_eq!(at, Timestamp::from_millis(9));
        assert_eq!(network.pop(at), Some(Delivery { at, from: a, to: b, bytes: b"slow".to_vec() }));
    }
}
