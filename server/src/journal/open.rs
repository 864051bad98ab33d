//! Finds the end of a journal and makes it ready to continue.

use super::disk::Disk;
use super::error::{JournalError, SYNC, SegmentFault};
use super::segment::{self, End, FRAMES, Mark};
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
    /// Whole but unmarked frames at the end of the previous segment: its number, their offset, and
    /// their bytes.
    unmarked: Option<(u64, usize, Vec<u8>)>,
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
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment::number(name))
        .collect();
    numbers.sort_unstable();
    if numbers.is_empty() && !names.iter().any(|name| snapshot::number(name).is_some()) {
        return Ok(None);
    }
    let mut place = restore(snapshot.as_ref(), replica)?;
    let first = snapshot.as_ref().map_or(1, |snapshot| snapshot.segment + 1);
    if snapshot.is_none() && numbers.first().is_none_or(|number| *number > 1) {
        return Err(JournalError::NoSnapshot(segment::name(
            numbers.first().copied().unwrap_or(1),
        )));
    }
    let load = |number: u64| {
        let name = segment::name(number);
        if !numbers.contains(&number) {
            return Err(JournalError::Segment {
                name,
                what: SegmentFault::Missing,
            });
        }
        disk.read(&name).map_err(JournalError::disk("read", &name))
    };
    let head = load(first)?;
    let journal = match snapshot {
        Some(snapshot) => snapshot.journal,
        None => segment::journal_of(&head, first).ok_or(JournalError::Segment {
            name: segment::name(first),
            what: SegmentFault::Header,
        })?,
    };
    let (mut number, mut bytes, mut unmarked) = (first, head, None);
    loop {
        let found = segment::read(
            &bytes,
            (journal, number),
            &mut place,
            replica as &mut dyn Entries,
        )?;
        let (durable, marks) = found
            .mark
            .map_or((FRAMES, 0), |mark| (mark.end, mark.count));
        let (at, torn) = match found.end {
            End::Open { at, torn } => (at, torn),
            End::Sealed { at } => {
                unmarked = (durable < at).then(|| (number, durable, bytes[durable..at].to_vec()));
                number += 1;
                bytes = load(number)?;
                continue;
            }
        };
        let next = after_last(number, &numbers, journal, load)?;
        let rest = bytes.split_off(durable.min(bytes.len()));
        let tail = Tail {
            journal,
            segment: number,
            end: at,
            durable,
            marks,
            place,
            torn,
            next,
            rest,
            unmarked,
        };
        return Ok(Some(tail));
    }
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

/// Determines the state of the segment after the last one. If it has entries, or other segments
/// follow, the last one is not whole.
fn after_last(
    last: u64,
    numbers: &[u64],
    journal: u64,
    load: impl Fn(u64) -> Result<Vec<u8>, JournalError>,
) -> Result<Next, JournalError> {
    let unsealed = || JournalError::Segment {
        name: segment::name(last),
        what: SegmentFault::Unsealed,
    };
    if numbers.iter().any(|number| *number > last + 1) {
        return Err(unsealed());
    }
    if !numbers.contains(&(last + 1)) {
        return Ok(Next::Missing);
    }
    let bytes = load(last + 1)?;
    let has_mark = Mark::newest(&bytes, (journal, last + 1)).is_some();
    if has_mark || whole_frames(&bytes, FRAMES).next().is_some() {
        return Err(unsealed());
    }
    let header = segment::header(journal, last + 1);
    let rest = bytes.strip_prefix(header.as_slice());
    let is_blank = rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    Ok(if is_blank { Next::Ready } else { Next::Spoiled })
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
    let Some(tail) = read(&disk, replica)? else {
        let (name, place) = (segment::name(1), Place::default());
        let header = segment::header(journal, 1);
        disk.create(&name, &header, config.segment_bytes)
            .map_err(JournalError::disk("create", &name))?;
        return Ok(Journal::at(
            disk,
            config,
            journal,
            (1, Mark::none(&place)),
            place,
        ));
    };
    let name = segment::name(tail.segment);
    if tail.torn {
        let (byte, entry) = (tail.end, tail.place.sequence);
        tracing::warn!(
            name,
            byte,
            entry,
            "the journal's end is torn; cut after its last whole entry"
        );
    }
    if let Some((number, at, frames)) = &tail.unmarked {
        let name = segment::name(*number);
        disk.write(&name, *at, frames)
            .map_err(JournalError::disk("write", &name))?;
        disk.sync(&name).map_err(JournalError::disk(SYNC, &name))?;
    }
    // Whole frames past the mark are written again; what follows them becomes zeros.
    let length = config.segment_bytes.max(tail.durable + tail.rest.len());
    let mut rest = tail.rest;
    rest.truncate(tail.end - tail.durable);
    rest.resize(length - tail.durable, 0);
    disk.write(&name, tail.durable, &rest)
        .map_err(JournalError::disk("write", &name))?;
    disk.sync(&name).map_err(JournalError::disk(SYNC, &name))?;
    let mark = Mark {
        count: tail.marks,
        sequence: tail.place.sequence,
        end: tail.end,
        chain: tail.place.chain,
    };
    let mut opened = Journal::at(disk, config, tail.journal, (tail.segment, mark), tail.place);
    opened.mark()?;
    opened.begin_sector()?;
    match tail.next {
        Next::Missing => {}
        Next::Ready => {
            let name = segment::name(tail.segment + 1);
            opened
                .disk()
                .secure(&name)
                .map_err(JournalError::disk(SYNC, &name))?;
            opened.next_is_ready();
        }
        Next::Spoiled => {
            let name = segment::name(tail.segment + 1);
            tracing::warn!(
                name,
                "the next segment is not as it was made; it is made anew"
            );
            opened
                .disk()
                .remove(&name)
                .map_err(JournalError::disk("remove", &name))?;
        }
    }
    Ok(opened)
}
