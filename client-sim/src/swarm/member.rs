//! One bot of a swarm: its socket, its user, and when it joins again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use truetick_arena::ArenaSchema;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::backoff::Backoff;
use truetick_netcode::session::token::{ConnectToken, Purpose};
use truetick_netcode::session::{Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_transport::clock;

use super::SwarmConfig;
use crate::bot_client::BotClient;
use crate::client_socket::ClientSocket;
use crate::token_source::TokenSource;

/// The room that bots join.
const ROOM: u16 = 0;

/// First pause before a bot that lost its session gets another token.
const REJOIN_INTERVAL: Duration = Duration::from_millis(500);

/// Longest pause before a bot that lost its session gets another token.
const LONGEST_REJOIN_INTERVAL: Duration = Duration::from_secs(10);

/// A bot with its socket and what it needs to join again.
pub(super) struct Member {
    pub(super) user: UserId,
    pub(super) seed: u64,
    pub(super) bot: BotClient,
    pub(super) socket: ClientSocket,
    /// When the bot starts.
    start: Timestamp,
    pub(super) pauses: Backoff,
    /// Since when the bot is in its room, in its present session.
    pub(super) here_since: Option<Timestamp>,
    /// When the bot gets another token, its session being lost.
    pub(super) rejoin_at: Option<Timestamp>,
}

impl Member {
    /// Creates the bot with index `place`, which starts to join at `start`, and opens its socket.
    ///
    /// # Errors
    /// The socket cannot be opened.
    pub(super) fn open(
        config: &SwarmConfig,
        place: usize,
        start: Timestamp,
        tokens: &mut TokenSource,
        kinds: &Arc<ArenaSchema>,
    ) -> io::Result<Self> {
        let role = if place < config.crew.players {
            Role::Player
        } else {
            Role::Spectator
        };
        let seed = config.seed.wrapping_mul(10_007) + place as u64;
        let user = UserId(config.first_user.wrapping_add(place as u64));
        let token = token(tokens, user, role);
        let bot = BotClient::new(kinds.clone(), token, seed, start).as_role(role);
        let options = &config.connect_options;
        let bot = bot.transport(options.transport());
        let server = bot.runtime().addr().address;
        let socket = ClientSocket::open(options, server, config.relay)?;
        Ok(Self {
            user,
            seed,
            bot,
            socket,
            start,
            pauses: Backoff::new(REJOIN_INTERVAL, LONGEST_REJOIN_INTERVAL, !seed),
            here_since: None,
            rejoin_at: None,
        })
    }

    /// Why the session has ended, if it has and no other token was scheduled since. A bot returns
    /// to a server that closed, since it may be restarted. It does not return to a session that
    /// another client took over.
    pub(super) fn newly_ended(&mut self) -> Option<End> {
        match self.bot.runtime().state() {
            ClientState::Playing => self.pauses.reset(),
            ClientState::Ended(End::Disconnected(
                DisconnectReason::Left | DisconnectReason::Replaced,
            )) => {}
            ClientState::Ended(end) if self.rejoin_at.is_none() => return Some(end),
            _ => {}
        }
        None
    }

    pub(super) fn next_timeout(&self) -> Timestamp {
        let next = self.bot.next_timeout().max(self.start);
        self.rejoin_at.map_or(next, |at| next.min(at))
    }

    pub(super) fn transmit(&mut self) {
        while let Some((to, transmit)) = self.bot.poll_transmit() {
            self.socket.send(to, &transmit);
        }
        self.socket.flush();
    }
}

/// A token for the swarm's room.
pub(super) fn token(tokens: &mut TokenSource, user: UserId, role: Role) -> ConnectToken {
    let purpose = Purpose {
        room: ROOM,
        role,
        ..Purpose::default()
    };
    tokens.issue_for(user, purpose, clock::unix_now())
}
