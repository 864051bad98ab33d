//! A server with an arena and an auction over one transport, and players that a test drives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tempfile::{TempDir, tempdir};
use truetick_arena::arena_schema;
use truetick_client_sim::auction::run::settings;
use truetick_client_sim::bot_client::BotClient;
use truetick_client_sim::client_socket::{self, ClientSocket};
use truetick_client_sim::connect_options::ConnectOptions;
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::session::UserId;
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::transport::TransportKind;
use truetick_server::arena::ArenaGame;
use truetick_server::config::ServerConfig;
use truetick_server::host::{Host, random_key};
use truetick_server::room::Room;
use truetick_server::world_room::WorldRoom;
use truetick_transport::clock;
use truetick_transport::memory::MemoryHub;
use truetick_transport::server_transport::ServerTransport;

use crate::ways::{Way, any};

/// A server with an arena and an auction, reachable over one transport beside UDP.
pub struct Scene {
    pub host: Host,
    pub connect_options: ConnectOptions,
    pub kind: TransportKind,
    pub tokens: TokenSource,
    _folder: TempDir,
}

/// User of the keeper, who runs the house.
pub const KEEPER: UserId = UserId(1 << 41);

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

    pub fn player(&mut self, user: u64) -> Player {
        let token = self.tokens.issue(UserId(user), 0, clock::unix_now());
        self.player_with(token, user)
    }

    pub fn player_with(&self, token: ConnectToken, user: u64) -> Player {
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

    pub fn socket(&self) -> ClientSocket {
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
    pub token: ConnectToken,
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

    pub fn until(&mut self, what: &str, done: impl Fn(&BotClient) -> bool) {
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
