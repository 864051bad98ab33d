//! Money: whole minor units of one currency with checked arithmetic.

use bitcode::{Decode, Encode};
use derive_more::Display;

/// An amount in minor units (cents), 0 to [`Amount::MOST`] in commands.
#[derive(
    Clone, Copy, Debug, Default, Display, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode,
)]
#[display("{}.{:02}", _0 / 100, _0 % 100)]
pub struct Amount(pub u64);

impl Amount {
    /// The amount 0.
    pub const ZERO: Self = Self(0);

    /// The largest amount that a command may contain. Sums of thousands of them are far from an
    /// overflow.
    pub const MOST: Self = Self(1_000_000_000_000_000);

    /// Returns the sum.
    ///
    /// # Panics
    ///
    /// If the sum exceeds 64 bits, which bounded amounts rule out.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(
            self.0
                .checked_add(other.0)
                .expect("a sum of bounded amounts"),
        )
    }

    /// Returns the difference.
    ///
    /// # Panics
    ///
    /// If `other` is larger: callers check first.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(
            self.0
                .checked_sub(other.0)
                .expect("no more is taken than is there"),
        )
    }
}

/// Code of a currency (ISO 4217), such as `EUR`.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[display("{}", String::from_utf8_lossy(_0))]
pub struct Currency(pub [u8; 3]);

impl Currency {
    /// The code of the euro.
    pub const EUR: Self = Self(*b"EUR");
}
