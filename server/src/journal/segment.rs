//! One file of a journal: a header, two marks, frames, zeros.
//!
//! ```text
//! 0       magic:8  journal:u64  number:u64  check:u64                           little-endian
//! 4096    mark: count:u64  sequence:u64  end:u64  chain:u64  check:u64          one of two, written in turn
//! 8192    mark
//! 12288   frames (crate::frame), then zeros to the end
//! frame's payload:  durable:u64  sequence:u64  check:u64  entry; each commit ends with a frame that fills its last sector
//! ```
//! The file is as long as it will ever be, and zeros, before the first frame is written:
//! `fdatasync` then has no length and no blocks to write down, only data.
//!
//! A mark says up to where frames are durable. It is written after each sync, without one of its
//! own: the next sync takes it along. So after a crash of the process it is exact, and after a
//! power cut it says too little by one commit, never too much. Each frame also says which entry was
//! durable when it was made.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::error::{JournalError, SegmentFault};
use super::{Entries, Place};
use crate::frame::{CHAIN, FrameReader, HEAD, whole_frames};

/// First bytes of every segment; the last is the format's version.
pub const MAGIC: [u8; 8] = *b"TTJRNAL\x01";

/// Where marks are: in blocks of their own, so that no write can tear both.
pub const MARKS: [usize; 2] = [4_096, 8_192];

/// Where frames begin.
pub const FRAMES: usize = 12_288;

/// Kind of the frames that hold entries.
pub const ENTRY: u8 = 1;

/// Kind of a segment's last frame: the next segment goes on.
pub const SEALED: u8 = 2;

/// Kind of the frames that fill up a sector.
pub const PAD: u8 = 3;

/// What disks write as a whole: a write that is torn may spoil all of a sector, so what is durable
/// never shares one with what comes after it.
pub const SECTOR: usize = 512;

/// Bytes that a frame's payload begins with.
pub const ENVELOPE: usize = 24;

/// Bytes of a frame beside its entry.
pub const FRAME_OVERHEAD: usize = HEAD + ENVELOPE + CHAIN;

/// Name of a segment's file.
pub fn name(number: u64) -> String {
    format!("journal-{number:08}.seg")
}

/// The number of a segment's file.
pub fn number(name: &str) -> Option<u64> {
    name.strip_prefix("journal-")?.strip_suffix(".seg")?.parse().ok()
}

fn words<const N: usize>(words: [u64; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// What an entry's frame begins with: which entry was durable when it was made, and its own number.
/// Its check depends on the journal's number, which nobody outside knows: what looks like a frame
/// inside of an entry is none.
pub fn envelope(journal: u64, durable: u64, sequence: u64) -> Vec<u8> {
    let mut bytes = words([durable, sequence]);
    let check = xxh3_64_with_seed(&bytes, journal);
    bytes.extend(check.to_le_bytes());
    bytes
}

/// Durable entry and number of an entry's frame, if it is one of this journal.
fn opened(journal: u64, payload: &[u8]) -> Option<(u64, u64)> {
    let (durable, sequence) = (word(payload, 0)?, word(payload, 8)?);
    payload.starts_with(&envelope(journal, durable, sequence)).then_some((durable, sequence))
}

/// A segment's header.
pub fn header(journal: u64, number: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(words([journal, number]));
    let check = xxh3_64(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes
}

/// The journal that a segment belongs to, if its header is whole and says this number.
pub fn journal_of(bytes: &[u8], number: u64) -> Option<u64> {
    let (journal, told) = (word(bytes, 8)?, word(bytes, 16)?);
    (told == number && bytes.starts_with(&header(journal, number))).then_some(journal)
}

/// Up to where a segment's frames are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How many marks were written before.
    pub count: u64,
    /// The last durable entry.
    pub sequence: u64,
    /// The byte after its frame.
    pub end: usize,
    /// The chain there.
    pub chain: u64,
}

impl Mark {
    /// The mark of a segment without frames, which goes on after this entry.
    pub fn none(place: &Place) -> Self {
        Self { count: 0, sequence: place.sequence, end: FRAMES, chain: place.chain }
    }

    /// The mark's bytes.
    pub fn bytes(&self, (journal, number): (u64, u64)) -> Vec<u8> {
        let mut bytes = words([self.count, self.sequence, self.end as u64, self.chain]);
        let check = xxh3_64_with_seed(&bytes, journal ^ number);
        bytes.extend(check.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8], at: usize, of: (u64, u64)) -> Option<Self> {
        let (count, sequence) = (word(bytes, at)?, word(bytes, at + 8)?);
        let (end, chain) = (word(bytes, at + 16)? as usize, word(bytes, at + 24)?);
        let mark = Self { count, sequence, end, chain };
        (bytes.get(at..at + 40)? == mark.bytes(of)).then_some(mark)
    }

    /// The newest mark of a segment that is whole.
    pub fn newest(bytes: &[u8], of: (u64, u64)) -> Option<Self> {
        MARKS.iter().filter_map(|at| Self::read(bytes, *at, of)).max_by_key(|mark| mark.count)
    }
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The next one goes on.
    Sealed {
        /// The byte after its last frame.
        at: usize,
    },
    /// Frames may follow from this byte on.
    Open {
        /// Where.
        at: usize,
        /// Whether something is there that is no whole frame, and never counted.
        torn: bool,
    },
}

/// What was found in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// How it ends.
    pub end: End,
    /// Its newest mark.
    pub mark: Option<Mark>,
}

/// Reads a segment: hands each entry over and moves `place` along. What was durable and is not as
/// it was written is an error; what never was durable may be torn.
pub fn read(
    bytes: &[u8],
    (journal, number): (u64, u64),
    place: &mut Place,
    entries: &mut dyn Entries,
) -> Result<Found, JournalError> {
    let wrong = |what| JournalError::Segment { name: name(number), what };
    match journal_of(bytes, number) {
        None => return Err(wrong(SegmentFault::Header)),
        Some(other) if other != journal => return Err(wrong(SegmentFault::Foreign)),
        Some(_) => {}
    }
    let mark = Mark::newest(bytes, (journal, number));
    let durable = mark.map_or(FRAMES, |mark| mark.end);
    if bytes.len() < durable {
        return Err(wrong(SegmentFault::Short { length: bytes.len(), durable }));
    }
    let mut frames = FrameReader::at(bytes, FRAMES, place.chain);
    loop {
        let at = frames.position();
        let marked = mark.filter(|mark| mark.end == at);
        if marked
            .is_some_and(|mark| (mark.sequence, mark.chain) != (place.sequence, frames.chain()))
        {
            return Err(wrong(SegmentFault::Damaged { at, durable }));
        }
        let end = |torn| Ok(Found { end: End::Open { at, torn }, mark });
        match frames.next_frame() {
            Ok(Some((SEALED, _))) => {
                place.chain = frames.chain();
                return Ok(Found { end: End::Sealed { at: frames.position() }, mark });
            }
            Ok(Some((PAD, _))) => place.chain = frames.chain(),
            Ok(Some((ENTRY, payload)))
                if opened(journal, payload)
                    .is_some_and(|(_, sequence)| sequence == place.sequence + 1) =>
            {
                place.sequence += 1;
                place.chain = frames.chain();
                let why = entries.entry(&payload[ENVELOPE..]);
                why.map_err(|why| JournalError::Replay { sequence: place.sequence, why })?;
            }
            Ok(Some(_)) => return Err(wrong(SegmentFault::Damaged { at, durable })),
            Ok(None) => return end(false),
            Err(_) if at < durable => return Err(wrong(SegmentFault::Damaged { at, durable })),
            Err(_) if bytes[at..].iter().all(|byte| *byte == 0) => return end(false),
            Err(_) => {
                let was_durable = |(_, payload): (u8, &[u8])| {
                    opened(journal, payload).is_some_and(|(durable, _)| durable > place.sequence)
                };
                if whole_frames(bytes, at + 1).any(was_durable) {
                    return Err(wrong(SegmentFault::Damaged { at, durable: bytes.len() }));
                }
                return end(true);
            }
        }
    }
}
