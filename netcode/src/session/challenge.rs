//! Challenges: what a client must send back to prove that it is where it says. The server keeps nothing of them.
//!
//! The standard leaves 20 bytes of a challenge token empty; ours hold the address that it was sent to, so that it proves no other.

use std::net::{IpAddr, SocketAddr};

use super::UserId;
use super::bytes::{Reader, Writer};
use super::crypto::{Key, PacketKey, TAG_BYTES};
use super::packet::{CHALLENGE_BYTES, CHALLENGE_CONTENTS};
use super::token::{USER_DATA_BYTES, UserData};

/// A challenge as it travels: its number and its sealed token.
pub type Challenge = [u8; CHALLENGE_CONTENTS];

/// Makes challenges, and knows its own again.
#[derive(Debug)]
pub struct Challenges {
    key: PacketKey,
    next: u64,
}

impl Challenges {
    /// Challenges under a random key.
    pub fn new(key: &Key) -> Self {
        Self { key: PacketKey::new(key), next: 0 }
    }

    /// A challenge; they are numbered from 0.
    pub fn make(&mut self, to: SocketAddr, user: UserId, user_data: &UserData) -> Challenge {
        let number = self.next;
        self.next += 1;
        let mut contents = [0; CHALLENGE_CONTENTS];
        contents[..8].copy_from_slice(&number.to_le_bytes());
        let (message, tag) = contents[8..].split_at_mut(CHALLENGE_BYTES - TAG_BYTES);
        let mut writer = Writer::new(message);
        writer.u64(user.0);
        writer.bytes(user_data);
        writer.bytes(&place(to));
        tag.copy_from_slice(&self.key.seal(number, &[], message));
        contents
    }

    /// For whom a challenge was made that came back from where it was sent to.
    pub fn open(&self, from: SocketAddr, contents: &[u8]) -> Option<(UserId, UserData)> {
        let (number, sealed) = contents.split_first_chunk::<8>()?;
        let number = u64::from_le_bytes(*number);
        let mut sealed: [u8; CHALLENGE_BYTES] = sealed.try_into().ok()?;
        let mut reader = Reader::new(self.key.open(number, &[], &mut sealed).ok()?);
        let (user, user_data) = (UserId(reader.u64()?), reader.array::<USER_DATA_BYTES>()?);
        (reader.array() == Some(place(from))).then_some((user, user_data))
    }
}

/// An address in 18 bytes.
fn place(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut place = [0; 18];
    place[..16].copy_from_slice(&ip.octets());
    place[16..].copy_from_slice(&address.port().to_le_bytes());
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_comes_back_to_its_maker_from_its_address_only() {
        let mut maker = Challenges::new(&Key::new([1; 32]));
        let data = std::array::from_fn(|i| i as u8);
        let (here, there) = (SocketAddr::from(([10, 0, 0, 1], 5)), SocketAddr::from(([10, 0, 0, 1], 6)));
        let first = maker.make(here, UserId(4), &data);
        let contents = maker.make(here, UserId(5), &data);
        assert_eq!((first[0], contents[0]), (0, 1));
        assert_eq!(maker.open(here, &contents), Some((UserId(5), data)));
        assert_eq!(maker.open(there, &contents), None);
        assert_eq!(Challenges::new(&Key::new([2; 32])).open(here, &contents), None);
        let mut other = contents;
        other[0] = 0;
        assert_eq!(maker.open(here, &other), None);
        assert_eq!(maker.open(here, &contents[1..]), None);
    }
}
