//! Start and end of faults.

use std::net::SocketAddr;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::packet::write_request;
use truetick_netcode::time::Timestamp;
use truetick_server::drain::Drain;
use truetick_server::server::Server;

use crate::fault::{Fault, Scheduled, Step};
use crate::mark::Mark;
use crate::network::{Way, Ways};
use crate::world::{Event, Outage, Sim};

/// Number of strangers in a flood.
const FLOOD: usize = 300;

impl Sim {
    pub(crate) fn begin_fault(&mut self, at: usize) {
        let Scheduled { lasting, fault, .. } = self.faults[at];
        let until = self.now + lasting;
        self.tell(&format!("fault {at}: {fault}"));
        match fault {
            Fault::Links { client, up, down } => self.set_client_links(client, up, down),
            Fault::Cut { client, ways } => self.begin_cut(client, ways),
            Fault::Clog { client, ways } => self.clog(client, ways, until),
            Fault::Narrow {
                client,
                bytes_per_s,
            } => self.narrow(client, bytes_per_s),
            Fault::Interest(metres) => self.set_sight(Some(metres as f32)),
            Fault::PauseClient(client) => {
                self.clients[client].process.pause(until);
                self.schedule_client(client);
            }
            Fault::PauseServer => self.stall_server(lasting),
            Fault::StarveServer { stolen_ms } => self.server.stolen_ms = stolen_ms,
            Fault::CrashClient(client) => self.crash_client(client),
            Fault::CrashServer | Fault::PowerCut => self.crash_server(fault == Fault::PowerCut),
            Fault::FillDisk | Fault::FailRead => self.server.spoil_disk(fault == Fault::FillDisk),
            Fault::ChangeAddress(client) => self.change_address(client),
            Fault::Outage { client, after } => self.begin_outage(client, after),
            Fault::HandOn { from, to } => self.hand_on(from, to),
            Fault::Swap(one, other) => self.swap_addresses(one, other),
            Fault::ChangeAllAddresses => {
                (0..self.clients.len()).for_each(|client| self.change_address(client))
            }
            Fault::MoveClient(client) => {
                self.crash_client(client);
                self.change_address(client);
            }
            Fault::Drain => self.drain_server(at, lasting),
            Fault::Flood => self.flood(at),
            Fault::JumpWall { by_ms } => self.jump_wall(by_ms),
        }
        self.events.push(until, Event::FaultEnds(at));
    }

    pub(crate) fn end_fault(&mut self, at: usize) {
        self.tell(&format!("fault {at} ends"));
        match self.faults[at].fault {
            Fault::Links { client, .. } | Fault::Narrow { client, .. } => {
                self.set_client_links(client, self.link, self.link);
            }
            Fault::StarveServer { .. } => self.server.stolen_ms = 0,
            Fault::Interest(_) => self.set_sight(self.server.config.room.relevance_radius_m),
            Fault::Cut { client, ways } => self.cut(client, ways, None),
            Fault::Outage { client, .. } => _ = self.outages.remove(&client),
            Fault::CrashClient(client) | Fault::MoveClient(client)
                if !self.clients[client].is_up() =>
            {
                let token = self.token(client);
                self.clients[client].restart(&self.kinds, token, self.now);
                self.schedule_client(client);
            }
            Fault::CrashServer | Fault::PowerCut if self.server.core().is_none() => {
                self.server.start(self.now);
                self.checks.server_restarted();
                self.schedule_server();
            }
            Fault::Drain if self.server.core().is_some() => {
                self.stop_server();
                let wrong = self.server.crash(false, &mut self.marks);
                self.checks.broken(wrong);
                self.server.start(self.now);
                self.checks.server_restarted();
                self.schedule_server();
            }
            _ => {}
        }
    }

    fn begin_cut(&mut self, client: usize, ways: Ways) {
        let mark = match ways {
            Ways::Up => Mark::CutUp,
            Ways::Down => Mark::CutDown,
            Ways::Both => Mark::CutBoth,
        };
        self.cut(client, ways, Some(mark));
    }

    /// Holds the datagrams of a client's path until a time; then all arrive at once.
    fn clog(&mut self, client: usize, ways: Ways, until: Timestamp) {
        let path = self.clients[client].path;
        ways.each()
            .iter()
            .for_each(|way| self.network.clog(path, *way, until));
    }

    /// Limits the path to a client to a rate, with a queue of half a second.
    fn narrow(&mut self, client: usize, bytes_per_s: u32) {
        let (path, queue) = (self.clients[client].path, Duration::from_millis(500));
        let narrow = LinkConfig {
            rate: Some(bytes_per_s),
            queue,
            ..self.link
        };
        self.network.set(path, Way::Down, narrow);
    }

    fn crash_client(&mut self, client: usize) {
        self.marks.add(
            Mark::ClientCrashed,
            u64::from(self.clients[client].is_playing()),
        );
        self.clients[client].crash();
    }

    fn crash_server(&mut self, power: bool) {
        let open = self.server.core().map_or(0, Server::sessions);
        self.marks.add(Mark::ServerCrashed, u64::from(open > 0));
        let wrong = self.server.crash(power, &mut self.marks);
        self.checks.broken(wrong);
    }

    /// Starts an outage after a step of the client's handshake. A client that plays gets a new
    /// address, so that it resumes.
    fn begin_outage(&mut self, client: usize, after: Step) {
        if self.clients[client].is_playing() {
            self.change_address(client);
        }
        let begun = false;
        self.outages.insert(client, Outage { after, begun });
    }

    /// Gives a client's address to another client.
    fn hand_on(&mut self, from: usize, to: usize) {
        let path = self.clients[from].path;
        self.change_address(from);
        self.network.hand_on(path, to);
        self.clients[to].path = path;
    }

    fn drain_server(&mut self, seed: usize, lasting: Duration) {
        let now = self.server.process.clock.at(self.now);
        if let Some(core) = self.server.core_mut() {
            core.drain(Drain::new(seed as u32, lasting / 2, lasting, now));
        }
    }

    fn jump_wall(&mut self, by_ms: i64) {
        let before = self.server.process.clock.wall_ms(self.now);
        self.server.process.clock.jump_wall(by_ms);
        let jumped = self.server.process.clock.wall_ms(self.now) != before;
        self.marks.add(Mark::WallJumped, u64::from(jumped));
    }

    /// Floods the server with the most expensive input: requests with a forged seal, and copies of
    /// genuine datagrams from other addresses.
    fn flood(&mut self, seed: usize) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed as u64 ^ self.now.as_nanos());
        let (copies, wall) = (self.recent_datagrams(), self.server.wall(self.now));
        let shown = self.server.process.clock.at(self.now);
        let Some(core) = self.server.core_mut() else {
            return;
        };
        for i in 0..FLOOD {
            let from = SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 1_024));
            let (mut nonce, mut sealed) = ([0; 24], [0; 1_024]);
            rng.fill_bytes(&mut nonce);
            rng.fill_bytes(&mut sealed);
            let request = write_request(PROTOCOL, wall.as_secs() + 10, &nonce, &sealed);
            core.receive(from, &request, shown);
            if let Some((.., bytes)) = copies.get(i % copies.len().max(1)) {
                core.receive(from, bytes, shown);
            }
        }
        self.marks
            .add(Mark::Flooded, core.drops().count(DropReason::ForgedToken));
    }

    fn set_sight(&mut self, radius_m: Option<f32>) {
        let Some(core) = self.server.core_mut() else {
            return;
        };
        let playing = core.sessions() > 0;
        if let Some(room) = core.room_mut(0).and_then(|room| room.world_mut()) {
            room.set_relevance_radius(radius_m);
        }
        self.marks.add(Mark::InterestChanged, u64::from(playing));
        self.checks.sight_changes(radius_m);
    }

    fn cut(&mut self, client: usize, ways: Ways, cut: Option<Mark>) {
        let path = self.clients[client].path;
        ways.each()
            .iter()
            .for_each(|way| self.network.cut(path, *way, cut));
    }

    /// Gives a client a new address. Datagrams to the old one are lost.
    pub fn change_address(&mut self, client: usize) {
        self.clients[client].path = self.network.add_path(client, [self.link; 2]);
    }

    /// Swaps the addresses of two clients.
    pub(crate) fn swap_addresses(&mut self, one: usize, other: usize) {
        let (first, second) = (self.clients[one].path, self.clients[other].path);
        (self.clients[one].path, self.clients[other].path) = (second, first);
        self.network.hand_on(first, other);
        self.network.hand_on(second, one);
    }

    /// Makes every path perfect.
    pub fn heal(&mut self) {
        self.set_links(LinkConfig::default());
        for client in 0..self.clients.len() {
            self.cut(client, Ways::Both, None);
        }
    }

    /// Sets the properties of every path, including those of clients added later.
    pub fn set_links(&mut self, config: LinkConfig) {
        self.link = config;
        for client in 0..self.clients.len() {
            self.set_client_links(client, config, config);
        }
    }

    /// Sets the properties of both directions of a client's path.
    pub fn set_client_links(&mut self, client: usize, up: LinkConfig, down: LinkConfig) {
        let path = self.clients[client].path;
        self.network.set(path, Way::Up, up);
        self.network.set(path, Way::Down, down);
    }

    /// Pauses the server's process for a time span. Datagrams wait in its socket.
    pub fn stall_server(&mut self, span: Duration) {
        self.server.process.pause(self.now + span);
        self.schedule_server();
    }
}
