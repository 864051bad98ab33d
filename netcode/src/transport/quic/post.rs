//! Hands what is to be sent to the connections that carry it, opens those that are not there, and forgets those that ended.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;
use web_transport_quinn::quinn::{Connection, Endpoint, SendDatagramError, VarInt};
use web_transport_quinn::{Session, SessionError};

use super::connection::{BROKEN, FRAMES_UNSENT, OVER};
use super::dial::{self, Ready};
use crate::transport::inbox::{Came, Inbox};
use crate::transport::{Parcel, Route};

/// So often a connection is asked whether its largest datagram has changed.
const ROOM_EVERY: u32 = 64;

/// A connection that is to be closed waits so long for its last datagrams to leave, looking so often.
const LAST_LOOKS: u32 = 50;

/// See [`LAST_LOOKS`].
const LAST_PAUSE: Duration = Duration::from_millis(2);

/// Batches between two counts of bytes.
const COUNT_EVERY: u32 = 16;

/// What the post is told.
pub(super) enum Order {
    /// Send these.
    Send(Vec<(Route, Parcel)>),
    /// A connection is ready.
    Opened(Route, Box<Session>, Option<Sender<Vec<u8>>>),
    /// A connection has ended.
    Ended(Route),
    /// Use this socket from now on.
    Rebind(UdpSocket),
    /// Close everything and say when that is done.
    End(std::sync::mpsc::Sender<()>),
}

struct Line {
    frames: Sender<Vec<u8>>,
    /// Nothing while it is being opened.
    session: Option<Box<Session>>,
    opening: Option<AbortHandle>,
    sent: u32,
    room: usize,
    /// Bytes that the empty buffer of datagrams holds.
    space: usize,
}

/// See the module.
pub(super) struct Post {
    endpoint: Endpoint,
    /// How connections are opened; none are by a server.
    dial: Option<Arc<Ready>>,
    inbox: Inbox,
    orders: UnboundedSender<Order>,
    lines: BTreeMap<Route, Line>,
    batches: u32,
    /// Bytes that connections sent which have ended, and all together.
    past: u64,
    bytes: Arc<AtomicU64>,
}

impl Post {
    pub(super) fn new(
        endpoint: Endpoint,
        dial: Option<Arc<Ready>>,
        inbox: Inbox,
        orders: UnboundedSender<Order>,
    ) -> (Self, Arc<AtomicU64>) {
        let bytes = Arc::new(AtomicU64::new(0));
        let (lines, batches, past) = (BTreeMap::new(), 0, 0);
        (Self { endpoint, dial, inbox, orders, lines, batches, past, bytes: bytes.clone() }, bytes)
    }

    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Send(batch) => {
                    batch.into_iter().for_each(|(to, parcel)| self.send(to, parcel));
                    self.count();
                }
                Order::Opened(route, session, frames) => self.opened(route, session, frames),
                Order::Ended(route) => drop(self.forget(route)),
                Order::Rebind(socket) => drop(self.endpoint.rebind(socket)),
                Order::End(told) => {
                    let closing =
                        std::mem::take(&mut self.lines).into_values().map(|line| tokio::spawn(line.close()));
                    for line in closing.collect::<Vec<_>>() {
                        let _ = line.await;
                    }
                    self.endpoint.close(VarInt::from_u32(OVER), b"over");
                    self.endpoint.wait_idle().await;
                    let _ = told.send(());
                    return;
                }
            }
        }
    }

    fn send(&mut self, to: Route, parcel: Parcel) {
        match parcel {
            Parcel::Datagram(bytes) => self.send_datagram(to, bytes),
            Parcel::Open(frame) => self.open(to, frame),
            Parcel::Frame(frame) => self.send_frame(to, frame),
            Parcel::Close => self.close(to),
        }
    }

    fn send_datagram(&mut self, to: Route, bytes: Vec<u8>) {
        let Some(line) = self.lines.get_mut(&to) else { return };
        let Some(session) = &line.session else { return };
        let too_large = matches!(
            session.send_datagram(bytes.into()),
            Err(SessionError::SendDatagramError(SendDatagramError::TooLarge))
        );
        line.sent = line.sent.wrapping_add(1);
        if too_large || line.sent.is_multiple_of(ROOM_EVERY) {
            let room = session.max_datagram_size();
            if room != std::mem::replace(&mut line.room, room) {
                self.inbox.put(to, Came::DatagramBytes(room));
            }
        }
    }

    fn send_frame(&mut self, to: Route, frame: Vec<u8>) {
        if let Some(line) = self.lines.get(&to) {
            // Whoever reads nothing and makes us say more and more has broken the protocol.
            if line.frames.try_send(frame).is_err()
                && let Some(session) = &line.session
            {
                session.close(BROKEN, b"frames are not taken");
            }
        }
    }

    fn open(&mut self, to: Route, frame: Vec<u8>) {
        let Some(dial) = self.dial.clone() else { return };
        let (frames, taken) = mpsc::channel(FRAMES_UNSENT);
        let _ = frames.try_send(frame);
        let opening =
            dial::open(self.endpoint.clone(), dial, taken, (to, self.inbox.clone()), self.orders.clone());
        let opening = Some(tokio::spawn(opening).abort_handle());
        self.lines.insert(to, Line { frames, session: None, opening, sent: 0, room: 0, space: 0 });
    }

    fn opened(&mut self, route: Route, session: Box<Session>, frames: Option<Sender<Vec<u8>>>) {
        let (room, space) = (session.max_datagram_size(), session.datagram_send_buffer_space());
        match (self.lines.get_mut(&route), frames) {
            (Some(line), _) => (line.session, line.room, line.space) = (Some(session), room, space),
            (None, Some(frames)) => {
                let line = Line { frames, session: Some(session), opening: None, sent: 0, room, space };
                self.lines.insert(route, line);
            }
            // It was closed while it was being opened.
            (None, None) => session.close(OVER, b"over"),
        }
    }

    fn forget(&mut self, route: Route) -> Option<Line> {
        let line = self.lines.remove(&route)?;
        self.past += line.bytes();
        Some(line)
    }

    fn count(&mut self) {
        self.batches = self.batches.wrapping_add(1);
        if self.batches.is_multiple_of(COUNT_EVERY) {
            let present: u64 = self.lines.values().map(Line::bytes).sum();
            self.bytes.store(self.past + present, Ordering::Relaxed);
        }
    }

    fn close(&mut self, route: Route) {
        if let Some(line) = self.forget(route) {
            tokio::spawn(line.close());
        }
    }
}

impl Line {
    /// Bytes that it has sent, all of QUIC's included.
    fn bytes(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| Connection::stats(session).udp_tx.bytes)
    }

    /// The last datagrams say why it is over: they leave first, if they can.
    async fn close(self) {
        if let Some(opening) = self.opening.filter(|_| self.session.is_none()) {
            opening.abort();
        }
        let Some(session) = self.session else { return };
        let mut looks = LAST_LOOKS;
        while session.datagram_send_buffer_space() < self.space && looks > 0 {
            tokio::time::sleep(LAST_PAUSE).await;
            looks -= 1;
        }
        session.close(OVER, b"over");
        // WebTransport says it on a stream first.
        let _ = tokio::time::timeout(LAST_PAUSE * LAST_LOOKS, session.closed()).await;
    }
}
