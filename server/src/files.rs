//! The one module that reads and writes files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::recording::frame::MAGIC;
use crate::recording::recorder::Chunk;

/// Reads a text file whole.
pub fn read_text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Writes a text file whole.
pub fn write_text(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
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

/// Keeps a recording on a thread of its own: the newest segment in the file itself, older ones beside it.
pub struct RecordWriter {
    chunks: SyncSender<Chunk>,
    thread: JoinHandle<io::Result<()>>,
}

impl RecordWriter {
    /// Begins the file anew and removes the segments of a recording that had its name.
    pub fn start(path: &Path, keep: usize) -> io::Result<Self> {
        remove_older(path)?;
        let mut files =
            SegmentFiles { path: path.into(), keep, segment: 0, unsynced: 0, file: File::create(path)? };
        let (chunks, take) = sync_channel::<Chunk>(CHUNKS);
        let thread = thread::Builder::new().name("truetick-record".into()).spawn(move || {
            take.into_iter().try_for_each(|chunk| files.append(&chunk))?;
            files.file.sync_data()
        })?;
        Ok(Self { chunks, thread })
    }

    /// Hands over some bytes; an error where the disk does not keep up or has failed.
    pub fn keep(&mut self, chunk: Chunk) -> io::Result<()> {
        self.chunks.try_send(chunk).map_err(|error| match error {
            TrySendError::Full(_) => io::Error::other("the disk is too slow for the recording"),
            TrySendError::Disconnected(_) => io::Error::other("the recording could not be written"),
        })
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
    fn append(&mut self, chunk: &Chunk) -> io::Result<()> {
        if chunk.segment != self.segment {
            self.segment = chunk.segment;
            self.rotate()?;
        }
        self.file.write_all(&chunk.bytes)?;
        self.unsynced += 1;
        if self.unsynced == SYNC_CHUNKS {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        for age in (0..self.keep).rev() {
            let from = segment_path(&self.path, age);
            match age + 1 == self.keep {
                true => remove_if_there(&from)?,
                false if from.exists() => fs::rename(&from, segment_path(&self.path, age + 1))?,
                false => {}
            }
        }
        self.file = File::create(&self.path)?;
        Ok(())
    }
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

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes older segments, up to the first name that is free or no segment.
fn remove_older(path: &Path) -> io::Result<()> {
    for age in 1..SEGMENTS {
        let older = segment_path(path, age);
        let Ok(mut file) = File::open(&older) else { break };
        let mut magic = [0; MAGIC.len()];
        if io::Read::read_exact(&mut file, &mut magic).is_err() || magic != MAGIC {
            break;
        }
        fs::remove_file(&older)?;
    }
    Ok(())
}

/// Reads a recording: all its segments, oldest first.
pub fn read_segments(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let older = (1..SEGMENTS).map(|age| segment_path(path, age)).take_while(|path| path.exists());
    let mut paths: Vec<PathBuf> = std::iter::once(path.into()).chain(older).collect();
    paths.reverse();
    paths.iter().map(fs::read).collect()
}

/// Reads every file of a folder, by rising name.
pub fn read_folder(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}

/// Writes a file whole.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_rotate_are_bounded_and_read_oldest_first() {
        let folder = std::env::temp_dir().join(format!("truetick-segments-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("room.rec");
        for _ in 0..2 {
            let mut writer = RecordWriter::start(&path, 3).unwrap();
            for segment in 0..5u32 {
                for part in [MAGIC.to_vec(), vec![segment as u8]] {
                    while writer.keep(Chunk { segment, bytes: part.clone() }).is_err() {
                        thread::yield_now();
                    }
                }
            }
            writer.finish().unwrap();
            let last: Vec<u8> =
                read_segments(&path).unwrap().iter().map(|bytes| bytes[MAGIC.len()]).collect();
            assert_eq!(last, [2, 3, 4]);
        }
        let mut writer = RecordWriter::start(&path, 3).unwrap();
        writer.keep(Chunk { segment: 0, bytes: MAGIC.to_vec() }).unwrap();
        writer.finish().unwrap();
        assert_eq!(read_segments(&path).unwrap(), [MAGIC]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
