//! A folder of the file system as a [`Disk`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{PRIVATE_FOLDER, existing, is_private, private};
use crate::journal::disk::Disk;

/// Number of zeros that are written at once.
const PIECE: usize = 1 << 20;

/// Suffix of the name of a file that is being made.
const UNFINISHED: &str = ".unfinished";

/// Maximum number of open files: the segment being written and the next one.
const OPEN: usize = 2;

/// A folder of journal files. If it was opened and not only looked at, no other process can open it
/// while this lives.
#[derive(Debug)]
pub struct FolderDisk {
    path: PathBuf,
    /// The folder itself, kept open so that making names durable needs no new descriptor.
    folder: Arc<File>,
    open: BTreeMap<String, File>,
    lock: Option<Arc<File>>,
    /// Number of this handle among those that share the folder.
    number: u64,
}

impl FolderDisk {
    /// Opens a folder, locks it and removes unfinished files in it. A folder that does not exist is
    /// created for its owner only.
    ///
    /// # Errors
    /// If another process uses the folder, or the folder or its lock cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.try_exists()? {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(PRIVATE_FOLDER)
                .create(path)?;
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        if !is_private(path) {
            tracing::warn!(folder = %path.display(), "others on this host can look into it: chmod 700");
        }
        // An existing lock is opened as it is: it is not followed if it is a link, and not
        // truncated.
        let lock = private()
            .read(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"));
        let lock = lock.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot open its lock: {error}"))
        })?;
        if !lock.metadata()?.is_file() {
            return Err(io::Error::other("its lock is not a regular file"));
        }
        if lock.try_lock().is_err() {
            return Err(io::Error::other("another process is using it"));
        }
        let disk = Self {
            lock: Some(Arc::new(lock)),
            ..Self::look(path)?
        };
        for name in disk
            .list()?
            .iter()
            .filter(|name| name.ends_with(UNFINISHED))
        {
            fs::remove_file(path.join(name))?;
        }
        Ok(disk)
    }

    /// Opens a folder for reading, without its lock. The folder may be in use.
    ///
    /// # Errors
    /// If the path is not a directory or cannot be opened.
    pub fn look(path: &Path) -> io::Result<Self> {
        match fs::metadata(path)?.is_dir() {
            true => Ok(Self {
                path: path.into(),
                folder: Arc::new(File::open(path)?),
                open: BTreeMap::new(),
                lock: None,
                number: 0,
            }),
            false => Err(io::Error::other("it is no folder")),
        }
    }

    /// Another handle of the folder, for another thread.
    pub fn share(&self) -> Self {
        static SHARES: AtomicU64 = AtomicU64::new(1);
        let number = SHARES.fetch_add(1, Ordering::Relaxed);
        let (path, folder, lock) = (self.path.clone(), self.folder.clone(), self.lock.clone());
        Self {
            path,
            folder,
            open: BTreeMap::new(),
            lock,
            number,
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&File> {
        if !self.open.contains_key(name) {
            let file = existing().write(true).open(self.path.join(name))?;
            if self.open.len() == OPEN {
                self.open.pop_first();
            }
            self.open.insert(name.into(), file);
        }
        self.open
            .get(name)
            .ok_or_else(|| io::Error::other("a file that was just opened"))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.folder.sync_all()
    }
}

impl Disk for FolderDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let names =
            fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into()));
        names.collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        existing()
            .open(self.path.join(name))?
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&mut self, name: &str, bytes: &[u8], length: usize) -> io::Result<()> {
        let path = self.path.join(name);
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Another thread may be making the same file. Each writes a file of its own, and the first
        // one to link it wins.
        let unfinished = self
            .path
            .join(format!("{name}.{}{UNFINISHED}", self.number));
        let write = || {
            // A file that a failed attempt left would be in the way.
            let _ = fs::remove_file(&unfinished);
            let file = private().create_new(true).open(&unfinished);
            let mut file = file.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    io::Error::other("what an attempt left cannot be removed")
                }
                _ => error,
            })?;
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
        // A name that may not last is removed again, so that a later attempt makes the whole file.
        self.sync_names().inspect_err(|_| {
            let _ = fs::remove_file(&path);
        })
    }

    fn open(&mut self, name: &str) -> io::Result<()> {
        self.file(name).map(drop)
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
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_journal_is_its_owners_alone_and_no_link_is_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("outer");
        let data = path.join("inner");
        let mut disk = FolderDisk::open(&data).unwrap();
        disk.create("journal-1", b"head", 100).unwrap();
        assert_eq!([&data, &path].map(|folder| mode(folder)), [0o700; 2]);
        assert_eq!(
            ["lock", "journal-1"].map(|name| mode(&data.join(name))),
            [0o600; 2]
        );
        drop(disk);
        // An existing lock is not truncated, and one that is a link is not followed.
        fs::write(data.join("lock"), "a word").unwrap();
        drop(FolderDisk::open(&data).unwrap());
        assert_eq!(fs::read(data.join("lock")).unwrap(), b"a word");
        let target = path.join("target");
        fs::write(&target, "a thesis").unwrap();
        for leads_to in [&target, &path.join("nowhere")] {
            fs::remove_file(data.join("lock")).unwrap();
            symlink(leads_to, data.join("lock")).unwrap();
            assert!(FolderDisk::open(&data).is_err_and(|error| error.to_string().contains("lock")));
        }
        assert_eq!(
            (fs::read(&target).unwrap(), path.join("nowhere").exists()),
            (b"a thesis".to_vec(), false)
        );
        fs::remove_file(data.join("lock")).unwrap();
        let mut disk = FolderDisk::open(&data).unwrap();
        symlink(&target, data.join("journal-2")).unwrap();
        assert!(disk.read("journal-2").is_err() && disk.write("journal-2", 0, b"x").is_err());
        assert_eq!(fs::read(&target).unwrap(), b"a thesis");
    }

    #[test]
    fn a_folder_is_one_process_own_and_files_are_whole_or_not_there() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let mut disk = FolderDisk::open(&path).unwrap();
        assert!(
            FolderDisk::open(&path)
                .is_err_and(|error| error.to_string().contains("another process"))
        );
        disk.create("a", b"head", 3 * PIECE + 5).unwrap();
        assert_eq!(
            disk.create("a", b"", 1).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
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
                scope.spawn(move || {
                    disk.create("b", &[maker; 9], 2 * PIECE)
                        .is_ok()
                        .then_some(maker)
                })
            };
            let threads: Vec<_> = makers.into_iter().map(make).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(
            (made.len(), &disk.read("b").unwrap()[..9]),
            (1, &[made[0]; 9][..])
        );
        fs::write(path.join("c.7.unfinished"), "left over").unwrap();
        drop(disk);
        assert!(FolderDisk::open(&path).is_err());
        drop(second);
        assert_eq!(FolderDisk::open(&path).unwrap().list().unwrap().len(), 2);
    }
}
