//! Delivery of datagrams: each waits in a socket or is handled, and its handling is recorded.

use std::net::SocketAddr;

use truetick_netcode::session::drops::DropReason;
use truetick_netcode::time::Timestamp;
use truetick_server::server::Server;

use crate::check::lateness::CountedPacket;
use crate::client_process::ClientProcess;
use crate::mark::Mark;
use crate::network::{LinkId, Way};
use crate::server_process::world_of;
use crate::tokens::SERVER;
use crate::world::{RECENT, Sim};

impl Sim {
    pub(crate) fn deliver(&mut self, path: usize, way: Way) {
        for bytes in self
            .network
            .delivery(LinkId { path, way }, self.now, &mut self.events)
        {
            if self.recent.len() < RECENT {
                let (server, client) = (SERVER.into(), self.network.address(path));
                let (from, to) = if way == Way::Up {
                    (client, server)
                } else {
                    (server, client)
                };
                self.recent.push((from, to, bytes.clone()));
            }
            if self.is_swallowed(path, way, &bytes) {
                continue;
            }
            match way {
                Way::Up => self.arrive_at_server(path, bytes),
                Way::Down => self.arrive_at_client(path, bytes),
            }
        }
    }

    /// Whether an outage drops a datagram. Records the start of an outage, which comes right after
    /// the datagram that ends its step.
    fn is_swallowed(&mut self, path: usize, way: Way, datagram: &[u8]) -> bool {
        let client = self.network.client(path);
        let Some(outage) = self.outages.get_mut(&client) else {
            return false;
        };
        if outage.begun {
            self.marks.hit(outage.after.mark());
            return true;
        }
        outage.begun = path == self.clients[client].path && outage.after.is_ended_by(way, datagram);
        false
    }

    pub(crate) fn arrive_at_server(&mut self, path: usize, bytes: Vec<u8>) {
        if self.server.core().is_none() {
            return;
        }
        if self.server.process.is_paused(self.now) {
            return self.server.process.hold(
                path,
                bytes,
                self.now,
                Mark::ServerPaused,
                &mut self.marks,
            );
        }
        let shown = self.server.process.clock.at(self.now);
        self.server_takes(path, &bytes, shown);
        self.after_server();
    }

    pub(crate) fn server_takes(&mut self, path: usize, bytes: &[u8], arrived: Timestamp) {
        let address = self.network.address(path);
        let Some(core) = self.server.core_mut() else {
            return;
        };
        let taken = |core: &Server| {
            let roster = core.session_server().roster();
            let session = roster.get(roster.at(address)?)?;
            Some((session.epoch, session.live.as_ref()?.opened))
        };
        let sender = self.clients[self.network.client(path)].user();
        let roster = core.session_server().roster();
        let present = roster.at(address).and_then(|client| roster.get(client));
        self.marks.add(
            Mark::AddressHandedOn,
            u64::from(present.is_some_and(|here| here.user != sender)),
        );
        let before = taken(core);
        let (rate, floods) = (
            world_of(core).timeline().rate(),
            core.drops().count(DropReason::Flood),
        );
        core.receive(address, bytes, arrived);
        let dropped = core.drops().count(DropReason::Flood) > floods;
        self.checks.packet_counted(CountedPacket {
            path,
            arrived,
            rate,
            dropped,
        });
        if before.is_some() && taken(core) > before {
            let way = Way::Up;
            self.checks.packet_taken(LinkId { path, way }, bytes);
        }
    }

    pub(crate) fn arrive_at_client(&mut self, path: usize, bytes: Vec<u8>) {
        let at = self.network.client(path);
        let client = &mut self.clients[at];
        if client.path != path {
            return self.marks.hit(Mark::AddressChanged);
        }
        if !client.is_up() {
            return;
        }
        if client.process.is_paused(self.now) {
            return client
                .process
                .hold(path, bytes, self.now, Mark::ClientPaused, &mut self.marks);
        }
        let shown = client.process.clock.at(self.now);
        self.client_takes(at, &bytes, shown);
        self.after_client(at);
    }

    pub(crate) fn client_takes(&mut self, at: usize, bytes: &[u8], arrived: Timestamp) {
        let client = &mut self.clients[at];
        let taken = |client: &ClientProcess| {
            let resumable = client.bot.runtime().resumable();
            (resumable.stats().resumes, resumable.opened())
        };
        let before = taken(client);
        client.bot.receive(SocketAddr::from(SERVER), bytes, arrived);
        if client.is_playing() && taken(client) > before {
            let (path, way) = (client.path, Way::Down);
            self.checks.packet_taken(LinkId { path, way }, bytes);
        }
    }

    /// Returns some of the datagrams delivered in the last run, as (from, to, bytes).
    pub fn recent_datagrams(&self) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.recent.clone()
    }

    /// Delivers a datagram at once that no process sent.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if to == SERVER.into() {
            let shown = self.server.process.clock.at(self.now);
            self.core_mut().receive(from, bytes, shown);
        } else if let Some(path) = self.network.path_of(to) {
            self.arrive_at_client(path, bytes.to_vec());
        }
    }
}
