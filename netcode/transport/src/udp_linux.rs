//! The Linux path: one system call for many datagrams, with the kernel's receive timestamps and
//! drop counter.

mod control;

use std::array;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo, ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg as sendmmsg_with,
    sendmsg, setsockopt,
};
use nix::sys::time::TimeSpec;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::socket_errors::is_idle;
use super::stamps::ReceiveStamps;
use super::udp::Tally;
use super::{PeerAddr, ReceivedDatagram};
use crate::clock;
use truetick_netcode::limits::LONGEST_DATAGRAM;
use truetick_netcode::limits::RECEIVE_BATCH;

use control::{Control, Source, address};

/// Datagrams per system call.
const BATCH: usize = 32;

/// Datagrams in one buffer: 16 of at most 1,200 bytes are well below the kernel's limits of 64
/// datagrams and 64 KiB.
const MOST_SEGMENTS: usize = 16;

/// One byte more than the limit, so that an overlong datagram is detected.
const SLOT_BYTES: usize = LONGEST_DATAGRAM + 1;

pub(super) struct LinuxPath {
    received: Vec<u8>,
    queued: Vec<u8>,
    /// For each queued datagram: its destination, its end in `queued`, its destination again, and
    /// the source address of this host.
    ends: Vec<(SocketAddrAny, usize, SocketAddr, Option<IpAddr>)>,
    /// Whether the kernel segments buffers into datagrams.
    segments: bool,
    drops: u32,
    stamps: ReceiveStamps,
}

impl LinuxPath {
    pub(super) fn new(socket: &UdpSocket) -> io::Result<Self> {
        setsockopt(socket, ReceiveTimestampns, &true)?;
        setsockopt(socket, RxqOvfl, &1)?;
        match socket.local_addr()? {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
                setsockopt(socket, Ipv4PacketInfo, &true)?
            }
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
                setsockopt(socket, Ipv6RecvPacketInfo, &true)?
            }
            _ => {}
        }
        Ok(Self {
            received: vec![0; BATCH * SLOT_BYTES],
            queued: Vec::new(),
            ends: Vec::new(),
            segments: true,
            drops: 0,
            stamps: ReceiveStamps::new(clock::now(), clock::wall_offset_nanos()),
        })
    }

    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        take: &mut dyn FnMut(ReceivedDatagram<'_>),
        kernel_drops: &mut u64,
    ) -> io::Result<()> {
        for _ in 0..RECEIVE_BATCH / BATCH {
            match self.receive_batch(socket, take, kernel_drops) {
                Ok(BATCH) => {}
                Ok(_) => {
                    self.stamps.end();
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stamps.end();
                    break;
                }
                Err(error) if is_idle(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive_batch(
        &mut self,
        socket: &UdpSocket,
        take: &mut dyn FnMut(ReceivedDatagram<'_>),
        kernel_drops: &mut u64,
    ) -> io::Result<usize> {
        // The call overwrites lengths in the headers, so each call gets new ones.
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(
            BATCH,
            Some(cmsg_space!(TimeSpec, u32, in6_pktinfo)),
        );
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = self
            .received
            .chunks_exact_mut(SLOT_BYTES)
            .map(|slot| [IoSliceMut::new(slot)])
            .collect();
        self.stamps.begin(clock::now(), clock::wall_offset_nanos());
        let fd = socket.as_raw_fd();
        let messages = recvmmsg(
            fd,
            &mut headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let now = clock::now();
        let mut count = 0;
        for message in messages {
            count += 1;
            let Control { stamp, drops, to } = Control::read(&message);
            if let Some(drops) = drops {
                *kernel_drops +=
                    u64::from(drops.wrapping_sub(std::mem::replace(&mut self.drops, drops)));
            }
            let (Some(from), Some(slot)) = (address(&message), message.iovs().next()) else {
                continue;
            };
            let at = stamp.map_or(now, |stamp| self.stamps.place(stamp, now));
            take(ReceivedDatagram {
                from,
                to,
                bytes: &slot[..message.bytes.min(slot.len())],
                at,
            });
        }
        Ok(count)
    }

    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        to: PeerAddr,
        bytes: &[u8],
        tally: &mut Tally,
    ) {
        self.queued.extend_from_slice(bytes);
        self.ends
            .push((to.address.as_any(), self.queued.len(), to.address, to.local));
        if self.ends.len() == BATCH {
            self.flush(socket, tally);
        }
    }

    pub(super) fn flush(&mut self, socket: &UdpSocket, tally: &mut Tally) {
        let mut at = 0;
        while at < self.ends.len() {
            let run = self.run(at);
            let sent_as_one = run > 1 && self.send_segments(socket, at, run, tally);
            if !sent_as_one {
                let leaves_alone = |next: &usize| *next < at + run || self.run(*next) == 1;
                let by = self.ends[at].3;
                let singles = (at..self.ends.len()).take_while(leaves_alone);
                let count = singles.take_while(|next| self.ends[*next].3 == by).count();
                match by {
                    None => self.send_singles(socket, at..at + count, tally),
                    Some(by) => self.send_singles_by(by, socket, at..at + count, tally),
                }
                at += count;
                continue;
            }
            at += run;
        }
        self.queued.clear();
        self.ends.clear();
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.ends[before].1)
    }

    /// Returns the number of datagrams from `at` on that can leave as one buffer: same destination,
    /// same source address and same length, except that the last may be shorter.
    fn run(&self, at: usize) -> usize {
        if !self.segments {
            return 1;
        }
        let (to, by, first) = (
            &self.ends[at].0,
            self.ends[at].3,
            self.ends[at].1 - self.start(at),
        );
        let (mut count, mut equal) = (1, true);
        while let Some((next, end, _, next_by)) = self
            .ends
            .get(at + count)
            .filter(|_| equal && count < MOST_SEGMENTS)
        {
            let length = end - self.start(at + count);
            if next != to || *next_by != by || length > first {
                break;
            }
            equal = length == first;
            count += 1;
        }
        count
    }

    /// Sends several datagrams as one buffer that the kernel segments (UDP_SEGMENT). Returns false
    /// if it cannot.
    fn send_segments(
        &mut self,
        socket: &UdpSocket,
        at: usize,
        run: usize,
        tally: &mut Tally,
    ) -> bool {
        let (from, size) = (self.start(at), (self.ends[at].1 - self.start(at)) as u16);
        let bytes = [IoSlice::new(&self.queued[from..self.ends[at + run - 1].1])];
        let by = self.ends[at].3.map(|by| Source::new(by, self.ends[at].2));
        let segments = ControlMessage::UdpGsoSegments(&size);
        let with_source = by.as_ref().map(|by| [segments, by.control()]);
        let control = with_source
            .as_ref()
            .map_or(std::slice::from_ref(&segments), |both| &both[..]);
        let to = SockaddrStorage::from(self.ends[at].2);
        let flags = MsgFlags::MSG_DONTWAIT;
        match sendmsg(socket.as_raw_fd(), &bytes, control, flags, Some(&to)) {
            Ok(_) => tally.stats.sent += run as u64,
            // This path does not support segments of this size.
            Err(Errno::EINVAL | Errno::EMSGSIZE) => return false,
            // No path supports segmentation, so it is not tried again.
            Err(Errno::EIO | Errno::ENOPROTOOPT | Errno::EOPNOTSUPP) => {
                self.segments = false;
                return false;
            }
            Err(error) => tally.refused(run, error.into()),
        }
        true
    }

    fn send_singles(&mut self, socket: &UdpSocket, which: Range<usize>, tally: &mut Tally) {
        if which.is_empty() {
            return;
        }
        // The arrays repeat the last datagram beyond the range; the repeats are not sent.
        let at = |i: usize| (which.start + i).min(which.end - 1);
        let slices: [[IoSlice<'_>; 1]; BATCH] = array::from_fn(|i| {
            [IoSlice::new(
                &self.queued[self.start(at(i))..self.ends[at(i)].1],
            )]
        });
        let mut controls: [SendAncillaryBuffer<'_, '_, '_>; BATCH] =
            array::from_fn(|_| Default::default());
        let mut next = 0..;
        let mut messages = controls.each_mut().map(|control| {
            let i = next.next().unwrap_or(0);
            MMsgHdr::new_with_addr(&self.ends[at(i)].0, &slices[i], control)
        });
        let messages = &mut messages[..which.len()];
        let mut at = 0;
        while at < messages.len() {
            match sendmmsg(socket, &mut messages[at..], SendFlags::DONTWAIT) {
                Ok(sent) => {
                    tally.stats.sent += sent as u64;
                    at += sent.max(1);
                }
                Err(rustix::io::Errno::INTR) => {}
                // The first of them was refused. It is lost, as the network may lose any.
                Err(error) => {
                    tally.refused(1, error.into());
                    at += 1;
                }
            }
        }
    }

    /// Sends datagrams one by one from one address of this host.
    fn send_singles_by(
        &mut self,
        by: IpAddr,
        socket: &UdpSocket,
        which: Range<usize>,
        tally: &mut Tally,
    ) {
        let mut at = which.start;
        while at < which.end {
            let part = at..which.end;
            let slices: Vec<[IoSlice<'_>; 1]> = part
                .clone()
                .map(|i| [IoSlice::new(&self.queued[self.start(i)..self.ends[i].1])])
                .collect();
            let to: Vec<_> = part
                .map(|i| Some(SockaddrStorage::from(self.ends[i].2)))
                .collect();
            // A link index is set only for link-local sources, so one source serves the whole run.
            let source = Source::new(by, self.ends[at].2);
            let space = match &source {
                Source::V4(_) => cmsg_space!(in_pktinfo),
                Source::V6(_) => cmsg_space!(in6_pktinfo),
            };
            let mut headers = MultiHeaders::preallocate(slices.len(), Some(space));
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            match sendmmsg_with(fd, &mut headers, &slices, &to, [source.control()], flags) {
                Ok(sent) => {
                    let sent = sent.count();
                    tally.stats.sent += sent as u64;
                    at += sent.max(1);
                }
                Err(Errno::EINTR) => {}
                Err(error) => {
                    tally.refused(1, error.into());
                    at += 1;
                }
            }
        }
    }
}
