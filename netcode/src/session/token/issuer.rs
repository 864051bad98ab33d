//! Issues connect tokens, as a backend does that admits users to servers.

use std::net::SocketAddr;
use std::time::Duration;

use rand::CryptoRng;

use super::super::UserId;
use super::super::crypto::{Key, TOKEN_NONCE_BYTES};
use super::{ConnectToken, PrivateToken, Purpose, USER_DATA_BYTES, UserData};
use crate::time::UnixTime;

/// Issues tokens; a backend uses it to admit clients to servers.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The servers' key.
    pub key: Key,
    /// The servers' protocol id.
    pub protocol: u64,
    /// The servers' public addresses, 1 to [`TOKEN_SERVERS`](super::TOKEN_SERVERS).
    pub servers: Vec<SocketAddr>,
    /// Lifetime of a token: 1 s or longer, in whole seconds, and no longer than the servers allow
    /// (30 s by default).
    pub lifetime: Duration,
    /// Silence after which either side ends the session: 1 s or longer, in whole seconds.
    pub timeout: Duration,
}

impl Issuer {
    /// Issues a token for a user. Its time of issue is `now`.
    ///
    /// # Panics
    /// If [`Self::servers`] does not have 1 to [`TOKEN_SERVERS`](super::TOKEN_SERVERS) entries.
    pub fn issue(
        &self,
        user: UserId,
        purpose: Purpose,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> ConnectToken {
        let mut user_data = [0; USER_DATA_BYTES];
        Purpose {
            issued: Some(now),
            ..purpose
        }
        .write(&mut user_data);
        self.issue_with(user, user_data, now, rng)
    }

    /// Issues a token with arbitrary user data.
    ///
    /// # Panics
    /// If [`Self::servers`] does not have 1 to [`TOKEN_SERVERS`](super::TOKEN_SERVERS) entries.
    pub fn issue_with(
        &self,
        user: UserId,
        user_data: UserData,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> ConnectToken {
        let timeout_s = self.timeout.as_secs().clamp(1, i32::MAX as u64) as i32;
        let private = PrivateToken {
            user,
            timeout_s,
            servers: self.servers.clone(),
            client_key: Key::generate(rng),
            server_key: Key::generate(rng),
            user_data,
        };
        let mut nonce = [0; TOKEN_NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let created = now.as_secs();
        // The elapsed part of the second is cut off, because a server refuses a token that lives
        // longer than it allows.
        let expires = created + self.lifetime.as_secs().max(1);
        ConnectToken {
            protocol: self.protocol,
            created,
            expires,
            nonce,
            sealed: private.seal(&self.key, self.protocol, expires, &nonce),
            timeout_s,
            servers: self.servers.clone(),
            client_key: private.client_key.clone(),
            server_key: private.server_key.clone(),
        }
    }
}
