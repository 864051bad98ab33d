//! Tests of a journal on a disk that fails, tears and damages data.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::disk::Disk;
use super::error::{JournalError, SegmentFault};
use super::open::{open, read};
use super::writer::{Journal, Maintenance};
use super::{Entries, JournalConfig, Replica};

pub const CONFIG: JournalConfig = JournalConfig {
    segment_bytes: 12_288 + 16 * 512,
    keep: 0,
};
pub(crate) const NUMBER: u64 = 77;

/// A folder in memory.
#[derive(Clone, Default)]
pub struct Memory(
    Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    Arc<AtomicBool>,
    Arc<AtomicBool>,
);

impl Memory {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    fn copy(&self) -> Self {
        Self(
            Arc::new(Mutex::new(self.with(|files| files.clone()))),
            Arc::default(),
            Arc::default(),
        )
    }

    fn set_full(&self, full: bool) {
        self.1.store(full, Ordering::Relaxed);
    }
}

impl Disk for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.with(|files| files.keys().cloned().collect()))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.with(|files| files.get(name).cloned())
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, name: &str, bytes: &[u8], length: usize) -> io::Result<()> {
        if self.1.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut bytes = bytes.to_vec();
        bytes.resize(length.max(bytes.len()), 0);
        self.with(|files| files.insert(name.into(), bytes));
        Ok(())
    }

    fn write(&mut self, name: &str, at: usize, bytes: &[u8]) -> io::Result<()> {
        if self.1.load(Ordering::Relaxed) && self.2.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.with(|files| {
            let file = files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
            file.resize(file.len().max(at + bytes.len()), 0);
            file[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn secure(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.with(|files| files.remove(name))
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }
}

/// A replica that keeps every entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Words(pub Vec<Vec<u8>>);

impl Entries for Words {
    fn entry(&mut self, entry: &[u8]) -> Result<(), String> {
        self.0.push(entry.to_vec());
        Ok(())
    }
}

impl Replica for Words {
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.0 = bitcode::decode(state).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn snapshot(&mut self) -> Vec<u8> {
        bitcode::encode(&self.0)
    }
}

pub fn word(i: u64) -> Vec<u8> {
    vec![i as u8 + 1; 20 + (i * 7 % 60) as usize]
}

pub fn words(count: u64) -> Words {
    Words((0..count).map(word).collect())
}

fn begin(disk: &Memory) -> (Journal<Memory>, Words) {
    let mut words = Words::default();
    (
        open(disk.clone(), CONFIG, NUMBER, &mut words).unwrap(),
        words,
    )
}

/// A journal with this number of entries, each committed alone.
fn journal(entries: u64) -> Memory {
    let disk = Memory::default();
    let (mut journal, _) = begin(&disk);
    (0..entries).for_each(|i| journal.commit([&*word(i)]).unwrap());
    disk
}

pub(crate) fn reopen(disk: &Memory) -> Result<Words, JournalError> {
    let mut found = Words::default();
    open(disk.clone(), CONFIG, NUMBER, &mut found).map(|_| found)
}

fn what(error: JournalError) -> SegmentFault {
    match error {
        JournalError::Segment { what, .. } => what,
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_committed_is_there_again_and_goes_on() {
    let disk = Memory::default();
    for round in 0..40 {
        let (mut journal, found) = begin(&disk);
        assert_eq!(found, words(round * 3));
        let entries: Vec<_> = (round * 3..round * 3 + 3).map(word).collect();
        journal.commit(entries.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(journal.durable(), round * 3 + 3);
    }
    assert!(disk.list().unwrap().len() > 2, "several segments");
}

#[test]
fn snapshots_stand_for_segments_and_a_damaged_one_is_passed_over() {
    let disk = Memory::default();
    let (mut journal, _) = begin(&disk);
    for i in 0..120 {
        journal.commit([&*word(i)]).unwrap();
        for chore in journal.take_maintenance() {
            chore
                .perform(&mut disk.clone(), &mut Words::default())
                .unwrap();
            if matches!(chore, Maintenance::Prepare { .. }) {
                journal.next_is_ready();
            }
        }
    }
    let names = disk.list().unwrap();
    assert_eq!(
        names.iter().filter(|name| name.starts_with("snap")).count(),
        2,
        "{names:?}"
    );
    assert!(!names.contains(&super::segment::name(1)), "{names:?}");
    assert_eq!(reopen(&disk.copy()).unwrap(), words(120));
    let newest = names
        .iter()
        .rev()
        .find(|name| name.starts_with("snap"))
        .unwrap();
    disk.with(|files| *files.get_mut(newest).unwrap().last_mut().unwrap() ^= 1);
    assert_eq!(reopen(&disk.copy()).unwrap(), words(120));
    let older = names.iter().find(|name| name.starts_with("snap")).unwrap();
    disk.with(|files| files.remove(older));
    assert!(matches!(reopen(&disk), Err(JournalError::NoSnapshot(_))));
}

#[test]
fn line_55_truncated_anywhere_it_keeps_what_was_durable_or_refuses() {
    let disk = journal(12);
    let name = super::segment::name(1);
    let durable = begin(&disk).0.end().1;
    for length in 0..CONFIG.segment_bytes {
        let cut = disk.copy();
        cut.with(|files| files.get_mut(&name).unwrap().truncate(length));
        match reopen(&cut) {
            Ok(found) => {
                assert!(length >= durable, "cut at {length}");
                assert_eq!(found, words(12));
                assert_eq!(cut.read(&name).unwrap().len(), CONFIG.segment_bytes);
            }
            Err(error) => {
                assert!(
                    length < durable && !error.to_string().is_empty(),
                    "{length}: {error}"
                )
            }
        }
    }
}

#[test]
fn line_55_with_any_byte_flipped_it_keeps_what_was_durable_or_refuses() {
    let disk = journal(12);
    let name = super::segment::name(1);
    let (durable, mut refused) = (begin(&disk).0.end().1, 0);
    for at in 0..CONFIG.segment_bytes {
        for bits in [0x01, 0x80, 0xff] {
            let rotten = disk.copy();
            rotten.with(|files| files.get_mut(&name).unwrap()[at] ^= bits);
            match reopen(&rotten) {
                Ok(found) => {
                    assert_eq!(found, words(12), "byte {at}");
                    assert!(
                        at < super::segment::FRAMES || at >= durable,
                        "byte {at} was not noticed"
                    );
                }
                Err(error) => {
                    refused += 1;
                    assert!(at < durable, "byte {at}: {error}");
                    assert_eq!(
                        disk.with(|files| files.len()),
                        rotten.with(|files| files.len())
                    );
                }
            }
        }
    }
    assert!(refused >= 3 * (durable - super::segment::FRAMES));
}

#[test]
fn what_was_never_durable_is_cut_and_never_comes_back() {
    let disk = journal(6);
    let name = super::segment::name(1);
    let end = begin(&disk).0.end().1;
    // Three entries that were written and never marked; the second one is torn.
    let before = disk.read(&name).unwrap()[4_096..12_288].to_vec();
    {
        let (mut journal, _) = begin(&disk);
        let entries: Vec<_> = (6..9).map(word).collect();
        journal.commit(entries.iter().map(Vec::as_slice)).unwrap();
    }
    disk.with(|files| {
        let file = files.get_mut(&name).unwrap();
        file[4_096..12_288].copy_from_slice(&before);
        let torn = end + word(6).len() + super::segment::FRAME_OVERHEAD + 20;
        file[torn..torn + 10].fill(0);
    });
    let (mut journal, found) = begin(&disk);
    assert_eq!(found, words(7));
    journal.commit([&*word(7)]).unwrap();
    drop(journal);
    assert_eq!(reopen(&disk).unwrap(), words(8));
    let rest = disk.read(&name).unwrap();
    let last = rest.iter().rposition(|byte| *byte != 0).unwrap();
    assert_eq!(last + 1, begin(&disk).0.end().1);
}

#[test]
fn a_later_frame_tells_that_an_earlier_one_was_durable() {
    let disk = journal(12);
    let name = super::segment::name(1);
    disk.with(|files| {
        let file = files.get_mut(&name).unwrap();
        file[4_096..12_288].fill(0);
        file[12_288 + 3 * 512 + 20] ^= 1;
    });
    assert!(matches!(
        what(reopen(&disk).unwrap_err()),
        SegmentFault::Damaged { .. }
    ));
}

#[test]
fn a_missing_a_foreign_and_an_unsealed_segment_are_told_apart() {
    let disk = journal(60);
    let names = disk.list().unwrap();
    assert!(names.len() >= 3, "{names:?}");
    for name in &names {
        let lacking = disk.copy();
        lacking.with(|files| files.remove(name));
        match reopen(&lacking) {
            Err(JournalError::NoSnapshot(_)) => assert_eq!(name, &names[0]),
            error => assert_eq!(what(error.unwrap_err()), SegmentFault::Missing, "{name}"),
        }
    }
    let foreign = disk.copy();
    foreign.with(|files| {
        files.get_mut(&names[1]).unwrap()[..32].copy_from_slice(&super::segment::header(5, 2))
    });
    assert_eq!(what(reopen(&foreign).unwrap_err()), SegmentFault::Foreign);
    let unsealed = disk.copy();
    unsealed.with(|files| {
        let first = files.get_mut(&names[0]).unwrap();
        let end = first.iter().rposition(|byte| *byte != 0).unwrap();
        first[end - 14..=end].fill(0);
        first[4_096..12_288].fill(0);
    });
    assert_eq!(what(reopen(&unsealed).unwrap_err()), SegmentFault::Unsealed);
}

#[test]
fn a_next_segment_that_is_spoiled_is_made_anew() {
    let disk = Memory::default();
    let (mut journal, _) = begin(&disk);
    for chore in journal.take_maintenance() {
        chore
            .perform(&mut disk.clone(), &mut Words::default())
            .unwrap();
    }
    journal.commit([&*word(0)]).unwrap();
    let next = super::segment::name(2);
    disk.with(|files| files.get_mut(&next).unwrap()[13_000..13_100].fill(0xa5));
    let (mut journal, found) = begin(&disk);
    assert_eq!(found, words(1));
    (1..40).for_each(|i| journal.commit([&*word(i)]).unwrap());
    assert_eq!(reopen(&disk).unwrap(), words(40));
}

#[test]
fn line_55_what_cannot_be_written_is_not_opened_and_says_why() {
    let disk = journal(5);
    disk.set_full(true);
    disk.2.store(true, Ordering::Relaxed);
    let error = reopen(&disk).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot write journal-00000001.seg"),
        "{error}"
    );
    assert!(reopen(&Memory::default()).is_ok());
}

#[test]
fn a_disk_that_fills_up_leaves_a_journal_that_opens() {
    let disk = Memory::default();
    let (mut journal, _) = begin(&disk);
    disk.set_full(true);
    let committed = (0..)
        .take_while(|i| journal.commit([&*word(*i)]).is_ok())
        .count() as u64;
    assert!(committed > 5);
    disk.set_full(false);
    let (mut journal, found) = begin(&disk);
    assert_eq!(found, words(committed));
    journal.commit([&*word(committed)]).unwrap();
}

#[test]
fn reading_changes_nothing() {
    let disk = journal(20);
    let before = disk.with(|files| files.clone());
    let mut found = Words::default();
    let tail = read(&disk, &mut found).unwrap().unwrap();
    assert_eq!((found, tail.place.sequence), (words(20), 20));
    assert!(disk.with(|files| *files == before));
}

#[test]
fn the_frames_of_a_journal_are_pinned() {
    let file = journal(1).read(&super::segment::name(1)).unwrap();
    let frame: String = file[12_288..12_288 + 59]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        frame,
        "2c00000001241900000000000000000100000000000000ab47e51b7551313c01010101010101010101010101010101010101013c6c6c53411459e0"
    );
}
