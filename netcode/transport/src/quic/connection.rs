//! The task that carries one connection: datagrams and frames in, frames out.
//!
//! ```text
//! stream, both directions:  { length:16 (little-endian)  frame }*
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore};
use tracing::{debug, warn};
use web_transport_quinn::quinn::ZeroRttAccepted;

use super::driver::DriverCommand;
use super::session::{BROKEN, Ended, ReceiveHalf, SendHalf, Session, Streams};
use super::unsent::UnsentFrame;
use crate::event_channel::{EventSender, QueuedEvent};
use crate::limits::{QUIC_TRANSMIT_BYTES, UNREAD_FRAME_BYTES};
use truetick_netcode::limits::{FRAME_BYTES, SMALLEST_PAYLOAD};
use truetick_netcode::transport::PeerAddr;

/// Most bytes of frames that are written together; the last frame may exceed it.
const WRITE_BYTES: usize = 64 * 1024;

/// Reports the end of a connection when the task that carries it ends, even by a panic.
pub(super) struct EndNotice {
    addr: PeerAddr,
    event_channel: EventSender,
    orders: UnboundedSender<DriverCommand>,
    /// Whether the peer closed the connection on purpose.
    pub told: bool,
}

impl EndNotice {
    pub(super) fn new(
        addr: PeerAddr,
        event_channel: &EventSender,
        orders: &UnboundedSender<DriverCommand>,
    ) -> Self {
        Self {
            addr,
            event_channel: event_channel.clone(),
            orders: orders.clone(),
            told: false,
        }
    }
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        self.event_channel
            .put(self.addr, QueuedEvent::Closed { told: self.told });
        let _ = self.orders.send(DriverCommand::Ended(self.addr));
    }
}

/// Reports the events of one connection.
#[derive(Clone, Copy)]
pub(super) struct ConnectionEvents<'a> {
    /// Address of the peer.
    pub addr: PeerAddr,
    /// The queue to the thread of the rooms.
    pub event_channel: &'a EventSender,
}

impl ConnectionEvents<'_> {
    fn put(self, event: QueuedEvent) {
        self.event_channel.put(self.addr, event);
    }
}

/// Carries a connection until it ends.
pub(super) async fn carry(
    session: Session,
    (mut send, mut receive): Streams,
    mut frames: Receiver<UnsentFrame>,
    events: ConnectionEvents<'_>,
    established: Option<ZeroRttAccepted>,
) -> Ended {
    let early = Early {
        is: AtomicBool::new(established.is_some()),
        over: Notify::new(),
    };
    note_path(session.max_datagram_size(), events);
    tokio::select! {
        // In this order, so that everything received before the end is taken first.
        biased;
        () = take_datagrams(&session, events) => {}
        () = note_established(established, &early, &session, events) => {}
        () = take_frames(&mut receive, &early, events) => {}
        () = send_frames(&mut send, &mut frames) => {}
    }
    // If the peer has closed the connection, its reason stands. A stream that ends by itself is the
    // peer's fault.
    session.close(BROKEN, b"the stream ended");
    let ended = session.closed().await;
    debug!(addr = %events.addr, why = ended.why, "the connection is over");
    ended
}

/// Reports the largest datagram that the path carries.
pub(super) fn note_path(bytes: usize, events: ConnectionEvents<'_>) {
    if bytes < SMALLEST_PAYLOAD {
        warn!(addr = %events.addr, bytes, needed = SMALLEST_PAYLOAD, "QUIC: the path carries too little in a datagram, or the peer takes none");
    }
    events.put(QueuedEvent::DatagramBytes(bytes));
}

async fn take_datagrams(session: &Session, events: ConnectionEvents<'_>) {
    while let Some(datagram) = session.read_datagram().await {
        events.put(QueuedEvent::Datagram(Box::new(datagram)));
    }
}

/// Whether received frames may still be replays.
struct Early {
    is: AtomicBool,
    over: Notify,
}

/// Reports the end of the handshake, if it is not complete yet.
async fn note_established(
    established: Option<ZeroRttAccepted>,
    early: &Early,
    session: &Session,
    events: ConnectionEvents<'_>,
) {
    if let Some(established) = established {
        established.await;
        // A failed handshake also completes the future, but confirms nothing.
        if !session.is_closed() {
            early.is.store(false, Ordering::Relaxed);
            events.put(QueuedEvent::Confirmed);
            early.over.notify_one();
        }
    }
    std::future::pending().await
}

async fn take_frames(receive: &mut ReceiveHalf, early: &Early, events: ConnectionEvents<'_>) {
    let room = Arc::new(Semaphore::new(UNREAD_FRAME_BYTES));
    loop {
        let mut length = [0; 2];
        if receive.read_exact(&mut length).await.is_none() {
            return;
        }
        let length = usize::from(u16::from_le_bytes(length));
        if length == 0 || length > FRAME_BYTES {
            return;
        }
        let cost = (length + QUIC_TRANSMIT_BYTES) as u32;
        let Ok(place) = room.clone().acquire_many_owned(cost).await else {
            return;
        };
        let mut frame = vec![0; length];
        if receive.read_exact(&mut frame).await.is_none() {
            return;
        }
        if early.is.load(Ordering::Relaxed) {
            // One early frame is taken, and no further one until its sender is known.
            events.put(QueuedEvent::Early(frame));
            early.over.notified().await;
        } else {
            events.put(QueuedEvent::Frame(frame, Some(Box::new(place))));
        }
    }
}

async fn send_frames(send: &mut SendHalf, frames: &mut Receiver<UnsentFrame>) {
    let (mut bytes, mut written) = (Vec::new(), Vec::new());
    while let Some(frame) = frames.recv().await {
        bytes.clear();
        add_frame(&mut bytes, &frame.bytes);
        // Frames count as waiting until they are written.
        written.push(frame);
        // Frames that wait already are written with it.
        while bytes.len() < WRITE_BYTES
            && let Ok(frame) = frames.try_recv()
        {
            add_frame(&mut bytes, &frame.bytes);
            written.push(frame);
        }
        if send.write_all(&bytes).await.is_none() {
            return;
        }
        written.clear();
    }
    // No further frame can come: the holder of the other end is about to close the connection.
    std::future::pending().await
}

/// Appends a frame in the stream's format.
pub(super) fn add_frame(bytes: &mut Vec<u8>, frame: &[u8]) {
    bytes.extend_from_slice(&(frame.len() as u16).to_le_bytes());
    bytes.extend_from_slice(frame);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_channel::event_channel;
    use std::time::Duration;
    use tokio::sync::mpsc;
    use truetick_netcode::transport::Event;

    #[test]
    fn the_end_of_a_task_that_panics_is_told() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let ((event_channel, mut event_receiver), (orders, mut taken)) =
            (event_channel().unwrap(), mpsc::unbounded_channel());
        let addr = PeerAddr::quic(1, "127.0.0.1:1".parse().unwrap());
        runtime.block_on(async {
            let notice = EndNotice::new(addr, &event_channel, &orders);
            let panics = tokio::spawn(async move {
                let _notice = notice;
                panic!("as if there was a defect");
            });
            assert!(panics.await.is_err());
        });
        crate::wait_readable(
            [&event_receiver].into_iter(),
            Duration::ZERO,
            &mut Vec::new(),
        )
        .unwrap();
        let mut ends = Vec::new();
        event_receiver
            .take(|from, event, _| ends.push((from, event == Event::Closed { told: false })))
            .unwrap();
        assert_eq!(ends, [(addr, true)]);
        assert!(matches!(taken.try_recv(), Ok(DriverCommand::Ended(ended)) if ended == addr));
    }
}
