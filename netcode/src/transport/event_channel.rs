//! What came on connections and waits for the thread that takes it: a bounded queue with a bell
//! that can be polled.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::limits::RECEIVE_BATCH;
use crate::time::Timestamp;
use crate::transport::{Event, PeerAddr};

/// Datagrams that wait; more are dropped.
const DATAGRAMS: usize = 16_384;

/// Something that came.
pub(super) enum QueuedEvent {
    Datagram(Box<dyn AsRef<[u8]> + Send>),
    /// What is beside a frame is dropped when it is taken.
    Frame(
        Vec<u8>,
        #[expect(dead_code, reason = "it tells by being dropped")] Option<Box<dyn Any + Send>>,
    ),
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
    came: VecDeque<(PeerAddr, QueuedEvent, Timestamp)>,
    bell: PipeWriter,
}

/// The end that connections put into.
#[derive(Clone)]
pub(super) struct EventSender(Arc<Mutex<Queue>>);

/// The end that is taken from.
pub(super) struct EventReceiver {
    event_channel: EventSender,
    bell: PipeReader,
    taken: VecDeque<(PeerAddr, QueuedEvent, Timestamp)>,
}

pub(super) fn event_channel() -> io::Result<(EventSender, EventReceiver)> {
    let (reader, writer) = io::pipe()?;
    let event_channel =
        EventSender(Arc::new(Mutex::new(Queue { came: VecDeque::new(), bell: writer })));
    Ok((
        event_channel.clone(),
        EventReceiver { event_channel, bell: reader, taken: VecDeque::new() },
    ))
}

impl EventSender {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in, stamped with the present time.
    pub(super) fn put(&self, addr: PeerAddr, came: QueuedEvent) {
        let mut queue = self.lock();
        if matches!(came, QueuedEvent::Datagram(_)) && queue.came.len() >= DATAGRAMS {
            return;
        }
        if queue.came.is_empty() {
            // One byte is in the pipe while something is in the queue; it never fills.
            let _ = queue.bell.write(&[1]);
        }
        queue.came.push_back((addr, came, clock::now()));
    }
}

impl EventReceiver {
    /// Whether something waits of which the bell has told already.
    pub(super) fn has_waiting(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Hands over what is there, up to a batch; returns how much.
    pub(super) fn take(
        &mut self,
        mut take: impl FnMut(PeerAddr, Event<'_>, Timestamp),
    ) -> io::Result<usize> {
        if self.taken.is_empty() {
            let mut queue = self.event_channel.lock();
            if queue.came.is_empty() {
                return Ok(0);
            }
            std::mem::swap(&mut queue.came, &mut self.taken);
            // A byte that could not be read rings once more, for nothing.
            let _ = self.bell.read(&mut [0]);
        }
        let count = self.taken.len().min(RECEIVE_BATCH);
        for (addr, came, at) in self.taken.drain(..count) {
            match &came {
                QueuedEvent::Datagram(bytes) => take(addr, Event::Datagram((**bytes).as_ref()), at),
                QueuedEvent::Frame(bytes, _) => take(addr, Event::Frame(bytes), at),
                #[cfg(feature = "quic")]
                QueuedEvent::Early(bytes) => take(addr, Event::Early(bytes), at),
                #[cfg(feature = "quic")]
                QueuedEvent::Confirmed => take(addr, Event::Confirmed, at),
                QueuedEvent::DatagramBytes(bytes) => take(addr, Event::DatagramBytes(*bytes), at),
                QueuedEvent::Closed { told } => take(addr, Event::Closed { told: *told }, at),
            }
        }
        Ok(count)
    }
}

impl AsFd for EventReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
