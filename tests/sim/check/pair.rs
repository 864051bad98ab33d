//! What the checkers look at: the server after a tick, and a client with the server's side of its
//! session.

use truetick_netcode::connection::Connection;
use truetick_netcode::schema::Schema;
use truetick_netcode::session::ClientId;
use truetick_netcode::time::Timestamp;
use truetick_server::server::Server;

use crate::client_process::ClientProcess;
use crate::network::Network;

/// The server after a tick.
#[derive(Clone, Copy)]
pub struct ServerView<'a> {
    /// The server that ran the tick.
    pub core: &'a Server,
    /// The schema of its only room.
    pub schema: &'a Schema,
    /// The time that the server's clock shows.
    pub now: Timestamp,
}

/// A client with the server's side of its current session.
pub struct Pair<'a> {
    /// Index of the client in the run.
    pub at: usize,
    /// The client's side.
    pub client: &'a ClientProcess,
    /// Id of the session.
    pub id: ClientId,
    /// The server's side.
    pub server: &'a Connection,
}

/// The client at an index, if both sides are in the same session.
pub(super) fn pair<'a>(
    at: usize,
    client: &'a ClientProcess,
    core: &'a Server,
    network: &Network,
) -> Option<Pair<'a>> {
    let own = client
        .bot
        .runtime()
        .connection()
        .filter(|_| client.is_playing());
    let (id, server) = core.session(network.address(client.path))?;
    let same = client.bot.runtime().id() == Some(id) && core.is_playing(id);
    own.filter(|_| same).map(|_| Pair {
        at,
        client,
        id,
        server,
    })
}
