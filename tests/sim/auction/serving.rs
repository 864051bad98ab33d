//! The server of the simulated auction house: its starts, its crashes, and what it does in a step.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::transport::{PeerAddr, Transport};
use truetick_server::auction::entry::HouseReplica;
use truetick_server::auction::room::{AuctionConfig, AuctionRoom};
use truetick_server::journal::JournalConfig;
use truetick_server::journal::open::open;
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;

use super::commits::commits;
use super::world::{AuctionWorld, RATE, rules};
use crate::tokens::{expect_rooms, session_config, wall};

struct Outbox(Vec<(SocketAddr, Vec<u8>)>);

impl Transport for Outbox {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        self.0.push((to.address, bytes.to_vec()));
    }

    fn flush(&mut self) {}
}

impl AuctionWorld {
    pub(super) fn start(&mut self) {
        self.lives += 1;
        let mut replica = HouseReplica::default();
        let config = JournalConfig {
            segment_bytes: self.plan.segment_bytes,
            keep: 1_000_000,
        };
        let journal = match open(self.folder.clone(), config, self.plan.seed, &mut replica) {
            Ok(journal) => journal,
            // The operator tries again.
            Err(error) if self.heal_disk_at.is_some() => {
                self.start_at = Some(self.now + Duration::from_millis(300));
                return self.note(format!("start {}: {error}", self.lives));
            }
            Err(error) => {
                self.wrong
                    .push(format!("the journal does not open: {error}"));
                return;
            }
        };
        self.note(format!("start {}: entry {}", self.lives, journal.durable()));
        let (port, driver) = commits(journal, self.folder.clone());
        let room = RoomConfig {
            tick_rate: RATE,
            max_clients: 200,
            ..RoomConfig::default()
        };
        let rate = Rate {
            per_second: 2_000,
            burst: 2_000,
        };
        let config = AuctionConfig {
            room,
            rules: rules(),
            rate,
            receipts: 1 << 20,
        };
        let room = AuctionRoom::open(config, replica, Box::new(port), self.now);
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&(self.plan.seed ^ self.lives << 48).to_le_bytes());
        let mut server = Server::new(session_config(), secret, self.now, wall(self.now));
        server.add_room(Box::new(room));
        self.server = Some((server, driver));
    }

    pub(super) fn crash(&mut self, power: bool) {
        let Some((_, driver)) = self.server.take() else {
            return;
        };
        driver.crash(self.rng.random_bool(0.7));
        if power {
            self.folder.power_cut();
        }
        self.start_at = Some(self.now + Duration::from_millis(self.rng.random_range(50..800)));
        self.note(if power {
            "the power is cut"
        } else {
            "the server is killed"
        });
    }

    /// Repairs the disk when it is due. A house whose journal failed is restarted; one that only
    /// lacked space continues by itself.
    pub(super) fn heal_disk(&mut self) {
        if self.heal_disk_at.take_if(|at| *at <= self.now).is_some() {
            self.folder.set_full(false);
            self.folder.set_failing(false);
            if self
                .server
                .as_ref()
                .is_some_and(|(_, driver)| driver.has_failed())
            {
                self.crash(false);
            }
        }
    }

    pub(super) fn serve(&mut self, passes: bool) {
        let now = self.now;
        let mut out = Outbox(Vec::new());
        for member in &mut self.members {
            while let Some(bytes) = member.up.pop(now) {
                if let Some((server, _)) = &mut self.server {
                    server.receive(member.address, &bytes, now);
                }
            }
        }
        let Some((server, driver)) = &mut self.server else {
            return;
        };
        let latency = match now < self.stall_until {
            true => Duration::from_millis(self.rng.random_range(400..900)),
            false => Duration::from_micros(self.rng.random_range(300..6_000)),
        };
        driver.advance(now, latency, self.rng.random_bool(0.7));
        server.send_replies(&mut out);
        let mut time = || now;
        if server
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            server.set_wall_clock(now, wall(now));
            server.tick(&mut time, &mut out);
            expect_rooms(server);
        } else {
            server.flush_pending(&mut time, &mut out);
        }
        for (to, bytes) in out.0 {
            let member = self.members.get_mut(usize::from(to.port()) - 50_000);
            if let Some(member) = member.filter(|_| passes) {
                member.down.push(&bytes, now);
            }
        }
    }
}
