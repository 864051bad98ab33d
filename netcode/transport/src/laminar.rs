//! laminar 0.5 as a transport, for trusted networks and for comparison.
//!
//! Only its unreliable packets are used, up to [`DATAGRAM_BYTES`] each. Sessions, encryption,
//! acknowledgements and reliability are Truetick's own, because laminar's are unsuitable: it
//! delivers an unknown sender's datagrams without a handshake, it damages fragments that overtake
//! each other, it never resends a single lost reliable packet, and only its reliable packets carry
//! acknowledgements. It also keeps about 1.5 MB per peer and encrypts nothing. So it is limited to
//! loopback and private addresses: it refuses to bind or send to others and drops their datagrams.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use laminar::{Config, ConnectionManager, DatagramSocket, Packet, SocketEvent, VirtualConnection};

use super::socket_errors::{SocketErrors, is_idle};
use super::socket_options::bind_udp;
use super::{Event, PeerAddr, Transport, TransportKind};
use crate::clock;
use truetick_netcode::limits::{DATAGRAM_BYTES, SESSIONS};
use truetick_netcode::time::Timestamp;

/// Silence after which laminar forgets a peer. Sessions time out far earlier.
const IDLE: Duration = Duration::from_secs(30);

/// Returns whether laminar may be used with an address: loopback, private (RFC 1918, RFC 4193) or
/// link-local.
pub(crate) fn is_trusted(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// A laminar socket bound to a trusted address.
pub struct LaminarTransport {
    manager: ConnectionManager<LanSocket, VirtualConnection>,
    socket: UdpSocket,
    bytes: Arc<AtomicU64>,
    faults: Faults,
}

impl LaminarTransport {
    /// Binds a trusted address. The unspecified address, which covers all of a host, is not
    /// trusted.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the address is not trusted; otherwise if the socket
    /// cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        if !is_trusted(address.ip()) {
            let why = format!(
                "laminar neither encrypts nor knows who sends: it serves loopback and private addresses only, not {address}"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let socket = UdpSocket::from(bind_udp(address)?);
        let config = Config {
            idle_connection_timeout: IDLE,
            max_packets_in_flight: u16::MAX,
            max_unestablished_connections: SESSIONS as u16,
            fragment_size: DATAGRAM_BYTES as u16,
            ..Config::default()
        };
        let bytes = Arc::new(AtomicU64::new(0));
        let faults = Faults::default();
        let lan = LanSocket {
            socket: socket.try_clone()?,
            bytes: bytes.clone(),
            faults: faults.clone(),
        };
        Ok(Self {
            manager: ConnectionManager::new(lan, config),
            socket,
            bytes,
            faults,
        })
    }

    /// Returns the bound address.
    ///
    /// # Errors
    /// If the system cannot return it.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns the bytes of UDP payload sent so far.
    pub fn bytes_sent(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns whether events wait that arrived during a send.
    pub fn has_waiting(&self) -> bool {
        !self.manager.event_receiver().is_empty()
    }

    /// Returns the number of the socket's errors so far.
    pub fn errors(&self) -> u64 {
        self.faults.lock(|faults| faults.errors.count())
    }

    /// Passes the received datagrams to `take`; returns their number.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(PeerAddr, Event<'_>, Timestamp),
    ) -> io::Result<usize> {
        self.manager.manual_poll(clock::instant());
        let mut count = 0;
        while let Ok(event) = self.manager.event_receiver().try_recv() {
            if let SocketEvent::Packet(packet) = event {
                take(
                    PeerAddr::datagrams(TransportKind::Laminar, packet.addr()),
                    Event::Datagram(packet.payload()),
                    now,
                );
                count += 1;
            }
        }
        self.faults
            .lock(|faults| faults.end.take())
            .map_or(Ok(count), Err)
    }
}

impl Transport for LaminarTransport {
    fn send(&mut self, to: PeerAddr, datagram: &[u8]) {
        if is_trusted(to.address.ip()) {
            let _ = self
                .manager
                .event_sender()
                .send(Packet::unreliable(to.address, datagram.to_vec()));
        }
    }

    fn flush(&mut self) {
        self.manager.manual_poll(clock::instant());
    }
}

impl AsFd for LaminarTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The errors of a socket. laminar would log each of them and return none.
#[derive(Clone, Debug, Default)]
struct Faults(Arc<Mutex<FaultsInside>>);

#[derive(Debug)]
struct FaultsInside {
    errors: SocketErrors,
    /// The error that means that the socket is closed.
    end: Option<io::Error>,
}

impl Default for FaultsInside {
    fn default() -> Self {
        Self {
            errors: SocketErrors::new("use laminar's socket"),
            end: None,
        }
    }
}

impl Faults {
    fn lock<T>(&self, look: impl FnOnce(&mut FaultsInside) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts an error and returns `WouldBlock` in its place, so that laminar continues.
    fn note(&self, error: io::Error) -> io::Error {
        if !is_idle(&error) {
            self.lock(|faults| {
                if let Err(end) = faults.errors.note(error, clock::now()) {
                    faults.end = Some(end);
                }
            });
        }
        io::ErrorKind::WouldBlock.into()
    }
}

/// A socket that accepts datagrams from trusted addresses only.
#[derive(Debug)]
struct LanSocket {
    socket: UdpSocket,
    bytes: Arc<AtomicU64>,
    faults: Faults,
}

impl DatagramSocket for LanSocket {
    fn send_packet(&mut self, to: &SocketAddr, payload: &[u8]) -> io::Result<usize> {
        self.bytes
            .fetch_add(payload.len() as u64, Ordering::Relaxed);
        self.socket
            .send_to(payload, to)
            .map_err(|error| self.faults.note(error))
    }

    fn receive_packet<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<(&'a [u8], SocketAddr)> {
        loop {
            let received = self
                .socket
                .recv_from(buffer)
                .map_err(|error| self.faults.note(error));
            let (length, from) = received?;
            if is_trusted(from.ip()) {
                return Ok((&buffer[..length], from));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn is_blocking_mode(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_socket_are_counted_and_only_a_closed_one_is_an_end() {
        let mut end = LaminarTransport::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        for code in [rustix::io::Errno::NETDOWN, rustix::io::Errno::IO] {
            let told = end
                .faults
                .note(io::Error::from_raw_os_error(code.raw_os_error()));
            assert_eq!(told.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(end.receive(clock::now(), |_, _, _| {}).unwrap(), 0);
        }
        assert_eq!(end.errors(), 2);
        end.faults.note(io::Error::from_raw_os_error(
            rustix::io::Errno::BADF.raw_os_error(),
        ));
        assert!(end.receive(clock::now(), |_, _, _| {}).is_err());
    }

    #[test]
    fn only_loopback_and_private_addresses_are_trusted() {
        for good in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.9",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_trusted(good.parse().unwrap()), "{good}");
        }
        for bad in [
            "0.0.0.0",
            "::",
            "203.0.113.5",
            "2001:db8::1",
            "::ffff:203.0.113.5",
            "100.64.0.1",
        ] {
            assert!(!is_trusted(bad.parse().unwrap()), "{bad}");
            let refused = LaminarTransport::bind(SocketAddr::new(bad.parse().unwrap(), 0));
            assert!(
                refused.is_err_and(|error| error.to_string().contains("neither encrypts")),
                "{bad}"
            );
        }
    }
}
