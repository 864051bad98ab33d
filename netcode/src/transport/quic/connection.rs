//! One connection while it lasts: datagrams and frames in, frames out.
//!
//! ```text
//! stream, both ways:  { length:16 (little-endian)  frame }*
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::Receiver;
use tokio::sync::{Notify, Semaphore};
use web_transport_quinn::quinn::{ConnectionError, ZeroRttAccepted};
use web_transport_quinn::{RecvStream, SendStream, Session, SessionError};

use crate::limits::{CHANNEL_QUEUE, FRAME_BYTES};
use crate::transport::Route;
use crate::transport::inbox::{Came, Inbox};

/// What either end says when it closes a connection whose session is over.
pub(super) const OVER: u32 = 0;

/// What it says when the other one breaks the protocol.
pub(super) const BROKEN: u32 = 1;

/// Frames of one connection that wait to be taken. The peer waits beyond that.
const FRAMES: usize = 64;

/// Frames that wait to be sent on one connection: more than all that a session may have on its way.
pub(super) const FRAMES_UNSENT: usize = 2 * CHANNEL_QUEUE * 5;

/// Carries a connection to its end and tells how it came.
pub(super) async fn carry(
    session: Session,
    (mut send, mut receive): (SendStream, RecvStream),
    mut frames: Receiver<Vec<u8>>,
    (route, inbox): (Route, &Inbox),
    established: Option<ZeroRttAccepted>,
) {
    let early = Early { is: AtomicBool::new(established.is_some()), over: Notify::new() };
    inbox.put(route, Came::DatagramBytes(session.max_datagram_size()));
    tokio::select! {
        // In this order, so that what came before the end is taken before it.
        biased;
        () = take_datagrams(&session, route, inbox) => {}
        () = note_established(established, &early, &session, (route, inbox)) => {}
        () = take_frames(&mut receive, &early, route, inbox) => {}
        () = send_frames(&mut send, &mut frames) => {}
    }
    // Whose fault it was is known where the peer has closed; a stream that ends by itself is the peer's.
    session.close(BROKEN, b"the stream ended");
    let told = is_told(&session.closed().await);
    inbox.put(route, Came::Closed { told });
}

/// Whether the peer ended the connection on purpose.
pub(super) fn is_told(error: &SessionError) -> bool {
    matches!(
        error,
        SessionError::WebTransportError(_)
            | SessionError::ConnectionError(ConnectionError::ApplicationClosed(_))
    )
}

async fn take_datagrams(session: &Session, route: Route, inbox: &Inbox) {
    while let Ok(datagram) = session.read_datagram().await {
        inbox.put(route, Came::Datagram(Box::new(datagram)));
    }
}

/// Whether what comes may be a copy still.
struct Early {
    is: AtomicBool,
    over: Notify,
}

/// Tells when the handshake is done, where that is not known yet.
async fn note_established(
    established: Option<ZeroRttAccepted>,
    early: &Early,
    session: &Session,
    (route, inbox): (Route, &Inbox),
) {
    if let Some(established) = established {
        established.await;
        // A handshake that failed ends the waiting, too, and confirms nothing.
        if session.close_reason().is_none() {
            early.is.store(false, Ordering::Relaxed);
            inbox.put(route, Came::Confirmed);
            early.over.notify_one();
        }
    }
    std::future::pending().await
}

async fn take_frames(receive: &mut RecvStream, early: &Early, route: Route, inbox: &Inbox) {
    let places = Arc::new(Semaphore::new(FRAMES));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let mut length = [0; 2];
        if receive.read_exact(&mut length).await.is_err() {
            return;
        }
        let length = usize::from(u16::from_le_bytes(length));
        if length == 0 || length > FRAME_BYTES {
            return;
        }
        let mut frame = vec![0; length];
        if receive.read_exact(&mut frame).await.is_err() {
            return;
        }
        if early.is.load(Ordering::Relaxed) {
            // One, and no more until it is known who sent it.
            inbox.put(route, Came::Early(frame));
            early.over.notified().await;
        } else {
            inbox.put(route, Came::Frame(frame, Some(Box::new(place))));
        }
    }
}

async fn send_frames(send: &mut SendStream, frames: &mut Receiver<Vec<u8>>) {
    let mut bytes = Vec::new();
    while let Some(frame) = frames.recv().await {
        bytes.clear();
        add_frame(&mut bytes, &frame);
        // What waits already goes along.
        while let Ok(frame) = frames.try_recv() {
            add_frame(&mut bytes, &frame);
        }
        if send.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // Nobody can send any more: the connection is about to be closed by who held the other end.
    std::future::pending().await
}

fn add_frame(bytes: &mut Vec<u8>, frame: &[u8]) {
    bytes.extend_from_slice(&(frame.len() as u16).to_le_bytes());
    bytes.extend_from_slice(frame);
}
