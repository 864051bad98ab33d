//! The tokens of bots, issued in this process with the server's key.

use rand::SeedableRng;
use rand::rngs::StdRng;
use truetick_netcode::session::UserId;
use truetick_netcode::session::token::{ConnectToken, Issuer, Purpose};
use truetick_netcode::time::UnixTime;

/// Issues tokens for any user.
#[derive(Debug)]
pub struct TokenSource {
    issuer: Issuer,
    rng: StdRng,
}

impl TokenSource {
    /// A source of an issuer's tokens. Their keys follow from `seed`, which must be random outside
    /// of simulations.
    pub fn new(issuer: Issuer, seed: [u8; 32]) -> Self {
        Self {
            issuer,
            rng: StdRng::from_seed(seed),
        }
    }

    /// A token for a user to join a room as a player; `wall` is the present UTC.
    pub fn issue(&mut self, user: UserId, room: u16, wall: UnixTime) -> ConnectToken {
        self.issue_for(
            user,
            Purpose {
                room,
                ..Purpose::default()
            },
            wall,
        )
    }

    /// A token for a user with any purpose; `wall` is the present UTC.
    pub fn issue_for(&mut self, user: UserId, purpose: Purpose, wall: UnixTime) -> ConnectToken {
        self.issuer.issue(user, purpose, wall, &mut self.rng)
    }
}
