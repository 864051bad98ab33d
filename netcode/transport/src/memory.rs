//! A transport within one process, for a game with an embedded server and for tests. It has
//! connections but no network; only what is sent to a missing end is lost.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event_channel::{EventReceiver, EventSender, QueuedEvent, event_channel};
use super::{Event, PeerAddr, Transport, TransportKind};
use truetick_netcode::limits::DATAGRAM_BYTES;
use truetick_netcode::time::Timestamp;

/// The namespace in which ends find each other. Their addresses are only names.
#[derive(Clone, Default)]
pub struct MemoryHub(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    ends: BTreeMap<SocketAddr, EventSender>,
    /// For an end and a peer's address there: the other end's queue and address, and the
    /// connection's address at that end.
    lines: BTreeMap<(SocketAddr, PeerAddr), (EventSender, SocketAddr, PeerAddr)>,
    connections: u64,
    named: u32,
}

impl MemoryHub {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a client's end with an unused loopback address.
    ///
    /// # Errors
    /// If the wake-up pipe cannot be created or the address is in use.
    pub fn dial(&self) -> io::Result<MemoryTransport> {
        let mut lines = self.lock();
        lines.named += 1;
        let [.., b, c, d] = lines.named.to_be_bytes();
        drop(lines);
        self.listen(SocketAddr::from(([127, b, c, d], 1)))
    }

    /// Creates a server's end at `address`.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] if another end has the address; otherwise an error of the
    /// wake-up pipe.
    pub fn listen(&self, address: SocketAddr) -> io::Result<MemoryTransport> {
        let (event_channel, event_receiver) = event_channel()?;
        match self.lock().ends.entry(address) {
            std::collections::btree_map::Entry::Occupied(_) => Err(io::ErrorKind::AddrInUse.into()),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(event_channel);
                Ok(MemoryTransport {
                    hub: self.clone(),
                    address,
                    event_receiver,
                })
            }
        }
    }
}

impl fmt::Debug for MemoryHub {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MemoryHub({} ends)", self.lock().ends.len())
    }
}

/// One end of any number of connections within the process.
pub struct MemoryTransport {
    hub: MemoryHub,
    address: SocketAddr,
    event_receiver: EventReceiver,
}

impl MemoryTransport {
    /// Returns the address of this end.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Returns whether events wait for which the descriptor is no longer readable.
    pub fn has_waiting(&self) -> bool {
        self.event_receiver.has_waiting()
    }

    /// Passes the received events to `take`, at most `RECEIVE_BATCH`; returns their number.
    ///
    /// # Errors
    /// None at present.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(PeerAddr, Event<'_>, Timestamp),
    ) -> io::Result<usize> {
        self.event_receiver
            .take(|addr, event, at| take(addr, event, at.min(now)))
    }
}

impl Lines {
    fn put(&self, from: SocketAddr, by: PeerAddr, came: QueuedEvent) -> bool {
        let line = self.lines.get(&(from, by));
        line.inspect(|(event_channel, _, there)| event_channel.put(*there, came))
            .is_some()
    }

    fn open(&mut self, from: SocketAddr, by: PeerAddr) {
        let Some(own) = self.ends.get(&from).cloned() else {
            return;
        };
        let Some(other) = self.ends.get(&by.address).cloned() else {
            return own.put(by, QueuedEvent::Closed { told: false });
        };
        self.connections += 1;
        let there = PeerAddr {
            kind: TransportKind::Memory,
            connection: self.connections,
            address: from,
            local: None,
        };
        own.put(by, QueuedEvent::DatagramBytes(DATAGRAM_BYTES));
        other.put(there, QueuedEvent::DatagramBytes(DATAGRAM_BYTES));
        self.lines.insert((by.address, there), (own, from, by));
        self.lines.insert((from, by), (other, by.address, there));
    }

    fn close(&mut self, from: SocketAddr, by: PeerAddr) {
        if let Some((event_channel, other, there)) = self.lines.remove(&(from, by)) {
            self.lines.remove(&(other, there));
            event_channel.put(there, QueuedEvent::Closed { told: true });
        }
    }
}

impl Transport for MemoryTransport {
    fn send(&mut self, to: PeerAddr, datagram: &[u8]) {
        if datagram.len() <= DATAGRAM_BYTES {
            self.hub.lock().put(
                self.address,
                to,
                QueuedEvent::Datagram(Box::new(datagram.to_vec())),
            );
        }
    }

    fn open(&mut self, to: PeerAddr, frame: &[u8]) {
        self.hub.lock().open(self.address, to);
        self.send_frame(to, frame);
    }

    fn send_frame(&mut self, to: PeerAddr, frame: &[u8]) {
        self.hub
            .lock()
            .put(self.address, to, QueuedEvent::Frame(frame.to_vec(), None));
    }

    fn close(&mut self, to: PeerAddr) {
        self.hub.lock().close(self.address, to);
    }

    fn flush(&mut self) {}
}

impl AsFd for MemoryTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event_receiver.as_fd()
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        let mut lines = self.hub.lock();
        lines.ends.remove(&self.address);
        let own: Vec<_> = lines
            .lines
            .keys()
            .filter(|(end, _)| *end == self.address)
            .copied()
            .collect();
        own.into_iter()
            .for_each(|(end, addr)| lines.close(end, addr));
    }
}
