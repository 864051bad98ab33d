//! The parts that every process has: its clocks, a socket with a finite buffer, and a time to wake
//! up.

use truetick_netcode::time::Timestamp;
use truetick_transport::stamps::ReceiveStamps;

use crate::event_queue::EventQueue;
use crate::mark::{Mark, Marks};
use crate::virtual_clock::VirtualClock;
use crate::world::Event;

/// A datagram that waited in a socket: its path, bytes and arrival time on the process's own clock.
pub type Waiting = (usize, Vec<u8>, Timestamp);

/// A datagram in a socket, with the kernel's receive timestamp.
#[derive(Debug)]
struct Held {
    path: usize,
    bytes: Vec<u8>,
    stamp_ns: u64,
}

/// The clocks, socket and wake-up time of a process.
#[derive(Debug)]
pub(crate) struct Process {
    /// Clocks of the process.
    pub clock: VirtualClock,
    paused_until: Timestamp,
    socket: Vec<Held>,
    stamps: ReceiveStamps,
    /// Time of the last read of the socket.
    read_at: Timestamp,
    held_bytes: usize,
    socket_bytes: usize,
    wake_at: Option<Timestamp>,
}

impl Process {
    /// Creates a process whose socket holds up to `socket_bytes` while it is paused.
    pub fn new(clock: VirtualClock, socket_bytes: usize) -> Self {
        Self {
            clock,
            paused_until: Timestamp::default(),
            socket: Vec::new(),
            stamps: ReceiveStamps::new(Timestamp::default(), clock.wall_offset_ns()),
            read_at: Timestamp::default(),
            held_bytes: 0,
            socket_bytes,
            wake_at: None,
        }
    }

    /// Pauses the process until a time.
    pub fn pause(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(until);
    }

    /// Returns whether the process is paused.
    pub(crate) fn is_paused(&self, now: Timestamp) -> bool {
        now < self.paused_until
    }

    /// Returns when its datagrams leave: now, or when it continues if it lost its processor during
    /// its work.
    pub(crate) fn sends_at(&self, now: Timestamp) -> Timestamp {
        now.max(self.paused_until)
    }

    /// Stores a datagram that arrives during a pause, whose mark is `pause`.
    pub fn hold(
        &mut self,
        path: usize,
        bytes: Vec<u8>,
        now: Timestamp,
        pause: Mark,
        marks: &mut Marks,
    ) {
        if self.held_bytes + bytes.len() > self.socket_bytes {
            marks.hit(Mark::SocketOverflowed);
            return;
        }
        marks.hit(pause);
        self.held_bytes += bytes.len();
        let stamp_ns = self.clock.wall_ns(now);
        self.socket.push(Held {
            path,
            bytes,
            stamp_ns,
        });
    }

    /// Reads the waiting datagrams with receive times from the kernel's timestamps. Also returns
    /// how many of the times are impossible: later than now, or earlier than the last read.
    pub fn take_held(&mut self, now: Timestamp) -> (Vec<Waiting>, usize) {
        let shown = self.clock.at(now);
        self.stamps.begin(shown, self.clock.wall_offset_ns());
        self.held_bytes = 0;
        let held = std::mem::take(&mut self.socket).into_iter();
        let taken: Vec<_> = held
            .map(|held| {
                (
                    held.path,
                    held.bytes,
                    self.stamps.place(held.stamp_ns, shown),
                )
            })
            .collect();
        self.stamps.end();
        let before = std::mem::replace(&mut self.read_at, shown);
        let wrong = taken
            .iter()
            .filter(|(_, _, at)| !(before..=shown).contains(at))
            .count();
        (taken, wrong)
    }

    /// Drops the waiting datagrams.
    pub(crate) fn forget_held(&mut self) {
        self.held_bytes = 0;
        self.socket.clear();
    }

    /// Schedules a wake-up for when its clock shows `shown`, or the end of the pause if that is
    /// later.
    pub fn wake(
        &mut self,
        shown: Timestamp,
        now: Timestamp,
        event: Event,
        events: &mut EventQueue<Event>,
    ) {
        let at = self.clock.when(shown).max(now).max(self.paused_until);
        if self.wake_at != Some(at) {
            self.wake_at = Some(at);
            events.push(at, event);
        }
    }

    /// Returns whether a wake-up is the scheduled one and not an outdated one.
    pub(crate) fn is_woken(&mut self, now: Timestamp) -> bool {
        self.wake_at.take_if(|at| *at == now).is_some()
    }
}
