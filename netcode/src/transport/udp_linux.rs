//! The Linux path: one system call for many datagrams, the kernel's receive timestamps and drop counter.

use std::array;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, sendmsg,
    setsockopt,
};
use nix::sys::time::TimeSpec;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::Arrived;
use super::stamps::ReceiveStamps;
use super::udp::UdpStats;
use super::udp_std::is_passing;
use crate::clock;
use crate::limits::{LONGEST_DATAGRAM, RECEIVE_BATCH};

/// Datagrams per system call.
const BATCH: usize = 32;

/// Datagrams in one buffer: 16 of ours are well below the 64 and the 64 KiB that the kernel allows.
const MOST_SEGMENTS: usize = 16;

/// One byte more than is allowed, so that an overlong datagram shows.
const SLOT_BYTES: usize = LONGEST_DATAGRAM + 1;

pub(super) struct LinuxPath {
    received: Vec<u8>,
    queued: Vec<u8>,
    /// Where each queued datagram ends in `queued`, and for whom it is.
    ends: Vec<(SocketAddrAny, usize, SocketAddr)>,
    /// Whether the kernel cuts buffers into datagrams.
    segments: bool,
    drops: u32,
    stamps: ReceiveStamps,
}

impl LinuxPath {
    pub(super) fn new(socket: &UdpSocket) -> io::Result<Self> {
        setsockopt(socket, ReceiveTimestampns, &true)?;
        setsockopt(socket, RxqOvfl, &1)?;
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
        take: &mut dyn FnMut(Arrived<'_>),
        kernel_drops: &mut u64,
    ) -> io::Result<usize> {
        let mut count = 0;
        while count < RECEIVE_BATCH {
            match self.receive_batch(socket, take, kernel_drops) {
                Ok(n) => {
                    count += n;
                    if n < BATCH {
                        self.stamps.end();
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stamps.end();
                    break;
                }
                Err(error) if is_passing(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    fn receive_batch(
        &mut self,
        socket: &UdpSocket,
        take: &mut dyn FnMut(Arrived<'_>),
        kernel_drops: &mut u64,
    ) -> io::Result<usize> {
        // The headers hold lengths that the call overwrites, so each call has new ones.
        let mut headers =
            MultiHeaders::<SockaddrStorage>::preallocate(BATCH, Some(cmsg_space!(TimeSpec, u32)));
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.received.chunks_exact_mut(SLOT_BYTES).map(|slot| [IoSliceMut::new(slot)]).collect();
        self.stamps.begin(clock::now(), clock::wall_offset_nanos());
        let fd = socket.as_raw_fd();
        let messages = recvmmsg(fd, &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let now = clock::now();
        let mut count = 0;
        for message in messages {
            count += 1;
            let (stamp, drops) = read_control(&message)?;
            if let Some(drops) = drops {
                *kernel_drops += u64::from(drops.wrapping_sub(std::mem::replace(&mut self.drops, drops)));
            }
            let (Some(from), Some(slot)) = (address(&message), message.iovs().next()) else { continue };
            let at = stamp.map_or(now, |stamp| self.stamps.place(stamp, now));
            take(Arrived { from, bytes: &slot[..message.bytes.min(slot.len())], at });
        }
        Ok(count)
    }

    pub(super) fn send(&mut self, socket: &UdpSocket, to: SocketAddr, bytes: &[u8], stats: &mut UdpStats) {
        self.queued.extend_from_slice(bytes);
        self.ends.push((to.as_any(), self.queued.len(), to));
        if self.ends.len() == BATCH {
            self.flush(socket, stats);
        }
    }

    pub(super) fn flush(&mut self, socket: &UdpSocket, stats: &mut UdpStats) {
        let mut at = 0;
        while at < self.ends.len() {
            let run = self.run(at);
            let sent_as_one = run > 1 && self.send_segments(socket, at, run, stats);
            if !sent_as_one {
                let singles =
                    (at..self.ends.len()).take_while(|next| *next < at + run || self.run(*next) == 1);
                let count = singles.count();
                self.send_singles(socket, at..at + count, stats);
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

    /// How many datagrams from here on can leave as one: to the same place, of one length, but that the last may be shorter.
    fn run(&self, at: usize) -> usize {
        if !self.segments {
            return 1;
        }
        let (to, first) = (&self.ends[at].0, self.ends[at].1 - self.start(at));
        let (mut count, mut equal) = (1, true);
        while let Some((next, end, _)) = self.ends.get(at + count).filter(|_| equal && count < MOST_SEGMENTS)
        {
            let length = end - self.start(at + count);
            if next != to || length > first {
                break;
            }
            equal = length == first;
            count += 1;
        }
        count
    }

    /// Hands over several datagrams as one buffer that the kernel cuts (UDP_SEGMENT); false where it cannot.
    fn send_segments(&mut self, socket: &UdpSocket, at: usize, run: usize, stats: &mut UdpStats) -> bool {
        let (from, size) = (self.start(at), (self.ends[at].1 - self.start(at)) as u16);
        let bytes = [IoSlice::new(&self.queued[from..self.ends[at + run - 1].1])];
        let control = [ControlMessage::UdpGsoSegments(&size)];
        let to = SockaddrStorage::from(self.ends[at].2);
        let flags = MsgFlags::MSG_DONTWAIT;
        match sendmsg(socket.as_raw_fd(), &bytes, &control, flags, Some(&to)) {
            Ok(_) => stats.sent += run as u64,
            // This path does not take segments of this size.
            Err(Errno::EINVAL | Errno::EMSGSIZE) => return false,
            // None does: never tried again.
            Err(Errno::EIO | Errno::ENOPROTOOPT | Errno::EOPNOTSUPP) => {
                self.segments = false;
                return false;
            }
            Err(_) => stats.send_errors += run as u64,
        }
        true
    }

    fn send_singles(&mut self, socket: &UdpSocket, which: Range<usize>, stats: &mut UdpStats) {
        if which.is_empty() {
            return;
        }
        // Beyond the last one the arrays repeat it, unsent.
        let at = |i: usize| (which.start + i).min(which.end - 1);
        let slices: [[IoSlice<'_>; 1]; BATCH] =
            array::from_fn(|i| [IoSlice::new(&self.queued[self.start(at(i))..self.ends[at(i)].1])]);
        let mut controls: [SendAncillaryBuffer<'_, '_, '_>; BATCH] = array::from_fn(|_| Default::default());
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
                    stats.sent += sent as u64;
                    at += sent.max(1);
                }
                Err(rustix::io::Errno::INTR) => {}
                // The first of them was refused: it is lost, as the network may lose any.
                Err(_) => {
                    stats.send_errors += 1;
                    at += 1;
                }
            }
        }
    }
}

/// The kernel's time stamp, in nanoseconds since 1970, and its count of dropped datagrams.
fn read_control(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Result<(Option<u64>, Option<u32>), Errno> {
    let (mut stamp, mut drops) = (None, None);
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::ScmTimestampns(time) => {
                let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
                stamp = Some(seconds.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec() as u64));
            }
            ControlMessageOwned::RxqOvfl(count) => drops = Some(count),
            _ => {}
        }
    }
    Ok((stamp, drops))
}

fn address(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<SocketAddr> {
    let address = message.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6))))
}
