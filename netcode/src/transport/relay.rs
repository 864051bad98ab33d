//! A UDP relay that makes a bad network out of loopback: each client's datagrams pass two
//! [`LinkSim`]s.
//!
//! Clients talk to the relay's one front socket; towards the server each client gets a socket of
//! its own, as behind a NAT.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use super::udp::{UdpPath, UdpTransport};
use super::{Transport, wait_readable};
use crate::link_sim::{LinkConfig, LinkSim};
use crate::time::Timestamp;

/// Clients that one relay serves; datagrams of more are dropped.
const CLIENTS: usize = 1_024;

struct Path {
    socket: UdpTransport,
    up: LinkSim,
    down: LinkSim,
}

/// See the module. The caller's loop: [`Self::wait`], then [`Self::pump`].
pub struct UdpRelay {
    front: UdpTransport,
    server: SocketAddr,
    config: LinkConfig,
    seed: u64,
    paths: BTreeMap<SocketAddr, Path>,
}

impl UdpRelay {
    /// A relay on any port of the server's loopback family; `config` holds for each direction.
    pub fn bind(server: SocketAddr, config: LinkConfig, seed: u64) -> io::Result<Self> {
        let front = UdpTransport::bind(any_port(server), UdpPath::Fastest)?;
        Ok(Self { front, server, config, seed, paths: BTreeMap::new() })
    }

    /// Where clients send to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.front.local_address()
    }

    /// Changes the network for datagrams from now on.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
        for path in self.paths.values_mut() {
            path.up.set_config(config);
            path.down.set_config(config);
        }
    }

    /// Waits until something came, a datagram's delay is over, or `latest`.
    pub fn wait(&self, now: Timestamp, latest: Timestamp) -> io::Result<()> {
        let links = self.paths.values().flat_map(|path| [&path.up, &path.down]);
        let next = links.filter_map(LinkSim::next_delivery).min().unwrap_or(latest).min(latest);
        let sockets =
            std::iter::once(&self.front).chain(self.paths.values().map(|path| &path.socket));
        wait_readable(sockets, next.since(now), &mut Vec::new())
    }

    /// Takes in what came and sends what is due.
    pub fn pump(&mut self, now: Timestamp) -> io::Result<()> {
        self.take_from_clients(now)?;
        for (client, path) in &mut self.paths {
            let Path { socket, up, down } = path;
            socket.receive(now, |datagram| down.push(datagram.bytes, now))?;
            while let Some(bytes) = up.pop(now) {
                socket.send(self.server.into(), &bytes);
            }
            socket.flush();
            while let Some(bytes) = down.pop(now) {
                self.front.send((*client).into(), &bytes);
            }
        }
        self.front.flush();
        Ok(())
    }

    fn take_from_clients(&mut self, now: Timestamp) -> io::Result<()> {
        let mut came: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        self.front.receive(now, |datagram| came.push((datagram.from, datagram.bytes.to_vec())))?;
        for (from, bytes) in came {
            if !self.paths.contains_key(&from)
                && self.paths.len() < CLIENTS
                && let Ok(path) = self.new_path()
            {
                self.paths.insert(from, path);
            }
            if let Some(path) = self.paths.get_mut(&from) {
                path.up.push(&bytes, now);
            }
        }
        Ok(())
    }

    fn new_path(&self) -> io::Result<Path> {
        let socket = UdpTransport::bind(any_port(self.server), UdpPath::Fastest)?;
        let seed = self.seed.wrapping_add(self.paths.len() as u64 * 2);
        let link = |seed| LinkSim::new(self.config, seed);
        Ok(Path { socket, up: link(seed), down: link(seed + 1) })
    }
}

fn any_port(like: SocketAddr) -> SocketAddr {
    SocketAddr::new(like.ip(), 0)
}
