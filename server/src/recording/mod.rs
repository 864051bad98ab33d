//! Recordings: everything that a room did, tick by tick, so that it can be run again and compared.
//!
//! ```text
//! room -> recorder -> record (bits) -> frame (checksummed chain) -> files, rotated
//! files -> frame -> record -> replay (runs again, compares hashes) -> difference (what differs)
//! ```
//! Sans-IO; [`crate::files`] does the IO. A recording is a sequence of segments. Each begins with a
//! header and a keyframe and can be replayed alone.

pub mod capture;
pub mod client_trace;
pub mod compare;
pub mod difference;
pub mod record;
pub mod recorder;
pub mod records;
pub mod replay;
pub mod rows;

/// Hash of what determines this build's behaviour: the sources of netcode, shared and server, the
/// locked dependencies, compiler and target.
pub const BUILD: &str = env!("TRUETICK_BUILD");

/// The hash [`BUILD`] as a number.
pub fn build_hash() -> u64 {
    BUILD.parse().unwrap_or(0)
}
