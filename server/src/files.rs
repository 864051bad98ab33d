//! The one module that reads and writes files.

pub mod folder;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::frame::MAGIC;
use crate::recording::recorder::Chunk;

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

/// Whether only its owner can read a file, as far as the system tells.
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

/// Chunks that wait for the disk; a chunk is about a second of a room.
const CHUNKS: usize = 32;

/// Chunks after which the file is synced: what a power cut may lose is about this many seconds.
const SYNC_CHUNKS: u32 = 10;

/// Segments that belong to one recording at most.
const SEGMENTS: usize = 1_000;

/// Keeps a recording on a thread of its own: the newest segment in the file itself, older ones beside it. What was
/// recorded there before counts as older: nothing is overwritten, and what is no recording is not touched.
pub struct RecordWriter {
    chunks: SyncSender<Chunk>,
    thread: JoinHandle<io::Result<()>>,
}

impl RecordWriter {
    /// Begins a new file.
    pub fn start(path: &Path, keep: usize) -> io::Result<Self> {
        let mut files = SegmentFiles::begin(path, keep)?;
        let (chunks, take) = sync_channel::<Chunk>(CHUNKS);
        let thread = thread::Builder::new().name("truetick-record".into()).spawn(move || {
            take.into_iter().try_for_each(|chunk| files.append(&chunk))?;
            files.file.sync_data()
        })?;
        Ok(Self { chunks, thread })
    }

    /// Hands over some bytes. False where the disk does not keep up or has failed: [`Self::finish`] tells.
    pub fn keep(&mut self, chunk: Chunk) -> bool {
        self.chunks.try_send(chunk).is_ok()
    }

    /// Waits until all is written.
    pub fn finish(self) -> io::Result<()> {
        drop(self.chunks);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that records panicked")))
    }
}

struct SegmentFiles {
    path: PathBuf,
    keep: usize,
    segment: u32,
    unsynced: u32,
    file: File,
}

impl SegmentFiles {
    fn begin(path: &Path, keep: usize) -> io::Result<Self> {
        if is_there(path)? {
            if File::open(path)?.try_lock().is_err() {
                return Err(io::Error::other("another process is writing it"));
            }
            match fs::metadata(path)?.len() {
                0 => fs::remove_file(path)?,
                _ => age_all(path, keep)?,
            }
        }
        Ok(Self { path: path.into(), keep, segment: 0, unsynced: SYNC_CHUNKS, file: create(path)? })
    }

    fn append(&mut self, chunk: &Chunk) -> io::Result<()> {
        if chunk.segment != self.segment {
            self.file.sync_data()?;
            age_all(&self.path, self.keep)?;
            self.file = create(&self.path)?;
            (self.segment, self.unsynced) = (chunk.segment, SYNC_CHUNKS);
        }
        self.file.write_all(&chunk.bytes)?;
        self.unsynced += 1;
        // A segment's first bytes, its header and keyframe, are synced at once.
        if self.unsynced > SYNC_CHUNKS {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// Creates a file that was not there, locks it, and makes its name durable.
fn create(path: &Path) -> io::Result<File> {
    let file = File::create_new(path)?;
    file.lock()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

/// Every segment becomes one older; the one that is too old is removed.
fn age_all(path: &Path, keep: usize) -> io::Result<()> {
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

/// Where the segment lies that is so many segments old: `FILE`, `FILE.1`, `FILE.2` and so on.
fn segment_path(path: &Path, age: usize) -> PathBuf {
    if age == 0 {
        return path.into();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{age}"));
    name.into()
}

/// Whether there is a file that may be moved or read: empty, or of frames. Anything else by that name is an error.
fn is_there(path: &Path) -> io::Result<bool> {
    let about = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        about => about?,
    };
    let mut magic = [0; MAGIC.len()];
    let known = about.is_file()
        && (about.len() == 0 || File::open(path)?.read_exact(&mut magic).is_ok() && magic[..7] == MAGIC[..7]);
    match known {
        true => Ok(true),
        false => Err(io::Error::other(format!("{} is no recording, and is left as it is", path.display()))),
    }
}

/// Reads a recording's file and those that lie beside it as older ones, oldest first. Which of them belong together
/// [`crate::recording::record::join`] tells.
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

/// Reads a file whole.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path)?.is_file() {
        true => fs::read(path),
        false => Err(io::Error::other("it is no file")),
    }
}

/// Writes a file that was not there.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    File::create_new(path)?.write_all(bytes)
}

/// A new folder that is removed with everything in it when this is dropped.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one where the system keeps what is temporary.
    pub fn new(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("truetick-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn record(path: &Path, keep: usize, segments: std::ops::Range<u8>) {
        let mut writer = RecordWriter::start(path, keep).unwrap();
        for (segment, content) in segments.enumerate() {
            for bytes in [MAGIC.to_vec(), vec![content]] {
                while !writer.keep(Chunk { segment: segment as u32, bytes: bytes.clone() }) {
                    thread::yield_now();
                }
            }
        }
        writer.finish().unwrap();
    }

    fn contents(path: &Path) -> Vec<u8> {
        read_segments(path).unwrap().iter().map(|bytes| bytes[MAGIC.len()]).collect()
    }

    #[test]
    fn segments_are_bounded_and_what_was_there_before_counts_as_older() {
        let folder = Folder::new("segments");
        let path = folder.0.join("room.rec");
        record(&path, 3, 0..5);
        assert_eq!(contents(&path), [2, 3, 4]);
        record(&path, 3, 10..11);
        assert_eq!(contents(&path), [3, 4, 10]);
        fs::remove_file(&path).unwrap();
        assert_eq!(contents(&path), [3, 4]);
    }

    #[test]
    fn what_is_no_recording_is_left_as_it_is() {
        let folder = Folder::new("thesis");
        let (path, older) = (folder.0.join("room.rec"), folder.0.join("room.rec.1"));
        fs::write(&path, "a thesis").unwrap();
        assert!(RecordWriter::start(&path, 3).is_err());
        fs::remove_file(&path).unwrap();
        record(&path, 3, 0..1);
        fs::write(&older, "another").unwrap();
        assert!(RecordWriter::start(&path, 3).is_err());
        assert_eq!(fs::read(&older).unwrap(), b"another");
        fs::remove_file(&older).unwrap();
        let _first = RecordWriter::start(&path, 3).unwrap();
        assert!(
            RecordWriter::start(&path, 3).is_err_and(|error| error.to_string().contains("another process"))
        );
    }
}
