//! Snapshots: the state after a whole segment, so that earlier entries need neither be replayed nor
//! kept.
//!
//! ```text
//! magic (crate::frame)
//! frame: journal, segment, sequence, chain, parts
//! frames: the state in parts
//! ```
//! A snapshot is made from files only: the previous snapshot and the segments since. The writer of
//! the journal is not involved.

use bitcode::{Decode, Encode};

use super::disk::Disk;
use super::error::JournalError;
use super::segment::{self, End, SegmentId};
use super::{Entries, Place, Replica};
use crate::frame::{FRAME_BYTES, FrameReader, FrameWriter};

const HEAD: u8 = 1;
const PART: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Head {
    journal: u64,
    segment: u64,
    sequence: u64,
    chain: u64,
    parts: u32,
}

/// The state after a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Number of the journal.
    pub journal: u64,
    /// Number of the segment after which the state was taken.
    pub segment: u64,
    /// Position at the end of that segment.
    pub place: Place,
    /// The state in bytes.
    pub state: Vec<u8>,
}

/// Name of the file of a snapshot after this segment.
pub fn name(segment: u64) -> String {
    format!("snapshot-{segment:08}.snap")
}

/// Number of the segment from the name of a snapshot's file; `None` for other files.
pub fn number(name: &str) -> Option<u64> {
    name.strip_prefix("snapshot-")?
        .strip_suffix(".snap")?
        .parse()
        .ok()
}

impl Snapshot {
    /// The snapshot in bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let parts: Vec<_> = self.state.chunks(FRAME_BYTES).collect();
        let Place { sequence, chain } = self.place;
        let (journal, segment) = (self.journal, self.segment);
        let head = Head {
            journal,
            segment,
            sequence,
            chain,
            parts: parts.len() as u32,
        };
        let mut out = Vec::new();
        let mut frames = FrameWriter::begin(&mut out);
        frames.append(HEAD, &bitcode::encode(&head), &mut out);
        parts
            .iter()
            .for_each(|part| frames.append(PART, part, &mut out));
        out
    }

    /// Reads a snapshot; `None` unless every byte is as it was written.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut frames = FrameReader::begin(bytes).ok()?;
        let (HEAD, head) = frames.next_frame().ok()?? else {
            return None;
        };
        let head: Head = bitcode::decode(head).ok()?;
        let mut state = Vec::new();
        for _ in 0..head.parts {
            let (PART, part) = frames.next_frame().ok()?? else {
                return None;
            };
            state.extend_from_slice(part);
        }
        let place = Place {
            sequence: head.sequence,
            chain: head.chain,
        };
        let whole = frames.next_frame() == Ok(None);
        whole.then_some(Self {
            journal: head.journal,
            segment: head.segment,
            place,
            state,
        })
    }
}

/// The newest whole snapshot after a segment up to `most`. Damaged ones are skipped with a warning.
///
/// # Errors
/// If the disk fails.
pub fn newest(
    disk: &dyn Disk,
    names: &[String],
    most: u64,
) -> Result<Option<Snapshot>, JournalError> {
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| number(name))
        .filter(|n| *n <= most)
        .collect();
    numbers.sort_unstable();
    for number in numbers.into_iter().rev() {
        let name = name(number);
        let bytes = disk
            .read(&name)
            .map_err(JournalError::disk("read", &name))?;
        match Snapshot::read(&bytes).filter(|snapshot| snapshot.segment == number) {
            Some(snapshot) => return Ok(Some(snapshot)),
            None => tracing::warn!(name, "the snapshot is damaged; an older one is used"),
        }
    }
    Ok(None)
}

/// Makes the snapshot after the sealed segment `through`, and removes what this snapshot and the
/// one before make obsolete. Of the segments before the older snapshot `keep` are kept.
///
/// # Errors
/// If the disk fails, or the segments cannot be replayed.
pub(crate) fn compact(
    disk: &mut dyn Disk,
    through: SegmentId,
    keep: u64,
    replica: &mut dyn Replica,
) -> Result<(), JournalError> {
    let names = disk
        .list()
        .map_err(JournalError::disk("list", "the journal"))?;
    let before = newest(disk, &names, through.number)?
        .filter(|snapshot| snapshot.journal == through.journal);
    let first = before.as_ref().map_or(1, |before| before.segment + 1);
    let Some(place) = replay(disk, before, through, replica)? else {
        return Ok(());
    };
    if first <= through.number {
        let snapshot = Snapshot {
            journal: through.journal,
            segment: through.number,
            place,
            state: replica.snapshot(),
        };
        let (name, bytes) = (name(through.number), snapshot.bytes());
        disk.create(&name, &bytes, bytes.len())
            .map_err(JournalError::disk("create", &name))?;
    }
    remove_obsolete(disk, &names, through.number, keep)
}

/// Brings `replica` from the snapshot `before`, or from the first entry, to the end of `through`.
/// Returns the position there; `None` if a segment up to there is not sealed.
fn replay(
    disk: &dyn Disk,
    before: Option<Snapshot>,
    through: SegmentId,
    replica: &mut dyn Replica,
) -> Result<Option<Place>, JournalError> {
    let (mut place, mut first) = (Place::default(), 1);
    if let Some(before) = before {
        let why = replica.restore(&before.state);
        why.map_err(|why| JournalError::Replay {
            sequence: before.place.sequence,
            why,
        })?;
        (place, first) = (before.place, before.segment + 1);
    }
    for number in first..=through.number {
        let of = SegmentId { number, ..through };
        let name = of.name();
        let bytes = disk
            .read(&name)
            .map_err(JournalError::disk("read", &name))?;
        let found = segment::read(&bytes, of, &mut place, replica as &mut dyn Entries)?;
        if !matches!(found.end, End::Sealed { .. }) {
            return Ok(None);
        }
    }
    Ok(Some(place))
}

/// Removes what the snapshot after the segment `through` makes obsolete. The newest two snapshots
/// are kept, the segments after the older one, and `keep` segments before that.
fn remove_obsolete(
    disk: &mut dyn Disk,
    names: &[String],
    through: u64,
    keep: u64,
) -> Result<(), JournalError> {
    let Some(second) = names
        .iter()
        .filter_map(|name| number(name))
        .filter(|at| *at < through)
        .max()
    else {
        return Ok(());
    };
    for old in names {
        let needless = segment::number(old).is_some_and(|number| number + keep <= second)
            || number(old).is_some_and(|number| number < second);
        if needless {
            disk.remove(old)
                .map_err(JournalError::disk("remove", old))?;
        }
    }
    Ok(())
}
