//! 0-RTT that a server refuses, and connections of clients without a token.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tempfile::tempdir;
use truetick_arena::arena_schema;
use truetick_client_sim::connect_options::ConnectOptions;
use truetick_client_sim::swarm::{Crew, Swarm, SwarmConfig};
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::transport::{Event, PeerAddr, Transport, TransportKind};
use truetick_server::config::ServerConfig;
use truetick_server::host::{Host, random_key};
use truetick_server::quic_settings::QuicSettings;
use truetick_transport::clock;
use truetick_transport::quic::certificate::Certificate;
use truetick_transport::quic::config::Trust;
use truetick_transport::quic::{Dial, ListenConfig, QuicRuntime, QuicTransport};
use truetick_transport::wait_readable;

use crate::tried::Stranger;
use crate::ways::any;

/// Timeout of these tests.
const PATIENCE: Duration = Duration::from_secs(10);

/// A certificate that several lives of a server share, and its key (PEM).
fn pem() -> &'static (String, String) {
    static PEM: OnceLock<(String, String)> = OnceLock::new();
    PEM.get_or_init(|| {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let params = CertificateParams::new(["localhost".into()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    })
}

fn certificate() -> Certificate {
    Certificate::from_pem(&pem().0, &pem().1).unwrap()
}

/// A server's end that answers only `player`.
struct Server {
    end: QuicTransport,
    /// Number of `player` frames, early and not.
    early: usize,
    late: usize,
    strangers: usize,
    closed: usize,
}

impl Server {
    fn start(address: SocketAddr, secret: u8, per_address: usize) -> Self {
        let handshakes = 64.min(per_address);
        let config = ListenConfig {
            per_address,
            handshakes,
            ..ListenConfig::new(certificate(), [secret; 32])
        };
        let open =
            || QuicTransport::listen(QuicRuntime::start().unwrap(), address, config.clone()).ok();
        let end = (0..200).find_map(|_| {
            clock::sleep(Duration::from_millis(5));
            open()
        });
        Self {
            end: end.expect("the port is free"),
            early: 0,
            late: 0,
            strangers: 0,
            closed: 0,
        }
    }

    fn look(&mut self) {
        wait_readable(
            [&self.end].into_iter(),
            Duration::from_millis(5),
            &mut Vec::new(),
        )
        .unwrap();
        let mut players = Vec::new();
        let note = |from, event: Event<'_>, _| match event {
            Event::Early(b"player") | Event::Frame(b"player") => {
                let is_early = matches!(event, Event::Early(_));
                self.early += usize::from(is_early);
                self.late += usize::from(!is_early);
                players.push(from);
            }
            Event::Early(_) | Event::Frame(_) => self.strangers += 1,
            Event::Closed { .. } => self.closed += 1,
            _ => {}
        };
        self.end.receive(clock::now(), note).unwrap();
        players
            .into_iter()
            .for_each(|player| self.end.send_frame(player, b"welcome"));
        self.end.flush();
    }
}

/// A client's end.
struct Client {
    end: QuicTransport,
    connections: u64,
    closed: usize,
}

impl Client {
    fn new() -> Self {
        let dial = Dial::new(Trust::Pinned(vec![certificate().fingerprint()]));
        let end = QuicTransport::dial(QuicRuntime::start().unwrap(), any(), dial).unwrap();
        Self {
            end,
            connections: 0,
            closed: 0,
        }
    }

    fn open(&mut self, server: SocketAddr, frame: &[u8]) -> PeerAddr {
        self.connections += 1;
        let addr = PeerAddr::quic(self.connections, server);
        self.end.open(addr, frame);
        self.end.flush();
        addr
    }

    /// Connects as a player and waits for an answer.
    fn is_served(&mut self, server: &mut Server) {
        let addr = self.open(server.end.local_address(), b"player");
        let (deadline, mut answered) = (clock::now() + PATIENCE, false);
        while !answered {
            assert!(clock::now() < deadline, "nobody answers");
            server.look();
            let closed = &mut self.closed;
            let note = |from, event: Event<'_>, _| {
                answered |= from == addr && event == Event::Frame(b"welcome");
                *closed += usize::from(matches!(event, Event::Closed { .. }));
            };
            self.end.receive(clock::now(), note).unwrap();
        }
        // TLS issues its sessions right after the handshake.
        (0..10).for_each(|_| server.look());
    }
}

#[test]
fn a_refused_early_frame_is_said_again() {
    let mut server = Server::start(any(), 1, 128);
    let address = server.end.local_address();
    let mut clients: Vec<_> = (0..8).map(|_| Client::new()).collect();
    clients
        .iter_mut()
        .for_each(|client| client.is_served(&mut server));
    // The client has a TLS session now, so its next frame is early.
    clients
        .iter_mut()
        .for_each(|client| client.is_served(&mut server));
    let early = server.early;
    assert!(early >= 8, "{early}");
    drop(server);
    // Another server of the same name without the state of the first.
    let mut server = Server::start(address, 2, 128);
    for client in &mut clients {
        client.closed = 0;
        client.is_served(&mut server);
    }
    assert_eq!(server.early + server.late, 8, "each is heard once");
    assert!(
        clients.iter().all(|client| client.closed <= 2),
        "only what went with the old server has ended"
    );
}

#[test]
fn strangers_displace_no_tls_session_of_a_player() {
    let mut server = Server::start(any(), 1, 256);
    let mut player = Client::new();
    player.is_served(&mut server);
    let mut strangers = Client::new();
    for i in 1..=200 {
        strangers.open(server.end.local_address(), b"stranger");
        let deadline = clock::now() + PATIENCE;
        while server.strangers < i && clock::now() < deadline {
            server.look();
        }
    }
    assert_eq!(server.strangers, 200);
    let before = server.early;
    player.is_served(&mut server);
    assert_eq!(
        server.early,
        before + 1,
        "the player's TLS session is there still"
    );
}

#[test]
fn strangers_hold_no_seat_against_those_with_a_session() {
    let mut server = Server::start(any(), 1, 4);
    let address = server.end.local_address();
    let mut players: Vec<_> = (0..3).map(|_| Client::new()).collect();
    players
        .iter_mut()
        .for_each(|player| player.is_served(&mut server));
    // They finish their handshakes and send nothing; there are more of them than seats.
    let stranger = Stranger::trusting(certificate().fingerprint());
    let held: Vec<_> = (0..12).map(|_| stranger.connect(address)).collect();
    let mut newcomer = Client::new();
    newcomer.is_served(&mut server);
    // A player resumes over a second connection while all seats are taken.
    players[0].is_served(&mut server);
    assert!(
        server.end.stats().seats.displaced >= 4,
        "{:?}",
        server.end.stats()
    );
    let open = || {
        held.iter()
            .flatten()
            .filter(|(_, connection)| connection.close_reason().is_none())
            .count()
    };
    let deadline = clock::now() + PATIENCE;
    while open() > 0 {
        assert!(
            clock::now() < deadline,
            "{} strangers are there still",
            open()
        );
        server.look();
    }
    let before = server.closed;
    (0..10).for_each(|_| server.look());
    assert_eq!(server.closed, before);
}

/// Number of panics on QUIC's threads.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_quic = std::thread::current().name() == Some("truetick-quic");
        PANICS.fetch_add(usize::from(is_quic), Ordering::Relaxed);
        usual(panic);
    }));
}

/// Number of bots that come back to their server.
const BOTS: usize = 40;

/// Starts bots that connect to a server over QUIC.
fn start_swarm(host: &Host) -> Swarm {
    let trust = Trust::Pinned(vec![host.listeners().fingerprint.unwrap()]);
    let tokens = TokenSource::new(
        host.listeners().issuers[&TransportKind::Quic].clone(),
        *random_key().unwrap().bytes(),
    );
    let swarm = SwarmConfig {
        connect_options: ConnectOptions::Quic(QuicRuntime::start().unwrap(), Dial::new(trust)),
        relay: None,
        crew: Crew {
            players: BOTS,
            spectators: 0,
        },
        seed: 5,
        first_user: 1,
        trace: None,
        capture: None,
    };
    Swarm::start(&swarm, tokens, &Arc::new(arena_schema().unwrap())).unwrap()
}

/// Waits until all bots play, for at most 20 s; returns whether they do.
fn all_play(host: &Host, swarm: &Swarm) -> bool {
    let deadline = clock::now() + Duration::from_secs(20);
    let is_playing = || host.report().room.joined >= BOTS as u64 && swarm.figures().joined >= BOTS;
    while !is_playing() && clock::now() < deadline {
        clock::sleep(Duration::from_millis(50));
    }
    is_playing()
}

#[test]
fn bots_come_back_to_a_server_that_was_started_again() {
    count_panics();
    let folder = tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        truetick_server::files::write_text(&path, text).unwrap();
        Some(path)
    };
    let quic = |listen| QuicSettings {
        listen,
        certificate: file("chain.pem", &pem().0),
        certificate_key: file("key.pem", &pem().1),
        ..QuicSettings::default()
    };
    let config = |listen| ServerConfig {
        listen: any(),
        drones: 8,
        sessions_per_address: 1_000,
        joins_per_address_s: 1_000,
        quic: Some(quic(listen)),
        ..ServerConfig::default()
    };
    let key = random_key().unwrap();
    let host = Host::start_configured(&config(any()), key.clone()).unwrap();
    let address = host.listeners().addresses[&TransportKind::Quic];
    let swarm = start_swarm(&host);
    assert!(
        all_play(&host, &swarm),
        "{} of {BOTS} play",
        swarm.figures().joined
    );
    host.stop().unwrap();
    clock::sleep(Duration::from_secs(1));
    let host = Host::start_configured(&config(address), key).unwrap();
    if !all_play(&host, &swarm) {
        let report = host.report();
        let figures = swarm.stop().map(|figures| (figures.joined, figures.counts));
        panic!(
            "{} joined, drops {:?}, {figures:?}",
            report.room.joined, report.drops
        );
    }
    swarm.stop().unwrap();
    host.stop().unwrap();
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}
