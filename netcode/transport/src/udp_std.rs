//! The portable path: one system call per datagram.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::ReceivedDatagram;
use super::socket_errors::is_idle;
use super::udp::Tally;
use truetick_netcode::limits::LONGEST_DATAGRAM;
use truetick_netcode::limits::RECEIVE_BATCH;
use truetick_netcode::time::Timestamp;

pub(super) struct StdPath {
    buffer: Box<[u8; LONGEST_DATAGRAM + 1]>,
}

impl StdPath {
    pub(super) fn new() -> Self {
        Self {
            buffer: Box::new([0; LONGEST_DATAGRAM + 1]),
        }
    }

    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        now: Timestamp,
        take: &mut dyn FnMut(ReceivedDatagram<'_>),
    ) -> io::Result<()> {
        for _ in 0..RECEIVE_BATCH {
            match socket.recv_from(&mut *self.buffer) {
                Ok((len, from)) => take(ReceivedDatagram {
                    from,
                    to: None,
                    bytes: &self.buffer[..len],
                    at: now,
                }),
                Err(error) if is_idle(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        to: SocketAddr,
        bytes: &[u8],
        tally: &mut Tally,
    ) {
        match socket.send_to(bytes, to) {
            Ok(_) => tally.stats.sent += 1,
            Err(error) => tally.refused(1, error),
        }
    }
}
