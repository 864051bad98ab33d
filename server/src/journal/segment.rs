//! One file of a journal: a header, two marks, frames, zeros.
//!
//! ```text
//! 0       magic:8  journal:u64  number:u64  check:u64                         little-endian
//! 4096    mark: count:u64  sequence:u64  end:u64  chain:u64  check:u64        one of two, by turns
//! 8192    mark
//! 12288   frames (crate::frame), then zeros to the end
//! payload of an entry's frame:  durable:u64  sequence:u64  check:u64  entry
//! each commit ends with a frame that fills its last sector
//! ```
//! The file has its final length, and is all zeros, before the first frame is written, so that
//! `fdatasync` has no length and no blocks to record, only data.
//!
//! A mark gives the position up to which frames are durable. It is written after each sync, without
//! a sync of its own: the next sync includes it. So after a crash of the process it is exact, and
//! after a power failure it is one commit too low, never too high. Each frame also names the entry
//! that was durable when the frame was made.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::error::{JournalError, SegmentFault};
use super::{Entries, Place};
use crate::frame::{CHAIN, FrameReader, HEAD, whole_frames};

/// First bytes of every segment; the last one is the version of the format.
pub const MAGIC: [u8; 8] = *b"TTJRNAL\x01";

/// Offsets of the marks. They are in separate blocks, so that no write can tear both.
pub(crate) const MARKS: [usize; 2] = [4_096, 8_192];

/// Offset of the first frame.
pub const FRAMES: usize = 12_288;

/// Kind of a frame that holds an entry.
pub(crate) const ENTRY: u8 = 1;

/// Kind of a segment's last frame, after which the next segment continues.
pub(crate) const SEALED: u8 = 2;

/// Kind of a frame that fills up a sector.
pub(crate) const PAD: u8 = 3;

/// Bytes that disks write as a whole. A torn write may spoil a whole sector, so what is durable
/// never shares one with what follows it.
pub const SECTOR: usize = 512;

/// Bytes of the envelope with which an entry's frame begins.
pub(crate) const ENVELOPE: usize = 24;

/// Bytes of a frame in addition to its entry.
pub(crate) const FRAME_OVERHEAD: usize = HEAD + ENVELOPE + CHAIN;

/// Name of a segment's file.
pub fn name(number: u64) -> String {
    format!("journal-{number:08}.seg")
}

/// Number of a segment from the name of its file; `None` for other files.
pub fn number(name: &str) -> Option<u64> {
    name.strip_prefix("journal-")?
        .strip_suffix(".seg")?
        .parse()
        .ok()
}

fn words<const N: usize>(words: [u64; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The envelope of an entry's frame: the entry that was durable when the frame was made, and the
/// entry's own sequence number. Its check depends on the journal's number, which is not known
/// outside, so that bytes inside an entry cannot pass for a frame.
pub fn envelope(journal: u64, durable: u64, sequence: u64) -> Vec<u8> {
    let mut bytes = words([durable, sequence]);
    let check = xxh3_64_with_seed(&bytes, journal);
    bytes.extend(check.to_le_bytes());
    bytes
}

/// The sequence numbers in an envelope.
struct Envelope {
    /// The entry that was durable when the frame was made.
    durable: u64,
    /// The entry in the frame.
    sequence: u64,
}

/// Opens the envelope of an entry's frame; `None` if the frame is not one of this journal.
fn opened(journal: u64, payload: &[u8]) -> Option<Envelope> {
    let (durable, sequence) = (word(payload, 0)?, word(payload, 8)?);
    payload
        .starts_with(&envelope(journal, durable, sequence))
        .then_some(Envelope { durable, sequence })
}

/// The header of a segment in bytes.
pub fn header(journal: u64, number: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(words([journal, number]));
    let check = xxh3_64(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes
}

/// Number of the journal that a segment belongs to; `None` if its header is damaged or names
/// another segment.
pub fn journal_of(bytes: &[u8], number: u64) -> Option<u64> {
    let (journal, told) = (word(bytes, 8)?, word(bytes, 16)?);
    (told == number && bytes.starts_with(&header(journal, number))).then_some(journal)
}

/// A segment of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentId {
    /// Number of the journal.
    pub journal: u64,
    /// Number of the segment in its journal, from 1.
    pub number: u64,
}

impl SegmentId {
    /// The segment after this one.
    pub(super) fn next(self) -> Self {
        Self {
            number: self.number + 1,
            ..self
        }
    }

    /// Name of the segment's file.
    pub(super) fn name(self) -> String {
        name(self.number)
    }

    /// The header of the segment in bytes.
    pub(super) fn header(self) -> Vec<u8> {
        header(self.journal, self.number)
    }

    fn fault(self, what: SegmentFault) -> JournalError {
        JournalError::Segment {
            name: self.name(),
            what,
        }
    }
}

/// Position up to which a segment's frames are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Number of marks written before.
    pub count: u64,
    /// Sequence number of the last durable entry.
    pub sequence: u64,
    /// The byte after the last durable frame.
    pub end: usize,
    /// The chain at this position.
    pub chain: u64,
}

impl Mark {
    /// The mark of a segment without frames that continues after `place`.
    pub fn none(place: &Place) -> Self {
        Self {
            count: 0,
            sequence: place.sequence,
            end: FRAMES,
            chain: place.chain,
        }
    }

    /// The mark in bytes, as it is written to the segment `of`.
    pub fn bytes(&self, of: SegmentId) -> Vec<u8> {
        let mut bytes = words([self.count, self.sequence, self.end as u64, self.chain]);
        let check = xxh3_64_with_seed(&bytes, of.journal ^ of.number);
        bytes.extend(check.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8], at: usize, of: SegmentId) -> Option<Self> {
        let (count, sequence) = (word(bytes, at)?, word(bytes, at + 8)?);
        let (end, chain) = (word(bytes, at + 16)? as usize, word(bytes, at + 24)?);
        let mark = Self {
            count,
            sequence,
            end,
            chain,
        };
        (bytes.get(at..at + 40)? == mark.bytes(of)).then_some(mark)
    }

    /// The newest whole mark of a segment; `None` if neither is whole.
    pub fn newest(bytes: &[u8], of: SegmentId) -> Option<Self> {
        MARKS
            .iter()
            .filter_map(|at| Self::read(bytes, *at, of))
            .max_by_key(|mark| mark.count)
    }
}

/// The end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The next segment continues.
    Sealed {
        /// The byte after the last frame.
        at: usize,
    },
    /// More frames may follow.
    Open {
        /// The byte at which the next frame begins.
        at: usize,
        /// Whether there is data at the end that is not a whole frame and never counted.
        torn: bool,
    },
}

/// Result of reading a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The end of the segment.
    pub end: End,
    /// The newest mark of the segment; `None` if neither is whole.
    pub mark: Option<Mark>,
}

/// Reads a segment, hands each entry to `entries` and moves `place` along. Data that never was
/// durable may be torn.
///
/// # Errors
/// If the segment is missing its header, belongs to another journal, has lost or changed durable
/// data, or an entry cannot be applied.
pub fn read(
    bytes: &[u8],
    of: SegmentId,
    place: &mut Place,
    entries: &mut dyn Entries,
) -> Result<Found, JournalError> {
    match journal_of(bytes, of.number) {
        None => return Err(of.fault(SegmentFault::Header)),
        Some(other) if other != of.journal => return Err(of.fault(SegmentFault::Foreign)),
        Some(_) => {}
    }
    let mark = Mark::newest(bytes, of);
    let durable = mark.map_or(FRAMES, |mark| mark.end);
    if bytes.len() < durable {
        return Err(of.fault(SegmentFault::Short {
            length: bytes.len(),
            durable,
        }));
    }
    let mut reading = Reading {
        bytes,
        of,
        mark,
        durable,
        frames: FrameReader::at(bytes, FRAMES, place.chain),
        place,
        entries,
    };
    loop {
        if let Some(end) = reading.read_frame()? {
            return Ok(Found { end, mark });
        }
    }
}

/// The state of reading a segment.
struct Reading<'a> {
    bytes: &'a [u8],
    of: SegmentId,
    mark: Option<Mark>,
    /// The byte up to which the segment is marked as durable.
    durable: usize,
    frames: FrameReader<'a>,
    place: &'a mut Place,
    entries: &'a mut dyn Entries,
}

impl Reading<'_> {
    /// Reads the next frame. Returns the end of the segment if there is no other one.
    fn read_frame(&mut self) -> Result<Option<End>, JournalError> {
        let at = self.frames.position();
        self.check_mark(at)?;
        let end = match self.frames.next_frame() {
            Ok(Some((SEALED, _))) => {
                self.place.chain = self.frames.chain();
                let at = self.frames.position();
                End::Sealed { at }
            }
            Ok(Some((PAD, _))) => {
                self.place.chain = self.frames.chain();
                return Ok(None);
            }
            Ok(Some((ENTRY, payload)))
                if opened(self.of.journal, payload)
                    .is_some_and(|opened| opened.sequence == self.place.sequence + 1) =>
            {
                self.apply(&payload[ENVELOPE..])?;
                return Ok(None);
            }
            Ok(Some(_)) => return Err(self.damaged(at)),
            Ok(None) => End::Open { at, torn: false },
            Err(_) => self.end_before_broken_frame(at)?,
        };
        Ok(Some(end))
    }

    /// Checks that the mark, if it is for this position, is the one of the frames before it.
    fn check_mark(&self, at: usize) -> Result<(), JournalError> {
        let here = (self.place.sequence, self.frames.chain());
        match self.mark.filter(|mark| mark.end == at) {
            Some(mark) if (mark.sequence, mark.chain) != here => Err(self.damaged(at)),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, entry: &[u8]) -> Result<(), JournalError> {
        self.place.sequence += 1;
        self.place.chain = self.frames.chain();
        let why = self.entries.entry(entry);
        why.map_err(|why| JournalError::Replay {
            sequence: self.place.sequence,
            why,
        })
    }

    /// Determines the end of a segment with a frame at `at` that is not whole. It is an error if
    /// that frame was durable, or a later one shows that an entry after `place` was.
    fn end_before_broken_frame(&self, at: usize) -> Result<End, JournalError> {
        if at < self.durable {
            return Err(self.damaged(at));
        }
        if self.bytes[at..].iter().all(|byte| *byte == 0) {
            return Ok(End::Open { at, torn: false });
        }
        let was_durable = |payload: &[u8]| {
            opened(self.of.journal, payload)
                .is_some_and(|opened| opened.durable > self.place.sequence)
        };
        if whole_frames(self.bytes, at + 1).any(|(_, payload)| was_durable(payload)) {
            return Err(self.of.fault(SegmentFault::Damaged {
                at,
                durable: self.bytes.len(),
            }));
        }
        Ok(End::Open { at, torn: true })
    }

    fn damaged(&self, at: usize) -> JournalError {
        self.of.fault(SegmentFault::Damaged {
            at,
            durable: self.durable,
        })
    }
}
