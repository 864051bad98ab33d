//! The private part of a connect token, which only the issuer and the servers can read.

use std::net::SocketAddr;

use super::super::UserId;
use super::super::bytes::{Reader, Writer};
use super::super::crypto::{
    Forged, KEY_BYTES, Key, TAG_BYTES, TOKEN_NONCE_BYTES, open_token, seal_token,
};
use super::servers::{read_servers, write_servers};
use super::{PRIVATE_BYTES, USER_DATA_BYTES, UserData, VERSION_INFO};

/// The part of a token that only the issuer and the servers can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateToken {
    /// The user that the token is for.
    pub user: UserId,
    /// Seconds of silence after which either side ends the session; without limit if not positive.
    pub timeout_s: i32,
    /// Servers that accept the token, 1 to [`TOKEN_SERVERS`](super::TOKEN_SERVERS).
    pub servers: Vec<SocketAddr>,
    /// Key of the packets that the client sends.
    pub client_key: Key,
    /// Key of the packets that the server sends.
    pub server_key: Key,
    /// Data of the issuer for the server.
    pub user_data: UserData,
}

/// A token's private part as it travels, sealed.
pub type SealedToken = [u8; PRIVATE_BYTES];

/// Returns the associated data of a private part.
fn about(protocol: u64, expires: u64) -> [u8; 29] {
    let mut about = [0; 29];
    about[..13].copy_from_slice(&VERSION_INFO);
    about[13..21].copy_from_slice(&protocol.to_le_bytes());
    about[21..].copy_from_slice(&expires.to_le_bytes());
    about
}

impl PrivateToken {
    /// Seals the private part; `expires` is in seconds since 1970.
    ///
    /// # Panics
    /// If [`Self::servers`] does not have 1 to [`TOKEN_SERVERS`](super::TOKEN_SERVERS) entries.
    pub fn seal(
        &self,
        key: &Key,
        protocol: u64,
        expires: u64,
        nonce: &[u8; TOKEN_NONCE_BYTES],
    ) -> Box<SealedToken> {
        let mut buffer = Box::new([0; PRIVATE_BYTES]);
        let mut writer = Writer::new(&mut *buffer);
        writer.u64(self.user.0);
        writer.u32(self.timeout_s as u32);
        write_servers(&mut writer, &self.servers);
        writer.bytes(self.client_key.bytes());
        writer.bytes(self.server_key.bytes());
        writer.bytes(&self.user_data);
        seal_token(key, nonce, &about(protocol, expires), &mut *buffer);
        buffer
    }

    /// Opens a private part that [`Self::seal`] sealed.
    ///
    /// # Errors
    /// [`OpenError::Forged`] if it was sealed with another key, protocol, expiry or nonce;
    /// [`OpenError::Malformed`] if its contents are invalid.
    pub fn open(
        sealed: &SealedToken,
        key: &Key,
        protocol: u64,
        expires: u64,
        nonce: &[u8; TOKEN_NONCE_BYTES],
    ) -> Result<Self, OpenError> {
        let mut buffer = *sealed;
        let opened = open_token(key, nonce, &about(protocol, expires), &mut buffer)?;
        let mut reader = Reader::new(opened);
        let read = Self::read(&mut reader).ok_or(OpenError::Malformed);
        zeroize::Zeroize::zeroize(&mut buffer);
        read
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            user: UserId(reader.u64()?),
            timeout_s: reader.u32()? as i32,
            servers: read_servers(reader)?,
            client_key: Key::new(reader.array::<KEY_BYTES>()?),
            server_key: Key::new(reader.array::<KEY_BYTES>()?),
            user_data: reader.array::<USER_DATA_BYTES>()?,
        })
    }
}

/// Why a private part was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It was not sealed with this key, protocol, expiry and nonce.
    Forged,
    /// It is authentic, but its contents violate the standard's format.
    Malformed,
}

impl From<Forged> for OpenError {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

/// Returns the tag at the end of a sealed private part, by which a server recognises the token.
pub fn token_tag(sealed: &SealedToken) -> [u8; TAG_BYTES] {
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&sealed[PRIVATE_BYTES - TAG_BYTES..]);
    tag
}
