//! Commits on a thread of its own, so that producers of entries never wait for a disk. Entries that
//! arrive during a commit form the next one together. A second thread does the maintenance.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::disk::Disk;
use super::error::JournalError;
use super::writer::{Journal, Maintenance};
use super::{CommitLog, Replica};

/// Maximum number of entries that wait for a commit: at one per tick, a quarter of a minute.
const WAITING: usize = 1_024;

/// Maximum number of entries in one commit.
const MAX_BATCH: usize = 256;

/// Pause before failed maintenance, for example on a full disk, is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Pause before a commit that failed for lack of space or descriptors is tried again.
const COMMIT_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct State {
    durable: AtomicU64,
    failure: OnceLock<String>,
}

/// Reports the failure of the log if the committing thread panics.
struct OnPanic(Arc<State>);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.failure.set("the journal's thread panicked".into());
        }
    }
}

/// A [`CommitLog`] that commits on a thread of its own. Dropping it commits the entries already
/// taken and waits for the threads.
pub struct Committer<E> {
    entries: Option<SyncSender<E>>,
    /// Dropped before the threads are waited for, which ends any wait for space or descriptors.
    patience: Option<Sender<()>>,
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

/// How entries become bytes, and the state before the first entry.
pub struct EntryCodec<E> {
    /// Encodes an entry.
    pub encode: fn(&E) -> Vec<u8>,
    /// Creates a replica in the state before the first entry, from which snapshots are made.
    pub fresh: fn() -> Box<dyn Replica>,
}

impl<E: Send + 'static> Committer<E> {
    /// Starts the threads of a journal. `disk` must be the journal's own disk; the maintenance uses
    /// it.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start<D: Disk + 'static>(
        journal: Journal<D>,
        disk: D,
        kind: EntryCodec<E>,
    ) -> io::Result<Self> {
        let (entries, take) = sync_channel(WAITING);
        let state = Arc::new(State::default());
        state.durable.store(journal.durable(), Ordering::Release);
        let (chores, todo) = channel();
        let (tell, prepared) = channel();
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(format!("truetick-{name}"))
                .spawn(run)
        };
        let on_panic = OnPanic(state.clone());
        let (patience, ending) = channel();
        let encode = kind.encode;
        let mut commits = Commit {
            journal,
            state: state.clone(),
            chores,
            prepared,
            ending,
            encode,
        };
        let threads = vec![
            spawn(
                "commit",
                Box::new(move || {
                    let _on_panic = on_panic;
                    commits.run(&take);
                }),
            )?,
            spawn(
                "chores",
                Box::new(move || do_maintenance(&todo, &tell, disk, kind.fresh)),
            )?,
        ];
        Ok(Self {
            entries: Some(entries),
            patience: Some(patience),
            state,
            threads,
        })
    }
}

impl<E: Send> CommitLog<E> for Committer<E> {
    fn submit(&mut self, entry: E) -> bool {
        self.failure().is_none()
            && self
                .entries
                .as_ref()
                .is_some_and(|entries| entries.try_send(entry).is_ok())
    }

    fn durable(&self) -> u64 {
        self.state.durable.load(Ordering::Acquire)
    }

    fn failure(&self) -> Option<&str> {
        self.state.failure.get().map(String::as_str)
    }

    fn close(&mut self) {
        (self.entries, self.patience) = (None, None);
    }
}

impl<E> Drop for Committer<E> {
    fn drop(&mut self) {
        (self.entries, self.patience) = (None, None);
        for thread in self.threads.drain(..) {
            // The panic itself was logged already.
            let _ = thread.join();
        }
    }
}

struct Commit<D, E> {
    journal: Journal<D>,
    state: Arc<State>,
    chores: Sender<Maintenance>,
    prepared: Receiver<u64>,
    /// Closed when the committer is.
    ending: Receiver<()>,
    encode: fn(&E) -> Vec<u8>,
}

impl<D: Disk, E> Commit<D, E> {
    fn run(&mut self, take: &Receiver<E>) {
        self.hand_out_chores();
        while let Ok(first) = take.recv() {
            let entries: Vec<Vec<u8>> = std::iter::once(first)
                .chain(take.try_iter().take(MAX_BATCH - 1))
                .map(|entry| (self.encode)(&entry))
                .collect();
            if let Err(error) = self.commit(&entries) {
                tracing::error!(%error, "the journal has failed; nothing more is accepted");
                let _ = self.state.failure.set(error.to_string());
                return;
            }
        }
    }

    /// Commits entries, and waits for as long as the system lacks what that takes.
    ///
    /// # Errors
    /// If the journal can never continue, or if the committer is closed meanwhile.
    fn commit(&mut self, entries: &[Vec<u8>]) -> Result<(), JournalError> {
        let (begun, mut tries) = (self.journal.taken(), 0u64);
        loop {
            self.note_prepared();
            let left = &entries[(self.journal.taken() - begun) as usize..];
            let done = self.journal.commit(left.iter().map(Vec::as_slice));
            self.state
                .durable
                .store(self.journal.durable(), Ordering::Release);
            self.hand_out_chores();
            let error = match done {
                Ok(()) if tries > 0 => {
                    tracing::info!(tries, "the journal goes on");
                    return Ok(());
                }
                Ok(()) => return Ok(()),
                Err(error) if error.is_passing() => error,
                Err(error) => return Err(error),
            };
            if tries == 0 {
                tracing::warn!(%error, "the journal waits until the system can give what it needs");
            }
            tries += 1;
            if self.ending.recv_timeout(COMMIT_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                return Err(error);
            }
        }
    }

    fn note_prepared(&mut self) {
        while let Ok(segment) = self.prepared.try_recv() {
            if segment == self.journal.end().0 + 1 {
                self.journal.next_is_ready();
            }
        }
    }

    fn hand_out_chores(&mut self) {
        for chore in self.journal.take_maintenance() {
            // Without the other thread, segments are made when they are needed, and no snapshots
            // are made.
            let _ = self.chores.send(chore);
        }
    }
}

fn do_maintenance<D: Disk>(
    todo: &Receiver<Maintenance>,
    prepared: &Sender<u64>,
    mut disk: D,
    fresh: fn() -> Box<dyn Replica>,
) {
    let (mut queue, mut pause, mut failed) = (VecDeque::new(), Duration::ZERO, 0u64);
    loop {
        let next = match queue.is_empty() {
            true => todo.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => todo.recv_timeout(pause),
        };
        match next {
            Ok(chore) => queue.push_back(chore),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(chore) = queue.pop_front() else {
            continue;
        };
        pause = Duration::ZERO;
        match (chore.perform(&mut disk, &mut *fresh()), chore) {
            (Ok(()), Maintenance::Prepare { segment, .. }) => {
                // If the receiver is gone, the journal has ended.
                let _ = prepared.send(segment);
                note_success(&mut failed);
            }
            (Ok(()), Maintenance::Compact { .. }) => note_success(&mut failed),
            (Err(JournalError::Disk { error, .. }), _)
                if error.kind() == io::ErrorKind::AlreadyExists => {}
            (Err(error @ JournalError::Disk { .. }), _) => {
                if failed == 0 {
                    tracing::warn!(%error, "a chore of the journal failed; it is tried again until it succeeds");
                }
                failed += 1;
                queue.push_back(chore);
                pause = PAUSE;
            }
            (Err(error), _) => tracing::error!(%error, "a chore of the journal is given up"),
        }
    }
}

/// Reports the end of a series of failures, once.
fn note_success(failed: &mut u64) {
    if std::mem::take(failed) > 0 {
        tracing::info!("the chores of the journal succeed again");
    }
}
