//! A folder on a disk that loses power, fills up and fails.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_server::journal::disk::Disk;

/// Bytes that a disk writes atomically.
const SECTOR: usize = 512;

/// One file of the folder.
#[derive(Clone, Debug, Default)]
struct File {
    /// Contents that a reader sees while the machine runs.
    written: Vec<u8>,
    /// Contents that survive a power cut.
    durable: Vec<u8>,
    /// Sectors that the next sync writes. A failed sync forgets them, as operating systems do.
    dirty: BTreeSet<usize>,
}

impl File {
    fn sectors(&self) -> usize {
        self.written.len().div_ceil(SECTOR)
    }

    fn sector(&self, number: usize) -> std::ops::Range<usize> {
        number * SECTOR..((number + 1) * SECTOR).min(self.written.len())
    }
}

#[derive(Debug)]
struct Inner {
    files: BTreeMap<String, File>,
    full: bool,
    failing: bool,
    torn: u64,
    lost: u64,
    rng: Xoshiro256PlusPlus,
}

/// A simulated folder. Clones share the same contents.
#[derive(Clone, Debug)]
pub struct SimFolder(Arc<Mutex<Inner>>);

impl SimFolder {
    /// Creates an empty folder. `seed` determines its random numbers.
    pub fn new(seed: u64) -> Self {
        let (files, rng) = (BTreeMap::new(), Xoshiro256PlusPlus::seed_from_u64(seed));
        Self(Arc::new(Mutex::new(Inner {
            files,
            full: false,
            failing: false,
            torn: 0,
            lost: 0,
            rng,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets whether new files lack space.
    pub fn set_full(&self, full: bool) {
        self.inner().full = full;
    }

    /// Sets whether syncs fail.
    pub(crate) fn set_failing(&self, failing: bool) {
        self.inner().failing = failing;
    }

    /// Returns the numbers of sectors that power cuts tore and lost.
    pub fn damage(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.torn, inner.lost)
    }

    /// Cuts the power: each sector that was not synced has its new contents, its old contents or is
    /// torn.
    pub(crate) fn power_cut(&self) {
        let inner = &mut *self.inner();
        for file in inner.files.values_mut() {
            file.durable.resize(file.written.len(), 0);
            for number in 0..file.sectors() {
                let sector = file.sector(number);
                if file.written[sector.clone()] == file.durable[sector.clone()] {
                    continue;
                }
                match inner.rng.random_range(0..10) {
                    0..5 => {}
                    5..9 => {
                        inner.lost += 1;
                        file.written[sector.clone()].copy_from_slice(&file.durable[sector]);
                    }
                    _ => {
                        inner.torn += 1;
                        let from = inner.rng.random_range(sector.clone());
                        match inner.rng.random_bool(0.5) {
                            true => file.written[from..sector.end]
                                .copy_from_slice(&file.durable[from..sector.end]),
                            false => inner.rng.fill_bytes(&mut file.written[from..sector.end]),
                        }
                    }
                }
            }
            file.durable.clone_from(&file.written);
            file.dirty.clear();
        }
    }
}

impl Disk for SimFolder {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.inner()
            .files
            .get(name)
            .map(|file| file.written.clone())
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, name: &str, bytes: &[u8], length: usize) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if inner.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut written = bytes.to_vec();
        written.resize(length.max(bytes.len()), 0);
        inner.files.insert(
            name.into(),
            File {
                durable: written.clone(),
                written,
                dirty: BTreeSet::new(),
            },
        );
        Ok(())
    }

    fn write(&mut self, name: &str, at: usize, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let file = inner.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        file.written
            .resize(file.written.len().max(at + bytes.len()), 0);
        file.written[at..at + bytes.len()].copy_from_slice(bytes);
        file.dirty
            .extend(at / SECTOR..(at + bytes.len()).div_ceil(SECTOR));
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let failing = inner.failing;
        let file = inner.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        let dirty = std::mem::take(&mut file.dirty);
        if failing {
            return Err(io::Error::other("the disk reports an error"));
        }
        file.durable.resize(file.written.len(), 0);
        for number in dirty {
            let sector = file.sector(number);
            file.durable[sector.clone()].copy_from_slice(&file.written[sector]);
        }
        Ok(())
    }

    fn secure(&mut self, name: &str) -> io::Result<()> {
        self.sync(name)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner()
            .files
            .remove(name)
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }
}
