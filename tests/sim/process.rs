//! What every process has: its clocks, a socket whose buffer is finite, and a moment to wake up.

use truetick_netcode::time::Timestamp;

use crate::event_queue::EventQueue;
use crate::mark::{Mark, Marks};
use crate::virtual_clock::VirtualClock;
use crate::world::Event;

/// A datagram that waits in a socket: its path, its bytes, its arrival on the process's own clock.
pub type Waiting = (usize, Vec<u8>, Timestamp);

/// See the module.
#[derive(Debug)]
pub struct Process {
    /// Its clocks.
    pub clock: VirtualClock,
    paused_until: Timestamp,
    socket: Vec<Waiting>,
    held_bytes: usize,
    socket_bytes: usize,
    wake_at: Option<Timestamp>,
}

impl Process {
    /// A process whose socket holds so many bytes while it stands still.
    pub fn new(clock: VirtualClock, socket_bytes: usize) -> Self {
        Self {
            clock,
            paused_until: Timestamp::default(),
            socket: Vec::new(),
            held_bytes: 0,
            socket_bytes,
            wake_at: None,
        }
    }

    /// It stands still until then.
    pub fn pause(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(until);
    }

    /// Whether it stands still.
    pub fn is_paused(&self, now: Timestamp) -> bool {
        now < self.paused_until
    }

    /// When what it sends leaves: now, or when it runs again, if it lost its processor in the middle of its work.
    pub fn sends_at(&self, now: Timestamp) -> Timestamp {
        now.max(self.paused_until)
    }

    /// A datagram comes while it stands still.
    pub fn hold(&mut self, path: usize, bytes: Vec<u8>, now: Timestamp, (pause, marks): (Mark, &mut Marks)) {
        if self.held_bytes + bytes.len() > self.socket_bytes {
            marks.hit(Mark::SocketOverflowed);
            return;
        }
        marks.hit(pause);
        self.held_bytes += bytes.len();
        self.socket.push((path, bytes, self.clock.at(now)));
    }

    /// What waited in its socket.
    pub fn take_held(&mut self) -> Vec<Waiting> {
        self.held_bytes = 0;
        std::mem::take(&mut self.socket)
    }

    /// It wants to run when its clock shows that time, or when it may run again.
    pub fn wake(&mut self, shown: Timestamp, now: Timestamp, event: Event, events: &mut EventQueue<Event>) {
        let at = self.clock.when(shown).max(now).max(self.paused_until);
        if self.wake_at != Some(at) {
            self.wake_at = Some(at);
            events.push(at, event);
        }
    }

    /// Whether a wake-up is the one that it waits for, and no earlier plan.
    pub fn is_woken(&mut self, now: Timestamp) -> bool {
        self.wake_at.take_if(|at| *at == now).is_some()
    }
}
