//! Files that grow while a room runs: recordings in segments, captures and traces in one file each.

mod segments;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use self::segments::read_segments;
use self::segments::{SEGMENTS, SegmentFiles, is_there, segment_path};
use crate::journal::error::is_passing;
use crate::recording::recorder::Chunk;

/// Maximum number of chunks that wait for the disk. A chunk is about a second of a room.
const CHUNKS: usize = 32;

/// Maximum bytes that wait for the disk, unless a single chunk is longer.
const WAITING_BYTES: usize = 64 << 20;

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
                        tracing::warn!(%file, %error, "cannot write for now; the write is tried again");
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
