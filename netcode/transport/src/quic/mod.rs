//! QUIC (RFC 9000) with datagrams (RFC 9221), and WebTransport over HTTP/3 on the same port:
//! encrypted connections that authenticate the server. Each end runs on a separate thread
//! ([`QuicRuntime`]) and exchanges data with its user through queues, so that a room never waits
//! for it.
//!
//! ```text
//! room thread  -- send, send_frame, close; flush -> [ batch ] -> driver --> connections --> socket
//!              <-- receive ---------------------- [ event_channel ] <---- connections <-- socket
//! ```
//! Datagrams that cannot leave at once wait in a small buffer in which new ones displace old ones.
//! Clients of the two protocols differ only in how their connection begins.

pub mod certificate;
pub mod config;
mod congestion;
mod connection;
mod dial;
mod driver;
mod listener;
mod runtime;
mod seats;
mod session;
mod tickets;
mod unsent;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use web_transport_quinn::quinn::{self, Endpoint, EndpointConfig, TokioRuntime};

pub use dial::Dial;
pub use listener::{ListenConfig, Origins, PATH};
pub use runtime::QuicRuntime;
pub use seats::SeatStats;

use self::config::ConfigError;
use self::driver::{Counts, DriverCommand, Outgoing};
use self::listener::Listener;
use self::seats::Seats;
use super::event_channel::{EventReceiver, EventSender, event_channel};
use super::socket_options::bind_udp;
use super::{Event, PeerAddr, Transport};
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::Transmit;

/// Time for which a dropped end tries to notify its peers.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// Why an end could not be created.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// The socket could not be opened.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Counts of one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuicStats {
    /// Batches that were dropped whole because QUIC's thread was behind by
    /// [`crate::limits::QUIC_QUEUE_BYTES`].
    pub batches_dropped: u64,
    /// Bytes of those batches, with their bookkeeping.
    pub bytes_dropped: u64,
    /// Connections that were closed because frames for them could not be kept.
    pub ended_unsent: u64,
    /// Connections of a server that were closed without a session or over a limit; zero for a
    /// client.
    pub seats: SeatStats,
}

/// One end of any number of QUIC connections, on one socket.
pub struct QuicTransport {
    runtime: QuicRuntime,
    outgoing: Outgoing,
    batch: Vec<(PeerAddr, Transmit)>,
    event_receiver: EventReceiver,
    address: SocketAddr,
    /// The seats of a server; `None` for a client.
    seats: Option<Arc<Seats>>,
}

impl QuicTransport {
    /// Opens a server's end at `address` (port 0 for any).
    ///
    /// # Errors
    /// If the configuration is invalid or the socket cannot be opened.
    pub fn listen(
        runtime: QuicRuntime,
        address: SocketAddr,
        config: ListenConfig,
    ) -> Result<Self, QuicError> {
        let (endpoint_config, server_config, tls) = config.quinn()?;
        let end = |socket| quinn_endpoint(&runtime, endpoint_config, Some(server_config), socket);
        let (endpoint, address) = end(bind(address)?)?;
        let seats = Seats::new(config.connections, config.per_address);
        let unsent = Arc::new(AtomicUsize::new(0));
        let (mut this, event_channel) = Self::start(runtime, &endpoint, address, None, &unsent)?;
        this.seats = Some(seats.clone());
        let orders = this.outgoing.orders.clone();
        let listener = Listener {
            config,
            tls,
            seats,
            event_channel,
            orders,
            unsent,
        };
        this.runtime
            .handle()
            .spawn(listener::listen(endpoint, listener));
        Ok(this)
    }

    /// Opens a client's end at `address` (port 0 for any). Its connections begin as `dial`
    /// specifies.
    ///
    /// # Errors
    /// If the configuration is invalid or the socket cannot be opened.
    pub fn dial(runtime: QuicRuntime, address: SocketAddr, dial: Dial) -> Result<Self, QuicError> {
        let dial = dial.quinn()?;
        let (endpoint, address) =
            quinn_endpoint(&runtime, EndpointConfig::default(), None, bind(address)?)?;
        Ok(Self::start(runtime, &endpoint, address, Some(dial), &Arc::default())?.0)
    }

    fn start(
        runtime: QuicRuntime,
        endpoint: &Endpoint,
        address: SocketAddr,
        dial: Option<dial::Ready>,
        unsent: &Arc<AtomicUsize>,
    ) -> Result<(Self, EventSender), QuicError> {
        let (event_channel, event_receiver) = event_channel()?;
        let (orders, taken) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let dial = dial.map(Arc::new);
        let driver = driver::Driver::new(
            endpoint.clone(),
            dial,
            event_channel.clone(),
            orders.clone(),
            counts.clone(),
            unsent.clone(),
        );
        runtime.handle().spawn(driver.run(taken));
        let outgoing = Outgoing::new(orders, counts, event_channel.clone());
        Ok((
            Self {
                runtime,
                outgoing,
                batch: Vec::new(),
                event_receiver,
                address,
                seats: None,
            },
            event_channel,
        ))
    }

    /// Returns the address of this end.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the bytes of UDP payload sent until a fraction of a second ago.
    pub fn bytes_sent(&self) -> u64 {
        self.outgoing.counts.sent.load(Ordering::Relaxed)
    }

    /// Returns the counts so far.
    pub fn stats(&self) -> QuicStats {
        let counts = &self.outgoing.counts;
        QuicStats {
            batches_dropped: counts.batches_dropped.load(Ordering::Relaxed),
            bytes_dropped: counts.bytes_dropped.load(Ordering::Relaxed),
            ended_unsent: counts.ended_unsent.load(Ordering::Relaxed),
            seats: self
                .seats
                .as_ref()
                .map(|seats| seats.stats())
                .unwrap_or_default(),
        }
    }

    /// Returns the processor time of the end's thread, which it may share with other ends.
    pub fn cpu(&self) -> Duration {
        self.runtime.cpu()
    }

    /// Moves to another port of this host, as when a client's network changes. The connections
    /// migrate.
    ///
    /// # Errors
    /// If no other socket can be opened.
    pub fn move_to_another_port(&mut self) -> io::Result<()> {
        let socket = bind(SocketAddr::new(self.address.ip(), 0))?;
        self.address = socket.local_addr()?;
        let _ = self.outgoing.orders.send(DriverCommand::Rebind(socket));
        Ok(())
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

impl Transport for QuicTransport {
    fn send(&mut self, to: PeerAddr, datagram: &[u8]) {
        self.batch.send(to, datagram);
    }

    fn open(&mut self, to: PeerAddr, frame: &[u8]) {
        self.batch.open(to, frame);
    }

    fn send_frame(&mut self, to: PeerAddr, frame: &[u8]) {
        self.batch.send_frame(to, frame);
    }

    fn close(&mut self, to: PeerAddr) {
        self.batch.close(to);
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.outgoing.send(std::mem::take(&mut self.batch));
        }
    }
}

impl AsFd for QuicTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event_receiver.as_fd()
    }
}

impl Drop for QuicTransport {
    /// Notifies the peers of all connections. Blocks for half a second at most.
    fn drop(&mut self) {
        self.flush();
        let (told, waits) = std::sync::mpsc::channel();
        if self.outgoing.orders.send(DriverCommand::End(told)).is_ok() {
            let _ = waits.recv_timeout(CLOSE_WAIT);
        }
    }
}

/// Binds a socket; one bound to `[::]` also serves IPv4. quinn sets the remaining options: it
/// ignores the path MTU in ICMP messages as well, and answers from the address that was asked.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    bind_udp(address).map(UdpSocket::from)
}

fn quinn_endpoint(
    runtime: &QuicRuntime,
    config: EndpointConfig,
    server: Option<quinn::ServerConfig>,
    socket: UdpSocket,
) -> io::Result<(Endpoint, SocketAddr)> {
    let _inside = runtime.handle().enter();
    let address = socket.local_addr()?;
    Ok((
        Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?,
        address,
    ))
}

#[cfg(test)]
mod tests {
    use super::certificate::Certificate;
    use super::config::Trust;
    use super::*;
    use crate::clock;
    use crate::limits::QUIC_QUEUE_BYTES;
    use crate::wait_readable;

    /// Waits for an event that satisfies `found`, and returns its peer's address.
    fn until(end: &mut QuicTransport, found: impl Fn(&Event<'_>) -> bool) -> PeerAddr {
        let (deadline, mut addr) = (clock::now() + Duration::from_secs(5), None);
        while addr.is_none() {
            assert!(clock::now() < deadline, "nothing like that comes");
            wait_readable(
                [&*end].into_iter(),
                Duration::from_millis(20),
                &mut Vec::new(),
            )
            .unwrap();
            let look = |from, event: Event<'_>, _| addr = found(&event).then_some(from).or(addr);
            end.receive(clock::now(), look).unwrap();
        }
        addr.expect("it was found")
    }

    #[test]
    fn what_waits_for_a_thread_that_is_behind_is_bounded_and_batches_are_dropped_whole() {
        let certificate =
            Certificate::self_signed(&["localhost".into()], clock::unix_now()).unwrap();
        let trust = Trust::Pinned(vec![certificate.fingerprint()]);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = ListenConfig::new(certificate, [1; 32]);
        let mut server = QuicTransport::listen(QuicRuntime::start().unwrap(), any, config).unwrap();
        let mut client =
            QuicTransport::dial(QuicRuntime::start().unwrap(), any, Dial::new(trust)).unwrap();
        let there = PeerAddr::quic(1, server.local_address());
        client.open(there, b"hello");
        client.flush();
        let back = until(&mut server, |event| {
            matches!(event, Event::Early(_) | Event::Frame(_))
        });
        server.send_frame(back, b"welcome");
        server.flush();
        until(&mut client, |event| *event == Event::Frame(b"welcome"));
        // QUIC's thread blocks while the room sends 100 MB.
        server
            .runtime
            .handle()
            .spawn(async { clock::sleep(Duration::from_millis(1_500)) });
        let (batches, datagrams) = (1_000, 100);
        for _ in 0..batches {
            (0..datagrams).for_each(|_| server.send(back, &[0; 1_000]));
            server.flush();
            assert!(server.outgoing.waiting() <= QUIC_QUEUE_BYTES);
        }
        let stats = server.stats();
        let most = QUIC_QUEUE_BYTES / (datagrams * 1_000);
        assert!(
            stats.batches_dropped as usize > batches - most && stats.ended_unsent == 0,
            "{stats:?}"
        );
        assert!(
            stats.bytes_dropped > stats.batches_dropped * 100_000,
            "{stats:?}"
        );
        // A dropped frame leaves a gap, so its connection is lost and the session continues on
        // another.
        server.send_frame(back, b"dropped");
        (0..200).for_each(|_| server.send(back, &[0; 1_000]));
        server.flush();
        until(&mut client, |event| *event == Event::Closed { told: false });
        assert_eq!(server.stats().ended_unsent, 1);
        // The thread has caught up and serves another connection.
        client.open(PeerAddr::quic(2, server.local_address()), b"again");
        client.flush();
        let back = until(&mut server, |event| {
            matches!(event, Event::Early(b"again") | Event::Frame(b"again"))
        });
        server.send_frame(back, b"welcome");
        server.flush();
        until(&mut client, |event| *event == Event::Frame(b"welcome"));
        assert_eq!(server.outgoing.waiting(), 0);
    }
}
