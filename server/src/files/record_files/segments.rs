//! The segments of a recording as files: the newest under its own name, older ones beside it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files::{existing, private, read_bytes};
use crate::frame::MAGIC;
use crate::recording::recorder::Chunk;

/// Number of chunks after which the file is synced. A power failure may lose about this many
/// seconds.
const SYNC_CHUNKS: u32 = 10;

/// Maximum number of segments of one recording, and of captures beside each other.
pub(super) const SEGMENTS: usize = 1_000;

/// The files of one recording, of which the newest is being written.
pub(super) struct SegmentFiles {
    pub(super) path: PathBuf,
    /// The folder that contains the files.
    folder: File,
    keep: usize,
    segment: u32,
    unsynced: u32,
    pub(super) file: File,
    /// Bytes written to `file`.
    length: u64,
    /// Whether the file has been renamed to an older one and the next could not be made yet.
    pub(super) aged: bool,
}

impl SegmentFiles {
    /// Begins a new file at `path`; the present one becomes older, and `keep` files are kept.
    pub(super) fn begin(path: &Path, keep: usize) -> io::Result<Self> {
        if is_there(path)? {
            if existing().open(path)?.try_lock().is_err() {
                return Err(io::Error::other("another process is writing it"));
            }
            match fs::symlink_metadata(path)?.len() {
                0 => fs::remove_file(path)?,
                _ => age_all(path, keep)?,
            }
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")))?;
        let file = create(path, &folder)?;
        let (path, unsynced) = (path.into(), SYNC_CHUNKS);
        Ok(Self {
            path,
            folder,
            keep,
            segment: 0,
            unsynced,
            file,
            length: 0,
            aged: false,
        })
    }

    /// Appends a chunk. After an error for lack of space or descriptors the same chunk may be
    /// appended again.
    pub(super) fn append(&mut self, chunk: &Chunk) -> io::Result<()> {
        if chunk.segment != self.segment {
            if !self.aged {
                self.sync()?;
                age_all(&self.path, self.keep)?;
                self.aged = true;
            }
            self.file = create(&self.path, &self.folder)?;
            (self.segment, self.unsynced) = (chunk.segment, SYNC_CHUNKS);
            (self.length, self.aged) = (0, false);
        }
        self.file.write_all_at(&chunk.bytes, self.length)?;
        self.length += chunk.bytes.len() as u64;
        self.unsynced += 1;
        // The first bytes of a segment, its header and keyframe, are synced at once.
        if self.unsynced > SYNC_CHUNKS {
            self.unsynced = 0;
            self.sync()?;
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data().map_err(unsynced)
    }
}

/// Marks an error of a sync as permanent: a failed sync is never tried again.
fn unsynced(error: io::Error) -> io::Error {
    io::Error::other(format!("cannot sync: {error}"))
}

/// Creates a new file, locks it and makes its name durable.
fn create(path: &Path, folder: &File) -> io::Result<File> {
    let file = private().create_new(true).open(path)?;
    file.lock()?;
    folder.sync_all().map_err(unsynced)?;
    Ok(file)
}

/// Renames every segment to the next older one and removes the one that is too old.
pub(super) fn age_all(path: &Path, keep: usize) -> io::Result<()> {
    let mut oldest = 0;
    while oldest + 1 < keep && is_there(&segment_path(path, oldest + 1))? {
        oldest += 1;
    }
    for age in (0..=oldest).rev() {
        let from = segment_path(path, age);
        match age + 1 == keep {
            true => fs::remove_file(from)?,
            false => fs::rename(from, segment_path(path, age + 1))?,
        }
    }
    Ok(())
}

/// Path of the segment of this age: `FILE`, `FILE.1`, `FILE.2` and so on.
pub(super) fn segment_path(path: &Path, age: usize) -> PathBuf {
    if age == 0 {
        return path.into();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{age}"));
    name.into()
}

/// Whether there is a file that may be renamed or read: an empty one, or one of frames. Any other
/// file by that name is an error.
pub(super) fn is_there(path: &Path) -> io::Result<bool> {
    let about = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        about => about?,
    };
    let mut magic = [0; MAGIC.len()];
    let known = about.is_file()
        && (about.len() == 0
            || existing().open(path)?.read_exact(&mut magic).is_ok() && magic[..7] == MAGIC[..7]);
    match known {
        true => Ok(true),
        false => Err(io::Error::other(format!(
            "{} is no recording, and is left as it is",
            path.display()
        ))),
    }
}

/// Reads a recording's file and the older ones beside it, oldest first.
/// [`crate::recording::record::join`] finds those that belong together.
///
/// # Errors
/// If a file cannot be read, or the newest one is not a recording.
pub fn read_segments(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for age in 0..SEGMENTS {
        let path = segment_path(path, age);
        match age == 0 || is_there(&path).unwrap_or(false) {
            true => paths.push(path),
            false => break,
        }
    }
    if paths.len() > 1 && !is_there(path)? {
        paths.remove(0);
    }
    paths.reverse();
    paths.iter().map(|path| read_bytes(path)).collect()
}
