//! Packets: each is taken at most once, however often the network brings it.

use std::collections::{BTreeMap, VecDeque};

use xxhash_rust::xxh3::xxh3_64;

use crate::network::Way;

/// Packets remembered per way: copies come within 50 ms of each other.
const REMEMBERED: usize = 256;

/// See the module. Packets are told apart by their bytes, which hold their number and their
/// session's checksum.
#[derive(Debug, Default)]
pub struct RepeatCheck {
    taken: BTreeMap<(usize, Way), VecDeque<u64>>,
}

impl RepeatCheck {
    /// One side took a packet that came by this way.
    pub fn taken(&mut self, way: (usize, Way), bytes: &[u8], wrong: &mut Vec<String>) {
        let taken = self.taken.entry(way).or_default();
        let packet = xxh3_64(bytes);
        if taken.contains(&packet) {
            wrong.push(format!("path {} {:?}: a packet was taken twice", way.0, way.1));
        }
        if taken.len() == REMEMBERED {
            taken.pop_front();
        }
        taken.push_back(packet);
    }
}
