//! The server's process: the production server with one arena that also sends messages.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::session::config::SessionConfig;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::time::{Timestamp, UnixTime};
use truetick_server::arena::ArenaGame;
use truetick_server::room::{Room, RoomConfig};
use truetick_server::server::Server;
use truetick_server::world_access::WorldAccess;
use truetick_server::world_room::WorldRoom;

use crate::mark::{Mark, Marks};
use crate::messaging_game::MessagingGame;
use crate::plan::SimConfig;
use crate::process::Process;
use crate::record_keeper::RecordKeeper;
use crate::tokens::session_config;
use crate::virtual_clock::VirtualClock;

/// Size of the socket's receive buffer; see [`truetick_transport::limits::SOCKET_BUFFER_BYTES`].
const SOCKET_BYTES: usize = truetick_transport::limits::SOCKET_BUFFER_BYTES;

/// Returns the world of the server's only room.
pub(crate) fn world_of(core: &Server) -> &dyn WorldAccess {
    core.rooms()[0].world().expect("a room with a world")
}

/// The server's process with its clock, socket and recording.
pub struct ServerProcess {
    core: Option<Server>,
    pub(crate) process: Process,
    /// Configuration of the run.
    pub(crate) config: SimConfig,
    life: u64,
    epoch_us: i64,
    /// Maximum pause after each run, in milliseconds; 0 for none.
    pub(crate) stolen_ms: u32,
    recorder: Option<RecordKeeper>,
}

impl ServerProcess {
    /// Creates a server that starts now.
    pub fn new(config: SimConfig, clock: VirtualClock, now: Timestamp) -> Self {
        let process = Process::new(clock, SOCKET_BYTES);
        let recorder = config.record.then(|| RecordKeeper::new(config.seed));
        let mut server = Self {
            core: None,
            process,
            config,
            life: 0,
            epoch_us: 0,
            stolen_ms: 0,
            recorder,
        };
        server.start(now);
        server
    }

    /// Starts a new life with another secret and an empty room.
    pub(crate) fn start(&mut self, now: Timestamp) {
        let shown = self.process.clock.at(now);
        let seed = self.config.seed.wrapping_add(self.life << 32);
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&seed.to_le_bytes());
        let mut core = Server::new(self.session_config(), secret, shown, self.wall(now));
        let room = RoomConfig {
            seed,
            tick_rate: self.config.arena.tick_rate,
            ..self.config.room
        };
        let mut room = WorldRoom::starting_after(self.config.start_tick, self.game(), room, shown)
            .expect("the arena's schema is valid");
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(&mut room);
        }
        self.epoch_us = room.timeline().epoch_us();
        core.add_room(Box::new(room));
        self.core = Some(core);
        self.life += 1;
    }

    fn session_config(&self) -> SessionConfig {
        SessionConfig {
            grace: self.config.grace,
            sessions: self.config.sessions,
            ..session_config()
        }
    }

    /// Returns the time of the server's wall clock.
    pub fn wall(&self, now: Timestamp) -> UnixTime {
        UnixTime::from_millis(self.process.clock.wall_ms(now) as u64)
    }

    fn game(&self) -> MessagingGame<ArenaGame> {
        let game = ArenaGame::new(self.config.arena).expect("the arena's schema is valid");
        MessagingGame {
            game,
            bulk: 0,
            patter: self.config.patter,
        }
    }

    /// Ends the process with everything in it. With `power` the disk also loses power. Returns the
    /// violations of the recording that is left.
    pub(crate) fn crash(&mut self, power: bool, marks: &mut Marks) -> Vec<String> {
        self.note_figures(marks);
        self.process.forget_held();
        self.core = None;
        if let Some(recorder) = self.recorder.as_mut().filter(|_| power) {
            recorder.disk.power_cut(marks);
        }
        self.check_recording(marks)
    }

    /// Checks the recording on the disk and returns the violations.
    pub(crate) fn check_recording(&mut self, marks: &mut Marks) -> Vec<String> {
        let game = Arc::new(self.game());
        self.recorder
            .as_mut()
            .map_or(Vec::new(), |recorder| recorder.check(&game, marks))
    }

    /// Writes the room's recorded chunks.
    pub(crate) fn keep_recording(&mut self, marks: &mut Marks) {
        let room = self
            .core
            .as_mut()
            .and_then(|core| core.room_mut(0))
            .and_then(|room| room.world_mut());
        if let (Some(recorder), Some(room)) = (&mut self.recorder, room) {
            recorder.keep(room, marks);
        }
    }

    /// Fills the disk, or makes its next read fail.
    pub(crate) fn spoil_disk(&mut self, full: bool) {
        match self.recorder.as_mut().map(|recorder| &mut recorder.disk) {
            Some(disk) if full => disk.fill(),
            Some(disk) => disk.fail_next_read(),
            None => {}
        }
    }

    /// Returns the server, or `None` while it is down.
    pub fn core(&self) -> Option<&Server> {
        self.core.as_ref()
    }

    /// Returns the server, mutable, or `None` while it is down.
    pub fn core_mut(&mut self) -> Option<&mut Server> {
        self.core.as_mut()
    }

    /// Pauses the process for a random time if it is starved of the processor.
    pub(crate) fn lose_processor(&mut self, now: Timestamp) {
        if self.stolen_ms > 0 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.config.seed ^ now.as_nanos());
            let stolen = rng.random_range(0..=u64::from(self.stolen_ms));
            self.process.pause(now + Duration::from_millis(stolen));
        }
    }

    /// Marks a run of several ticks or a skip of the timeline. Returns whether either happened.
    pub(crate) fn note_ticks(&mut self, ticks: u32, marks: &mut Marks) -> bool {
        let Some(room) = self.core.as_ref().map(world_of) else {
            return false;
        };
        let epoch_us = room.timeline().epoch_us();
        let skipped = std::mem::replace(&mut self.epoch_us, epoch_us) != epoch_us;
        marks.add(Mark::CaughtUp, u64::from(ticks > 1));
        marks.add(Mark::Slipped, u64::from(skipped));
        let is_late = ticks > 1 || skipped;
        marks.add(
            Mark::ServerStarved,
            u64::from(is_late && self.stolen_ms > 0),
        );
        is_late
    }

    /// Adds the server's counts of this life to the marks.
    pub(crate) fn note_figures(&self, marks: &mut Marks) {
        let Some(core) = &self.core else { return };
        let metrics = world_of(core).metrics();
        marks.add(Mark::CommandLate, metrics.commands.late);
        marks.add(Mark::CommandMissing, metrics.commands.missing);
        marks.add(Mark::Deferred, metrics.deferred);
        marks.add(
            Mark::SeveralPackets,
            metrics.packets_out - metrics.snapshots,
        );
        marks.add(Mark::DamageRefused, core.drops().count(DropReason::Forged));
    }
}
