//! The one module that reads and writes files.

pub mod folder;
mod record_files;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub use record_files::{RecordWriter, read_segments};

/// Mode of a new file: recordings, captures and journals hold secrets of players.
const PRIVATE_FILE: u32 = 0o600;

/// Mode of a new folder.
const PRIVATE_FOLDER: u32 = 0o700;

/// A symbolic link is not followed, and nothing that stands in a file's place (a FIFO, say) is
/// waited for.
const AS_IT_IS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

/// Options to write a file that is its owner's alone if it is new.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true).mode(PRIVATE_FILE).custom_flags(AS_IT_IS.bits() as i32);
    options
}

/// Options to read a file that is there.
fn existing() -> OpenOptions {
    let mut options = File::options();
    options.read(true).custom_flags(AS_IT_IS.bits() as i32);
    options
}

/// Another handle of what a descriptor leads to: writing to it takes no lock of the standard
/// library's.
pub fn another_handle(of: impl AsFd) -> io::Result<File> {
    Ok(of.as_fd().try_clone_to_owned()?.into())
}

/// Reads a text file whole.
pub fn read_text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Writes a file whole.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)
}

/// Writes a text file whole.
pub fn write_text(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
}

/// Whether only its owner can use a file or folder, as far as the system tells.
pub fn is_private(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |data| data.permissions().mode() & 0o077 == 0)
}

/// Resident memory of this process in bytes, where the system tells (Linux, proc(5)).
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Reads a file whole.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path)?.is_file() {
        true => fs::read(path),
        false => Err(io::Error::other("it is no file")),
    }
}

/// Writes a file that was not there.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    private().create_new(true).open(path)?.write_all(bytes)
}

/// A new folder that is removed with everything in it when this is dropped.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one, for its owner alone, where the system keeps what is temporary.
    pub fn new(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::DirBuilder::new().mode(PRIVATE_FOLDER).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean up: it lies among what is temporary.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Reads every file of a folder, by rising name.
pub fn read_folder(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}
