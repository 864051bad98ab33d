//! Keeps the server's recording on its disk as the production server does, and checks what is left
//! of it after a crash.

use std::sync::Arc;

use truetick_server::arena::ArenaGame;
use truetick_server::frame::{FrameError, FrameReader, MAGIC};
use truetick_server::recording::recorder::RecorderConfig;
use truetick_server::recording::replay::replay;
use truetick_server::world_access::WorldAccess;

use crate::disk::{Disk, DiskError};
use crate::mark::{Mark, Marks};
use crate::messaging_game::MessagingGame;

/// Number of chunks between two syncs.
const SYNC_CHUNKS: u32 = 2;

/// Writes the recording of a room to a simulated disk and checks it.
#[derive(Debug)]
pub(crate) struct RecordKeeper {
    /// The simulated disk that the recording is written to.
    pub disk: Disk,
    /// Everything written in this life of the server, whatever became of it on the disk.
    handed: Vec<u8>,
    /// Number of bytes that were synced.
    synced: usize,
    chunks: u32,
    stopped: bool,
}

impl RecordKeeper {
    /// Creates a recording on an empty disk.
    pub fn new(seed: u64) -> Self {
        Self {
            disk: Disk::new(seed),
            handed: Vec::new(),
            synced: 0,
            chunks: 0,
            stopped: false,
        }
    }

    /// Starts a new recording of a room.
    pub fn begin(&mut self, room: &mut dyn WorldAccess) {
        self.disk.truncate();
        self.handed.clear();
        self.synced = 0;
        self.chunks = 0;
        self.stopped = false;
        room.start_recording(RecorderConfig {
            recording: 1,
            game: "chatter".into(),
            setup: Vec::new(),
            with_state: false,
            segment_bytes: usize::MAX,
        });
    }

    /// Writes the room's recorded chunks. If the disk is full, the recording ends and the room
    /// continues.
    pub fn keep(&mut self, room: &mut dyn WorldAccess, marks: &mut Marks) {
        while let Some(chunk) = room.poll_recording().filter(|_| !self.stopped) {
            self.handed.extend_from_slice(&chunk.bytes);
            match self.disk.append(&chunk.bytes, marks) {
                Ok(()) => {}
                Err(DiskError::Full | DiskError::Unreadable) => {
                    self.stopped = true;
                    return room.stop_recording();
                }
            }
            self.chunks += 1;
            if self.chunks.is_multiple_of(SYNC_CHUNKS) {
                self.disk.sync();
                self.synced = self.handed.len();
            }
        }
    }

    /// Checks the recording on the disk: it must be a prefix of what was written, at least as long
    /// as what was durable, and its replay must give equal hashes. A disk that cannot be read is
    /// tried once more.
    pub fn check(
        &mut self,
        game: &Arc<MessagingGame<ArenaGame>>,
        marks: &mut Marks,
    ) -> Vec<String> {
        let mut read = self.disk.read(marks).map(<[u8]>::to_vec);
        if read.is_err() {
            read = self.disk.read(marks).map(<[u8]>::to_vec);
        }
        let Ok(bytes) = read else {
            return vec!["the recording cannot be read".into()];
        };
        let good = good_part(&bytes, marks);
        if !self.handed.starts_with(&bytes[..good]) {
            return vec!["the recording holds what was never recorded".into()];
        }
        let whole_frames = good_part(&self.handed[..self.synced], &mut Marks::default());
        if good < whole_frames {
            return vec![format!(
                "{good} bytes of the recording are left, but {whole_frames} were durable"
            )];
        }
        if good <= MAGIC.len() {
            return Vec::new();
        }
        match replay(game, &[bytes[..good].to_vec()], None, |_| {}) {
            Ok(again) => again
                .divergence
                .map(|parted| format!("replay: {parted}"))
                .into_iter()
                .collect(),
            Err(error) => vec![format!("replay: {error}")],
        }
    }
}

/// Number of bytes before the first incomplete frame.
fn good_part(bytes: &[u8], marks: &mut Marks) -> usize {
    let Ok(mut frames) = FrameReader::begin(bytes) else {
        return 0;
    };
    loop {
        let at = frames.position();
        match frames.next_frame() {
            Ok(Some(_)) => {}
            Ok(None) => return at,
            Err(FrameError::Torn(_) | FrameError::Damaged(_) | FrameError::NoMagic) => {
                marks.hit(Mark::RecordingCut);
                return at;
            }
        }
    }
}
