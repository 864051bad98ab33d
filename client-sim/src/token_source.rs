//! Where bots get their tokens from: made here, with the server's key.

use rand::SeedableRng;
use rand::rngs::StdRng;
use truetick_netcode::session::UserId;
use truetick_netcode::session::token::{ConnectToken, Issuer, Purpose};
use truetick_netcode::time::UnixTime;

/// Makes tokens for any user.
#[derive(Debug)]
pub struct TokenSource {
    issuer: Issuer,
    rng: StdRng,
}

impl TokenSource {
    /// Tokens of an issuer; their keys follow from `seed`, which must be random outside of
    /// simulations.
    pub fn new(issuer: Issuer, seed: [u8; 32]) -> Self {
        Self { issuer, rng: StdRng::from_seed(seed) }
    }

    /// A token for a user to join a room.
    pub fn issue(&mut self, user: UserId, room: u16, wall: UnixTime) -> ConnectToken {
        self.issue_for(user, Purpose { room, ..Purpose::default() }, wall)
    }

    /// A token for whatever a user is to do.
    pub fn issue_for(&mut self, user: UserId, purpose: Purpose, wall: UnixTime) -> ConnectToken {
        self.issuer.issue(user, purpose, wall, &mut self.rng)
    }
}
