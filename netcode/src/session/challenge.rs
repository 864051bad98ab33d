//! Challenges: a client returns one to prove that it receives at its address. The server keeps no
//! state of them.
//!
//! A challenge is sealed together with its destination address and the tag of the requesting token,
//! so it proves nothing else. The standard leaves 20 bytes of a challenge token empty. Eight of
//! them hold the time of creation, so that a recorded challenge is valid for [`CHALLENGE_TIME`]
//! only.

use std::net::{IpAddr, SocketAddr};

use super::UserId;
use super::bytes::{Reader, Writer};
use super::crypto::{Key, PacketKey, TAG_BYTES};
use super::drops::DropReason;
use super::history::TokenTag;
use super::packet::{CHALLENGE_BYTES, CHALLENGE_CONTENTS};
use super::token::{USER_DATA_BYTES, UserData};
use crate::limits::CHALLENGE_TIME;
use crate::time::Timestamp;

/// A challenge as it travels: its number and its sealed token.
pub type Challenge = [u8; CHALLENGE_CONTENTS];

/// What a challenge proves: that its bearer receives at the address and used the token.
type Subject = [u8; 18 + TAG_BYTES];

/// Creates challenges and verifies the returned ones.
#[derive(Debug)]
pub struct Challenges {
    key: PacketKey,
    next: u64,
}

impl Challenges {
    /// Creates challenges under `key`, which must be random.
    pub fn new(key: &Key) -> Self {
        Self {
            key: PacketKey::new(key),
            next: 0,
        }
    }

    /// Creates a challenge for the user of the token with this tag. Challenges are numbered from 0.
    pub fn make(
        &mut self,
        to: SocketAddr,
        tag: &TokenTag,
        user: UserId,
        user_data: &UserData,
        now: Timestamp,
    ) -> Challenge {
        let number = self.next;
        self.next += 1;
        let mut contents = [0; CHALLENGE_CONTENTS];
        contents[..8].copy_from_slice(&number.to_le_bytes());
        let (message, sealed_tag) = contents[8..].split_at_mut(CHALLENGE_BYTES - TAG_BYTES);
        let mut writer = Writer::new(message);
        writer.u64(user.0);
        writer.bytes(user_data);
        writer.u64(now.as_nanos());
        sealed_tag.copy_from_slice(&self.key.seal(number, &subject(to, tag), message));
        contents
    }

    /// Opens a returned challenge and returns the user and user data that it was made for.
    ///
    /// # Errors
    /// [`DropReason::ForeignChallenge`] if it was made by another server, for another address or
    /// for another token; [`DropReason::OldChallenge`] if it is older than [`CHALLENGE_TIME`].
    pub fn open(
        &self,
        from: SocketAddr,
        tag: &TokenTag,
        contents: &[u8],
        now: Timestamp,
    ) -> Result<(UserId, UserData), DropReason> {
        let foreign = DropReason::ForeignChallenge;
        let (number, sealed) = contents.split_first_chunk::<8>().ok_or(foreign)?;
        let number = u64::from_le_bytes(*number);
        let mut sealed: [u8; CHALLENGE_BYTES] = sealed.try_into().map_err(|_| foreign)?;
        let opened = self
            .key
            .open(number, &subject(from, tag), &mut sealed)
            .map_err(|_| foreign)?;
        let mut reader = Reader::new(opened);
        let user = UserId(reader.u64().ok_or(foreign)?);
        let user_data = reader.array::<USER_DATA_BYTES>().ok_or(foreign)?;
        let made = Timestamp::from_nanos(reader.u64().ok_or(foreign)?);
        if now.since(made) > CHALLENGE_TIME {
            return Err(DropReason::OldChallenge);
        }
        Ok((user, user_data))
    }
}

fn subject(address: SocketAddr, tag: &TokenTag) -> Subject {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut subject = [0; 18 + TAG_BYTES];
    subject[..16].copy_from_slice(&ip.octets());
    subject[16..18].copy_from_slice(&address.port().to_le_bytes());
    subject[18..].copy_from_slice(tag);
    subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TAG: TokenTag = [3; TAG_BYTES];

    #[test]
    fn a_challenge_comes_back_to_its_maker_from_its_address_with_its_token_only() {
        let mut maker = Challenges::new(&Key::new([1; 32]));
        let (data, now) = (std::array::from_fn(|i| i as u8), Timestamp::from_millis(5));
        let (here, there) = (
            SocketAddr::from(([10, 0, 0, 1], 5)),
            SocketAddr::from(([10, 0, 0, 1], 6)),
        );
        let foreign = Err(DropReason::ForeignChallenge);
        let first = maker.make(here, &TAG, UserId(4), &data, now);
        let contents = maker.make(here, &TAG, UserId(5), &data, now);
        assert_eq!((first[0], contents[0]), (0, 1));
        assert_eq!(
            maker.open(here, &TAG, &contents, now),
            Ok((UserId(5), data))
        );
        assert_eq!(maker.open(there, &TAG, &contents, now), foreign);
        assert_eq!(maker.open(here, &[4; TAG_BYTES], &contents, now), foreign);
        assert_eq!(
            Challenges::new(&Key::new([2; 32])).open(here, &TAG, &contents, now),
            foreign
        );
        let mut other = contents;
        other[0] = 0;
        assert_eq!(maker.open(here, &TAG, &other, now), foreign);
        assert_eq!(maker.open(here, &TAG, &contents[1..], now), foreign);
    }

    #[test]
    fn a_challenge_grows_old() {
        let mut maker = Challenges::new(&Key::new([1; 32]));
        let (here, made) = (
            SocketAddr::from(([10, 0, 0, 1], 5)),
            Timestamp::from_millis(5),
        );
        let contents = maker.make(here, &TAG, UserId(4), &[0; 256], made);
        let last = made + CHALLENGE_TIME;
        assert!(maker.open(here, &TAG, &contents, last).is_ok());
        let late = maker.open(here, &TAG, &contents, last + Duration::from_nanos(1));
        assert_eq!(late, Err(DropReason::OldChallenge));
    }
}
