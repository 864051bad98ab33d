//! How sessions travel. The one folder that opens sockets; the `tidy` test holds that rule.
//!
//! # The contract
//!
//! Whatever carries a session keeps this, and the suite in `tests/transports` tries each on it:
//!
//! | | datagrams without connections ([`udp`], laminar) | connections (QUIC, WebTransport, [`memory`]) |
//! |---|---|---|
//! | a datagram | comes whole or not at all; may be lost, repeated, overtaken, forged | the same, but neither repeated nor forged |
//! | its size | up to [`crate::limits::DATAGRAM_BYTES`] | up to what [`Event::DatagramBytes`] said last |
//! | a frame | there are none | up to [`crate::limits::FRAME_BYTES`]; comes whole, once and in order while the connection lives |
//! | the peer's address | what the datagram claims | proved; may change without notice |
//! | an error of a socket | is counted and logged; only a closed descriptor ends it ([`socket_errors`]) | the same |
//! | the address that answers leave from | the one that was asked, where a socket is bound to all ([`PeerAddr::local`]) | the same |
//! | too much to send | what does not fit into the kernel's buffer is dropped | old datagrams make room for new ones; frames wait, and whoever sends them bounds how many |
//! | the end | there is none: the session tells | [`Transport::close`] tells the peer; silence and faults close it, too; who closed it may be told that it is closed |
//!
//! Nothing blocks but [`wait_readable`]. Who may open a session, acknowledgements of datagrams, and
//! resumption are the session's affair on every transport.

mod event_channel;
#[cfg(feature = "laminar")]
pub mod laminar;
pub mod memory;
mod peer_addr;
#[cfg(feature = "quic")]
pub mod quic;
pub mod relay;
pub mod server_transport;
pub mod socket_errors;
mod socket_options;
pub mod stamps;
pub mod udp;
#[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
mod udp_linux;
mod udp_std;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::time::Timestamp;
pub use peer_addr::{Event, PeerAddr, Transmit, TransportKind};

/// A datagram that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedDatagram<'a> {
    /// Who claims to have sent it.
    pub from: SocketAddr,
    /// The address of this host that it was sent to, where the socket is bound to all of them.
    pub to: Option<IpAddr>,
    /// Its contents.
    pub bytes: &'a [u8],
    /// When it reached this host: the kernel's time stamp where there is one.
    pub at: Timestamp,
}

impl ReceivedDatagram<'_> {
    /// The way back to the sender by the address that was asked.
    pub fn addr(&self) -> PeerAddr {
        PeerAddr { local: self.to, ..self.from.into() }
    }
}

/// Takes what is to be sent.
pub trait Transport {
    /// Sends a datagram, or queues it until [`Self::flush`]. A full buffer drops.
    fn send(&mut self, to: PeerAddr, datagram: &[u8]);

    /// Opens a connection, whose first frame this is. Only clients do.
    fn open(&mut self, _: PeerAddr, _: &[u8]) {}

    /// Sends a frame. Only connections carry any.
    fn send_frame(&mut self, _: PeerAddr, _: &[u8]) {}

    /// Ends a connection; the peer is told, if it can be reached.
    fn close(&mut self, _: PeerAddr) {}

    /// Hands everything queued to the network.
    fn flush(&mut self);
}

/// Waits until one of the sockets has something to read or `span` has passed; `ready` then holds
/// the places of those that have.
pub fn wait_readable<'a>(
    sockets: impl Iterator<Item = &'a (impl AsFd + 'a)>,
    span: Duration,
    ready: &mut Vec<usize>,
) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> =
        sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
    let span = Timespec { tv_sec: span.as_secs() as i64, tv_nsec: i64::from(span.subsec_nanos()) };
    ready.clear();
    match poll(&mut fds, Some(&span)) {
        Ok(_) => {
            let came = fds.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty());
            ready.extend(came.map(|(place, _)| place));
            Ok(())
        }
        Err(error) if socket_errors::is_closed(&error.into()) => Err(error.into()),
        // Which of them have something is not known: each is looked at.
        Err(_) => {
            ready.extend(0..fds.len());
            Ok(())
        }
    }
}
