//! The queue of received events between the threads of connections and the thread that processes
//! them: bounded, with a pipe as a wake-up that can be polled.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use truetick_netcode::limits::RECEIVE_BATCH;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr};

/// Datagrams that wait; further ones are dropped.
const DATAGRAMS: usize = 16_384;

/// A received event as the queue holds it.
pub(super) enum QueuedEvent {
    Datagram(Box<dyn AsRef<[u8]> + Send>),
    /// The value beside a frame is dropped when the frame is taken; its drop signals that.
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

/// The end of the queue into which connections put events.
#[derive(Clone)]
pub(super) struct EventSender(Arc<Mutex<Queue>>);

/// The end of the queue from which events are taken.
pub(super) struct EventReceiver {
    event_channel: EventSender,
    bell: PipeReader,
    taken: VecDeque<(PeerAddr, QueuedEvent, Timestamp)>,
}

pub(super) fn event_channel() -> io::Result<(EventSender, EventReceiver)> {
    let (reader, writer) = io::pipe()?;
    let event_channel = EventSender(Arc::new(Mutex::new(Queue {
        came: VecDeque::new(),
        bell: writer,
    })));
    Ok((
        event_channel.clone(),
        EventReceiver {
            event_channel,
            bell: reader,
            taken: VecDeque::new(),
        },
    ))
}

impl EventSender {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an event with the current time. A datagram is dropped if the queue is full.
    pub(super) fn put(&self, addr: PeerAddr, came: QueuedEvent) {
        let mut queue = self.lock();
        if matches!(came, QueuedEvent::Datagram(_)) && queue.came.len() >= DATAGRAMS {
            return;
        }
        if queue.came.is_empty() {
            // The pipe holds one byte while the queue is not empty, so it never fills.
            let _ = queue.bell.write(&[1]);
        }
        queue.came.push_back((addr, came, clock::now()));
    }
}

impl EventReceiver {
    /// Returns whether events wait for which the descriptor is no longer readable.
    pub(super) fn has_waiting(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Passes the waiting events to `take`, at most [`RECEIVE_BATCH`]; returns their number.
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
            // A byte that could not be read causes one more wake-up, without effect.
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
