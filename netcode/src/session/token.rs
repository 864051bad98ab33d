//! Connect tokens: what admits a client to a server, made by any holder of the servers' key.
//!
//! The layouts are those of the netcode 1.02 standard. `PROTOCOL.md` has them in prose, with what
//! Truetick stores in a token's user data ([`Purpose`]).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rand::CryptoRng;
use thiserror::Error;

use super::bytes::{Reader, Writer};
use super::crypto::{Forged, KEY_BYTES, Key, TAG_BYTES, TOKEN_NONCE_BYTES, open_token, seal_token};
use super::{ClientId, Role, UserId};
use crate::time::UnixTime;

/// The standard's version. Every request and token contains it, and all that is sealed is bound to
/// it.
pub const VERSION_INFO: [u8; 13] = *b"NETCODE 1.02\0";

/// Length of a connect token, in bytes.
pub const TOKEN_BYTES: usize = 2_048;

/// Length of a token's private part with its tag, in bytes.
pub const PRIVATE_BYTES: usize = 1_024;

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
    pub fn other_protocol(token: u64, own: u64) -> Self {
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

/// The part of a token that only the issuer and the servers can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateToken {
    /// The user that the token is for.
    pub user: UserId,
    /// Seconds of silence after which either side ends the session; without limit if not positive.
    pub timeout_s: i32,
    /// Servers that accept the token, 1 to [`TOKEN_SERVERS`].
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
    /// If [`Self::servers`] does not have 1 to [`TOKEN_SERVERS`] entries.
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

fn write_servers(writer: &mut Writer<'_>, servers: &[SocketAddr]) {
    assert!(
        (1..=TOKEN_SERVERS).contains(&servers.len()),
        "a token names 1 to {TOKEN_SERVERS} servers"
    );
    writer.u32(servers.len() as u32);
    for server in servers {
        match server.ip() {
            IpAddr::V4(ip) => {
                writer.bytes(&[1]);
                writer.bytes(&ip.octets());
            }
            IpAddr::V6(ip) => {
                writer.bytes(&[2]);
                ip.segments().iter().for_each(|part| writer.u16(*part));
            }
        }
        writer.u16(server.port());
    }
}

fn read_servers(reader: &mut Reader<'_>) -> Option<Vec<SocketAddr>> {
    let count = reader.u32()? as usize;
    if !(1..=TOKEN_SERVERS).contains(&count) {
        return None;
    }
    let mut server = || {
        let ip: IpAddr = match reader.array::<1>()? {
            [1] => Ipv4Addr::from(reader.array::<4>()?).into(),
            [2] => {
                let mut parts = [0; 8];
                for part in &mut parts {
                    *part = reader.u16()?;
                }
                Ipv6Addr::from(parts).into()
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, reader.u16()?))
    };
    (0..count).map(|_| server()).collect()
}

/// What a token is for, as Truetick stores it in the first bytes of the user data. A token of
/// another issuer, whose user data begin with a zero, joins room 0 as a player.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// The room that the token admits to.
    pub room: u16,
    /// What the user does in the room.
    pub role: Role,
    /// When the token was issued; `None` for a token of another issuer.
    pub issued: Option<UnixTime>,
    /// The session that the token resumes; `None` for a token that joins.
    pub resume: Option<Resumed>,
}

/// A session as a resume ticket names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The session's client number.
    pub client: ClientId,
    /// The session's epoch when the ticket was made, which counts its resumptions and takeovers.
    /// The ticket is void once the session has another epoch.
    pub epoch: u32,
}

/// First byte of user data that hold a [`Purpose`].
const PURPOSE: u8 = 0x54;

/// Bytes that a [`Purpose`] takes; the rest of the user data belongs to the game.
pub const PURPOSE_BYTES: usize = 20;

impl Purpose {
    /// Writes the purpose into the first [`PURPOSE_BYTES`] bytes of the user data.
    pub fn write(&self, user_data: &mut UserData) {
        let mut writer = Writer::new(user_data);
        let kind = u8::from(self.resume.is_some()) | u8::from(self.role == Role::Spectator) << 1;
        writer.bytes(&[PURPOSE, kind]);
        writer.u16(self.room);
        writer.u64(self.issued.unwrap_or_default().as_millis());
        let resume = self.resume.unwrap_or(Resumed {
            client: ClientId(0),
            epoch: 0,
        });
        writer.u32(resume.client.0);
        writer.u32(resume.epoch);
    }

    /// Reads the purpose from the user data; `None` if the first byte is neither zero nor that of a
    /// purpose, or an unknown bit is set.
    pub fn read(user_data: &UserData) -> Option<Self> {
        let mut reader = Reader::new(user_data);
        let [mark, kind] = reader.array()?;
        if mark == 0 {
            return Some(Self::default());
        }
        let room = reader.u16()?;
        let issued = Some(UnixTime::from_millis(reader.u64()?));
        let resumed = Resumed {
            client: ClientId(reader.u32()?),
            epoch: reader.u32()?,
        };
        let resume = (kind & 1 != 0).then_some(resumed);
        let role = if kind & 2 != 0 {
            Role::Spectator
        } else {
            Role::Player
        };
        (mark == PURPOSE && kind < 4).then_some(Self {
            room,
            role,
            issued,
            resume,
        })
    }
}

/// Issues tokens; a backend uses it to admit clients to servers.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The servers' key.
    pub key: Key,
    /// The servers' protocol id.
    pub protocol: u64,
    /// The servers' public addresses, 1 to [`TOKEN_SERVERS`].
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
    /// If [`Self::servers`] does not have 1 to [`TOKEN_SERVERS`] entries.
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
    /// If [`Self::servers`] does not have 1 to [`TOKEN_SERVERS`] entries.
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

/// Returns the tag at the end of a sealed private part, by which a server recognises the token.
pub fn token_tag(sealed: &SealedToken) -> [u8; TAG_BYTES] {
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&sealed[PRIVATE_BYTES - TAG_BYTES..]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn issuer(servers: Vec<SocketAddr>) -> Issuer {
        Issuer {
            key: Key::new([9; 32]),
            protocol: 77,
            servers,
            lifetime: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
        }
    }

    fn addresses() -> impl Strategy<Value = Vec<SocketAddr>> {
        let v4 = (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from);
        let v6 = (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from);
        proptest::collection::vec(prop_oneof![v4, v6], 1..=TOKEN_SERVERS)
    }

    proptest! {
        #[test]
        fn a_token_returns(servers in addresses(), user in any::<u64>(), (room, watches) in any::<(u16, bool)>(), seed in any::<u64>()) {
            let (issuer, mut rng) = (issuer(servers), StdRng::seed_from_u64(seed));
            let now = UnixTime::from_millis(1_700_000_000_123);
            let role = if watches { Role::Spectator } else { Role::Player };
            let purpose = Purpose { room, role, ..Purpose::default() };
            let token = issuer.issue(UserId(user), purpose, now, &mut rng);
            prop_assert_eq!(&ConnectToken::from_bytes(&*token.to_bytes()).unwrap(), &token);
            prop_assert_eq!(&ConnectToken::from_bytes(&token.to_short_bytes()).unwrap(), &token);
            let open = |key| PrivateToken::open(&token.sealed, key, 77, token.expires, &token.nonce);
            let private = open(&issuer.key).unwrap();
            prop_assert_eq!((private.user.0, &private.servers), (user, &token.servers));
            prop_assert_eq!((&private.client_key, &private.server_key), (&token.client_key, &token.server_key));
            prop_assert_eq!(Purpose::read(&private.user_data), Some(Purpose { issued: Some(now), ..purpose }));
            prop_assert_eq!(open(&Key::new([8; 32])), Err(OpenError::Forged));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..=TOKEN_BYTES + 1), begin in any::<bool>()) {
            if begin && bytes.len() > 13 {
                bytes[..13].copy_from_slice(&VERSION_INFO);
            }
            if let Ok(token) = ConnectToken::from_bytes(&bytes) {
                prop_assert_eq!(ConnectToken::from_bytes(&*token.to_bytes()).unwrap(), token);
            }
        }
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let token = issuer(vec![([127, 0, 0, 1], 9).into()]);
        let token = token.issue(
            UserId(1),
            Purpose::default(),
            UnixTime::default(),
            &mut StdRng::seed_from_u64(1),
        );
        let broken = |change: &dyn Fn(&mut [u8])| {
            let mut bytes = token.to_bytes();
            change(&mut *bytes);
            ConnectToken::from_bytes(&*bytes).is_err()
        };
        let servers = 13 + 8 * 3 + TOKEN_NONCE_BYTES + PRIVATE_BYTES + 4;
        assert!(!broken(&|_| {}));
        assert!(broken(&|bytes| bytes[0] = b'M'));
        assert!(broken(&|bytes| bytes[servers] = 0));
        assert!(broken(&|bytes| bytes[servers] = 33));
        assert!(broken(&|bytes| bytes[servers + 4] = 3));
        assert!(broken(&|bytes| bytes[21] = 0xff));
        assert!(broken(&|bytes| bytes[TOKEN_BYTES - 1] = 1));
        assert!(ConnectToken::from_bytes(&[0; TOKEN_BYTES + 1]).is_err());
    }
}
