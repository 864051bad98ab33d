//! Challenges: what a client must send back to prove that it is where it says. The server keeps nothing of them.

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
    pub fn make(&mut self, user: UserId, user_data: &UserData) -> Challenge {
        let number = self.next;
        self.next += 1;
        let mut contents = [0; CHALLENGE_CONTENTS];
        contents[..8].copy_from_slice(&number.to_le_bytes());
        let (message, tag) = contents[8..].split_at_mut(CHALLENGE_BYTES - TAG_BYTES);
        let mut writer = Writer::new(message);
        writer.u64(user.0);
        writer.bytes(user_data);
        tag.copy_from_slice(&self.key.seal(number, &[], message));
        contents
    }

    /// For whom a challenge was made that came back.
    pub fn open(&self, contents: &[u8]) -> Option<(UserId, UserData)> {
        let (number, sealed) = contents.split_first_chunk::<8>()?;
        let number = u64::from_le_bytes(*number);
        let mut sealed: [u8; CHALLENGE_BYTES] = sealed.try_into().ok()?;
        let mut reader = Reader::new(self.key.open(number, &[], &mut sealed).ok()?);
        Some((UserId(reader.u64()?), reader.array::<USER_DATA_BYTES>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_comes_back_to_its_maker_only() {
        let mut maker = Challenges::new(&Key::new([1; 32]));
        let data = std::array::from_fn(|i| i as u8);
        let first = maker.make(UserId(4), &data);
        let contents = maker.make(UserId(5), &data);
        assert_eq!((first[0], contents[0]), (0, 1));
        assert_eq!(maker.open(&contents), Some((UserId(5), data)));
        assert_eq!(Challenges::new(&Key::new([2; 32])).open(&contents), None);
        let mut other = contents;
        other[0] = 0;
        assert_eq!(maker.open(&other), None);
        assert_eq!(maker.open(&contents[1..]), None);
    }
}
