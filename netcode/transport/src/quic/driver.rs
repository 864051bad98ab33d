//! The task that drives a QUIC endpoint: distributes what is to be sent to the connections, opens
//! new ones and forgets closed ones.

mod outgoing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;
use web_transport_quinn::quinn::{Endpoint, VarInt};

use super::connection::{ConnectionEvents, note_path};
use super::dial::{self, Ready};
use super::listener::Admission;
use super::session::{BROKEN, OVER, Session, UNSENT};
use super::unsent::UnsentFrames;
use crate::event_channel::{EventSender, QueuedEvent};
use truetick_netcode::transport::{PeerAddr, Transmit};

pub(super) use outgoing::{Counts, DriverCommand, Outgoing, ServerSide};

/// Datagrams between two checks of a connection's largest datagram.
const ROOM_EVERY: u32 = 64;

/// Checks of whether the last datagrams of a closing connection have left, [`LAST_INTERVAL`] apart.
const LAST_LOOKS: u32 = 50;

/// Interval between two checks of a closing connection; see [`LAST_LOOKS`].
const LAST_INTERVAL: Duration = Duration::from_millis(2);

/// Batches between two updates of the count of bytes.
const COUNT_EVERY: u32 = 16;

/// A connection, as the driver keeps it.
struct DriverConnection {
    frames: UnsentFrames,
    /// `None` while the connection is being opened.
    session: Option<Box<Session>>,
    opening: Option<AbortHandle>,
    /// The admission of a server's connection that, as far as the driver knows, carries no session
    /// yet.
    admission: Option<Arc<Admission>>,
    sent: u32,
    room: usize,
    /// Bytes that the empty buffer of datagrams holds.
    space: usize,
}

/// The task that drives a QUIC endpoint and its connections.
pub(super) struct Driver {
    endpoint: Endpoint,
    /// How a client opens connections; `None` for a server.
    dial: Option<Arc<Ready>>,
    event_channel: EventSender,
    orders: UnboundedSender<DriverCommand>,
    lines: BTreeMap<PeerAddr, DriverConnection>,
    batches: u32,
    /// Bytes sent by connections that have ended.
    past: u64,
    counts: Arc<Counts>,
    /// Bytes of frames that wait on all connections.
    unsent: Arc<AtomicUsize>,
}

impl Driver {
    pub(super) fn new(
        endpoint: Endpoint,
        dial: Option<Arc<Ready>>,
        event_channel: EventSender,
        orders: UnboundedSender<DriverCommand>,
        counts: Arc<Counts>,
        unsent: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            endpoint,
            dial,
            event_channel,
            orders,
            lines: BTreeMap::new(),
            batches: 0,
            past: 0,
            counts,
            unsent,
        }
    }

    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<DriverCommand>) {
        while let Some(order) = orders.recv().await {
            match order {
                DriverCommand::Send {
                    batch,
                    bytes,
                    unsent,
                } => {
                    unsent
                        .into_iter()
                        .for_each(|addr| self.end_unsent(addr, UNSENT));
                    batch
                        .into_iter()
                        .for_each(|(to, transmit)| self.send(to, transmit));
                    self.counts.queued.fetch_sub(bytes, Ordering::Relaxed);
                    self.count();
                }
                DriverCommand::Opened(addr, session, server) => self.opened(addr, session, server),
                DriverCommand::Ended(addr) => drop(self.forget(addr)),
                DriverCommand::Rebind(socket) => drop(self.endpoint.rebind(socket)),
                DriverCommand::End(told) => {
                    let closing = std::mem::take(&mut self.lines)
                        .into_values()
                        .map(|connection_entry| tokio::spawn(connection_entry.close()));
                    for connection_entry in closing.collect::<Vec<_>>() {
                        let _ = connection_entry.await;
                    }
                    self.endpoint.close(VarInt::from_u32(OVER), b"over");
                    self.endpoint.wait_idle().await;
                    let _ = told.send(());
                    return;
                }
            }
        }
    }

    fn send(&mut self, to: PeerAddr, transmit: Transmit) {
        match transmit {
            Transmit::Datagram(bytes) => self.send_datagram(to, bytes),
            Transmit::Open(frame) => self.open(to, frame),
            Transmit::Frame(frame) => self.send_frame(to, frame),
            Transmit::Close => self.close(to),
        }
    }

    fn send_datagram(&mut self, to: PeerAddr, bytes: Vec<u8>) {
        let Some(connection_entry) = self.lines.get_mut(&to) else {
            return;
        };
        connection_entry.admit();
        let Some(session) = &connection_entry.session else {
            return;
        };
        let too_large = !session.send_datagram(bytes.into());
        connection_entry.sent = connection_entry.sent.wrapping_add(1);
        if too_large || connection_entry.sent.is_multiple_of(ROOM_EVERY) {
            let room = session.max_datagram_size();
            if room != std::mem::replace(&mut connection_entry.room, room) {
                let events = ConnectionEvents {
                    addr: to,
                    event_channel: &self.event_channel,
                };
                note_path(room, events);
            }
        }
    }

    fn send_frame(&mut self, to: PeerAddr, frame: Vec<u8>) {
        let Some(connection_entry) = self.lines.get_mut(&to) else {
            return;
        };
        connection_entry.admit();
        if !connection_entry.frames.put(frame) {
            // A peer that reads nothing while it makes this end send more has broken the protocol.
            self.end_unsent(to, BROKEN);
        }
    }

    /// Closes a connection whose next frame is lost, because the following ones could not be
    /// delivered in order.
    fn end_unsent(&mut self, addr: PeerAddr, code: u32) {
        let session = self
            .lines
            .get(&addr)
            .and_then(|connection_entry| connection_entry.session.as_ref());
        if let Some(session) = session.filter(|session| !session.is_closed()) {
            self.counts.ended_unsent.fetch_add(1, Ordering::Relaxed);
            session.close(code, b"frames are not taken");
        }
    }

    fn open(&mut self, to: PeerAddr, frame: Vec<u8>) {
        let Some(dial) = self.dial.clone() else {
            return;
        };
        let (frames, taken) = UnsentFrames::new(&self.unsent);
        frames.put(frame);
        let opening = dial::open(
            self.endpoint.clone(),
            dial,
            taken,
            to,
            self.event_channel.clone(),
            self.orders.clone(),
        );
        let opening = Some(tokio::spawn(opening).abort_handle());
        let connection_entry = DriverConnection {
            frames,
            session: None,
            opening,
            admission: None,
            sent: 0,
            room: 0,
            space: 0,
        };
        self.lines.insert(to, connection_entry);
    }

    fn opened(&mut self, addr: PeerAddr, session: Box<Session>, server: Option<ServerSide>) {
        let (room, space) = (
            session.max_datagram_size(),
            session.datagram_send_buffer_space(),
        );
        match (self.lines.get_mut(&addr), server) {
            (Some(connection_entry), _) => {
                (
                    connection_entry.session,
                    connection_entry.room,
                    connection_entry.space,
                ) = (Some(session), room, space)
            }
            (None, Some(ServerSide { frames, admission })) => {
                let (session, admission) = (Some(session), Some(admission));
                let connection_entry = DriverConnection {
                    frames,
                    session,
                    opening: None,
                    admission,
                    sent: 0,
                    room,
                    space,
                };
                self.lines.insert(addr, connection_entry);
            }
            // The connection was closed while it was being opened.
            (None, None) => session.close(OVER, b"over"),
        }
    }

    fn forget(&mut self, addr: PeerAddr) -> Option<DriverConnection> {
        let connection_entry = self.lines.remove(&addr)?;
        self.past += connection_entry.bytes();
        Some(connection_entry)
    }

    fn count(&mut self) {
        self.batches = self.batches.wrapping_add(1);
        if self.batches.is_multiple_of(COUNT_EVERY) {
            let present: u64 = self.lines.values().map(DriverConnection::bytes).sum();
            self.counts
                .sent
                .store(self.past + present, Ordering::Relaxed);
        }
    }

    fn close(&mut self, addr: PeerAddr) {
        if let Some(connection_entry) = self.forget(addr) {
            tokio::spawn(connection_entry.close());
        }
    }
}

/// If the driver ends, even by a panic, its user receives the end of every connection.
impl Drop for Driver {
    fn drop(&mut self) {
        for addr in self.lines.keys() {
            self.event_channel
                .put(*addr, QueuedEvent::Closed { told: false });
        }
    }
}

impl DriverConnection {
    /// Admits the connection: a room sends only to clients with a session.
    fn admit(&mut self) {
        if let Some(admission) = self.admission.take() {
            admission.grant();
        }
    }

    /// Returns the bytes of UDP payload sent on the connection.
    fn bytes(&self) -> u64 {
        self.session
            .as_ref()
            .map_or(0, |session| session.bytes_sent())
    }

    /// Closes the connection. Its last datagrams carry the reason, so they leave first if possible.
    async fn close(self) {
        if let Some(opening) = self.opening.filter(|_| self.session.is_none()) {
            opening.abort();
        }
        let Some(session) = self.session else { return };
        let mut looks = LAST_LOOKS;
        while session.datagram_send_buffer_space() < self.space && looks > 0 {
            tokio::time::sleep(LAST_INTERVAL).await;
            looks -= 1;
        }
        session.close(OVER, b"over");
        // WebTransport sends the close on a stream first.
        let _ = tokio::time::timeout(LAST_INTERVAL * LAST_LOOKS, session.closed()).await;
    }
}
