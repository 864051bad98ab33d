//! A disk whose writes are pending until they are synced. A power cut keeps, loses or tears pending
//! data sector by sector.

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use thiserror::Error;

use crate::mark::{Mark, Marks};

/// Bytes that a disk writes atomically.
const SECTOR: usize = 512;

/// Why a disk operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DiskError {
    /// There is no space left.
    #[error("no space left on the disk")]
    Full,
    /// The sectors cannot be read.
    #[error("the disk cannot be read")]
    Unreadable,
}

/// One file on a disk of its own.
#[derive(Debug)]
pub struct Disk {
    /// Contents that a reader sees while the machine runs.
    written: Vec<u8>,
    /// Number of bytes that survive a power cut.
    durable: usize,
    capacity: usize,
    unreadable: bool,
    rng: Xoshiro256PlusPlus,
}

impl Disk {
    /// Creates an empty disk. `seed` determines its random numbers.
    pub fn new(seed: u64) -> Self {
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            written: Vec::new(),
            durable: 0,
            capacity: usize::MAX,
            unreadable: false,
            rng,
        }
    }

    /// Appends bytes, which are pending until [`Self::sync`].
    ///
    /// # Errors
    ///
    /// [`DiskError::Full`] if not all of them fit; those that do are written.
    pub fn append(&mut self, bytes: &[u8], marks: &mut Marks) -> Result<(), DiskError> {
        let room = self.capacity.saturating_sub(self.written.len());
        self.written
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            marks.hit(Mark::DiskFull);
            return Err(DiskError::Full);
        }
        Ok(())
    }

    /// Makes everything durable.
    pub fn sync(&mut self) {
        self.durable = self.written.len();
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`DiskError::Unreadable`] on the first read after [`Self::fail_next_read`].
    pub fn read(&mut self, marks: &mut Marks) -> Result<&[u8], DiskError> {
        if std::mem::take(&mut self.unreadable) {
            marks.hit(Mark::DiskUnreadable);
            return Err(DiskError::Unreadable);
        }
        Ok(&self.written)
    }

    /// Empties the file durably and lifts the limit of [`Self::fill`].
    pub fn truncate(&mut self) {
        self.written.clear();
        self.durable = 0;
        self.capacity = usize::MAX;
    }

    /// Limits the disk to its current contents.
    pub fn fill(&mut self) {
        self.capacity = self.written.len();
    }

    /// Makes the next read fail.
    pub fn fail_next_read(&mut self) {
        self.unreadable = true;
    }

    /// Cuts the power: up to a random point of the pending data each sector is written, lost (it
    /// reads as zeros) or torn; the data after that point is gone.
    pub(crate) fn power_cut(&mut self, marks: &mut Marks) {
        let end = self.rng.random_range(self.durable..=self.written.len());
        marks.add(Mark::WriteLost, u64::from(end < self.written.len()));
        self.written.truncate(end);
        let mut at = self.durable;
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            match self.rng.random_range(0..10) {
                0 => {
                    marks.hit(Mark::WriteLost);
                    self.written[at..next].fill(0);
                }
                1 => {
                    marks.hit(Mark::WriteTorn);
                    let torn = self.rng.random_range(at..next);
                    self.rng.fill_bytes(&mut self.written[torn..next]);
                }
                _ => {}
            }
            at = next;
        }
        self.durable = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_spares_what_was_synced() {
        for seed in 0..50 {
            let (mut disk, mut marks) = (Disk::new(seed), Marks::default());
            disk.append(&[1; 3_000], &mut marks).unwrap();
            disk.sync();
            disk.append(&[2; 3_000], &mut marks).unwrap();
            disk.power_cut(&mut marks);
            let left = disk.read(&mut marks).unwrap();
            assert!(left.len() <= 6_000 && left[..3_000] == [1; 3_000]);
        }
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_says_so() {
        let (mut disk, mut marks) = (Disk::new(1), Marks::default());
        disk.append(&[1; 10], &mut marks).unwrap();
        disk.fill();
        assert_eq!(disk.append(&[2; 10], &mut marks), Err(DiskError::Full));
        assert_eq!(disk.read(&mut marks).unwrap().len(), 10);
        disk.fail_next_read();
        assert_eq!(disk.read(&mut marks), Err(DiskError::Unreadable));
        assert!(disk.read(&mut marks).is_ok());
    }
}
