//! A folder as a [`Disk`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::journal::disk::Disk;

/// Bytes that are written at once where there are only zeros.
const PIECE: usize = 1 << 20;

/// How the name of a file ends that is being made.
const UNFINISHED: &str = ".unfinished";

/// Files in use at once: the segment being written, and the one after it.
const OPEN: usize = 2;

/// A folder that no other process uses as one, as long as this lives.
#[derive(Debug)]
pub struct FolderDisk {
    path: PathBuf,
    open: BTreeMap<String, File>,
    lock: Option<Arc<File>>,
    /// Which of those who share the folder this is.
    number: u64,
}

impl FolderDisk {
    /// Takes a folder, and makes it if it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.try_exists()? {
            fs::create_dir_all(path)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let lock = File::create(path.join("lock"))?;
        if lock.try_lock().is_err() {
            return Err(io::Error::other("another process is using it"));
        }
        let disk = Self { path: path.into(), open: BTreeMap::new(), lock: Some(Arc::new(lock)), number: 0 };
        for name in disk.list()?.iter().filter(|name| name.ends_with(UNFINISHED)) {
            fs::remove_file(path.join(name))?;
        }
        Ok(disk)
    }

    /// Looks at a folder that may be in use, to read it.
    pub fn look(path: &Path) -> io::Result<Self> {
        match fs::metadata(path)?.is_dir() {
            true => Ok(Self { path: path.into(), open: BTreeMap::new(), lock: None, number: 0 }),
            false => Err(io::Error::other("it is no folder")),
        }
    }

    /// The same folder, for another thread.
    pub fn share(&self) -> Self {
        static SHARES: AtomicU64 = AtomicU64::new(1);
        let number = SHARES.fetch_add(1, Ordering::Relaxed);
        Self { path: self.path.clone(), open: BTreeMap::new(), lock: self.lock.clone(), number }
    }

    fn file(&mut self, name: &str) -> io::Result<&File> {
        if !self.open.contains_key(name) {
            if self.open.len() == OPEN {
                self.open.pop_first();
            }
            let file = File::options().read(true).write(true).open(self.path.join(name))?;
            self.open.insert(name.into(), file);
        }
        self.open.get(name).ok_or_else(|| io::Error::other("a file that was just opened"))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Disk for FolderDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into()));
        names.collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn create(&mut self, name: &str, bytes: &[u8], length: usize) -> io::Result<()> {
        let path = self.path.join(name);
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Another thread may be making the same file: each has its own, and the first to name it wins.
        let unfinished = self.path.join(format!("{name}.{}{UNFINISHED}", self.number));
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            let zeros = vec![0; PIECE];
            let mut left = length.saturating_sub(bytes.len());
            while left > 0 {
                let piece = left.min(PIECE);
                file.write_all(&zeros[..piece])?;
                left -= piece;
            }
            file.sync_all()
        };
        let made = write().and_then(|()| fs::hard_link(&unfinished, &path));
        let _ = fs::remove_file(&unfinished);
        made?;
        self.sync_names()
    }

    fn write(&mut self, name: &str, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, at as u64)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn secure(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_all()?;
        self.sync_names()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.remove(name);
        fs::remove_file(self.path.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_process_own_and_files_are_whole_or_not_there() {
        let path = std::env::temp_dir().join(format!("truetick-folder-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let mut disk = FolderDisk::open(&path).unwrap();
        assert!(FolderDisk::open(&path).is_err_and(|error| error.to_string().contains("another process")));
        disk.create("a", b"head", 3 * PIECE + 5).unwrap();
        assert_eq!(disk.create("a", b"", 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        disk.write("a", 2, b"xyz").unwrap();
        disk.sync("a").unwrap();
        let read = FolderDisk::look(&path).unwrap().read("a").unwrap();
        assert_eq!((read.len(), &read[..6]), (3 * PIECE + 5, &b"hexyz\0"[..]));
        disk.remove("a").unwrap();
        assert_eq!(disk.list().unwrap(), ["lock"]);
        let second = disk.share();
        let makers: Vec<_> = (0..4).map(|maker| (maker, disk.share())).collect();
        let made = std::thread::scope(|scope| {
            let make = |(maker, mut disk): (u8, FolderDisk)| {
                scope.spawn(move || disk.create("b", &[maker; 9], 2 * PIECE).is_ok().then_some(maker))
            };
            let threads: Vec<_> = makers.into_iter().map(make).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!((made.len(), &disk.read("b").unwrap()[..9]), (1, &[made[0]; 9][..]));
        fs::write(path.join("c.7.unfinished"), "left over").unwrap();
        drop(disk);
        assert!(FolderDisk::open(&path).is_err());
        drop(second);
        assert_eq!(FolderDisk::open(&path).unwrap().list().unwrap().len(), 2);
        fs::remove_dir_all(&path).unwrap();
    }
}
