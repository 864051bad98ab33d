//! Connect tokens: what admits a client to a server, made by any holder of the servers' key.
//!
//! The layouts are those of the netcode 1.02 standard. `PROTOCOL.md` has them in prose, with what
//! Truetick stores in a token's user data ([`Purpose`]).

mod issuer;
mod private;
mod purpose;
mod servers;

use std::fmt;
use std::net::SocketAddr;

use thiserror::Error;

use super::bytes::{Reader, Writer};
use super::crypto::{Key, TOKEN_NONCE_BYTES};

pub use issuer::Issuer;
pub use private::{OpenError, PrivateToken, SealedToken, token_tag};
pub use purpose::{PURPOSE_BYTES, Purpose, Resumed};
use servers::{read_servers, write_servers};

/// The standard's version. Every request and token contains it, and all that is sealed is bound to
/// it.
pub(crate) const VERSION_INFO: [u8; 13] = *b"NETCODE 1.02\0";

/// Length of a connect token, in bytes.
pub(crate) const TOKEN_BYTES: usize = 2_048;

/// Length of a token's private part with its tag, in bytes.
pub(crate) const PRIVATE_BYTES: usize = 1_024;

/// Length of a token's user data, in bytes.
pub const USER_DATA_BYTES: usize = 256;

/// Most servers that one token can name.
pub const TOKEN_SERVERS: usize = 32;

/// Data of the issuer for the server.
pub type UserData = [u8; USER_DATA_BYTES];

/// Why a token cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The bytes violate the standard's format.
    #[error("not a connect token: {0}")]
    Malformed(&'static str),
    /// The token is for another protocol: client and issuer are of different builds.
    #[error("the token is for wire version {token}, this build speaks {own}: {who} is out of date")]
    OtherProtocol {
        /// Low byte of the token's protocol id: Truetick's wire version.
        token: u8,
        /// Low byte of this build's protocol id.
        own: u8,
        /// The side with the older build.
        who: &'static str,
    },
}

impl TokenError {
    /// Returns the error for a token of protocol `token` in a client of protocol `own`.
    pub(crate) fn other_protocol(token: u64, own: u64) -> Self {
        let who = if token < own {
            "the server"
        } else {
            "this client"
        };
        Self::OtherProtocol {
            token: token as u8,
            own: own as u8,
            who,
        }
    }
}

/// A connect token as the client receives it. Its holder can use it, so its debug output omits the
/// secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectToken {
    /// Protocol id that the token is for.
    pub protocol: u64,
    /// When the token was made, in seconds since 1970.
    pub created: u64,
    /// When the token expires, in seconds since 1970.
    pub expires: u64,
    /// Nonce of the private part.
    pub nonce: [u8; TOKEN_NONCE_BYTES],
    /// The sealed private part.
    pub sealed: Box<SealedToken>,
    /// Seconds of silence after which either side ends the session; without limit if not positive.
    pub timeout_s: i32,
    /// Servers to try in turn, 1 to [`TOKEN_SERVERS`].
    pub servers: Vec<SocketAddr>,
    /// Key of the packets that the client sends.
    pub client_key: Key,
    /// Key of the packets that the server sends.
    pub server_key: Key,
}

impl ConnectToken {
    /// Returns the token's 2,048 bytes.
    ///
    /// # Panics
    /// If [`Self::servers`] does not have 1 to [`TOKEN_SERVERS`] entries.
    pub fn to_bytes(&self) -> Box<[u8; TOKEN_BYTES]> {
        let mut bytes = Box::new([0; TOKEN_BYTES]);
        let mut writer = Writer::new(&mut *bytes);
        writer.bytes(&VERSION_INFO);
        writer.u64(self.protocol);
        writer.u64(self.created);
        writer.u64(self.expires);
        writer.bytes(&self.nonce);
        writer.bytes(&*self.sealed);
        writer.u32(self.timeout_s as u32);
        write_servers(&mut writer, &self.servers);
        writer.bytes(self.client_key.bytes());
        writer.bytes(self.server_key.bytes());
        bytes
    }

    /// Reads a token; zero bytes at its end may be missing.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] if the bytes violate the standard's format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        if bytes.len() > TOKEN_BYTES {
            return Err(TokenError::Malformed("longer than 2,048 bytes"));
        }
        let mut whole = [0; TOKEN_BYTES];
        whole[..bytes.len()].copy_from_slice(bytes);
        let mut reader = Reader::new(&whole);
        if reader.array() != Some(VERSION_INFO) {
            return Err(TokenError::Malformed("it does not begin with NETCODE 1.02"));
        }
        let token = Self::read(&mut reader);
        let token = token.ok_or(TokenError::Malformed(
            "it names no server, or one that is no address",
        ))?;
        if reader.rest().iter().any(|byte| *byte != 0) {
            return Err(TokenError::Malformed("bytes behind its end"));
        }
        if token.created > token.expires {
            return Err(TokenError::Malformed("it expires before it was made"));
        }
        Ok(token)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            protocol: reader.u64()?,
            created: reader.u64()?,
            expires: reader.u64()?,
            nonce: reader.array()?,
            sealed: Box::new(reader.array()?),
            timeout_s: reader.u32()? as i32,
            servers: read_servers(reader)?,
            client_key: Key::new(reader.array()?),
            server_key: Key::new(reader.array()?),
        })
    }

    /// Returns the token's bytes without the zeros at their end, as a ticket inside a session
    /// carries them.
    ///
    /// # Panics
    /// If [`Self::servers`] does not have 1 to [`TOKEN_SERVERS`] entries.
    pub fn to_short_bytes(&self) -> Vec<u8> {
        let bytes = self.to_bytes();
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        bytes[..end].to_vec()
    }
}

impl fmt::Debug for ConnectToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            created,
            expires,
            timeout_s,
            servers,
            ..
        } = self;
        write!(
            out,
            "ConnectToken({created} to {expires}, {timeout_s} s, {servers:?})"
        )
    }
}

#[cfg(test)]
mod tests;
