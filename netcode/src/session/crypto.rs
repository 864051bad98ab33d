//! The two ciphers of the netcode standard, and keys that are never printed.
//!
//! Packets and challenges are sealed with ChaCha20-Poly1305 (RFC 8439); the nonce is four zero
//! bytes and the packet's number. Connect tokens are sealed with XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha) and a random nonce. With the feature `ring`, packets use ring's
//! cipher; the portable cipher produces the same bytes.
//!
//! ```
//! use truetick_netcode::session::crypto::Key;
//!
//! let key = Key::from_hex(&"2a".repeat(32))?;
//! assert_eq!(key.bytes(), &[42; 32]);
//! assert_eq!(format!("{key:?}"), "Key(..)");
//! # Ok::<(), truetick_netcode::session::crypto::KeyError>(())
//! ```

use std::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305};
use rand::CryptoRng;
use thiserror::Error;
use zeroize::Zeroize;

/// Length of a key, in bytes.
pub(crate) const KEY_BYTES: usize = 32;

/// Length of the tag that authenticates a sealed message, in bytes.
pub const TAG_BYTES: usize = 16;

/// Length of a connect token's nonce, in bytes.
pub(crate) const TOKEN_NONCE_BYTES: usize = 24;

/// A secret key of 256 bits. It is wiped on drop and prints as `Key(..)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

/// The text is not a key of 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a key is 64 hexadecimal digits (32 random bytes)")]
pub struct KeyError;

impl Key {
    /// Creates a key from its bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Generates a random key.
    pub(crate) fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; KEY_BYTES];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Returns the key's bytes.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Reads 64 hexadecimal digits; surrounding white space is ignored.
    ///
    /// # Errors
    /// [`KeyError`] if the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let mut bytes = [0; KEY_BYTES];
        if text.len() != KEY_BYTES * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(KeyError);
        }
        for (to, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| KeyError)?;
            *to = u8::from_str_radix(pair, 16).map_err(|_| KeyError)?;
        }
        Ok(Self(bytes))
    }

    /// Returns the key as 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(..)")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Returns the nonce of a packet: four zero bytes, then its number in little-endian order.
fn packet_nonce(sequence: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&sequence.to_le_bytes());
    nonce
}

/// The message was not sealed with this key, nonce and associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not sealed with this key")]
pub struct Forged;

#[cfg(feature = "ring")]
mod cipher {
    use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

    use super::{Forged, Key, TAG_BYTES, packet_nonce};

    /// A key prepared for sealing and opening packets.
    pub struct PacketKey(LessSafeKey);

    impl PacketKey {
        /// Prepares a key for ChaCha20-Poly1305.
        pub fn new(key: &Key) -> Self {
            let key = UnboundKey::new(&CHACHA20_POLY1305, key.bytes());
            Self(LessSafeKey::new(key.unwrap_or_else(|_| {
                unreachable!("the key has the cipher's length")
            })))
        }

        /// Encrypts `message` in place and returns the tag. `about` is the associated data. No two
        /// messages under one key may have the same `sequence`.
        pub fn seal(&self, sequence: u64, about: &[u8], message: &mut [u8]) -> [u8; TAG_BYTES] {
            let nonce = Nonce::assume_unique_for_key(packet_nonce(sequence));
            let sealed = self
                .0
                .seal_in_place_separate_tag(nonce, Aad::from(about), message);
            let tag =
                sealed.unwrap_or_else(|_| unreachable!("a packet is within the cipher's limit"));
            tag.as_ref().try_into().unwrap_or([0; TAG_BYTES])
        }

        /// Decrypts a message in place that ends with its tag, and returns it without the tag.
        /// `about` is the associated data.
        ///
        /// # Errors
        /// [`Forged`] if the message is not authentic.
        pub fn open<'a>(
            &self,
            sequence: u64,
            about: &[u8],
            sealed: &'a mut [u8],
        ) -> Result<&'a mut [u8], Forged> {
            let nonce = Nonce::assume_unique_for_key(packet_nonce(sequence));
            self.0
                .open_in_place(nonce, Aad::from(about), sealed)
                .map_err(|_| Forged)
        }
    }
}

#[cfg(not(feature = "ring"))]
mod cipher {
    use super::portable;
    pub use portable::PacketKey;
}

#[cfg(any(test, not(feature = "ring")))]
mod portable {
    use chacha20poly1305::aead::AeadInOut;
    use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};

    use super::{Forged, Key, TAG_BYTES, packet_nonce};

    /// A key prepared for sealing and opening packets.
    pub struct PacketKey(ChaCha20Poly1305);

    impl PacketKey {
        /// Prepares a key for ChaCha20-Poly1305.
        pub fn new(key: &Key) -> Self {
            Self(ChaCha20Poly1305::new(key.bytes().into()))
        }

        /// Encrypts `message` in place and returns the tag. `about` is the associated data. No two
        /// messages under one key may have the same `sequence`.
        pub fn seal(&self, sequence: u64, about: &[u8], message: &mut [u8]) -> [u8; TAG_BYTES] {
            let nonce = packet_nonce(sequence);
            let tag = self
                .0
                .encrypt_inout_detached((&nonce).into(), about, message.into());
            tag.unwrap_or_else(|_| unreachable!("a packet is within the cipher's limit"))
                .into()
        }

        /// Decrypts a message in place that ends with its tag, and returns it without the tag.
        /// `about` is the associated data.
        ///
        /// # Errors
        /// [`Forged`] if the message is not authentic.
        pub fn open<'a>(
            &self,
            sequence: u64,
            about: &[u8],
            sealed: &'a mut [u8],
        ) -> Result<&'a mut [u8], Forged> {
            let (message, tag) = sealed.split_last_chunk_mut::<TAG_BYTES>().ok_or(Forged)?;
            let (nonce, tag) = (packet_nonce(sequence), Tag::from(*tag));
            let opened =
                self.0
                    .decrypt_inout_detached((&nonce).into(), about, (&mut *message).into(), &tag);
            opened.map(|()| message).map_err(|_| Forged)
        }
    }
}

pub use cipher::PacketKey;

impl fmt::Debug for PacketKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PacketKey(..)")
    }
}

/// Seals a connect token's private part in place. The last [`TAG_BYTES`] bytes of `buffer` receive
/// the tag; a shorter buffer is left unchanged. `about` is the associated data.
pub(crate) fn seal_token(
    key: &Key,
    nonce: &[u8; TOKEN_NONCE_BYTES],
    about: &[u8],
    buffer: &mut [u8],
) {
    let Some((message, tag)) = buffer.split_last_chunk_mut::<TAG_BYTES>() else {
        return;
    };
    let cipher = XChaCha20Poly1305::new(key.bytes().into());
    let sealed = cipher.encrypt_inout_detached(nonce.into(), about, message.into());
    *tag = sealed
        .unwrap_or_else(|_| unreachable!("a token is within the cipher's limit"))
        .into();
}

/// Opens a connect token's private part in place and returns it without the tag. `about` is the
/// associated data.
///
/// # Errors
/// [`Forged`] if it was not sealed with this key, nonce and associated data.
pub(crate) fn open_token<'a>(
    key: &Key,
    nonce: &[u8; TOKEN_NONCE_BYTES],
    about: &[u8],
    buffer: &'a mut [u8],
) -> Result<&'a mut [u8], Forged> {
    let (message, tag) = buffer.split_last_chunk_mut::<TAG_BYTES>().ok_or(Forged)?;
    let (cipher, tag) = (XChaCha20Poly1305::new(key.bytes().into()), Tag::from(*tag));
    let opened = cipher.decrypt_inout_detached(nonce.into(), about, (&mut *message).into(), &tag);
    opened.map(|()| message).map_err(|_| Forged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks_exact(2).map(byte).collect()
    }

    #[test]
    fn both_ciphers_give_the_same_bytes() {
        let key = Key::new(std::array::from_fn(|i| i as u8));
        for length in [0, 1, 15, 16, 17, 64, 1_200] {
            let message: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let (mut ours, mut theirs) = (message.clone(), message.clone());
            let tag = PacketKey::new(&key).seal(1_000, b"about", &mut ours);
            assert_eq!(
                tag,
                portable::PacketKey::new(&key).seal(1_000, b"about", &mut theirs)
            );
            assert_eq!(ours, theirs);
            ours.extend_from_slice(&tag);
            assert_eq!(
                portable::PacketKey::new(&key)
                    .open(1_000, b"about", &mut ours)
                    .unwrap(),
                &message[..]
            );
        }
    }

    /// The vector of draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn tokens_are_sealed_as_the_draft_says() {
        let key = Key::new(std::array::from_fn(|i| 0x80 + i as u8));
        let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + i as u8);
        let about = hex("50515253c0c1c2c3c4c5c6c7");
        let text = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let mut buffer = [text.as_bytes(), &[0; TAG_BYTES]].concat();
        seal_token(&key, &nonce, &about, &mut buffer);
        assert_eq!(buffer[..8], hex("bd6d179d3e83d43b"));
        assert_eq!(
            buffer[text.len()..],
            hex("c0875924c1c7987947deafd8780acf49")
        );
        assert_eq!(
            open_token(&key, &nonce, &about, &mut buffer).unwrap(),
            text.as_bytes()
        );
    }

    #[test]
    fn a_flipped_bit_is_noticed_everywhere() {
        let key = PacketKey::new(&Key::new([7; 32]));
        let mut sealed = b"contents".to_vec();
        let tag = key.seal(5, b"about", &mut sealed);
        sealed.extend_from_slice(&tag);
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(5, b"about", &mut damaged), Err(Forged));
        }
        assert!(key.open(6, b"about", &mut sealed.clone()).is_err());
        assert!(key.open(5, b"abort", &mut sealed.clone()).is_err());
        assert!(key.open(5, b"about", &mut sealed.clone()).is_ok());
        assert!(key.open(5, b"about", &mut [0; 3]).is_err());
    }

    #[test]
    fn a_key_reads_back_and_does_not_show_itself() {
        let key = Key::new(std::array::from_fn(|i| 255 - i as u8));
        assert_eq!(
            Key::from_hex(&format!(" {}\n", key.to_hex())),
            Ok(key.clone())
        );
        for wrong in [
            "",
            "00",
            &"0g".repeat(32),
            &"é".repeat(32),
            &"00".repeat(33),
        ] {
            assert_eq!(Key::from_hex(wrong), Err(KeyError));
        }
        assert_eq!(
            format!("{key:?} {:?}", PacketKey::new(&key)),
            "Key(..) PacketKey(..)"
        );
    }
}
