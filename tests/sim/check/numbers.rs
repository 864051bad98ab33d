//! Checks that a key seals at most one packet under each number, on either side, in all lives of
//! clients and server.
//!
//! The keys are those of the tokens in the connection requests: the checker has the servers' key,
//! as an issuer has.

use std::collections::{BTreeMap, BTreeSet};

use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::crypto::PacketKey;
use truetick_netcode::session::history::TokenTag;
use truetick_netcode::session::packet::{self, Header, Outer, Request, read_outer};
use truetick_netcode::session::token::{PrivateToken, token_tag};

use crate::network::Way;
use crate::tokens::key;

/// The two keys of a token, and the numbers that each has sealed.
struct Keys {
    keys: [PacketKey; 2],
    used: [BTreeSet<u64>; 2],
}

/// Checks the packet numbers of all sent datagrams.
#[derive(Default)]
pub struct NumberCheck {
    known: Vec<Keys>,
    by_tag: BTreeMap<TokenTag, usize>,
    /// Index of the keys that sealed the last packet of a path and direction.
    last: BTreeMap<(usize, Way), usize>,
    checked: u64,
    wrong: Vec<String>,
}

impl NumberCheck {
    /// Checks a datagram as it is sent.
    pub fn sent(&mut self, path: usize, way: Way, datagram: &[u8]) {
        match read_outer(datagram) {
            Ok(Outer::Request(request)) => self.learn(&request),
            Ok(Outer::Sealed(header)) => self.sealed(path, way, header, datagram),
            Err(reason) => self
                .wrong
                .push(format!("path {path}, {way:?}: sent {reason}")),
        }
    }

    /// Returns the violations since the last call.
    pub(crate) fn take_wrong(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wrong)
    }

    /// Returns the number of packets checked.
    pub fn checked(&self) -> u64 {
        self.checked
    }

    fn learn(&mut self, request: &Request<'_>) {
        let tag = token_tag(request.sealed);
        if self.by_tag.contains_key(&tag) {
            return;
        }
        let opened = PrivateToken::open(
            request.sealed,
            &key(),
            PROTOCOL,
            request.expires,
            request.nonce,
        );
        let Ok(private) = opened else { return };
        let keys = [
            PacketKey::new(&private.client_key),
            PacketKey::new(&private.server_key),
        ];
        self.by_tag.insert(tag, self.known.len());
        self.known.push(Keys {
            keys,
            used: Default::default(),
        });
    }

    fn sealed(&mut self, path: usize, way: Way, header: Header, datagram: &[u8]) {
        let opens = |at: &usize| {
            let mut copy = datagram.to_vec();
            packet::open(
                header,
                PROTOCOL,
                &self.known[*at].keys[way as usize],
                &mut copy,
            )
            .is_ok()
        };
        let last = self.last.get(&(path, way)).copied();
        let Some(at) = last
            .into_iter()
            .chain((0..self.known.len()).rev())
            .find(opens)
        else {
            return self.wrong.push(format!(
                "path {path}, {way:?}: sealed under the key of no token: {header:?}"
            ));
        };
        self.last.insert((path, way), at);
        self.checked += 1;
        if !self.known[at].used[way as usize].insert(header.sequence) {
            let number = header.sequence;
            self.wrong.push(format!(
                "path {path}, {way:?}: number {number} used twice under one key"
            ));
        }
    }
}
