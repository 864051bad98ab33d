//! After warm-up a tick allocates nothing: neither the step, the capture and the encoding nor
//! sealing and sending.

use std::alloc::System;
use std::net::SocketAddr;
use std::sync::Arc;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use truetick_netcode::client::runtime::ClientRuntime;
use truetick_netcode::client::state::ClientState;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{PeerAddr, Transport};
use truetick_server::game::Game;
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::world_room::WorldRoom;
use truetick_tests::second_game::{Push, Race};
use truetick_tests::tokens::{SERVER, server, token};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Transport that keeps datagrams in preallocated memory.
struct Kept {
    bytes: Vec<u8>,
    ends: Vec<(SocketAddr, usize)>,
}

impl Transport for Kept {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push((to.address, self.bytes.len()));
    }

    fn flush(&mut self) {}
}

const CLIENTS: u64 = 8;

fn address(client: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 100 + client as u16))
}

/// Runs all clients: each submits a command and sends it to the server.
fn play(clients: &mut [ClientRuntime<Race>], server: &mut Server, now: Timestamp) {
    for (i, client) in clients.iter_mut().enumerate() {
        while let Some(tick) = client.poll_tick(now) {
            client.submit(
                tick,
                Push(if (tick.0 + i as u32) % 50 < 30 { 1 } else { -1 }),
                now,
            );
        }
        while let Some((_, bytes)) = client.poll_transmit() {
            server.receive(address(i as u64), &bytes, now);
        }
    }
}

#[test]
fn a_tick_allocates_nothing_after_warm_up() {
    let mut now = Timestamp::from_millis(1_000);
    let mut server = server(now);
    let room = RoomConfig {
        relevance_radius_m: None,
        ..RoomConfig::default()
    };
    server.add_room(Box::new(WorldRoom::new(Race, room, now).unwrap()));
    let schema = Arc::new(Race.registry().unwrap().schema().clone());
    let client = |i| ClientRuntime::new(Race, schema.clone(), token(i, 0, now), i, now);
    let mut clients: Vec<ClientRuntime<Race>> = (0..CLIENTS).map(client).collect();
    let mut sink = Kept {
        bytes: Vec::with_capacity(1 << 20),
        ends: Vec::with_capacity(1 << 10),
    };
    let (mut allocated, mut worst) = (Vec::new(), 0);
    for ms in 1_000..11_000u64 {
        now = Timestamp::from_millis(ms);
        play(&mut clients, &mut server, now);
        let due = server
            .next_deadline()
            .is_some_and(|deadline| deadline <= now);
        let region = Region::new(ALLOCATOR);
        server.send_replies(&mut sink);
        server.tick(&mut || now, &mut sink);
        let change = region.change();
        if due && ms > 8_000 {
            allocated.push(change.allocations + change.reallocations);
            worst = worst.max(change.bytes_allocated);
        }
        let mut start = 0;
        for (to, end) in sink.ends.drain(..) {
            let at = usize::from(to.port()) - 100;
            clients[at].receive(SocketAddr::from(SERVER), &sink.bytes[start..end], now);
            start = end;
        }
        sink.bytes.clear();
    }
    assert!(
        clients
            .iter()
            .all(|client| client.state() == ClientState::Playing)
    );
    assert!(allocated.len() > 170, "{} ticks", allocated.len());
    let with = allocated.iter().filter(|count| **count > 0).count();
    assert_eq!(
        with,
        0,
        "{with} of {} ticks allocate, up to {worst} bytes: {allocated:?}",
        allocated.len()
    );
}
