//! Sockets on real hosts: errors of all kinds, and several addresses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use truetick_arena::arena_schema;
use truetick_client_sim::connect_options::ConnectOptions;
use truetick_client_sim::measure::ClientFigures;
use truetick_client_sim::swarm::{Crew, Swarm, SwarmConfig};
use truetick_client_sim::token_source::TokenSource;
use truetick_server::arena::ArenaGame;
use truetick_server::config::ServerConfig;
use truetick_server::host::{Host, HostReport, random_key};
use truetick_server::quic_settings::QuicSettings;
use truetick_server::room::Room;
use truetick_server::world_room::WorldRoom;
use truetick_transport::clock;
use truetick_transport::memory::MemoryHub;
use truetick_transport::server_transport::ServerTransport;
use truetick_transport::udp::{UdpPath, UdpTransport};

use crate::ways::{Way, any};

/// Runs three bots for a moment.
fn play(host: Host, connect_options: ConnectOptions) -> (ClientFigures, HostReport) {
    let issuer = host.listeners().issuers[&connect_options.transport()].clone();
    let tokens = TokenSource::new(issuer, *random_key().unwrap().bytes());
    let config = SwarmConfig {
        connect_options,
        relay: None,
        crew: Crew {
            players: 3,
            spectators: 0,
        },
        seed: 3,
        first_user: 1,
        trace: None,
        capture: None,
    };
    let swarm = Swarm::start(&config, tokens, &Arc::new(arena_schema().unwrap())).unwrap();
    let deadline = clock::now() + Duration::from_secs(15);
    while swarm.figures().counts.compared < 150 && clock::now() < deadline {
        clock::sleep(Duration::from_millis(50));
    }
    assert!(host.is_running(), "the server ended");
    (swarm.stop().unwrap(), host.stop().unwrap())
}

#[test]
fn a_server_goes_on_whatever_error_its_socket_meets() {
    let config = ServerConfig {
        listen: any(),
        drones: 8,
        ..ServerConfig::default()
    };
    let mut socket = UdpTransport::bind(any(), UdpPath::Fastest).unwrap();
    // Every errno of Linux but EBADF (9) and ENOTSOCK (88), and but those that only indicate an
    // empty socket.
    let passing: Vec<i32> = (1..=133)
        .filter(|code| ![4, 9, 11, 88].contains(code))
        .collect();
    socket.inject_receive_errors(passing.iter().copied());
    let room = WorldRoom::new(
        ArenaGame::new(config.arena()).unwrap(),
        config.room(),
        clock::now(),
    )
    .unwrap();
    let rooms: Vec<Box<dyn Room>> = vec![Box::new(room)];
    let host = Host::start_rooms(
        &config,
        random_key().unwrap(),
        rooms,
        vec![ServerTransport::Udp(socket)],
    )
    .unwrap();
    let (figures, report) = play(host, ConnectOptions::Udp);
    assert!(figures.counts.compared >= 150, "{figures:?}");
    assert_eq!(report.udp.receive_errors, passing.len() as u64);
}

/// A free port.
fn free_port(everywhere: IpAddr) -> u16 {
    let socket = UdpTransport::bind(SocketAddr::new(everywhere, 0), UdpPath::Std).unwrap();
    socket.local_address().unwrap().port()
}

#[test]
fn a_server_that_listens_everywhere_answers_by_the_address_that_was_asked() {
    for (everywhere, asked) in [("0.0.0.0", "127.0.0.2"), ("::", "127.0.0.3"), ("::", "::1")] {
        let (everywhere, asked): (IpAddr, IpAddr) =
            (everywhere.parse().unwrap(), asked.parse().unwrap());
        for way in [Way::Udp, Way::Quic, Way::WebTransport] {
            let at = |ip, port| SocketAddr::new(ip, port);
            let (udp, quic) = (free_port(everywhere), free_port(everywhere));
            let config = way.configure(ServerConfig {
                drones: 8,
                ..ServerConfig::default()
            });
            let config = ServerConfig {
                listen: at(everywhere, udp),
                public: vec![at(asked, udp)],
                quic: config.quic.clone().map(|settings| QuicSettings {
                    listen: at(everywhere, quic),
                    public: vec![at(asked, quic)],
                    ..settings
                }),
                ..config
            };
            let host = Host::start_configured(&config, random_key().unwrap()).unwrap();
            let connect_options =
                way.connect_options(host.listeners().fingerprint, &MemoryHub::default());
            let (figures, report) = play(host, connect_options);
            assert!(
                figures.counts.compared >= 150,
                "{everywhere} {asked} {way:?}: {figures:?}"
            );
            assert_eq!(
                (figures.lost, report.udp.send_errors),
                (0, 0),
                "{everywhere} {asked} {way:?}"
            );
        }
    }
}
