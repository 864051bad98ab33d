//! A session as the server's roster keeps it: its client, its connection and its keys.

use std::time::Duration;

use super::super::half_open::Applicant;
use super::super::keys::SessionKeys;
use super::super::rate::TokenBucket;
use super::super::{ClientId, Role, UserId};
use crate::time::Timestamp;
use crate::transport::PeerAddr;

/// The current connection of a session to its client.
#[derive(Debug)]
pub struct Live {
    /// Address of the client.
    pub addr: PeerAddr,
    /// Largest payload to the client, in bytes.
    pub max_payload: usize,
    /// The standard's client index.
    pub index: u32,
    /// Silence after which the client counts as gone; `None` for no limit.
    pub timeout: Option<Duration>,
    /// Packets of the session that were received and accepted.
    pub opened: u64,
    /// When the client's last packet arrived.
    pub heard_at: Timestamp,
    /// When the last packet was sent to the client.
    pub sent_at: Timestamp,
}

impl Live {
    /// Returns the contents of a keep-alive of a server that allows `sessions` sessions.
    pub(in crate::session) fn keep_alive(&self, sessions: u32) -> [u8; 8] {
        let mut contents = [0; 8];
        contents[..4].copy_from_slice(&self.index.to_le_bytes());
        contents[4..].copy_from_slice(&sessions.to_le_bytes());
        contents
    }
}

/// A session of one client.
#[derive(Debug)]
pub struct Session {
    /// The user that the session belongs to.
    pub user: UserId,
    /// The room that the token was for.
    pub room: u16,
    /// What the client does in the room.
    pub role: Role,
    /// Whether the session is carried by encrypted connections.
    pub secured: bool,
    /// Counts resumptions and takeovers.
    pub epoch: u32,
    /// When the token that opened the session or took it over was issued, on the server's own time
    /// line.
    pub issued: Option<Timestamp>,
    /// The connection to the client; `None` while the session is parked.
    pub live: Option<Live>,
    /// When a parked session ends.
    pub parked_until: Timestamp,
    /// Rate limiter of resumptions.
    pub resumes: TokenBucket,
    /// Rate limiter of genuine packets on datagrams, against `limits::SESSION_PACKETS`. It survives
    /// resumptions and takeovers.
    pub packets: TokenBucket,
    /// The keys of the token that last opened, resumed or took over the session. They are kept
    /// while the session is parked.
    pub keys: SessionKeys,
    /// Number of the response that last opened or resumed the session. The same keys resume it
    /// again only with a later one.
    pub response: u64,
    /// The session's epoch when a newer token last took it over. Tickets of earlier epochs belong
    /// to a displaced client.
    pub taken_over: Option<u32>,
    /// Whether a packet of the client has arrived since the session was opened or resumed.
    pub heard: bool,
}

impl Session {
    /// Returns whether the session's keys are those of an applicant's token.
    pub(crate) fn is_of(&self, applicant: &Applicant) -> bool {
        *self.keys.tag() == applicant.tag
    }

    /// Returns whether a newer token took the session over after a ticket of this epoch was issued.
    pub(super) fn was_taken_over_since(&self, epoch: u32) -> bool {
        self.taken_over
            .is_some_and(|taken_over| (epoch.wrapping_sub(taken_over) as i32) < 0)
    }

    /// Records that a packet of the client has arrived.
    pub(in crate::session) fn note_heard(&mut self, now: Timestamp) {
        self.heard = true;
        if let Some(live) = &mut self.live {
            live.heard_at = live.heard_at.max(now);
            live.opened += 1;
        }
    }
}

/// The session that an admitted applicant gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A new session, without state.
    New,
    /// The session that a ticket names, with its state.
    Resumed(ClientId),
    /// The session that this same ticket has resumed without the client having sent anything since.
    /// It moves to the address of the new request.
    Moved(ClientId),
    /// A session of the same user, restarted: the previous client's state is discarded.
    TakenOver(ClientId),
}

impl Place {
    /// Returns the client whose session it is; `None` for a new one.
    pub fn client(self) -> Option<ClientId> {
        match self {
            Self::New => None,
            Self::Resumed(client) | Self::Moved(client) | Self::TakenOver(client) => Some(client),
        }
    }
}
