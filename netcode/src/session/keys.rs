//! The two keys of a token on one side of a session, with the state that must live as long as the
//! keys.
//!
//! ChaCha20-Poly1305 must never seal two messages under one key and number. So the next number and
//! the replay window stay with the keys: while a session is parked, when the same ticket resumes it
//! again, and through all of a client's attempts.
//!
//! ```text
//! number    inside of a session    0 and up
//!           of a response          1:1  hint:40  next number:23    the hint begins the token's tag
//!           outside of a session   1:1  denial:8  counter:55        of the server; see `denial`
//! ```
//! The hint in a response identifies its token, so a server finds the keys that open it without
//! remembering addresses.

use super::crypto::{Key, PacketKey};
use super::drops::DropReason;
use super::history::TokenTag;
use super::packet::{self, Header, Kind};
use super::replay::ReplayWindow;

/// Highest bit of a number. No number inside of a session has it.
pub(crate) const OUTSIDE: u64 = 1 << 63;

/// Length of a hint, in bits.
const HINT_BITS: u32 = 40;

/// Length of the next number in a response, in bits.
const RESPONSE_BITS: u32 = 23;

/// Returns the first bytes of a token's tag as a number, which identifies the token among the
/// pending ones.
pub fn hint(tag: &TokenTag) -> u64 {
    tag[..HINT_BITS as usize / 8]
        .iter()
        .rev()
        .fold(0, |hint, byte| hint << 8 | u64::from(*byte))
}

/// Returns the hint in the number of a response; `None` if it has none.
pub(crate) fn hint_of_response(sequence: u64) -> Option<u64> {
    (sequence & OUTSIDE != 0).then_some((sequence & !OUTSIDE) >> RESPONSE_BITS)
}

/// The keys of one token on one side of a session, with their next number and replay window.
#[derive(Debug)]
pub struct SessionKeys {
    tag: TokenTag,
    opening: PacketKey,
    sealing: PacketKey,
    next: u64,
    replay: ReplayWindow,
}

impl SessionKeys {
    /// Creates the unused keys of the token with this tag. `opening` opens received packets,
    /// `sealing` seals sent ones.
    pub fn new(tag: TokenTag, opening: &Key, sealing: &Key) -> Self {
        let (opening, sealing) = (PacketKey::new(opening), PacketKey::new(sealing));
        Self {
            tag,
            opening,
            sealing,
            next: 0,
            replay: ReplayWindow::default(),
        }
    }

    /// Numbers the sent packets from `next` on.
    pub fn numbered_from(mut self, next: u64) -> Self {
        self.next = next;
        self
    }

    /// Returns the tag of the keys' token.
    pub fn tag(&self) -> &TokenTag {
        &self.tag
    }

    /// Returns the number of the next packet to send.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Seals a packet under the next number into `packet`, replacing its contents.
    pub fn seal(&mut self, kind: Kind, protocol: u64, contents: &[u8], packet: &mut Vec<u8>) {
        packet::seal(kind, self.next, protocol, &self.sealing, contents, packet);
        self.next += 1;
    }

    /// Seals a response, whose number holds the token's hint. Returns `None` once 2^23 numbers are
    /// used.
    pub fn seal_response(&mut self, protocol: u64, contents: &[u8]) -> Option<Vec<u8>> {
        if self.next >> RESPONSE_BITS != 0 {
            return None;
        }
        let number = OUTSIDE | hint(&self.tag) << RESPONSE_BITS | self.next;
        self.next += 1;
        let mut packet = Vec::with_capacity(contents.len() + packet::OVERHEAD_BYTES);
        packet::seal(
            Kind::Response,
            number,
            protocol,
            &self.sealing,
            contents,
            &mut packet,
        );
        Some(packet)
    }

    /// Checks the number of a received packet against the replay window.
    ///
    /// # Errors
    /// [`DropReason::Repeated`] if the packet is repeated or older than the window.
    pub(crate) fn check_fresh(&self, header: Header) -> Result<(), DropReason> {
        let repeated = header.kind.is_replay_protected() && !self.replay.is_fresh(header.sequence);
        if repeated {
            Err(DropReason::Repeated)
        } else {
            Ok(())
        }
    }

    /// Opens a packet in place and returns its contents. Records its number if it is genuine.
    ///
    /// # Errors
    /// [`DropReason::Forged`] if the packet is not genuine, [`DropReason::ContentsLength`] if its
    /// contents have the wrong length for its kind.
    pub fn open<'a>(
        &mut self,
        header: Header,
        protocol: u64,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], DropReason> {
        let contents = packet::open(header, protocol, &self.opening, packet)?;
        if header.kind.is_replay_protected() {
            self.replay.note(header.sequence);
        }
        packet::check_size(header.kind, contents)?;
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{Outer, read_outer};
    use super::*;

    fn keys() -> SessionKeys {
        SessionKeys::new(
            std::array::from_fn(|i| i as u8 + 1),
            &Key::new([1; 32]),
            &Key::new([2; 32]),
        )
    }

    fn number(packet: &[u8]) -> u64 {
        let Ok(Outer::Sealed(header)) = read_outer(packet) else {
            panic!("not a sealed packet")
        };
        header.sequence
    }

    #[test]
    fn a_response_names_its_token_and_takes_a_number_of_its_own() {
        let (mut keys, mut packet) = (keys(), Vec::new());
        let first = keys.seal_response(7, &[0; 308]).unwrap();
        keys.seal(Kind::KeepAlive, 7, &[0; 8], &mut packet);
        let second = keys.seal_response(7, &[0; 308]).unwrap();
        assert_eq!(number(&packet), 1);
        assert_ne!(number(&first), number(&second));
        for response in [first, second] {
            assert_eq!(hint_of_response(number(&response)), Some(0x05_0403_0201));
        }
        assert_eq!(hint_of_response(number(&packet)), None);
    }

    #[test]
    fn no_response_is_sealed_once_its_numbers_are_used_up() {
        let mut keys = keys().numbered_from((1 << RESPONSE_BITS) - 1);
        assert!(keys.seal_response(7, &[0; 308]).is_some());
        assert_eq!(
            (keys.seal_response(7, &[0; 308]), keys.next()),
            (None, 1 << RESPONSE_BITS)
        );
    }
}
