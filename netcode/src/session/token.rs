//! Connect tokens: what lets a client in, made by whoever knows the servers' key.
//!
//! The layouts are those of the netcode 1.02 standard; `PROTOCOL.md` has them in prose, with what
//! Truetick puts into a token's user data ([`Purpose`]).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rand::CryptoRng;
use thiserror::Error;

use super::bytes::{Reader, Writer};
use super::crypto::{Forged, KEY_BYTES, Key, TAG_BYTES, TOKEN_NONCE_BYTES, open_token, seal_token};
use super::{ClientId, Role, UserId};
use crate::time::UnixTime;

/// Every packet that is not encrypted, every token and all that is sealed names this.
pub const VERSION_INFO: [u8; 13] = *b"NETCODE 1.02\0";

/// Bytes of a connect token.
pub const TOKEN_BYTES: usize = 2_048;

/// Bytes of its private part, the tag included.
pub const PRIVATE_BYTES: usize = 1_024;

/// Bytes that the issuer gives along for the server.
pub const USER_DATA_BYTES: usize = 256;

/// Servers that one token can name.
pub const TOKEN_SERVERS: usize = 32;

/// What the issuer gives along for the server.
pub type UserData = [u8; USER_DATA_BYTES];

/// Why a token cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Its bytes are not what the standard says.
    #[error("not a connect token: {0}")]
    Malformed(&'static str),
    /// It is for another protocol: client and issuer are of different builds.
    #[error("the token is for wire version {token}, this build speaks {own}: {who} is out of date")]
    OtherProtocol {
        /// Low byte of the token's protocol id, Truetick's wire version.
        token: u8,
        /// This build's.
        own: u8,
        /// Whose build is the older.
        who: &'static str,
    },
}

impl TokenError {
    /// Client and token speak different protocols.
    pub fn other_protocol(token: u64, own: u64) -> Self {
        let who = if token < own { "the server" } else { "this client" };
        Self::OtherProtocol { token: token as u8, own: own as u8, who }
    }
}

/// The part that only issuer and servers can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateToken {
    /// Who it is for.
    pub user: UserId,
    /// Seconds of silence after which either side gives up; negative for never.
    pub timeout_s: i32,
    /// Servers that take it, 1 to [`TOKEN_SERVERS`].
    pub servers: Vec<SocketAddr>,
    /// Key of what the client sends.
    pub client_key: Key,
    /// Key of what the server sends.
    pub server_key: Key,
    /// For the server.
    pub user_data: UserData,
}

/// The private part as it travels.
pub type SealedToken = [u8; PRIVATE_BYTES];

/// What a private part is sealed together with.
fn about(protocol: u64, expires: u64) -> [u8; 29] {
    let mut about = [0; 29];
    about[..13].copy_from_slice(&VERSION_INFO);
    about[13..21].copy_from_slice(&protocol.to_le_bytes());
    about[21..].copy_from_slice(&expires.to_le_bytes());
    about
}

impl PrivateToken {
    /// Seals it; `expires` is in seconds since 1970.
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

    /// Opens what [`Self::seal`] sealed.
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
    /// It was not sealed with this key for this protocol and time.
    Forged,
    /// It was, but is not what the standard says.
    Malformed,
}

impl From<Forged> for OpenError {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

/// The whole token as the client gets it. Whoever has it can use it, so it does not print itself
/// whole.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectToken {
    /// The protocol that it is for.
    pub protocol: u64,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it expires, in seconds since 1970.
    pub expires: u64,
    /// Nonce of the private part.
    pub nonce: [u8; TOKEN_NONCE_BYTES],
    /// The private part.
    pub sealed: Box<SealedToken>,
    /// Seconds of silence after which either side gives up; negative for never.
    pub timeout_s: i32,
    /// Servers to try in turn, 1 to [`TOKEN_SERVERS`].
    pub servers: Vec<SocketAddr>,
    /// Key of what the client sends.
    pub client_key: Key,
    /// Key of what the server sends.
    pub server_key: Key,
}

impl ConnectToken {
    /// Its 2,048 bytes.
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

    /// Reads a token; zero bytes at its end may be left out.
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
        let token =
            token.ok_or(TokenError::Malformed("it names no server, or one that is no address"))?;
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

    /// Its bytes without the zeros at their end: what a ticket inside a session takes.
    pub fn to_short_bytes(&self) -> Vec<u8> {
        let bytes = self.to_bytes();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes[..end].to_vec()
    }
}

impl fmt::Debug for ConnectToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created, expires, timeout_s, servers, .. } = self;
        write!(out, "ConnectToken({created} to {expires}, {timeout_s} s, {servers:?})")
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

/// What a token is for, as Truetick puts it into the first bytes of the user data. A token of
/// another issuer, whose user data begin with a zero, is for joining room 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// The room.
    pub room: u16,
    /// What its user does there.
    pub role: Role,
    /// When it was issued; `None` for another issuer's token.
    pub issued: Option<UnixTime>,
    /// The session that it resumes; `None` to join anew.
    pub resume: Option<Resumed>,
}

/// A session as a resume ticket names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The client's number.
    pub client: ClientId,
    /// How often its session was resumed or taken over when the ticket was made: another epoch, and
    /// it is void.
    pub epoch: u32,
}

/// First byte of user data that hold a [`Purpose`].
const PURPOSE: u8 = 0x54;

/// Bytes that a [`Purpose`] takes; the game has the rest.
pub const PURPOSE_BYTES: usize = 20;

impl Purpose {
    /// Puts it before what the game gives along.
    pub fn write(&self, user_data: &mut UserData) {
        let mut writer = Writer::new(user_data);
        let kind = u8::from(self.resume.is_some()) | u8::from(self.role == Role::Spectator) << 1;
        writer.bytes(&[PURPOSE, kind]);
        writer.u16(self.room);
        writer.u64(self.issued.unwrap_or_default().as_millis());
        let resume = self.resume.unwrap_or(Resumed { client: ClientId(0), epoch: 0 });
        writer.u32(resume.client.0);
        writer.u32(resume.epoch);
    }

    /// Reads it.
    pub fn read(user_data: &UserData) -> Option<Self> {
        let mut reader = Reader::new(user_data);
        let [mark, kind] = reader.array()?;
        if mark == 0 {
            return Some(Self::default());
        }
        let room = reader.u16()?;
        let issued = Some(UnixTime::from_millis(reader.u64()?));
        let resumed = Resumed { client: ClientId(reader.u32()?), epoch: reader.u32()? };
        let resume = (kind & 1 != 0).then_some(resumed);
        let role = if kind & 2 != 0 { Role::Spectator } else { Role::Player };
        (mark == PURPOSE && kind < 4).then_some(Self { room, role, issued, resume })
    }
}

/// Makes tokens: what a backend needs to let clients in.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The servers' key.
    pub key: Key,
    /// The protocol that they speak.
    pub protocol: u64,
    /// The addresses at which clients reach them, 1 to [`TOKEN_SERVERS`].
    pub servers: Vec<SocketAddr>,
    /// How long a token is good for: 1 s or longer, and no longer than the servers take (30 s by
    /// default).
    pub lifetime: Duration,
    /// After so much silence either side gives up, 1 s or longer.
    pub timeout: Duration,
}

impl Issuer {
    /// A token for a user.
    pub fn issue(
        &self,
        user: UserId,
        purpose: Purpose,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> ConnectToken {
        let mut user_data = [0; USER_DATA_BYTES];
        Purpose { issued: Some(now), ..purpose }.write(&mut user_data);
        self.issue_with(user, user_data, now, rng)
    }

    /// A token with any user data.
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
        // A server may not take what lives longer than it allows, so the part of a second that has
        // passed is cut off.
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

/// The tag at a sealed private part's end: by it a server knows a token again.
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
