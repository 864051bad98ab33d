//! Bit-exact writing and reading, least significant bit first.
//!
//! Writes trust the caller, reads check everything: a [`BitReader`] never reads past its end and
//! returns an error for any bytes that no writer makes.
//!
//! ```
//! use truetick_netcode::bits::{BitReader, BitWriter};
//!
//! let mut writer = BitWriter::new();
//! writer.write(5, 3);
//! writer.write_golomb(1_000, 4);
//! writer.pad_to_byte();
//! let mut reader = BitReader::new(writer.bytes());
//! assert_eq!(reader.read(3)?, 5);
//! assert_eq!(reader.read_golomb(4)?, 1_000);
//! # Ok::<(), truetick_netcode::error::WireError>(())
//! ```

use crate::error::WireError;

/// Appends bit fields to a growing byte buffer, least significant bit first.
#[derive(Clone, Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are not in `bytes` yet; the lowest `pending_bits` are valid.
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    /// Creates an empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes all written bits and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.pending = 0;
        self.pending_bits = 0;
    }

    /// Number of bits written so far, including those that do not fill a byte yet.
    pub fn bit_len(&self) -> usize {
        self.bytes.len() * 8 + self.pending_bits as usize
    }

    /// Writes the low `bits` (0 to 32) of `value`; higher bits of `value` must be zero.
    ///
    /// # Panics
    /// In debug builds, if `bits` is over 32 or `value` needs more than `bits` bits.
    #[inline]
    pub fn write(&mut self, value: u32, bits: u32) {
        debug_assert!(
            bits <= 32 && (bits == 32 || value >> bits == 0),
            "value {value} needs over {bits} bits"
        );
        self.pending |= u64::from(value) << self.pending_bits;
        self.pending_bits += bits;
        if self.pending_bits >= 32 {
            self.bytes
                .extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.pending_bits -= 32;
        }
    }

    /// Writes one bit: 1 for `true`.
    #[inline]
    pub fn write_flag(&mut self, flag: bool) {
        self.write(u32::from(flag), 1);
    }

    /// Writes all 64 bits of `value`, the low 32 first.
    pub fn write_u64(&mut self, value: u64) {
        self.write(value as u32, 32);
        self.write((value >> 32) as u32, 32);
    }

    /// Writes an unsigned number in an exponential Golomb code of order `k` (0 to 31). Small
    /// numbers are short; [`golomb_bits`] gives the length.
    #[inline]
    pub fn write_golomb(&mut self, value: u32, k: u32) {
        let shifted = u64::from(value) + (1 << k);
        let width = 63 - shifted.leading_zeros();
        let zeros = width - k;
        self.write(0, zeros);
        self.write_flag(true);
        let rest = (shifted ^ (1 << width)) as u32;
        self.write(rest, width);
    }

    /// Writes whole bytes, starting at any bit position.
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        if self.pending_bits == 0 {
            self.bytes.extend_from_slice(bytes);
            return;
        }
        for &byte in bytes {
            self.write(u32::from(byte), 8);
        }
    }

    /// Appends `len` bits of `source`, starting at bit `start`. Bits past the end of `source` are
    /// written as zeros.
    pub fn append(&mut self, source: &[u8], start: usize, len: usize) {
        let mut at = start;
        let end = start + len;
        while at < end {
            let take = (end - at).min(32);
            self.write(peek(source, at, take as u32), take as u32);
            at += take;
        }
    }

    /// Pads the last byte with zero bits, so that [`Self::bytes`] returns all written bits.
    pub fn pad_to_byte(&mut self) {
        while self.pending_bits > 0 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.pending_bits = self.pending_bits.saturating_sub(8);
        }
    }

    /// Returns the written bytes. Call [`Self::pad_to_byte`] first.
    ///
    /// # Panics
    /// In debug builds, if the bits written do not fill whole bytes.
    pub fn bytes(&self) -> &[u8] {
        debug_assert_eq!(self.pending_bits, 0, "pad_to_byte comes first");
        &self.bytes
    }
}

/// Length in bits of `value` in an exponential Golomb code of order `k` (0 to 31).
pub fn golomb_bits(value: u32, k: u32) -> u32 {
    let width = 63 - (u64::from(value) + (1 << k)).leading_zeros();
    2 * width - k + 1
}

/// Maps signed to unsigned numbers so that small magnitudes stay small: 0, -1, 1, -2, 2 become 0,
/// 1, 2, 3, 4.
#[inline]
pub fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

/// Maps an unsigned number back to a signed one; the inverse of [`zigzag`].
#[cfg(test)]
fn unzigzag(value: u32) -> i32 {
    ((value >> 1) as i32) ^ -((value & 1) as i32)
}

/// Reads up to 32 bits from bit `at`; bits past the end read as zero.
#[inline]
fn peek(bytes: &[u8], at: usize, bits: u32) -> u32 {
    let first = at / 8;
    let mut word = [0u8; 8];
    let rest = bytes.get(first..).unwrap_or_default();
    let n = rest.len().min(8);
    if n == 8 {
        word.copy_from_slice(&rest[..8]);
    } else {
        word[..n].copy_from_slice(&rest[..n]);
    }
    let shifted = u64::from_le_bytes(word) >> (at % 8);
    (shifted & ((1u64 << bits) - 1)) as u32
}

/// Reads bit fields in the order in which a [`BitWriter`] wrote them.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

const TRUNCATED: WireError = WireError::Malformed("ends too early");

impl<'a> BitReader<'a> {
    /// Creates a reader that starts at the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            end: bytes.len() * 8,
        }
    }

    /// Number of bits not yet read.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Reads the next `bits` (0 to 32) as an unsigned number.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if fewer bits are left.
    ///
    /// # Panics
    /// In debug builds, if `bits` is over 32.
    #[inline]
    pub fn read(&mut self, bits: u32) -> Result<u32, WireError> {
        debug_assert!(bits <= 32);
        if self.remaining() < bits as usize {
            return Err(TRUNCATED);
        }
        let value = peek(self.bytes, self.at, bits);
        self.at += bits as usize;
        Ok(value)
    }

    /// Reads the next bit: `true` for 1.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if no bit is left.
    #[inline]
    pub fn read_flag(&mut self) -> Result<bool, WireError> {
        Ok(self.read(1)? == 1)
    }

    /// Reads the next 64 bits as an unsigned number, the low 32 first.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if fewer bits are left.
    pub fn read_u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from(self.read(32)?) | u64::from(self.read(32)?) << 32)
    }

    /// Reads a number that [`BitWriter::write_golomb`] wrote with the same order `k` (0 to 31).
    ///
    /// # Errors
    /// [`WireError::Malformed`] if the bits end too early or the number needs more than 32 bits.
    #[inline]
    pub fn read_golomb(&mut self, k: u32) -> Result<u32, WireError> {
        let window = peek(self.bytes, self.at, 32);
        let zeros = window.trailing_zeros();
        let width = zeros + k;
        if width > 32 {
            return Err(WireError::Malformed("number over 32 bits"));
        }
        self.read(zeros)?;
        if !self.read_flag()? {
            return Err(WireError::Malformed("number over 32 bits"));
        }
        let value = (1u64 << width | u64::from(self.read(width)?)) - (1 << k);
        u32::try_from(value).map_err(|_| WireError::Malformed("number over 32 bits"))
    }

    /// Reads the next `len` bytes, at any bit position. The caller must have bounded `len`.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if fewer bytes are left; nothing is allocated then.
    pub fn read_bytes(&mut self, len: usize) -> Result<Vec<u8>, WireError> {
        if self.remaining() < len * 8 {
            return Err(TRUNCATED);
        }
        (0..len)
            .map(|_| self.read(8).map(|byte| byte as u8))
            .collect()
    }

    /// Skips the zero padding up to the next whole byte.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if a padding bit is not zero.
    pub fn align(&mut self) -> Result<(), WireError> {
        let padding = (8 - self.at % 8) % 8;
        match self.read(padding as u32)? {
            0 => Ok(()),
            _ => Err(WireError::Malformed("padding is not zero")),
        }
    }

    /// Borrows the next `len` bytes without copying. Call [`Self::align`] first.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if fewer bytes are left.
    ///
    /// # Panics
    /// In debug builds, if the position is not at a whole byte.
    pub(crate) fn read_slice(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        debug_assert_eq!(self.at % 8, 0, "align comes first");
        let start = self.at / 8;
        if self.remaining() / 8 < len {
            return Err(TRUNCATED);
        }
        self.at += len * 8;
        Ok(&self.bytes[start..start + len])
    }

    /// Checks that nothing is left but fewer than eight bits of zero padding.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if a whole byte or a bit that is not zero is left.
    pub fn finish(mut self) -> Result<(), WireError> {
        let left = self.remaining();
        if left >= 8 || self.read(left as u32)? != 0 {
            return Err(WireError::Malformed("trailing bits"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
