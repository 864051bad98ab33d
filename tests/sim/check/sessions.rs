//! Checks sessions: each belongs to its user, with one at an address; a client that falls silent
//! keeps its entities for the whole grace and has the same id when it returns.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::server::Server;
use truetick_server::session_event::SessionEvent;

use crate::client_process::ClientProcess;
use crate::network::Network;
use crate::server_process::world_of;

#[derive(Clone, Copy, Debug)]
struct Known {
    user: UserId,
    parked_at: Option<Timestamp>,
}

/// Checks the sessions of all clients.
#[derive(Debug)]
pub(crate) struct SessionCheck {
    grace: Duration,
    known: BTreeMap<ClientId, Known>,
}

impl SessionCheck {
    /// Creates a checker for sessions with this grace.
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            known: BTreeMap::new(),
        }
    }

    /// Resets the checker after a restart of the server.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Checks a session event when the server's clock shows `now`.
    pub fn changed(
        &mut self,
        event: &SessionEvent,
        core: Option<&Server>,
        now: Timestamp,
        wrong: &mut Vec<String>,
    ) {
        match event {
            SessionEvent::Joined(client, user, _) => {
                self.known.insert(
                    *client,
                    Known {
                        user: *user,
                        parked_at: None,
                    },
                );
            }
            SessionEvent::Parked(client) => {
                let Some(known) = self.known.get_mut(client) else {
                    return;
                };
                known.parked_at = Some(now);
            }
            SessionEvent::Resumed { client, .. } => {
                let Some(known) = self.known.get_mut(client) else {
                    return wrong.push(format!("{client:?} came back and never was here"));
                };
                known.parked_at = None;
                let user = core.and_then(|core| core.session_server().roster().get(*client));
                if user.is_some_and(|session| session.user != known.user) {
                    wrong.push(format!("{client:?} came back as another user"));
                }
                if core.is_some_and(|core| !world_of(core).has(*client)) {
                    wrong.push(format!(
                        "{client:?} came back to a room that does not know it"
                    ));
                }
            }
            SessionEvent::Ended(client, reason) => {
                let Some(known) = self.known.remove(client) else {
                    return;
                };
                let kept = known.parked_at.map(|at| now.since(at));
                let in_silence = *reason == DisconnectReason::TimedOut;
                if in_silence && kept.is_none_or(|kept| kept < self.grace) {
                    wrong.push(format!("{client:?} was given up after {kept:?}"));
                }
            }
            SessionEvent::Mismatch(..)
            | SessionEvent::Displaced(_)
            | SessionEvent::RoomEnded { .. } => {}
        }
    }

    /// Checks all sessions after a tick.
    pub fn check(
        &self,
        core: &Server,
        clients: &[ClientProcess],
        network: &Network,
        wrong: &mut Vec<String>,
    ) {
        let (config, roster) = (
            core.session_server().config(),
            core.session_server().roster(),
        );
        let too_many = |role| roster.sessions_of(role) > config.places(role);
        let crowded = too_many(Role::Player) || too_many(Role::Spectator);
        if crowded || roster.live() > roster.sessions() {
            wrong.push(format!(
                "{} sessions, {} of them live",
                roster.sessions(),
                roster.live()
            ));
        }
        for (at, client) in clients.iter().enumerate() {
            let Some(id) = roster.at(network.address(client.path)) else {
                continue;
            };
            let Some(session) = roster.get(id) else {
                wrong.push(format!(
                    "client {at} is at an address whose session there is not"
                ));
                continue;
            };
            // A client that had the address before may not have noticed that another has it now.
            let mut before = network
                .before(client.path)
                .iter()
                .map(|before| clients[*before].user());
            if session.user != client.user() && before.all(|user| user != session.user) {
                wrong.push(format!("client {at} has the session of {:?}", session.user));
            }
        }
        for known in self.known.values() {
            let sessions = self
                .known
                .values()
                .filter(|other| other.user == known.user)
                .count();
            if sessions > config.per_user {
                wrong.push(format!("{:?} has {sessions} sessions", known.user));
            }
        }
    }
}
