//! The paths between clients and server. Each is a pair of seeded links that can be cut, clogged
//! and changed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Add;

use truetick_netcode::link_sim::{LinkConfig, LinkSim, LinkStats};
use truetick_netcode::time::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use crate::check::numbers::NumberCheck;
use crate::event_queue::EventQueue;
use crate::mark::{Mark, Marks};
use crate::world::Event;

/// A direction of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From client to server.
    Up,
    /// From server to client.
    Down,
}

/// A link: one direction of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId {
    /// Index of the path.
    pub path: usize,
    /// Direction of the link.
    pub way: Way,
}

/// One or both directions of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// From client to server.
    Up,
    /// From server to client.
    Down,
    /// From client to server and back.
    Both,
}

impl Ways {
    /// Returns the single directions.
    pub fn each(self) -> &'static [Way] {
        match self {
            Self::Up => &[Way::Up],
            Self::Down => &[Way::Down],
            Self::Both => &[Way::Up, Way::Down],
        }
    }
}

struct Link {
    sim: LinkSim,
    /// The mark of a datagram that is sent while the link is cut.
    cut: Option<Mark>,
    /// Time of the arrival event in the queue, if there is one.
    announced: Option<Timestamp>,
}

/// One address of one client, and its links to and from the server.
struct Path {
    client: usize,
    /// Clients that had the address before.
    before: Vec<usize>,
    address: SocketAddr,
    links: [Link; 2],
}

/// All paths. Paths are numbered; a client that changes its address gets a new one.
pub struct Network {
    seed: u64,
    paths: Vec<Path>,
    by_address: BTreeMap<SocketAddr, usize>,
    sent: Xxh3,
    /// Checks the packet numbers of all datagrams.
    pub numbers: NumberCheck,
}

impl Network {
    /// Creates a network. `seed` determines its random numbers.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            paths: Vec::new(),
            by_address: BTreeMap::new(),
            sent: Xxh3::new(),
            numbers: NumberCheck::default(),
        }
    }

    /// Adds a path between a client at a new address and the server; returns its number.
    pub(crate) fn add_path(&mut self, client: usize, links: [LinkConfig; 2]) -> usize {
        let number = self.paths.len();
        let address = SocketAddr::from(([127, 0, 0, 1], 50_000 + number as u16));
        let link = |way: Way| {
            let seed = self.seed
                ^ (2 * number as u64 + way as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Link {
                sim: LinkSim::new(links[way as usize], seed),
                cut: None,
                announced: None,
            }
        };
        self.paths.push(Path {
            client,
            before: Vec::new(),
            address,
            links: [link(Way::Up), link(Way::Down)],
        });
        self.by_address.insert(address, number);
        number
    }

    /// Returns the client of a path.
    pub fn client(&self, path: usize) -> usize {
        self.paths[path].client
    }

    /// Assigns a path with its address to another client.
    pub(crate) fn hand_on(&mut self, path: usize, client: usize) {
        let path = &mut self.paths[path];
        path.before
            .push(std::mem::replace(&mut path.client, client));
    }

    /// Returns the clients that had a path before.
    pub fn before(&self, path: usize) -> &[usize] {
        &self.paths[path].before
    }

    /// Returns the client's address on a path.
    pub fn address(&self, path: usize) -> SocketAddr {
        self.paths[path].address
    }

    /// Returns the path of an address.
    pub(crate) fn path_of(&self, address: SocketAddr) -> Option<usize> {
        self.by_address.get(&address).copied()
    }

    /// Sets the properties of a link for datagrams sent from now on.
    pub fn set(&mut self, path: usize, way: Way, config: LinkConfig) {
        self.link(path, way).sim.set_config(config);
    }

    /// Cuts a link with a mark for each lost datagram, or restores it.
    pub fn cut(&mut self, path: usize, way: Way, cut: Option<Mark>) {
        self.link(path, way).cut = cut;
    }

    /// Holds the datagrams sent on a link until a time.
    pub fn clog(&mut self, path: usize, way: Way, until: Timestamp) {
        self.link(path, way).sim.clog(until);
    }

    fn link(&mut self, path: usize, way: Way) -> &mut Link {
        &mut self.paths[path].links[way as usize]
    }

    /// Sends a datagram.
    pub fn send(
        &mut self,
        link: LinkId,
        bytes: &[u8],
        now: Timestamp,
        events: &mut EventQueue<Event>,
        marks: &mut Marks,
    ) {
        let LinkId { path, way } = link;
        self.sent.update(&[path as u8, way as u8]);
        self.sent.update(bytes);
        self.numbers.sent(path, way, bytes);
        let link = self.link(path, way);
        match link.cut {
            Some(cut) => marks.hit(cut),
            None => link.sim.push(bytes, now),
        }
        self.announce(path, way, events);
    }

    /// Ensures that the next arrival is in the event queue.
    fn announce(&mut self, path: usize, way: Way, events: &mut EventQueue<Event>) {
        let link = self.link(path, way);
        if let Some(next) = link.sim.next_delivery()
            && link.announced.is_none_or(|announced| next < announced)
        {
            link.announced = Some(next);
            events.push(next, Event::Arrival(path, way));
        }
    }

    /// Returns the datagrams that have arrived on a link by now, after their arrival event.
    pub fn delivery(
        &mut self,
        link: LinkId,
        now: Timestamp,
        events: &mut EventQueue<Event>,
    ) -> Vec<Vec<u8>> {
        let LinkId { path, way } = link;
        let link = self.link(path, way);
        if link.announced.is_some_and(|at| at <= now) {
            link.announced = None;
        }
        let came = std::iter::from_fn(|| link.sim.pop(now)).collect();
        self.announce(path, way, events);
        came
    }

    /// Returns a hash of every datagram sent so far with its path and direction, in order.
    pub fn sent_hash(&self) -> u64 {
        self.sent.digest()
    }

    /// Returns the sum of all links' counts.
    pub fn stats(&self) -> LinkStats {
        let links = self.paths.iter().flat_map(|path| &path.links);
        links
            .map(|link| link.sim.stats())
            .fold(LinkStats::default(), Add::add)
    }
}
