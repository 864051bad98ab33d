//! The one module that reads and writes files.

#![allow(
    clippy::disallowed_methods,
    reason = "the module that reads and writes files"
)]

pub mod folder;
mod record_files;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub use record_files::{RecordWriter, read_segments};

/// Mode of a new file: recordings, captures and journals hold secrets of players.
const PRIVATE_FILE: u32 = 0o600;

/// Mode of a new folder.
const PRIVATE_FOLDER: u32 = 0o700;

/// Flags of every open: a symbolic link is not followed, and a special file in a file's place (such
/// as a FIFO) is not waited for.
const AS_IT_IS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

/// Options to write a file. A new file is accessible to its owner only.
fn private() -> OpenOptions {
    let mut options = File::options();
    options
        .write(true)
        .mode(PRIVATE_FILE)
        .custom_flags(AS_IT_IS.bits() as i32);
    options
}

/// Options to read an existing file.
fn existing() -> OpenOptions {
    let mut options = File::options();
    options.read(true).custom_flags(AS_IT_IS.bits() as i32);
    options
}

/// Duplicates a descriptor as a file. Writing to it takes no lock of the standard library.
///
/// # Errors
/// If the system cannot duplicate the descriptor.
pub(crate) fn another_handle(of: impl AsFd) -> io::Result<File> {
    Ok(of.as_fd().try_clone_to_owned()?.into())
}

/// Reads a whole text file.
///
/// # Errors
/// If the file cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Writes a whole file and replaces what it held.
///
/// # Errors
/// If the file cannot be written.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)
}

/// Writes a whole text file and replaces what it held.
///
/// # Errors
/// If the file cannot be written.
pub fn write_text(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
}

/// Whether only its owner can access a file or folder. `true` if the system does not report it.
pub fn is_private(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |data| data.permissions().mode() & 0o077 == 0)
}

/// Resident memory of this process in bytes, if the system reports it (Linux, proc(5)).
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Reads a whole file.
///
/// # Errors
/// If the path is not a regular file or cannot be read.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path)?.is_file() {
        true => fs::read(path),
        false => Err(io::Error::other("it is no file")),
    }
}

/// Writes a new file, accessible to its owner only.
///
/// # Errors
/// If the file exists already or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    private().create_new(true).open(path)?.write_all(bytes)
}

/// Reads every file of a folder, by rising name.
///
/// # Errors
/// If the folder or a file in it cannot be read.
pub fn read_folder(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}
