//! Whole systems over each transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tempfile::{TempDir, tempdir};
use truetick_client_sim::auction::crowd::{Crowd, CrowdConfig};
use truetick_client_sim::auction::run::settings;
use truetick_client_sim::auction::strategy::{House, Strategy};
use truetick_client_sim::bot_client::BotClient;
use truetick_client_sim::client_socket::{self, ClientSocket};
use truetick_client_sim::connect_options::ConnectOptions;
use truetick_client_sim::swarm::{Crew, Swarm, SwarmConfig};
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::clock;
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::client::Failure;
use truetick_netcode::session::token::{ConnectToken, Purpose};
use truetick_netcode::session::{Role, UserId};
use truetick_netcode::transport::TransportKind;
use truetick_netcode::transport::memory::MemoryHub;
use truetick_netcode::transport::server_transport::ServerTransport;
use truetick_server::arena::ArenaGame;
use truetick_server::config::ServerConfig;
use truetick_server::host::{Host, random_key};
use truetick_server::room::Room;
use truetick_server::world_room::WorldRoom;
use truetick_shared::arena::arena_schema;
use truetick_shared::auction::money::Amount;

use crate::ways::{Way, any, on_every_way};

on_every_way! {
    an_arena_is_played
    an_auction_is_held
    a_client_that_lost_its_way_comes_back_to_its_session
    a_server_that_stops_says_so
    who_leaves_is_gone_at_once
    a_token_serves_once
    who_loses_its_session_to_another_hears_why
    a_user_plays_and_watches_at_once
}

/// A server with an arena and an auction, reachable over one transport beside UDP.
pub struct Scene {
    pub host: Host,
    connect_options: ConnectOptions,
    kind: TransportKind,
    tokens: TokenSource,
    _folder: TempDir,
}

const KEEPER: UserId = UserId(1 << 41);

impl Scene {
    pub fn new(way: Way) -> Self {
        let (hub, folder) = (MemoryHub::default(), tempdir().unwrap());
        let config = way.configure(ServerConfig {
            drones: 8,
            ..ServerConfig::default()
        });
        let arena = WorldRoom::new(
            ArenaGame::new(config.arena()).unwrap(),
            config.room(),
            clock::now(),
        )
        .unwrap();
        let mut house = settings(folder.path().join("auction"), 64);
        house.admins = vec![KEEPER.0];
        let house = house.open(config.tick_rate, 1, clock::now()).unwrap();
        let rooms: Vec<Box<dyn Room>> = vec![Box::new(arena), Box::new(house)];
        let others = match way {
            Way::Memory => vec![ServerTransport::Memory(hub.listen(any()).unwrap())],
            _ => Vec::new(),
        };
        let host = Host::start_rooms(&config, random_key().unwrap(), rooms, others).unwrap();
        let connect_options = way.connect_options(host.listeners().fingerprint, &hub);
        let over = connect_options.transport();
        let tokens = TokenSource::new(
            host.listeners().issuers[&over].clone(),
            *random_key().unwrap().bytes(),
        );
        Self {
            host,
            connect_options,
            kind: over,
            tokens,
            _folder: folder,
        }
    }

    fn player(&mut self, user: u64) -> Player {
        let token = self.tokens.issue(UserId(user), 0, clock::unix_now());
        self.player_with(token, user)
    }

    fn player_with(&self, token: ConnectToken, user: u64) -> Player {
        let kinds = Arc::new(arena_schema().unwrap());
        let bot = BotClient::new(kinds, token.clone(), user, clock::now()).transport(self.kind);
        Player {
            bot,
            socket: self.socket(),
            token,
        }
    }

    /// Address of the server.
    pub fn address(&self) -> SocketAddr {
        self.host.listeners().addresses[&self.kind]
    }

    fn socket(&self) -> ClientSocket {
        ClientSocket::open(&self.connect_options, self.address(), None).unwrap()
    }

    /// Creates a player that connects through a relay.
    pub fn player_through(&mut self, user: u64, relay: SocketAddr) -> Player {
        let player = self.player(user);
        let socket =
            ClientSocket::open(&self.connect_options, self.address(), Some(relay)).unwrap();
        Player { socket, ..player }
    }
}

/// One bot that a test drives.
pub struct Player {
    pub bot: BotClient,
    pub socket: ClientSocket,
    token: ConnectToken,
}

impl Player {
    /// Runs until something arrives or is due, for at most 20 ms.
    pub fn go(&mut self) {
        let span = self
            .bot
            .next_timeout()
            .since(clock::now())
            .min(Duration::from_millis(20));
        client_socket::wait([&self.socket].into_iter(), span, &mut Vec::new()).unwrap();
        self.socket
            .receive(clock::now(), |from, event, at| {
                self.bot.receive(from, event, at)
            })
            .unwrap();
        self.bot.advance(clock::now());
        while let Some((to, transmit)) = self.bot.poll_transmit() {
            self.socket.send(to, &transmit);
        }
        self.socket.flush();
    }

    fn until(&mut self, what: &str, done: impl Fn(&BotClient) -> bool) {
        let deadline = clock::now() + Duration::from_secs(15);
        while !done(&self.bot) {
            assert!(
                clock::now() < deadline,
                "not {what}: {:?}",
                self.bot.runtime().state()
            );
            self.go();
        }
    }

    /// Number of snapshots received.
    pub fn snapshots(&self) -> u64 {
        self.bot.runtime().stats().snapshots
    }

    pub fn until_it_plays(&mut self) {
        self.until("playing", |bot| bot.runtime().stats().compared > 20);
    }
}

fn an_arena_is_played(way: Way) {
    let scene = Scene::new(way);
    let swarm = SwarmConfig {
        connect_options: scene.connect_options,
        relay: None,
        crew: Crew {
            players: 6,
            spectators: 1,
        },
        seed: 3,
        first_user: 1,
        trace: None,
        capture: None,
    };
    let swarm = Swarm::start(&swarm, scene.tokens, &Arc::new(arena_schema().unwrap())).unwrap();
    let deadline = clock::now() + Duration::from_secs(20);
    while swarm.figures().counts.compared < 300 && clock::now() < deadline {
        clock::sleep(Duration::from_millis(50));
    }
    let figures = swarm.stop().unwrap();
    let report = scene.host.stop().unwrap();
    assert!(figures.counts.compared >= 300, "{figures:?}");
    assert_eq!(
        (figures.joined, figures.lost, report.room.joined),
        (7, 0, 7)
    );
    assert_eq!(
        (
            figures.counts.hash_mismatches,
            figures.counts.decode_errors,
            figures.causes[2]
        ),
        (0, 0, 0)
    );
}

fn an_auction_is_held(way: Way) {
    let scene = Scene::new(way);
    let bidders = (1..=8).map(|user| (UserId(user), Strategy::of(user as usize)));
    let bidders = [(KEEPER, Strategy::Keeper), (UserId(99), Strategy::Watcher)]
        .into_iter()
        .chain(bidders)
        .collect();
    let house = House {
        accounts: 8,
        deposit: Amount(5_000_000),
        lots: 4,
        duration: 240,
        rate: 60,
        only_english: true,
    };
    let crowd = CrowdConfig {
        connect_options: scene.connect_options,
        room: 1,
        relay: None,
        bidders,
        house,
        pace: 10.0,
        seed: 5,
        keep_events: true,
    };
    let crowd = Crowd::start(&crowd, scene.tokens).unwrap();
    let deadline = clock::now() + Duration::from_secs(20);
    while crowd.figures().accepted < 40 && clock::now() < deadline {
        clock::sleep(Duration::from_millis(50));
    }
    let (figures, bidders) = crowd.stop().unwrap();
    scene.host.stop().unwrap();
    assert!(figures.accepted >= 40, "{figures:?}");
    assert_eq!(
        bidders
            .iter()
            .map(|bidder| bidder.client().errors())
            .sum::<u64>(),
        0
    );
    assert!(
        bidders
            .iter()
            .map(|bidder| bidder.seen().len())
            .sum::<usize>()
            > 40,
        "nobody saw what happened"
    );
}

fn a_client_that_lost_its_way_comes_back_to_its_session(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    let (id, compared) = (
        player.bot.runtime().id(),
        player.bot.runtime().stats().compared,
    );
    let own = player.bot.runtime().buffer().own().map(|own| own.id);
    // The old path still exists, but is not used any more.
    let old = std::mem::replace(&mut player.socket, scene.socket());
    player.until("back", |bot| {
        let stats = bot.runtime().stats();
        stats.resumes == 1
            && stats.compared > compared + 20
            && bot.runtime().state() == ClientState::Playing
    });
    assert_eq!(player.bot.runtime().id(), id);
    assert_eq!(player.bot.runtime().buffer().own().map(|own| own.id), own);
    assert_eq!(
        (
            player.bot.runtime().stats().decode_errors,
            player.bot.runtime().stats().hash_mismatches
        ),
        (0, 0)
    );
    drop(old);
    assert_eq!(scene.host.stop().unwrap().room.joined, 1);
}

fn a_server_that_stops_says_so(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    scene.host.stop().unwrap();
    let told = |reason| ClientState::Ended(End::Told(reason));
    player.until("told", |bot| {
        matches!(bot.runtime().state(), ClientState::Ended(_))
    });
    let state = player.bot.runtime().state();
    assert_eq!(state, told(DisconnectReason::ServerStopping), "{way:?}");
}

fn who_leaves_is_gone_at_once(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    player.bot.leave();
    player.go();
    let deadline = clock::now() + Duration::from_secs(5);
    while scene.host.report().sessions > 0 {
        assert!(clock::now() < deadline, "{:?}", scene.host.report());
        clock::sleep(Duration::from_millis(50));
    }
}

fn a_token_serves_once(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    let mut copy = scene.player_with(player.token.clone(), 8);
    copy.until("refused", |bot| {
        matches!(bot.runtime().state(), ClientState::Ended(_))
    });
    // The token of an open session is taken for a late copy, and not answered, where requests can
    // be copies.
    let refused = [Failure::Denied, Failure::RequestTimedOut]
        .map(|failure| ClientState::Ended(End::Failed(failure)));
    assert!(
        refused.contains(&copy.bot.runtime().state()),
        "{way:?}: {:?}",
        copy.bot.runtime().state()
    );
    let compared = player.bot.runtime().stats().compared;
    player.until("unharmed", |bot| {
        bot.runtime().stats().compared > compared + 20
    });
}

fn who_loses_its_session_to_another_hears_why(way: Way) {
    let mut scene = Scene::new(way);
    let mut first = scene.player(7);
    first.until_it_plays();
    let (id, own) = (
        first.bot.runtime().id(),
        first.bot.runtime().buffer().own().map(|own| own.id),
    );
    let mut second = scene.player(7);
    second.until_it_plays();
    first.until("told", |bot| {
        matches!(bot.runtime().state(), ClientState::Ended(_))
    });
    let replaced = ClientState::Ended(End::Told(DisconnectReason::Replaced));
    assert_eq!(first.bot.runtime().state(), replaced, "{way:?}");
    // The second client takes over the entities and keeps them.
    let compared = second.bot.runtime().stats().compared;
    second.until("plays on", |bot| {
        bot.runtime().stats().compared > compared + 20
    });
    assert_eq!(
        (second.bot.runtime().id(), scene.host.report().sessions),
        (id, 1)
    );
    assert_eq!(second.bot.runtime().buffer().own().map(|own| own.id), own);
}

fn a_user_plays_and_watches_at_once(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    let purpose = Purpose {
        role: Role::Spectator,
        ..Purpose::default()
    };
    let token = scene
        .tokens
        .issue_for(UserId(7), purpose, clock::unix_now());
    let mut spectator = scene.player_with(token, 8);
    spectator.bot = spectator.bot.as_role(Role::Spectator);
    spectator.until("watches", |bot| bot.runtime().stats().snapshots > 20);
    let compared = player.bot.runtime().stats().compared;
    player.until("plays on", |bot| {
        bot.runtime().stats().compared > compared + 20
    });
    assert_eq!(
        player.bot.runtime().state(),
        ClientState::Playing,
        "{way:?}"
    );
    assert_eq!(scene.host.report().sessions, 2);
}
