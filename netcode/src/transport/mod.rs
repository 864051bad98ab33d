//! How datagrams travel. The one folder that opens sockets; the `tidy` test holds that rule.
//!
//! What every transport promises: a datagram comes whole or not at all; it may be lost, repeated or
//! overtaken; its sender's address may be forged. Nothing blocks but [`wait_readable`].

pub mod relay;
pub mod udp;
#[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
mod udp_linux;
mod udp_std;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::time::Timestamp;
use udp::UdpTransport;

/// A datagram that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived<'a> {
    /// Who claims to have sent it.
    pub from: SocketAddr,
    /// Its contents.
    pub bytes: &'a [u8],
    /// When it reached this host: the kernel's time stamp where there is one.
    pub at: Timestamp,
}

/// Takes datagrams that are to be sent.
pub trait DatagramSink {
    /// Sends `bytes` to `to`, or queues them until [`Self::flush`]. A full buffer drops.
    fn send(&mut self, to: SocketAddr, bytes: &[u8]);

    /// Hands everything queued to the network.
    fn flush(&mut self);
}

/// Waits until one of the sockets has something to read or `span` has passed; `ready` then holds the places
/// of those that have.
pub fn wait_readable<'a>(
    sockets: impl Iterator<Item = &'a UdpTransport>,
    span: Duration,
    ready: &mut Vec<usize>,
) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> =
        sockets.map(|socket| PollFd::new(socket.socket(), PollFlags::IN)).collect();
    let span = Timespec { tv_sec: span.as_secs() as i64, tv_nsec: i64::from(span.subsec_nanos()) };
    ready.clear();
    match poll(&mut fds, Some(&span)) {
        Ok(_) => {
            let came = fds.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty());
            ready.extend(came.map(|(place, _)| place));
            Ok(())
        }
        Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
