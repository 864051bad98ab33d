//! The server's process: production's core with one arena that also talks.

use truetick_netcode::time::Timestamp;
use truetick_server::arena::ArenaGame;
use truetick_server::core::room::{AnyRoom, Room, RoomConfig};
use truetick_server::core::server::Server;

use crate::chatter::Chatter;
use crate::mark::{Mark, Marks};
use crate::plan::SimConfig;
use crate::process::Process;
use crate::virtual_clock::VirtualClock;

/// Receive buffer of the server's socket; see [`truetick_netcode::limits::SOCKET_BUFFER_BYTES`].
const SOCKET_BYTES: usize = truetick_netcode::limits::SOCKET_BUFFER_BYTES;

/// See the module.
pub struct ServerProcess {
    core: Option<Server>,
    pub(crate) process: Process,
    config: SimConfig,
    life: u64,
    epoch_us: i64,
}

impl ServerProcess {
    /// A server that starts now.
    pub fn new(config: SimConfig, clock: VirtualClock, now: Timestamp) -> Self {
        let process = Process::new(clock, SOCKET_BYTES);
        let mut server = Self { core: None, process, config, life: 0, epoch_us: 0 };
        server.start(now);
        server
    }

    /// A new life: another secret, an empty room.
    pub(crate) fn start(&mut self, now: Timestamp) {
        let shown = self.process.clock.at(now);
        let seed = self.config.seed.wrapping_add(self.life << 32);
        let mut core = Server::new((seed, !seed));
        let game = ArenaGame::new(self.config.arena).expect("the arena's schema is valid");
        let room = RoomConfig { seed, tick_rate: self.config.arena.tick_rate, ..self.config.room };
        let room = Room::new(Chatter(game), room, shown).expect("the arena's schema is valid");
        self.epoch_us = room.timeline().epoch_us();
        core.add_room(Box::new(room));
        self.core = Some(core);
        self.life += 1;
    }

    /// Its process dies, and everything in it.
    pub(crate) fn crash(&mut self, marks: &mut Marks) {
        self.note_figures(marks);
        self.process.take_held();
        self.core = None;
    }

    /// The core; `None` while it is down.
    pub fn core(&self) -> Option<&Server> {
        self.core.as_ref()
    }

    /// The core, to act on it.
    pub fn core_mut(&mut self) -> Option<&mut Server> {
        self.core.as_mut()
    }

    /// Notes what a tick showed: several at once, a time line that slipped.
    pub(crate) fn note_ticks(&mut self, ticks: u32, marks: &mut Marks) {
        let Some(room) = self.core.as_ref().map(|core| &core.rooms()[0]) else { return };
        if ticks > 1 {
            marks.hit(Mark::CaughtUp);
        }
        let epoch_us = room.timeline().epoch_us();
        if std::mem::replace(&mut self.epoch_us, epoch_us) != epoch_us {
            marks.hit(Mark::Slipped);
        }
    }

    /// Notes what the server counted in this life.
    pub(crate) fn note_figures(&self, marks: &mut Marks) {
        let Some(core) = &self.core else { return };
        let metrics = core.rooms()[0].metrics();
        marks.add(Mark::CommandLate, metrics.commands.late);
        marks.add(Mark::CommandMissing, metrics.commands.missing);
        marks.add(Mark::CommandAhead, metrics.commands.rejected);
        marks.add(Mark::Deferred, metrics.deferred);
        marks.add(Mark::DamageRefused, core.drops().malformed);
    }
}
