//! What came on connections and waits for the thread that takes it: a bounded queue with a bell that can be polled.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::limits::RECEIVE_BATCH;
use crate::time::Timestamp;
use crate::transport::{Event, Route};

/// Datagrams that wait; more are dropped.
const DATAGRAMS: usize = 16_384;

/// Something that came.
pub(super) enum Came {
    Datagram(Box<dyn AsRef<[u8]> + Send>),
    /// What is beside a frame is dropped when it is taken.
    Frame(Vec<u8>, #[expect(dead_code, reason = "it tells by being dropped")] Option<Box<dyn Any + Send>>),
    #[cfg(feature = "quic")]
    Early(Vec<u8>),
    #[cfg(feature = "quic")]
    Confirmed,
    DatagramBytes(usize),
    Closed {
        told: bool,
    },
}

struct Queue {
    came: VecDeque<(Route, Came, Timestamp)>,
    bell: PipeWriter,
}

/// The end that connections put into.
#[derive(Clone)]
pub(super) struct Inbox(Arc<Mutex<Queue>>);

/// The end that is taken from.
pub(super) struct Outlet {
    inbox: Inbox,
    bell: PipeReader,
    taken: VecDeque<(Route, Came, Timestamp)>,
}

pub(super) fn inbox() -> io::Result<(Inbox, Outlet)> {
    let (reader, writer) = io::pipe()?;
    let inbox = Inbox(Arc::new(Mutex::new(Queue { came: VecDeque::new(), bell: writer })));
    Ok((inbox.clone(), Outlet { inbox, bell: reader, taken: VecDeque::new() }))
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in, stamped with the present time.
    pub(super) fn put(&self, route: Route, came: Came) {
        let mut queue = self.lock();
        if matches!(came, Came::Datagram(_)) && queue.came.len() >= DATAGRAMS {
            return;
        }
        if queue.came.is_empty() {
            // One byte is in the pipe while something is in the queue; it never fills.
            let _ = queue.bell.write(&[1]);
        }
        queue.came.push_back((route, came, clock::now()));
    }
}

impl Outlet {
    /// Whether something waits of which the bell has told already.
    pub(super) fn has_waiting(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Hands over what is there, up to a batch; returns how much.
    pub(super) fn take(&mut self, mut take: impl FnMut(Route, Event<'_>, Timestamp)) -> io::Result<usize> {
        if self.taken.is_empty() {
            let mut queue = self.inbox.lock();
            if queue.came.is_empty() {
                return Ok(0);
            }
            std::mem::swap(&mut queue.came, &mut self.taken);
            // A byte that could not be read rings once more, for nothing.
            let _ = self.bell.read(&mut [0]);
        }
        let count = self.taken.len().min(RECEIVE_BATCH);
        for (route, came, at) in self.taken.drain(..count) {
            match &came {
                Came::Datagram(bytes) => take(route, Event::Datagram((**bytes).as_ref()), at),
                Came::Frame(bytes, _) => take(route, Event::Frame(bytes), at),
                #[cfg(feature = "quic")]
                Came::Early(bytes) => take(route, Event::Early(bytes), at),
                #[cfg(feature = "quic")]
                Came::Confirmed => take(route, Event::Confirmed, at),
                Came::DatagramBytes(bytes) => take(route, Event::DatagramBytes(*bytes), at),
                Came::Closed { told } => take(route, Event::Closed { told: *told }, at),
            }
        }
        Ok(count)
    }
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
