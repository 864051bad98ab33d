//! A genuine session of one client with a small arena, whose datagrams the fuzz targets edit.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use truetick_arena::{ArenaSchema, arena_schema};
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::world_room::WorldRoom;

use crate::capture_transport::CaptureTransport;
use crate::tokens;

/// Address of the genuine client.
pub(crate) const FROM: ([u8; 4], u16) = ([127, 0, 0, 1], 100);

/// Time of the start in milliseconds.
const START_MS: u64 = 1_000;

/// Milliseconds of genuine traffic before the fuzzed part begins.
pub(crate) const GENUINE_MS: u64 = 400;

/// The time this many milliseconds after the start.
pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(START_MS + ms)
}

/// The schema of the arena.
pub(crate) fn kinds() -> Arc<ArenaSchema> {
    static KINDS: OnceLock<Arc<ArenaSchema>> = OnceLock::new();
    KINDS
        .get_or_init(|| Arc::new(arena_schema().unwrap()))
        .clone()
}

/// A small arena.
pub(crate) fn arena() -> ArenaGame {
    ArenaGame::new(ArenaConfig {
        drones: 3,
        pickups: 2,
        ..ArenaConfig::default()
    })
    .unwrap()
}

/// A server with a small arena.
pub(crate) fn server() -> Server {
    let mut server = tokens::server(at(0));
    server.add_room(Box::new(
        WorldRoom::new(arena(), RoomConfig::default(), at(0)).unwrap(),
    ));
    server
}

/// A client of the server, with the token of [`token`].
pub(crate) fn client() -> BotClient {
    BotClient::new(kinds(), token(), 4, at(0))
}

/// The token of the genuine client.
pub(crate) fn token() -> ConnectToken {
    tokens::token(4, 0, at(0))
}

/// Datagrams of the genuine session in both directions, by millisecond.
pub(crate) struct Talk {
    pub(crate) up: Vec<Vec<Vec<u8>>>,
    pub(crate) down: Vec<Vec<Vec<u8>>>,
}

/// The genuine session, which is recorded once.
pub(crate) fn talk() -> &'static Talk {
    static TALK: OnceLock<Talk> = OnceLock::new();
    TALK.get_or_init(|| {
        let (mut server, mut client) = (server(), client());
        let mut talk = Talk {
            up: Vec::new(),
            down: Vec::new(),
        };
        for ms in 0..GENUINE_MS + 200 {
            let mut capture_transport = CaptureTransport::default();
            server.send_replies(&mut capture_transport);
            server.tick(&mut || at(ms), &mut capture_transport);
            tokens::expect_rooms(&server);
            let down: Vec<Vec<u8>> = capture_transport
                .0
                .into_iter()
                .map(|(_, bytes)| bytes)
                .collect();
            down.iter()
                .for_each(|bytes| client.receive(SocketAddr::from(tokens::SERVER), bytes, at(ms)));
            client.advance(at(ms));
            let up: Vec<Vec<u8>> = std::iter::from_fn(|| client.poll_transmit())
                .map(|(_, transmit)| transmit.into_bytes())
                .collect();
            up.iter()
                .for_each(|bytes| server.receive(SocketAddr::from(FROM), bytes, at(ms)));
            talk.up.push(up);
            talk.down.push(down);
        }
        talk
    })
}
