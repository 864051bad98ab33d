//! Recordings: everything that a room did, tick by tick, so that it can be run again and compared.
//!
//! ```text
//! room -> recorder -> record (bits) -> frame (checksummed chain) -> files, rotated
//! files -> frame -> record -> replay (runs again, compares hashes) -> difference (names what differs)
//! ```
//! Sans-IO but for [`crate::files`]. A recording is a row of segments; each begins with a header
//! and a keyframe and can be replayed alone.

pub mod capture;
pub mod client_trace;
pub mod compare;
pub mod difference;
pub mod record;
pub mod recorder;
pub mod records;
pub mod replay;
pub mod rows;

/// Hash of the rules of this build: sources of netcode, shared and server, locked dependencies,
/// compiler, target.
pub const BUILD: &str = env!("TRUETICK_BUILD");

/// [`BUILD`] as a number.
pub fn build_hash() -> u64 {
    BUILD.parse().unwrap_or(0)
}
