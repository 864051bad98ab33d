//! Finds the end of a journal and makes it ready to continue.

use super::disk::Disk;
use super::error::{JournalError, SYNC, SegmentFault};
use super::segment::{self, End, FRAMES, Mark, SegmentId};
use super::snapshot::{self, Snapshot};
use super::writer::Journal;
use super::{Entries, JournalConfig, Place, Replica};
use crate::frame::whole_frames;

/// State of the segment after the one that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The segment does not exist.
    Missing,
    /// The segment exists and nothing was written to it.
    Ready,
    /// The segment has no whole frame, but is not as it was made.
    Spoiled,
}

/// Result of reading a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Number of the journal.
    pub journal: u64,
    /// Number of the segment that is being written.
    pub segment: u64,
    /// The byte at which its next frame begins.
    pub end: usize,
    /// The byte up to which it is marked as durable.
    pub durable: usize,
    /// Number of marks written to it.
    pub marks: u64,
    /// Position after the last entry.
    pub place: Place,
    /// Whether there is data at its end that is not a whole frame and never counted.
    pub torn: bool,
    /// State of the segment after the one that is being written.
    pub next: Next,
    /// Bytes of the segment from `durable` on.
    rest: Vec<u8>,
    /// Whole but unmarked frames at the end of the previous segment.
    unmarked: Option<UnmarkedFrames>,
}

/// Whole frames past the mark of a sealed segment, of which nobody knows whether they are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct UnmarkedFrames {
    /// The segment that they end.
    segment: SegmentId,
    /// The byte at which they begin.
    at: usize,
    bytes: Vec<u8>,
}

/// Reads a journal from its newest snapshot on, and changes nothing. `None` if there is no journal.
///
/// # Errors
/// If the disk fails, durable data is damaged or missing, or an entry cannot be applied.
pub fn read(disk: &dyn Disk, replica: &mut dyn Replica) -> Result<Option<Tail>, JournalError> {
    let names = disk
        .list()
        .map_err(JournalError::disk("list", "the journal"))?;
    let snapshot = snapshot::newest(disk, &names, u64::MAX)?;
    read_after(disk, &names, snapshot, replica)
}

/// Reads a journal from its first entry on. If that is not kept any more, it begins at the newest
/// snapshot, as [`read`] does.
///
/// # Errors
/// If the disk fails, durable data is damaged or missing, or an entry cannot be applied.
pub fn read_all(disk: &dyn Disk, replica: &mut dyn Replica) -> Result<Option<Tail>, JournalError> {
    let names = disk
        .list()
        .map_err(JournalError::disk("list", "the journal"))?;
    match names.contains(&segment::name(1)) {
        true => read_after(disk, &names, None, replica),
        false => read(disk, replica),
    }
}

fn read_after(
    disk: &dyn Disk,
    names: &[String],
    snapshot: Option<Snapshot>,
    replica: &mut dyn Replica,
) -> Result<Option<Tail>, JournalError> {
    let files = SegmentFiles::among(disk, names);
    if files.numbers.is_empty() && !names.iter().any(|name| snapshot::number(name).is_some()) {
        return Ok(None);
    }
    let place = restore(snapshot.as_ref(), replica)?;
    let number = snapshot.as_ref().map_or(1, |snapshot| snapshot.segment + 1);
    let lowest = files.numbers.first().copied();
    if snapshot.is_none() && lowest.is_none_or(|lowest| lowest > 1) {
        return Err(JournalError::NoSnapshot(segment::name(lowest.unwrap_or(1))));
    }
    let head = files.load(number)?;
    let journal = match snapshot {
        Some(snapshot) => snapshot.journal,
        None => segment::journal_of(&head, number).ok_or(JournalError::Segment {
            name: segment::name(number),
            what: SegmentFault::Header,
        })?,
    };
    let first = SegmentId { journal, number };
    files.read_from(first, head, place, replica).map(Some)
}

/// Restores the state of a snapshot, if there is one. Returns the place after it.
fn restore(snapshot: Option<&Snapshot>, replica: &mut dyn Replica) -> Result<Place, JournalError> {
    let Some(Snapshot { place, state, .. }) = snapshot else {
        return Ok(Place::default());
    };
    let replay = |why| JournalError::Replay {
        sequence: place.sequence,
        why,
    };
    replica.restore(state).map_err(replay)?;
    Ok(*place)
}

/// The segments of a journal that its disk has.
struct SegmentFiles<'a> {
    disk: &'a dyn Disk,
    /// Their numbers, in rising order.
    numbers: Vec<u64>,
}

impl<'a> SegmentFiles<'a> {
    /// The segments among the files of a disk.
    fn among(disk: &'a dyn Disk, names: &[String]) -> Self {
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| segment::number(name))
            .collect();
        numbers.sort_unstable();
        Self { disk, numbers }
    }

    fn load(&self, number: u64) -> Result<Vec<u8>, JournalError> {
        let name = segment::name(number);
        if !self.numbers.contains(&number) {
            return Err(JournalError::Segment {
                name,
                what: SegmentFault::Missing,
            });
        }
        self.disk
            .read(&name)
            .map_err(JournalError::disk("read", &name))
    }

    /// Reads the segments from `segment` on, whose contents are `bytes`, up to the journal's end.
    /// `place` is the position before `segment`.
    fn read_from(
        &self,
        mut segment: SegmentId,
        mut bytes: Vec<u8>,
        mut place: Place,
        replica: &mut dyn Replica,
    ) -> Result<Tail, JournalError> {
        let mut unmarked = None;
        loop {
            let entries = &mut *replica as &mut dyn Entries;
            let found = segment::read(&bytes, segment, &mut place, entries)?;
            let (durable, marks) = found
                .mark
                .map_or((FRAMES, 0), |mark| (mark.end, mark.count));
            match found.end {
                End::Open { at, torn } => {
                    return Ok(Tail {
                        journal: segment.journal,
                        segment: segment.number,
                        end: at,
                        durable,
                        marks,
                        place,
                        torn,
                        next: self.state_after(segment)?,
                        rest: bytes.split_off(durable.min(bytes.len())),
                        unmarked,
                    });
                }
                End::Sealed { at } => {
                    unmarked = (durable < at).then(|| UnmarkedFrames {
                        segment,
                        at: durable,
                        bytes: bytes[durable..at].to_vec(),
                    });
                    segment = segment.next();
                    bytes = self.load(segment.number)?;
                }
            }
        }
    }

    /// Determines the state of the segment after the last one. If it has entries, or other
    /// segments follow, the last one is not whole.
    fn state_after(&self, last: SegmentId) -> Result<Next, JournalError> {
        let unsealed = || JournalError::Segment {
            name: last.name(),
            what: SegmentFault::Unsealed,
        };
        let next = last.next();
        if self.numbers.iter().any(|number| *number > next.number) {
            return Err(unsealed());
        }
        if !self.numbers.contains(&next.number) {
            return Ok(Next::Missing);
        }
        let bytes = self.load(next.number)?;
        let has_mark = Mark::newest(&bytes, next).is_some();
        if has_mark || whole_frames(&bytes, FRAMES).next().is_some() {
            return Err(unsealed());
        }
        let rest = bytes.strip_prefix(next.header().as_slice());
        let is_blank = rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
        Ok(if is_blank { Next::Ready } else { Next::Spoiled })
    }
}

/// Opens a journal, or begins one under the number `journal`. `replica` receives the state at the
/// journal's end.
///
/// # Errors
/// If the journal cannot be read or written. Durable data is not changed then.
pub fn open<D: Disk>(
    mut disk: D,
    config: JournalConfig,
    journal: u64,
    replica: &mut dyn Replica,
) -> Result<Journal<D>, JournalError> {
    let Some(mut tail) = read(&disk, replica)? else {
        return begin(disk, config, journal);
    };
    let segment = tail.segment_id();
    if tail.torn {
        let (name, byte, entry) = (segment.name(), tail.end, tail.place.sequence);
        tracing::warn!(
            name,
            byte,
            entry,
            "the journal's end is torn; cut after its last whole entry"
        );
    }
    tail.secure(&mut disk, config.segment_bytes)?;
    let mark = Mark {
        count: tail.marks,
        sequence: tail.place.sequence,
        end: tail.end,
        chain: tail.place.chain,
    };
    let mut opened = Journal::at(disk, config, segment, mark, tail.place);
    opened.mark()?;
    opened.begin_sector()?;
    prepare_next(&mut opened, tail.next, &segment.next().name())?;
    Ok(opened)
}

/// Begins a journal without entries.
fn begin<D: Disk>(
    mut disk: D,
    config: JournalConfig,
    journal: u64,
) -> Result<Journal<D>, JournalError> {
    let first = SegmentId { journal, number: 1 };
    let (name, place) = (first.name(), Place::default());
    disk.create(&name, &first.header(), config.segment_bytes)
        .map_err(JournalError::disk("create", &name))?;
    let mark = Mark::none(&place);
    Ok(Journal::at(disk, config, first, mark, place))
}

impl Tail {
    /// The segment that is being written.
    fn segment_id(&self) -> SegmentId {
        SegmentId {
            journal: self.journal,
            number: self.segment,
        }
    }

    /// Makes all whole frames durable. Frames past a mark are written again; what follows the last
    /// one, up to `segment_bytes` or the present length, becomes zeros.
    fn secure(&mut self, disk: &mut dyn Disk, segment_bytes: usize) -> Result<(), JournalError> {
        if let Some(UnmarkedFrames { segment, at, bytes }) = &self.unmarked {
            rewrite(disk, &segment.name(), *at, bytes)?;
        }
        let length = segment_bytes.max(self.durable + self.rest.len());
        let mut rest = std::mem::take(&mut self.rest);
        rest.truncate(self.end - self.durable);
        rest.resize(length - self.durable, 0);
        rewrite(disk, &self.segment_id().name(), self.durable, &rest)
    }
}

fn rewrite(disk: &mut dyn Disk, name: &str, at: usize, bytes: &[u8]) -> Result<(), JournalError> {
    disk.write(name, at, bytes)
        .map_err(JournalError::disk("write", name))?;
    disk.sync(name).map_err(JournalError::disk(SYNC, name))
}

/// Makes the segment after the one that is being written usable, or removes it.
fn prepare_next<D: Disk>(
    journal: &mut Journal<D>,
    state: Next,
    name: &str,
) -> Result<(), JournalError> {
    match state {
        Next::Missing => {}
        Next::Ready => {
            journal
                .disk()
                .secure(name)
                .map_err(JournalError::disk(SYNC, name))?;
            journal.next_is_ready();
        }
        Next::Spoiled => {
            tracing::warn!(
                name,
                "the next segment is not as it was made; it is made again"
            );
            journal
                .disk()
                .remove(name)
                .map_err(JournalError::disk("remove", name))?;
        }
    }
    Ok(())
}
