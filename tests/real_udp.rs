//! The same over real sockets on loopback, in both address families.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use truetick_client_sim::swarm::{Swarm, SwarmConfig};
use truetick_netcode::clock;
use truetick_server::config::ServerConfig;
use truetick_server::core::server::Server;
use truetick_server::host::{Host, StartError};
use truetick_shared::arena::arena_schema;

fn play(listen: &str) {
    let listen: SocketAddr = listen.parse().unwrap();
    let config = ServerConfig { listen, drones: 8, ..ServerConfig::default() };
    let host = Host::start_arena(&config).unwrap();
    let swarm = SwarmConfig { server: host.address(), clients: 6, seed: 3, trace: None };
    let swarm = Swarm::start(&swarm, &Arc::new(arena_schema().unwrap())).unwrap();
    let deadline = clock::now() + Duration::from_secs(20);
    while swarm.figures().counts.compared < 300 && clock::now() < deadline {
        clock::sleep(Duration::from_millis(50));
    }
    let figures = swarm.stop().unwrap();
    let report = host.stop().unwrap();
    assert!(figures.counts.compared >= 300, "{figures:?}");
    assert_eq!((figures.joined, figures.lost), (6, 0));
    assert_eq!((figures.counts.hash_mismatches, figures.counts.decode_errors, figures.causes[2]), (0, 0, 0));
    assert_eq!((report.rooms.joined, report.udp.send_errors, report.drops.malformed), (6, 0, 0));
}

#[test]
fn bots_play_over_ipv4() {
    play("127.0.0.1:0");
}

#[test]
fn bots_play_over_ipv6() {
    play("[::1]:0");
}

#[test]
fn no_host_serves_beyond_loopback() {
    let started = Host::start(Server::new((1, 2)), "0.0.0.0:0".parse().unwrap(), None);
    assert!(matches!(started, Err(StartError::NotLoopback(_))));
}
