//! The path that any system has: one call per datagram.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};

use rustix::io::Errno;

use super::Arrived;
use super::udp::UdpStats;
use crate::limits::{LONGEST_DATAGRAM, RECEIVE_BATCH};
use crate::time::Timestamp;

pub(super) struct StdPath {
    buffer: Box<[u8; LONGEST_DATAGRAM + 1]>,
}

impl StdPath {
    pub(super) fn new() -> Self {
        Self { buffer: Box::new([0; LONGEST_DATAGRAM + 1]) }
    }

    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        now: Timestamp,
        take: &mut dyn FnMut(Arrived<'_>),
    ) -> io::Result<usize> {
        let mut count = 0;
        while count < RECEIVE_BATCH {
            match socket.recv_from(&mut *self.buffer) {
                Ok((len, from)) => {
                    take(Arrived { from, bytes: &self.buffer[..len], at: now });
                    count += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if is_passing(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    pub(super) fn send(&mut self, socket: &UdpSocket, to: SocketAddr, bytes: &[u8], stats: &mut UdpStats) {
        match socket.send_to(bytes, to) {
            Ok(_) => stats.sent += 1,
            Err(_) => stats.send_errors += 1,
        }
    }
}

/// Whether an error passes by itself: what an ICMP message said, a signal, or memory short in the kernel.
pub(super) fn is_passing(error: &io::Error) -> bool {
    let short = [Errno::NOBUFS.raw_os_error(), Errno::NOMEM.raw_os_error()];
    error.raw_os_error().is_some_and(|code| short.contains(&code))
        || matches!(
            error.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::Interrupted
        )
}
