//! Recorded piles of boxes: 901 cubes at 60 Hz, of which the first is a player's.
//!
//! A file has no header. It contains, frame by frame and cube by cube, eight little-endian i32: the
//! largest component of the rotation, the three others (0 to 511), the position (512 steps a metre;
//! z is up), and whether the cube was touched recently. Files that end in `.zst` are compressed.

use std::error::Error;
use std::io::Read;
use std::path::Path;

use truetick_rigid_body::{Body, BodyBaselines, Floors, PastTicks};
use truetick_server::files::read_bytes;

/// Number of cubes in a frame.
pub const CUBES: usize = 901;

/// Half heights of the cubes in steps, where they lie flat (and sink in a little).
pub const FLOORS: Floors = Floors {
    player: 380,
    others: 102,
};

const NUMBERS: usize = 8;

/// Maximum size of an unpacked trace, in bytes.
const LONGEST: u64 = 1 << 30;

/// Reads a trace.
///
/// # Errors
///
/// The file cannot be read, or is no whole number of frames.
pub fn read_trace(path: &Path) -> Result<Vec<Vec<Body>>, Box<dyn Error>> {
    let mut bytes = read_bytes(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if path.extension().is_some_and(|extension| extension == "zst") {
        let packed = std::mem::take(&mut bytes);
        let decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice())?;
        decoder.take(LONGEST).read_to_end(&mut bytes)?;
    }
    let frame = CUBES * NUMBERS * 4;
    if bytes.is_empty() || !bytes.len().is_multiple_of(frame) {
        return Err(format!("{}: not a trace of {CUBES} cubes a frame", path.display()).into());
    }
    Ok(bytes
        .chunks_exact(frame)
        .map(|frame| frame.chunks_exact(NUMBERS * 4).map(cube).collect())
        .collect())
}

fn cube(bytes: &[u8]) -> Body {
    let n = |at: usize| i32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[at * 4 + byte]));
    let part = |at: usize| n(at).unsigned_abs();
    Body::new(
        [n(4), n(5), n(6)],
        [part(0), part(1), part(2), part(3)],
        n(7) != 0,
    )
}

/// Returns the baselines of a frame. Frames before the first one equal it.
pub fn pasts(trace: &[Vec<Body>], frame: usize, ticks: PastTicks) -> BodyBaselines<'_> {
    let base = frame.saturating_sub(ticks.age as usize);
    let older = ticks
        .gaps
        .map(|gap| trace[base.saturating_sub(gap as usize)].as_slice());
    BodyBaselines {
        base: &trace[base],
        older,
        ticks,
    }
}
