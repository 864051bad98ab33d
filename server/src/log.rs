//! The log, written by a thread of its own, so that logging never waits for a slow reader.
//!
//! A reader that stalls costs lines, which are counted. A reader that is gone has no other effect.
//! The same writer serves the standard output of programs that play a game meanwhile.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::files::another_handle;

/// Maximum number of lines that wait to be written; more are lost.
const WAITING_LINES: usize = 4_096;

/// Maximum bytes of the lines that wait to be written; more are lost.
const WAITING_BYTES: usize = 4 << 20;

/// Maximum bytes of a line; the rest of it is cut.
const LINE_BYTES: usize = 64 << 10;

/// Number of steps for which the end of the process waits for the rest of the log.
const LAST_STEPS: u32 = 20;
const LAST_STEP: Duration = Duration::from_millis(50);

enum Task {
    Write(Vec<u8>),
    /// Answered once everything before it is written.
    Finish(Sender<()>),
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    lost: AtomicU64,
}

/// Hands lines to a thread that writes them. It never waits and never fails. The bytes of one call
/// of `write` count as one line. Clones share the thread.
#[derive(Clone)]
pub struct BackgroundWriter {
    tasks: SyncSender<Task>,
    shared: Arc<Shared>,
}

impl BackgroundWriter {
    /// Starts a thread that writes to `out`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (tasks, todo) = sync_channel(WAITING_LINES);
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        thread::Builder::new()
            .name("truetick-log".into())
            .spawn(move || write_all(out, &todo, &own))?;
        Ok(Self { tasks, shared })
    }

    /// Starts a thread that writes to standard output.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated or the thread cannot be started.
    pub fn stdout() -> io::Result<Self> {
        Self::start(another_handle(io::stdout())?)
    }

    /// Starts a thread that writes to standard error.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated or the thread cannot be started.
    pub fn stderr() -> io::Result<Self> {
        Self::start(another_handle(io::stderr())?)
    }

    /// Lines lost so far, because the queue was full or they could not be written.
    pub fn lost_lines(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, for a second at most.
    pub fn finish(&self) {
        let (done, finished) = channel();
        let mut task = Some(Task::Finish(done));
        for _ in 0..LAST_STEPS {
            task = match task.map(|task| self.tasks.try_send(task)) {
                Some(Err(TrySendError::Full(task))) => Some(task),
                _ => None,
            };
            if finished.recv_timeout(LAST_STEP).is_ok() {
                return;
            }
        }
    }
}

impl Write for BackgroundWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = &bytes[..bytes.len().min(LINE_BYTES)];
        let before = self.shared.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let fits = before + line.len() <= WAITING_BYTES;
        if !fits || self.tasks.try_send(Task::Write(line.to_vec())).is_err() {
            self.shared.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until all senders are gone. Lines that cannot be written are counted.
fn write_all(mut out: impl Write, todo: &Receiver<Task>, shared: &Shared) {
    let mut told = 0;
    for task in todo {
        let line = match task {
            Task::Write(line) => line,
            Task::Finish(done) => {
                let _ = out.flush();
                let _ = done.send(());
                continue;
            }
        };
        let lost = shared.lost.load(Ordering::Relaxed);
        if lost > told && writeln!(out, "({} lines were lost here)", lost - told).is_ok() {
            told = lost;
        }
        let written = out.write_all(&line);
        shared.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        if written.is_err() {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends the log to `writer` from now on, including the messages of panics.
///
/// # Panics
/// If the process has installed a log already.
pub fn install(writer: &BackgroundWriter, filter: EnvFilter, ansi: bool) {
    let writer = writer.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .log_internal_errors(false)
        .with_writer(move || writer.clone())
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::RecvError;
    use std::sync::{Mutex, PoisonError};

    /// Stalls until it is released, then keeps what is written.
    struct Slow(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Err(RecvError) = self.0.recv() else {
                return Ok(bytes.len());
            };
            self.1
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_costs_counted_lines_and_no_time() {
        let (go, still) = channel();
        let text = Arc::new(Mutex::new(Vec::new()));
        let mut writer = BackgroundWriter::start(Slow(still, text.clone())).unwrap();
        let lines = 2 * WAITING_LINES;
        (0..lines).for_each(|line| {
            writer
                .write_all(format!("line {line}\n").as_bytes())
                .unwrap()
        });
        let lost = writer.lost_lines();
        assert!((1..=lines as u64).contains(&lost), "{lost} lost");
        drop(go);
        writer.finish();
        writeln!(writer, "the last line").unwrap();
        writer.finish();
        let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
        let kept = text
            .lines()
            .filter(|line| line.starts_with("line "))
            .count() as u64;
        assert_eq!(kept + writer.lost_lines(), lines as u64);
        assert!(
            text.contains("lines were lost here") && text.ends_with("the last line\n"),
            "{text}"
        );
    }

    #[test]
    fn memory_is_bounded_however_long_the_lines_are() {
        let (_go, still) = channel();
        let mut writer = BackgroundWriter::start(Slow(still, Arc::default())).unwrap();
        let long = vec![b'x'; 2 * LINE_BYTES];
        (0..1_000).for_each(|_| assert_eq!(writer.write(&long).unwrap(), long.len()));
        assert!(writer.shared.waiting.load(Ordering::Relaxed) <= WAITING_BYTES + LINE_BYTES);
        assert!(writer.lost_lines() > 900);
    }

    #[test]
    fn a_reader_that_has_gone_fails_nobody() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let mut writer = BackgroundWriter::start(Gone).unwrap();
        (0..10).for_each(|_| writeln!(writer, "into nothing").unwrap());
        writer.finish();
        assert_eq!(writer.lost_lines(), 10);
    }
}
