//! Hands what is to be sent to the connections that carry it, opens those that are not there, and forgets those that ended.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;
use web_transport_quinn::quinn::{Endpoint, VarInt};

use super::connection::note_path;
use super::dial::{self, Ready};
use super::listener::Admission;
use super::session::{BROKEN, OVER, Session, UNSENT};
use super::unsent::UnsentFrames;
use crate::limits::{QUIC_PARCEL_BYTES, QUIC_QUEUE_BYTES};
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
    /// Send these. The frames of the other routes could not be kept: their connections are to be ended.
    Send { batch: Vec<(Route, Parcel)>, bytes: usize, unsent: BTreeSet<Route> },
    /// A connection is ready; a server's has frames to come and is not let in yet.
    Opened(Route, Box<Session>, Option<(UnsentFrames, Arc<Admission>)>),
    /// A connection has ended.
    Ended(Route),
    /// Use this socket from now on.
    Rebind(UdpSocket),
    /// Close everything and say when that is done.
    End(std::sync::mpsc::Sender<()>),
}

/// What is counted on both sides of the queue.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Bytes of UDP payload sent.
    pub sent: AtomicU64,
    /// Bytes of batches that wait.
    queued: AtomicUsize,
    pub batches_dropped: AtomicU64,
    pub bytes_dropped: AtomicU64,
    /// Connections that were ended since their frames could not be kept.
    pub ended_unsent: AtomicU64,
}

/// Where a room puts what is to be sent.
pub(super) struct Outgoing {
    pub orders: UnboundedSender<Order>,
    pub counts: Arc<Counts>,
    inbox: Inbox,
}

impl Outgoing {
    pub(super) fn new(orders: UnboundedSender<Order>, counts: Arc<Counts>, inbox: Inbox) -> Self {
        Self { orders, counts, inbox }
    }

    /// Bytes that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.counts.queued.load(Ordering::Relaxed)
    }

    /// Hands a batch over, or drops it where too much waits already. What opens and closes connections is always kept: there is
    /// no more of it than there are connections.
    pub(super) fn send(&self, batch: Vec<(Route, Parcel)>) {
        let bytes = batch.iter().map(|(_, parcel)| parcel.payload_len() + QUIC_PARCEL_BYTES).sum();
        let counts = &self.counts;
        let fits = counts.queued.load(Ordering::Relaxed) + bytes <= QUIC_QUEUE_BYTES;
        let order = if fits {
            Order::Send { batch, bytes, unsent: BTreeSet::new() }
        } else {
            counts.batches_dropped.fetch_add(1, Ordering::Relaxed);
            counts.bytes_dropped.fetch_add(bytes as u64, Ordering::Relaxed);
            let is_frame = |parcel: &Parcel| matches!(parcel, Parcel::Frame(_));
            let unsent = batch.iter().filter(|(_, parcel)| is_frame(parcel)).map(|(to, _)| *to).collect();
            let kept = |parcel: &Parcel| matches!(parcel, Parcel::Open(_) | Parcel::Close);
            let batch: Vec<_> = batch.into_iter().filter(|(_, parcel)| kept(parcel)).collect();
            let bytes = batch.iter().map(|(_, parcel)| parcel.payload_len() + QUIC_PARCEL_BYTES).sum();
            Order::Send { batch, bytes, unsent }
        };
        if let Order::Send { bytes, .. } = &order {
            counts.queued.fetch_add(*bytes, Ordering::Relaxed);
        }
        // Nobody is there any more to open anything.
        if let Err(unsent) = self.orders.send(order)
            && let Order::Send { batch, .. } = unsent.0
        {
            let opens = batch.into_iter().filter(|(_, parcel)| matches!(parcel, Parcel::Open(_)));
            opens.for_each(|(to, _)| self.inbox.put(to, Came::Closed { told: false }));
        }
    }
}

struct Line {
    frames: UnsentFrames,
    /// Nothing while it is being opened.
    session: Option<Box<Session>>,
    opening: Option<AbortHandle>,
    /// A server's connection that carries no session yet, as far as is known here.
    admission: Option<Arc<Admission>>,
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
    /// Bytes that connections sent which have ended.
    past: u64,
    counts: Arc<Counts>,
    /// Bytes of frames that wait on all connections.
    unsent: Arc<AtomicUsize>,
}

impl Post {
    pub(super) fn new(
        endpoint: Endpoint,
        dial: Option<Arc<Ready>>,
        inbox: Inbox,
        orders: UnboundedSender<Order>,
        (counts, unsent): (Arc<Counts>, Arc<AtomicUsize>),
    ) -> Self {
        Self { endpoint, dial, inbox, orders, lines: BTreeMap::new(), batches: 0, past: 0, counts, unsent }
    }

    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Send { batch, bytes, unsent } => {
                    unsent.into_iter().for_each(|route| self.end_unsent(route, UNSENT));
                    batch.into_iter().for_each(|(to, parcel)| self.send(to, parcel));
                    self.counts.queued.fetch_sub(bytes, Ordering::Relaxed);
                    self.count();
                }
                Order::Opened(route, session, server) => self.opened(route, session, server),
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
        line.let_in();
        let Some(session) = &line.session else { return };
        let too_large = !session.send_datagram(bytes.into());
        line.sent = line.sent.wrapping_add(1);
        if too_large || line.sent.is_multiple_of(ROOM_EVERY) {
            let room = session.max_datagram_size();
            if room != std::mem::replace(&mut line.room, room) {
                note_path(room, (to, &self.inbox));
            }
        }
    }

    fn send_frame(&mut self, to: Route, frame: Vec<u8>) {
        let Some(line) = self.lines.get_mut(&to) else { return };
        line.let_in();
        if !line.frames.put(frame) {
            // Whoever reads nothing and makes us say more and more has broken the protocol.
            self.end_unsent(to, BROKEN);
        }
    }

    /// Ends a connection whose next frame is lost: what would follow could not be told in order.
    fn end_unsent(&mut self, route: Route, code: u32) {
        let session = self.lines.get(&route).and_then(|line| line.session.as_ref());
        if let Some(session) = session.filter(|session| !session.is_closed()) {
            self.counts.ended_unsent.fetch_add(1, Ordering::Relaxed);
            session.close(code, b"frames are not taken");
        }
    }

    fn open(&mut self, to: Route, frame: Vec<u8>) {
        let Some(dial) = self.dial.clone() else { return };
        let (frames, taken) = UnsentFrames::new(&self.unsent);
        frames.put(frame);
        let opening =
            dial::open(self.endpoint.clone(), dial, taken, (to, self.inbox.clone()), self.orders.clone());
        let opening = Some(tokio::spawn(opening).abort_handle());
        let line = Line { frames, session: None, opening, admission: None, sent: 0, room: 0, space: 0 };
        self.lines.insert(to, line);
    }

    fn opened(
        &mut self,
        route: Route,
        session: Box<Session>,
        server: Option<(UnsentFrames, Arc<Admission>)>,
    ) {
        let (room, space) = (session.max_datagram_size(), session.datagram_send_buffer_space());
        match (self.lines.get_mut(&route), server) {
            (Some(line), _) => (line.session, line.room, line.space) = (Some(session), room, space),
            (None, Some((frames, admission))) => {
                let (session, admission) = (Some(session), Some(admission));
                let line = Line { frames, session, opening: None, admission, sent: 0, room, space };
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
            self.counts.sent.store(self.past + present, Ordering::Relaxed);
        }
    }

    fn close(&mut self, route: Route) {
        if let Some(line) = self.forget(route) {
            tokio::spawn(line.close());
        }
    }
}

/// Whoever uses an end whose driver is gone, even by a panic, hears that its connections are over.
impl Drop for Post {
    fn drop(&mut self) {
        for route in self.lines.keys() {
            self.inbox.put(*route, Came::Closed { told: false });
        }
    }
}

impl Line {
    /// A room talks only to those who have a session: whoever is sent something is no stranger.
    fn let_in(&mut self) {
        if let Some(admission) = self.admission.take() {
            admission.grant();
        }
    }

    /// Bytes that it has sent, all of QUIC's included.
    fn bytes(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.bytes_sent())
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
