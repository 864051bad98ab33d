//! Tests of a journal on a system that lacks space or descriptors for a while.

use std::io;
use std::sync::{Arc, Mutex};

use super::CommitLog;
use super::committer::{Committer, EntryCodec};
use super::disk::Disk;
use super::open::open;
use super::tests::{CONFIG, Memory, NUMBER, Words, reopen, word, words};

/// A disk that refuses one operation a number of times with an error of the operating system.
#[derive(Clone)]
struct Refusing(Memory, Arc<Mutex<(&'static str, u32, i32)>>);

impl Refusing {
    fn new(disk: &Memory) -> Self {
        Self(disk.clone(), Arc::new(Mutex::new(("nothing", 0, 0))))
    }

    fn refuse(&self, verb: &'static str, times: u32, errno: rustix::io::Errno) {
        *self.1.lock().unwrap() = (verb, times, errno.raw_os_error());
    }

    fn pass(&self, verb: &str) -> io::Result<()> {
        let (refused, times, errno) = &mut *self.1.lock().unwrap();
        match *refused == verb && *times > 0 {
            true => {
                *times -= 1;
                Err(io::Error::from_raw_os_error(*errno))
            }
            false => Ok(()),
        }
    }
}

impl Disk for Refusing {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.read(name)
    }

    fn create(&mut self, name: &str, bytes: &[u8], length: usize) -> io::Result<()> {
        self.pass("create")?;
        self.0.create(name, bytes, length)
    }

    fn open(&mut self, _name: &str) -> io::Result<()> {
        self.pass("open")
    }

    fn write(&mut self, name: &str, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.pass("write")?;
        self.0.write(name, at, bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.pass("sync")?;
        self.0.sync(name)
    }

    fn secure(&mut self, name: &str) -> io::Result<()> {
        self.0.secure(name)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
}

#[test]
fn what_the_system_lacks_for_a_while_puts_a_commit_off_and_loses_nothing() {
    use rustix::io::Errno;
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOSPC, Errno::DQUOT] {
        for verb in ["create", "open", "write"] {
            for at in 0..30 {
                let memory = Memory::default();
                let disk = Refusing::new(&memory);
                let mut found = Words::default();
                let mut journal = open(disk.clone(), CONFIG, NUMBER, &mut found).unwrap();
                let entries: Vec<_> = (0..60).map(word).collect();
                let mut refused = 0;
                for (place, three) in entries.chunks(3).enumerate() {
                    if place == at {
                        disk.refuse(verb, 3, errno);
                    }
                    let begun = journal.taken();
                    while let Err(error) = {
                        let left = &three[(journal.taken() - begun) as usize..];
                        journal.commit(left.iter().map(Vec::as_slice))
                    } {
                        assert!(error.is_passing(), "{error}");
                        refused += 1;
                    }
                    assert_eq!((journal.taken(), journal.durable()), (begun + 3, begun + 3));
                }
                assert!(
                    refused <= 3 && (refused > 0 || verb != "write" || at >= 20),
                    "{verb} at {at}: {refused}"
                );
                drop(journal);
                assert_eq!(reopen(&memory).unwrap(), words(60), "{verb} at {at}");
            }
        }
    }
}

#[test]
fn a_failed_sync_is_no_passing_thing_whatever_the_error() {
    use rustix::io::Errno;
    for errno in [Errno::NOSPC, Errno::MFILE, Errno::IO] {
        let disk = Refusing::new(&Memory::default());
        let mut journal = open(disk.clone(), CONFIG, NUMBER, &mut Words::default()).unwrap();
        disk.refuse("sync", 1, errno);
        assert!(!journal.commit([&*word(0)]).unwrap_err().is_passing());
    }
    let disk = Refusing::new(&Memory::default());
    let mut journal = open(disk.clone(), CONFIG, NUMBER, &mut Words::default()).unwrap();
    disk.refuse("write", 1, Errno::IO);
    assert!(!journal.commit([&*word(0)]).unwrap_err().is_passing());
}

#[test]
fn the_next_segment_is_open_before_it_is_needed() {
    let disk = Refusing::new(&Memory::default());
    let mut journal = open(disk.clone(), CONFIG, NUMBER, &mut Words::default()).unwrap();
    for chore in journal.take_maintenance() {
        chore
            .perform(&mut disk.clone(), &mut Words::default())
            .unwrap();
    }
    journal.next_is_ready();
    disk.refuse("open", u32::MAX, rustix::io::Errno::MFILE);
    let before = journal.end().0;
    let mut count = 0;
    while journal.end().0 == before {
        journal.commit([&*word(count)]).unwrap();
        count += 1;
    }
}

#[test]
fn a_committer_goes_on_when_space_is_there_again_and_ends_without_it() {
    let start = |disk: &Refusing| {
        let journal = open(disk.clone(), CONFIG, NUMBER, &mut Words::default()).unwrap();
        let kind = EntryCodec {
            encode: |entry: &Vec<u8>| entry.clone(),
            fresh: || Box::new(Words::default()),
        };
        Committer::start(journal, disk.clone(), kind).unwrap()
    };
    let memory = Memory::default();
    let disk = Refusing::new(&memory);
    let mut committer = start(&disk);
    disk.refuse("write", 4, rustix::io::Errno::NOSPC);
    (0..10).for_each(|i| assert!(committer.submit(word(i))));
    while committer.durable() < 10 {
        assert_eq!(committer.failure(), None);
        std::thread::yield_now();
    }
    drop(committer);
    assert_eq!(reopen(&memory).unwrap(), words(10));
    let mut committer = start(&disk);
    disk.refuse("write", u32::MAX, rustix::io::Errno::NOSPC);
    assert!(committer.submit(word(10)));
    committer.close();
    assert!(!committer.submit(word(11)));
    drop(committer);
    disk.refuse("nothing", 0, rustix::io::Errno::IO);
    let found = reopen(&memory).unwrap();
    assert_eq!(found, words(10));
}
