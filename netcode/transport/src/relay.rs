//! A UDP relay that simulates a bad network on loopback: the datagrams of each client pass two
//! [`LinkSim`]s.
//!
//! Clients send to the relay's front socket. Towards the server each client has a socket of its
//! own, as behind a NAT.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use super::udp::{UdpPath, UdpTransport};
use super::{Transport, wait_readable};
use truetick_netcode::link_sim::{LinkConfig, LinkSim};
use truetick_netcode::time::Timestamp;

/// Clients that one relay serves; datagrams of further ones are dropped.
const CLIENTS: usize = 1_024;

struct Path {
    socket: UdpTransport,
    up: LinkSim,
    down: LinkSim,
}

/// A UDP relay with a simulated link per client and direction. The caller's loop: [`Self::wait`],
/// then [`Self::pump`].
pub struct UdpRelay {
    front: UdpTransport,
    server: SocketAddr,
    config: LinkConfig,
    seed: u64,
    paths: BTreeMap<SocketAddr, Path>,
}

impl UdpRelay {
    /// Binds a relay to any port of the server's IP address. `config` applies to each direction.
    ///
    /// # Errors
    /// If the socket cannot be bound.
    pub fn bind(server: SocketAddr, config: LinkConfig, seed: u64) -> io::Result<Self> {
        let front = UdpTransport::bind(any_port(server), UdpPath::Fastest)?;
        Ok(Self {
            front,
            server,
            config,
            seed,
            paths: BTreeMap::new(),
        })
    }

    /// Returns the address to which clients send.
    ///
    /// # Errors
    /// If the system cannot return the socket's address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.front.local_address()
    }

    /// Changes the simulated links for datagrams from now on.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
        for path in self.paths.values_mut() {
            path.up.set_config(config);
            path.down.set_config(config);
        }
    }

    /// Waits until a datagram arrives, a datagram's delay is over, or `latest`.
    ///
    /// # Errors
    /// If a socket is closed.
    pub fn wait(&self, now: Timestamp, latest: Timestamp) -> io::Result<()> {
        let links = self.paths.values().flat_map(|path| [&path.up, &path.down]);
        let next = links
            .filter_map(LinkSim::next_delivery)
            .min()
            .unwrap_or(latest)
            .min(latest);
        let sockets =
            std::iter::once(&self.front).chain(self.paths.values().map(|path| &path.socket));
        wait_readable(sockets, next.since(now), &mut Vec::new())
    }

    /// Receives datagrams and sends those that are due.
    ///
    /// # Errors
    /// If a socket is closed.
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
        self.front.receive(now, |datagram| {
            came.push((datagram.from, datagram.bytes.to_vec()))
        })?;
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
        Ok(Path {
            socket,
            up: link(seed),
            down: link(seed + 1),
        })
    }
}

fn any_port(like: SocketAddr) -> SocketAddr {
    SocketAddr::new(like.ip(), 0)
}
