//! Frames with lengths, kinds and a chain of checksums, which distinguishes a torn end from damage
//! in the middle.
//!
//! ```text
//! file:   magic:8 bytes  { frame }
//! frame:  length:u32  kind:u8  head:u16  payload (length bytes)  chain:u64      little-endian
//! head:   low 16 bits of XXH3-64 over length and kind, seeded by the chain before
//! chain:  XXH3-64 over kind and payload, seeded by the chain before (0 before the first)
//! ```

use thiserror::Error;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// First bytes of every file of frames; the last one is the version of the format.
pub const MAGIC: [u8; 8] = *b"TTFRAME\x02";

/// Maximum payload of a frame in bytes. A keyframe of a full room has about two million.
pub const FRAME_BYTES: usize = 4 << 20;

/// Bytes of a frame before its payload.
pub const HEAD: usize = 7;

/// Bytes of a frame after its payload.
pub(crate) const CHAIN: usize = 8;

/// What is wrong with a file of frames, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The file does not begin with [`MAGIC`].
    #[error("this is no Truetick recording, or one of another version")]
    NoMagic,
    /// The last frame is incomplete: the writer stopped in the middle of it, or only zeros of it
    /// reached the disk. All earlier frames are good.
    #[error("its last frame, at byte {0}, is not whole")]
    Torn(usize),
    /// A frame differs from what was written. Nothing from there on can be trusted.
    #[error("the frame at byte {0} is damaged")]
    Damaged(usize),
}

fn chain(before: u64, kind: u8, payload: &[u8]) -> u64 {
    let mut hasher = Xxh3::with_seed(before);
    hasher.update(&[kind]);
    hasher.update(payload);
    hasher.digest()
}

fn head_check(before: u64, head: &[u8]) -> [u8; 2] {
    (xxh3_64_with_seed(head, before) as u16).to_le_bytes()
}

/// Appends frames to a buffer and keeps their chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameWriter {
    chain: u64,
}

impl FrameWriter {
    /// Begins a file by appending [`MAGIC`].
    pub fn begin(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&MAGIC);
        Self::default()
    }

    /// Continues after a frame whose chain is `chain`.
    pub fn after(chain: u64) -> Self {
        Self { chain }
    }

    /// The chain of the last frame, which is the last eight bytes written; 0 before the first
    /// frame.
    pub fn chain(&self) -> u64 {
        self.chain
    }

    /// Appends a frame.
    ///
    /// # Panics
    /// If the payload is longer than [`FRAME_BYTES`].
    pub fn append(&mut self, kind: u8, payload: &[u8], out: &mut Vec<u8>) {
        assert!(
            payload.len() <= FRAME_BYTES,
            "a frame of {} bytes",
            payload.len()
        );
        let start = out.len();
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.push(kind);
        let check = head_check(self.chain, &out[start..]);
        out.extend_from_slice(&check);
        self.chain = chain(self.chain, kind, payload);
        out.extend_from_slice(payload);
        out.extend_from_slice(&self.chain.to_le_bytes());
    }
}

/// Reads frames and checks their chain.
#[derive(Clone, Debug)]
pub struct FrameReader<'a> {
    bytes: &'a [u8],
    at: usize,
    chain: u64,
}

impl<'a> FrameReader<'a> {
    /// Reads a file from its beginning.
    ///
    /// # Errors
    /// [`FrameError::NoMagic`] if the file does not begin with [`MAGIC`].
    pub fn begin(bytes: &'a [u8]) -> Result<Self, FrameError> {
        match bytes.starts_with(&MAGIC) {
            true => Ok(Self {
                bytes,
                at: MAGIC.len(),
                chain: 0,
            }),
            false => Err(FrameError::NoMagic),
        }
    }

    /// Continues at byte `at`, after a frame whose chain is `chain`.
    pub fn at(bytes: &'a [u8], at: usize, chain: u64) -> Self {
        Self {
            bytes,
            at: at.min(bytes.len()),
            chain,
        }
    }

    /// The chain of the last frame read.
    pub fn chain(&self) -> u64 {
        self.chain
    }

    /// The byte at which the next frame begins.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Reads the next frame as kind and payload; `None` at the end. After an error the reader is at
    /// its end.
    ///
    /// # Errors
    /// [`FrameError::Torn`] if the last frame is incomplete, [`FrameError::Damaged`] if a frame
    /// differs from what was written.
    pub fn next_frame(&mut self) -> Result<Option<(u8, &'a [u8])>, FrameError> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let start = std::mem::replace(&mut self.at, self.bytes.len());
        let Some(head) = rest.first_chunk::<HEAD>() else {
            return Err(FrameError::Torn(start));
        };
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if head[5..] != head_check(self.chain, &head[..5]) || length > FRAME_BYTES {
            let blank = rest.iter().all(|byte| *byte == 0);
            return Err(if blank {
                FrameError::Torn(start)
            } else {
                FrameError::Damaged(start)
            });
        }
        let whole = HEAD + length + CHAIN;
        let Some(frame) = rest.get(..whole) else {
            return Err(FrameError::Torn(start));
        };
        let (payload, told) = frame[HEAD..].split_at(length);
        self.chain = chain(self.chain, head[4], payload);
        if told != self.chain.to_le_bytes() {
            // A file that grew before its data was written ends in a frame without valid content.
            return Err(if rest.len() == whole {
                FrameError::Torn(start)
            } else {
                FrameError::Damaged(start)
            });
        }
        self.at = start + whole;
        Ok(Some((head[4], payload)))
    }
}

/// The whole frames that begin at any byte from `from` on. The eight bytes before each are taken
/// for its chain, so that frames behind damage are found.
pub fn whole_frames(bytes: &[u8], from: usize) -> impl Iterator<Item = (u8, &[u8])> {
    (from.max(CHAIN)..bytes.len()).filter_map(|at| {
        let before = bytes[at - CHAIN..]
            .first_chunk()
            .map(|chain| u64::from_le_bytes(*chain))?;
        let head = bytes[at..].first_chunk::<HEAD>()?;
        // This cheap check rejects zeros, which are most of the bytes.
        (head[5..] == head_check(before, &head[..5])).then_some(())?;
        FrameReader::at(bytes, at, before)
            .next_frame()
            .ok()
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = FrameWriter::begin(&mut out);
        for (i, payload) in payloads.iter().enumerate() {
            writer.append(i as u8, payload, &mut out);
        }
        out
    }

    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let mut frames = Vec::new();
        let mut reader = match FrameReader::begin(bytes) {
            Ok(reader) => reader,
            Err(error) => return (frames, Some(error)),
        };
        loop {
            match reader.next_frame() {
                Ok(Some((_, payload))) => frames.push(payload.to_vec()),
                Ok(None) => return (frames, None),
                Err(error) => return (frames, Some(error)),
            }
        }
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..12)
    }

    proptest! {
        #[test]
        fn frames_return(payloads in payloads()) {
            prop_assert_eq!(read(&file(&payloads)), (payloads, None));
        }

        #[test]
        fn a_cut_file_gives_a_prefix_and_says_torn(payloads in payloads(), cut in any::<prop::sample::Index>()) {
            let bytes = file(&payloads);
            let cut = cut.index(bytes.len() - MAGIC.len()) + MAGIC.len();
            let (frames, error) = read(&bytes[..cut]);
            prop_assert!(payloads.starts_with(&frames));
            prop_assert!(error.is_none() || matches!(error, Some(FrameError::Torn(_))), "{error:?}");
        }

        #[test]
        fn a_flipped_bit_is_noticed(payloads in payloads(), bit in any::<prop::sample::Index>()) {
            let mut bytes = file(&payloads);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (frames, error) = read(&bytes);
            prop_assert!(payloads.starts_with(&frames) && frames.len() < payloads.len());
            prop_assert!(error.is_some());
        }

        #[test]
        fn any_bytes_are_read_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes);
            bytes.splice(0..0, MAGIC);
            read(&bytes);
        }
    }
}
