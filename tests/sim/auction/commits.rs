//! Commits of a journal in virtual time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::time::Timestamp;
use truetick_server::auction::entry::{Entry, HouseReplica};
use truetick_server::journal::CommitLog;
use truetick_server::journal::writer::{Journal, Maintenance};

use super::folder::SimFolder;

/// Delay before a commit that lacked space is retried.
const RETRY: Duration = Duration::from_millis(20);

struct Inner {
    journal: Option<Journal<SimFolder>>,
    folder: SimFolder,
    queue: Vec<Vec<u8>>,
    flying: Option<(Timestamp, Vec<Vec<u8>>)>,
    /// Number of commits that lacked space and were retried.
    waits: u64,
    submitted: u64,
    durable: u64,
}

/// The room's half of a journal's commits.
pub struct SimCommits(Arc<Mutex<Inner>>);

/// The world's half of a journal's commits, which advances time.
#[derive(Clone)]
pub struct SimDriver(Arc<Mutex<Inner>>);

/// Creates both halves of a journal's commits.
pub fn commits(journal: Journal<SimFolder>, folder: SimFolder) -> (SimCommits, SimDriver) {
    let durable = journal.durable();
    let journal = Some(journal);
    let inner = Inner {
        journal,
        folder,
        queue: Vec::new(),
        flying: None,
        waits: 0,
        submitted: durable,
        durable,
    };
    let inner = Arc::new(Mutex::new(inner));
    (SimCommits(inner.clone()), SimDriver(inner))
}

impl SimCommits {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitLog<Entry> for SimCommits {
    fn submit(&mut self, entry: Entry) -> bool {
        let mut inner = self.inner();
        inner.queue.push(entry.bytes());
        inner.submitted += 1;
        inner.journal.is_some()
    }

    fn durable(&self) -> u64 {
        let inner = self.inner();
        if is_planted(Mutant::AcceptBeforeDurable) {
            inner.submitted
        } else {
            inner.durable
        }
    }

    fn failure(&self) -> Option<&str> {
        self.inner()
            .journal
            .is_none()
            .then_some("the journal has failed")
    }
}

impl SimDriver {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes the due commit and starts the next, which takes `latency`. `chores` enables the
    /// journal's maintenance in this call.
    pub fn advance(&self, now: Timestamp, latency: Duration, chores: bool) {
        let inner = &mut *self.inner();
        if let Some((_, entries)) = inner.flying.take_if(|(until, _)| *until <= now) {
            let left = inner.commit(&entries, chores);
            inner.flying = left.map(|left| (now + RETRY, left));
        }
        if inner.flying.is_none() && !inner.queue.is_empty() && inner.journal.is_some() {
            inner.flying = Some((now + latency, std::mem::take(&mut inner.queue)));
        }
    }

    /// Returns whether the journal has failed, so that nothing becomes durable any more.
    pub fn has_failed(&self) -> bool {
        self.inner().journal.is_none()
    }

    /// Returns how often a commit lacked space and was postponed.
    pub fn waits(&self) -> u64 {
        self.inner().waits
    }

    /// Ends the process. A commit in progress may have been written, but not synced.
    pub fn crash(&self, was_written: bool) {
        let inner = &mut *self.inner();
        if let Some((_, entries)) = inner.flying.take().filter(|_| was_written) {
            inner.folder.set_failing(true);
            inner.commit(&entries, false);
            inner.folder.set_failing(false);
        }
        inner.journal = None;
    }
}

impl Inner {
    /// Commits entries. Returns those that are left if the disk lacks space.
    fn commit(&mut self, entries: &[Vec<u8>], chores: bool) -> Option<Vec<Vec<u8>>> {
        let journal = self.journal.as_mut()?;
        let begun = journal.taken();
        let done = journal.commit(entries.iter().map(Vec::as_slice));
        self.durable = journal.durable();
        if let Err(error) = done {
            if error.is_passing() {
                self.waits += 1;
                return Some(entries[(journal.taken() - begun) as usize..].to_vec());
            }
            self.journal = None;
            return None;
        }
        if !chores {
            return None;
        }
        for chore in journal.take_maintenance() {
            let done = chore.perform(&mut self.folder, &mut *HouseReplica::fresh());
            if done.is_ok() && matches!(chore, Maintenance::Prepare { .. }) {
                journal.next_is_ready();
            }
        }
        None
    }
}
