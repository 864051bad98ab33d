//! Files that grow while a room runs: recordings in segments, captures and traces in one file each.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{existing, private, read_bytes};
use crate::frame::MAGIC;
use crate::journal::error::is_passing;
use crate::recording::recorder::Chunk;

/// Maximum number of chunks that wait for the disk. A chunk is about a second of a room.
const CHUNKS: usize = 32;

/// Maximum bytes that wait for the disk, unless a single chunk is longer.
const WAITING_BYTES: usize = 64 << 20;

/// Number of chunks after which the file is synced. A power failure may lose about this many
/// seconds.
const SYNC_CHUNKS: u32 = 10;

/// Maximum number of segments of one recording, and of captures beside each other.
const SEGMENTS: usize = 1_000;

/// Pause before a write that failed for lack of space or descriptors is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// Writes a recording on a thread of its own: the newest segment to the file itself, older ones
/// beside it. Earlier recordings there count as older segments. Nothing is overwritten, and a file
/// that is not a recording is not touched.
///
/// A lack of space or descriptors is waited for as long as `CHUNKS` and `WAITING_BYTES` allow, and
/// is logged once.
pub struct RecordWriter {
    chunks: SyncSender<Chunk>,
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<()>>,
}

#[derive(Default)]
struct Shared {
    /// Bytes handed over and not yet written.
    waiting: AtomicUsize,
    /// The last error of the disk that may pass; `None` once a write has succeeded.
    refusal: Mutex<Option<String>>,
}

impl RecordWriter {
    /// Begins a new file of a recording and keeps `keep` segments, including the new one.
    ///
    /// # Errors
    /// If another process writes the file, a file in its place is not a recording, or it cannot be
    /// created.
    pub fn start(path: &Path, keep: usize) -> io::Result<Self> {
        Self::begin(SegmentFiles::begin(path, keep)?)
    }

    /// Begins a new file of a capture or a trace. Earlier ones are kept beside it as `FILE.1`,
    /// `FILE.2` and so on; none is removed.
    ///
    /// # Errors
    /// If `SEGMENTS` files exist already, another process writes the file, or it cannot be created.
    pub fn start_whole(path: &Path) -> io::Result<Self> {
        let last = segment_path(path, SEGMENTS - 1);
        if is_there(&last)? {
            return Err(io::Error::other(format!(
                "{} is there already: move the old ones away",
                last.display()
            )));
        }
        Self::begin(SegmentFiles::begin(path, SEGMENTS)?)
    }

    fn begin(files: SegmentFiles) -> io::Result<Self> {
        let (chunks, take) = sync_channel::<Chunk>(CHUNKS);
        let shared = Arc::new(Shared::default());
        let mut writing = Writing {
            files,
            shared: shared.clone(),
            waiting: VecDeque::new(),
        };
        let thread = thread::Builder::new()
            .name("truetick-record".into())
            .spawn(move || writing.run(&take))?;
        Ok(Self {
            chunks,
            shared,
            thread,
        })
    }

    /// Hands over some bytes. Returns `false` if the disk does not keep up or has failed;
    /// [`Self::finish`] and [`Self::give_up`] give the reason.
    pub fn keep(&mut self, chunk: Chunk) -> bool {
        let bytes = chunk.bytes.len();
        let before = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        (before == 0 || before + bytes <= WAITING_BYTES) && self.chunks.try_send(chunk).is_ok()
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// The error that ended the writing.
    pub fn finish(self) -> io::Result<()> {
        drop(self.chunks);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that records panicked")))
    }

    /// Ends without waiting for the disk, after [`Self::keep`] returned `false`. Returns the
    /// reason.
    pub fn give_up(self) -> String {
        if self.thread.is_finished() {
            return self
                .finish()
                .map_or_else(|error| error.to_string(), |()| "it has ended".into());
        }
        let refusal = self
            .shared
            .refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        refusal
            .clone()
            .unwrap_or_else(|| "the disk is too slow".into())
    }
}

/// State of the thread that writes.
struct Writing {
    files: SegmentFiles,
    shared: Arc<Shared>,
    waiting: VecDeque<Chunk>,
}

impl Writing {
    fn run(&mut self, take: &Receiver<Chunk>) -> io::Result<()> {
        loop {
            match take.recv() {
                Ok(chunk) => self.waiting.push_back(chunk),
                Err(_) => return self.files.file.sync_data(),
            }
            while let Some(error) = self.write_waiting()? {
                match take.recv_timeout(PAUSE) {
                    Ok(_) if self.waiting.len() >= CHUNKS => return Err(error),
                    Ok(chunk) => self.waiting.push_back(chunk),
                    Err(RecvTimeoutError::Timeout) => {}
                    // The recording is to end: what cannot be written now is lost.
                    Err(RecvTimeoutError::Disconnected) => match self.write_waiting()? {
                        Some(error) => return Err(error),
                        None => break,
                    },
                }
            }
        }
    }

    /// Writes the chunks that wait. Returns the passing error that stopped it, if any.
    fn write_waiting(&mut self) -> io::Result<Option<io::Error>> {
        while let Some(chunk) = self.waiting.front() {
            match self.files.append(chunk) {
                Ok(()) => {
                    self.shared
                        .waiting
                        .fetch_sub(chunk.bytes.len(), Ordering::Relaxed);
                    self.waiting.pop_front();
                    if self.note_refusal(None).is_some() {
                        tracing::info!(file = %self.files.path.display(), "writing goes on");
                    }
                }
                Err(error) if is_passing(&error) => {
                    if self.note_refusal(Some(error.to_string())).is_none() {
                        let file = self.files.path.display();
                        tracing::warn!(%file, %error, "cannot write for now; it is tried again");
                    }
                    return Ok(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Records the present refusal of the disk, or that there is none. Returns the previous one.
    fn note_refusal(&self, refusal: Option<String>) -> Option<String> {
        std::mem::replace(
            &mut *self
                .shared
                .refusal
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
            refusal,
        )
    }
}

struct SegmentFiles {
    path: PathBuf,
    /// The folder that contains the files.
    folder: File,
    keep: usize,
    segment: u32,
    unsynced: u32,
    file: File,
    /// Bytes written to `file`.
    length: u64,
    /// Whether the file has been renamed to an older one and the next could not be made yet.
    aged: bool,
}

impl SegmentFiles {
    fn begin(path: &Path, keep: usize) -> io::Result<Self> {
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
    fn append(&mut self, chunk: &Chunk) -> io::Result<()> {
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

    fn sync(&self) -> io::Result<()> {
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

/// Path of the segment of this age: `FILE`, `FILE.1`, `FILE.2` and so on.
fn segment_path(path: &Path, age: usize) -> PathBuf {
    if age == 0 {
        return path.into();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{age}"));
    name.into()
}

/// Whether there is a file that may be renamed or read: an empty one, or one of frames. Any other
/// file by that name is an error.
fn is_there(path: &Path) -> io::Result<bool> {
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("truetick-{name}-{}", std::process::id()));
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
                while !writer.keep(Chunk {
                    segment: segment as u32,
                    bytes: bytes.clone(),
                }) {
                    thread::yield_now();
                }
            }
        }
        writer.finish().unwrap();
    }

    fn contents(path: &Path) -> Vec<u8> {
        read_segments(path)
            .unwrap()
            .iter()
            .map(|bytes| bytes[MAGIC.len()])
            .collect()
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

    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn recordings_and_captures_are_their_owners_alone() {
        let folder = Folder::new("private");
        let (recording, capture) = (folder.0.join("room.rec"), folder.0.join("room.cap"));
        record(&recording, 3, 0..2);
        RecordWriter::start_whole(&capture)
            .unwrap()
            .finish()
            .unwrap();
        assert_eq!(
            [&recording, &segment_path(&recording, 1), &capture].map(|path| mode(path)),
            [0o600; 3]
        );
    }

    #[test]
    fn an_earlier_capture_is_kept_beside_the_new_one() {
        let folder = Folder::new("captures");
        let path = folder.0.join("room.cap");
        for content in 1..=3 {
            let mut writer = RecordWriter::start_whole(&path).unwrap();
            assert!(writer.keep(Chunk {
                segment: 0,
                bytes: [&MAGIC[..], &[content]].concat()
            }));
            writer.finish().unwrap();
        }
        let kept = [0, 1, 2].map(|age| fs::read(segment_path(&path, age)).unwrap()[MAGIC.len()]);
        assert_eq!(kept, [3, 2, 1]);
        fs::write(segment_path(&path, SEGMENTS - 1), MAGIC).unwrap();
        assert!(RecordWriter::start_whole(&path).is_err());
        assert_eq!(fs::read(&path).unwrap()[MAGIC.len()], 3);
    }

    #[test]
    fn no_link_is_followed() {
        let folder = Folder::new("links");
        let (target, link) = (folder.0.join("target"), folder.0.join("room.rec"));
        fs::write(&target, MAGIC).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(
            RecordWriter::start(&link, 3).is_err() && RecordWriter::start_whole(&link).is_err()
        );
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(folder.0.join("nowhere"), &link).unwrap();
        assert!(
            RecordWriter::start(&link, 3).is_err() && RecordWriter::start_whole(&link).is_err()
        );
        assert_eq!(
            (
                fs::read(&target).unwrap(),
                folder.0.join("nowhere").exists()
            ),
            (MAGIC.to_vec(), false)
        );
    }

    /// The next file of the segment cannot be made until something is out of the way. As with a
    /// full disk, the same chunk is appended again.
    #[test]
    fn a_chunk_that_could_not_be_appended_is_appended_again() {
        let folder = Folder::new("again");
        let path = folder.0.join("room.rec");
        let chunk = |segment, content: u8| Chunk {
            segment,
            bytes: [&MAGIC[..], &[content]].concat(),
        };
        let mut files = SegmentFiles::begin(&path, 3).unwrap();
        files.append(&chunk(0, 1)).unwrap();
        // As if the file had been renamed and the next one could not be made.
        files.sync().unwrap();
        age_all(&path, 3).unwrap();
        files.aged = true;
        files.append(&chunk(1, 2)).unwrap();
        assert_eq!(contents(&path), [1, 2]);
    }

    #[test]
    fn memory_is_bounded_while_the_disk_is_slow() {
        let (chunks, _take) = sync_channel(CHUNKS);
        let thread = thread::spawn(|| Ok(()));
        let mut writer = RecordWriter {
            chunks,
            shared: Arc::default(),
            thread,
        };
        let half = || Chunk {
            segment: 0,
            bytes: vec![0; WAITING_BYTES / 2],
        };
        assert!(writer.keep(half()) && writer.keep(half()) && !writer.keep(half()));
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
            RecordWriter::start(&path, 3)
                .is_err_and(|error| error.to_string().contains("another process"))
        );
    }
}
