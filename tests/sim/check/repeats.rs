//! Checks that each packet is accepted at most once, however often the network delivers it.

use std::collections::{BTreeMap, VecDeque};

use xxhash_rust::xxh3::xxh3_64;

use crate::network::LinkId;

/// Packets remembered per direction of a path: duplicates arrive within 50 ms of each other.
const REMEMBERED: usize = 256;

/// Checks accepted packets. Packets are identified by their bytes, which contain their number and
/// their session's checksum.
#[derive(Debug, Default)]
pub(crate) struct RepeatCheck {
    taken: BTreeMap<LinkId, VecDeque<u64>>,
}

impl RepeatCheck {
    /// Checks a packet that one side accepted from a link.
    pub fn taken(&mut self, link: LinkId, bytes: &[u8], wrong: &mut Vec<String>) {
        let taken = self.taken.entry(link).or_default();
        let packet = xxh3_64(bytes);
        if taken.contains(&packet) {
            wrong.push(format!(
                "path {} {:?}: a packet was taken twice",
                link.path, link.way
            ));
        }
        if taken.len() == REMEMBERED {
            taken.pop_front();
        }
        taken.push_back(packet);
    }
}
