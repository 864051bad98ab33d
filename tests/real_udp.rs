//! A server and its clients over real UDP sockets on loopback, in both address families.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use truetick_arena::arena_schema;
use truetick_client_sim::connect_options::ConnectOptions;
use truetick_client_sim::swarm::{Crew, Swarm, SwarmConfig};
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::session::drops::DropReason;
use truetick_server::config::ServerConfig;
use truetick_server::host::{Host, StartError, random_key};
use truetick_transport::clock;

fn play(listen: &str) {
    let listen: SocketAddr = listen.parse().unwrap();
    let config = ServerConfig {
        listen,
        drones: 8,
        ..ServerConfig::default()
    };
    let host = Host::start_configured(&config, random_key().unwrap()).unwrap();
    let swarm = SwarmConfig {
        connect_options: ConnectOptions::Udp,
        relay: None,
        crew: Crew {
            players: 6,
            spectators: 0,
        },
        seed: 3,
        first_user: 1,
        trace: None,
        capture: None,
    };
    let tokens = TokenSource::new(host.issuer().clone(), *random_key().unwrap().bytes());
    let swarm = Swarm::start(&swarm, tokens, &Arc::new(arena_schema().unwrap())).unwrap();
    let deadline = clock::now() + Duration::from_secs(20);
    while swarm.figures().counts.compared < 300 && clock::now() < deadline {
        clock::sleep(Duration::from_millis(50));
    }
    let figures = swarm.stop().unwrap();
    let report = host.stop().unwrap();
    assert!(figures.counts.compared >= 300, "{figures:?}");
    assert_eq!((figures.joined, figures.lost), (6, 0));
    assert_eq!(
        (
            figures.counts.hash_mismatches,
            figures.counts.decode_errors,
            figures.causes[2]
        ),
        (0, 0, 0)
    );
    assert_eq!(
        (
            report.room.joined,
            report.udp.send_errors,
            report.drops.count(DropReason::Malformed)
        ),
        (6, 0, 0)
    );
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
fn a_drained_host_ends_by_itself_once_everyone_has_left() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = ServerConfig {
        listen,
        drain_within_s: 1,
        drain_limit_s: 20,
        ..ServerConfig::default()
    };
    let host = Host::start_configured(&config, random_key().unwrap()).unwrap();
    let swarm = SwarmConfig {
        connect_options: ConnectOptions::Udp,
        relay: None,
        crew: Crew {
            players: 6,
            spectators: 0,
        },
        seed: 4,
        first_user: 1,
        trace: None,
        capture: None,
    };
    let tokens = TokenSource::new(host.issuer().clone(), *random_key().unwrap().bytes());
    let swarm = Swarm::start(&swarm, tokens, &Arc::new(arena_schema().unwrap())).unwrap();
    let until = |done: &dyn Fn() -> bool| {
        let deadline = clock::now() + Duration::from_secs(15);
        while !done() && clock::now() < deadline {
            clock::sleep(Duration::from_millis(50));
        }
        assert!(done());
    };
    until(&|| swarm.figures().joined == 6);
    host.drain();
    until(&|| !host.is_running());
    let figures = swarm.stop().unwrap();
    let report = host.stop().unwrap();
    // The clients ask for new tokens, and there is no server to use them at.
    assert_eq!(
        (figures.joined, report.sessions, report.room.lost),
        (0, 0, 0),
        "{figures:?}"
    );
}

#[test]
fn a_host_that_listens_everywhere_must_know_where_it_is_reached() {
    let config = ServerConfig {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..ServerConfig::default()
    };
    let started = Host::start_configured(&config, random_key().unwrap());
    assert!(matches!(started, Err(StartError::NoPublicAddress(_))));
}
