//! The server over QUIC: its end, its room, and what it does in a step.

use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{PeerAddr, Transmit, TransportKind};
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::world_room::WorldRoom;

use super::end::QuicEnd;
use super::plan::QuicPlan;
use super::secrets;
use super::world::{QuicWorld, as_event};
use crate::messaging_game::MessagingGame;
use crate::server_process::world_of;
use crate::tokens::{SERVER, expect_rooms, session_config, wall};

impl QuicWorld {
    pub(super) fn server_end(&mut self) -> Option<QuicEnd> {
        let (seed, time) = (self.plan.seed, self.time.clone());
        let config = secrets::endpoint(seed, &mut self.rng);
        let end = |base| QuicEnd::new(config, Some(secrets::server(seed, time)), None, base);
        (self.plan.kind == TransportKind::Quic).then(|| end(self.base))
    }

    pub(super) fn serve(&mut self) {
        let now = self.now;
        for member in &mut self.members {
            while let Some(bytes) = member.up.pop(now) {
                match &mut self.end {
                    Some(end) => end.receive(member.address, &bytes, now),
                    None => self.server.receive(member.address, &bytes, now),
                }
            }
        }
        if let Some(end) = &mut self.end {
            end.drive(now);
            while let Some((addr, came)) = end.poll() {
                self.server.receive(addr, as_event(&came), now);
            }
        }
        let mut out: Vec<(PeerAddr, Transmit)> = Vec::new();
        self.server.send_replies(&mut out);
        if self
            .server
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.server.set_wall_clock(now, wall(now));
            self.server.tick(&mut || now, &mut out);
            expect_rooms(&self.server);
            self.hash
                .update(&world_of(&self.server).world_hash().to_le_bytes());
        }
        let mut packets = Vec::new();
        for (to, transmit) in out {
            match &mut self.end {
                Some(end) => end.send(to, transmit, now),
                None => packets.push((to.address, transmit.into_bytes())),
            }
        }
        if let Some(end) = &mut self.end {
            packets.extend(std::iter::from_fn(|| end.poll_transmit()));
        }
        for (to, bytes) in packets {
            let Some(place) = self.members.iter().position(|member| member.address == to) else {
                continue;
            };
            self.note_sent(place as u64 * 2 + 1, bytes.len());
            self.members[place].down.push(&bytes, now);
        }
    }
}

pub(super) fn arena() -> ArenaGame {
    ArenaGame::new(ArenaConfig {
        drones: 12,
        ..ArenaConfig::default()
    })
    .expect("the arena's schema is valid")
}

/// Starts a server whose secret follows from the seed and the number of lives before.
pub(super) fn start_server(plan: &QuicPlan, life: u64, now: Timestamp) -> Server {
    let mut config = session_config();
    config.servers = config
        .servers
        .with(TransportKind::Quic, vec![SERVER.into()]);
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&plan.seed.wrapping_add(life << 32).to_le_bytes());
    let mut server = Server::new(config, secret, now, wall(now));
    let room = RoomConfig {
        seed: plan.seed,
        relevance_radius_m: None,
        ..RoomConfig::default()
    };
    let game = MessagingGame {
        game: arena(),
        bulk: plan.bulk / room.tick_rate,
        patter: plan.patter,
    };
    server.add_room(Box::new(
        WorldRoom::new(game, room, now).expect("a valid schema"),
    ));
    server
}
