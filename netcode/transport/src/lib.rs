//! Transports of Truetick's sessions: UDP, QUIC, WebTransport, laminar and memory. This crate alone
//! opens sockets and reads the clock; `clippy.toml` enforces that rule.
//!
//! # The contract
//!
//! Every transport of a session keeps this contract, and the suite in `tests/transports` tests each
//! on it:
//!
//! | | datagrams ([`udp`], laminar) | connections (QUIC, WebTransport, [`memory`]) |
//! |---|---|---|
//! | a datagram | (1) | whole or not at all; may be lost or overtaken |
//! | its size | up to [`DATAGRAM_BYTES`] | up to the last [`Event::DatagramBytes`] |
//! | a frame | there are none | (2) |
//! | the peer's address | as the datagram claims | proved; may change without notice |
//! | a socket error | (3) | (3) |
//! | source of answers | (4) | (4) |
//! | too much to send | what exceeds the kernel's buffer is dropped | (5) |
//! | the end | none: the session signals it | (6) |
//!
//! 1. Arrives whole or not at all; may be lost, repeated, overtaken or forged.
//! 2. Has up to [`FRAME_BYTES`]; arrives whole, once and in order while the
//!    connection lives.
//! 3. Is counted and logged; only a closed descriptor ends the socket ([`socket_errors`]).
//! 4. Answers leave from the address that was asked, if a socket is bound to all
//!    ([`PeerAddr::local`]).
//! 5. New datagrams displace old ones; frames wait, and their sender bounds their number.
//! 6. [`Transport::close`] notifies the peer; silence and faults close a connection, too; an end
//!    that has closed it may still receive the event of its close.
//!
//! Only [`wait_readable`] blocks. Admission, acknowledgement of datagrams and resumption belong to
//! the session on every transport.
//!
//! [`DATAGRAM_BYTES`]: truetick_netcode::limits::DATAGRAM_BYTES
//! [`FRAME_BYTES`]: truetick_netcode::limits::FRAME_BYTES

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the crate that opens sockets and reads the clock"
)]

pub mod clock;
mod event_channel;
#[cfg(feature = "laminar")]
pub mod laminar;
pub mod limits;
pub mod memory;
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
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr, Transport, TransportKind};

/// A datagram received from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedDatagram<'a> {
    /// The address that the sender claims.
    pub from: SocketAddr,
    /// The address of this host that it was sent to, if the socket is bound to all addresses.
    pub to: Option<IpAddr>,
    /// The datagram's contents.
    pub bytes: &'a [u8],
    /// When it reached this host: the kernel's timestamp if there is one.
    pub at: Timestamp,
}

impl ReceivedDatagram<'_> {
    /// Returns the sender's address, with the address of this host that it used.
    pub fn addr(&self) -> PeerAddr {
        PeerAddr {
            local: self.to,
            ..self.from.into()
        }
    }
}

/// Waits until one of the sockets is readable or `span` has passed. Then `ready` holds the indices
/// of the readable ones.
///
/// # Errors
/// An error of the system's poll that means a closed descriptor. After any other error all sockets
/// count as readable.
pub fn wait_readable<'a>(
    sockets: impl Iterator<Item = &'a (impl AsFd + 'a)>,
    span: Duration,
    ready: &mut Vec<usize>,
) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> = sockets
        .map(|socket| PollFd::new(socket, PollFlags::IN))
        .collect();
    let span = Timespec {
        tv_sec: span.as_secs() as i64,
        tv_nsec: i64::from(span.subsec_nanos()),
    };
    ready.clear();
    match poll(&mut fds, Some(&span)) {
        Ok(_) => {
            let came = fds
                .iter()
                .enumerate()
                .filter(|(_, fd)| !fd.revents().is_empty());
            ready.extend(came.map(|(place, _)| place));
            Ok(())
        }
        Err(error) if socket_errors::is_closed(&error.into()) => Err(error.into()),
        // Which of them are readable is unknown, so all are tried.
        Err(_) => {
            ready.extend(0..fds.len());
            Ok(())
        }
    }
}
