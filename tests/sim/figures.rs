//! What a run shows when it is looked at from outside.

use std::ops::Add;
use std::time::Duration;

use truetick_netcode::client::stats::ClientStats;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use crate::client_process::ClientProcess;
use crate::mark::{Mark, Marks};
use crate::server_process::world_of;
use crate::virtual_clock::VirtualClock;
use crate::world::Sim;

impl Sim {
    /// Hash of every byte sent so far on every path, in order.
    pub fn sent_hash(&self) -> u64 {
        self.network.sent_hash()
    }

    /// Clients that play.
    pub fn playing(&self) -> usize {
        self.clients.iter().filter(|client| client.is_playing()).count()
    }

    /// The clients' counts, summed.
    pub fn stats(&self) -> ClientStats {
        self.clients.iter().map(ClientProcess::stats).fold(ClientStats::default(), Add::add)
    }

    /// The server's own time.
    pub fn server_time(&self) -> Timestamp {
        self.server.process.clock.at(self.now)
    }

    /// What is wrong with the server's recording, as it lies on its disk.
    pub fn check_recording(&mut self) -> Vec<String> {
        self.server.check_recording(&mut self.marks)
    }

    /// The server's newest tick, while it is up.
    pub fn tick(&self) -> Option<Tick> {
        self.server.core().map(|core| world_of(core).ring().tick())
    }

    /// Virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now.since(self.start)
    }

    /// From now on nothing may disturb anyone.
    pub fn calm_begins(&mut self) {
        self.checks.calm_begins();
    }

    /// Commands late, missing or refused, resyncs, and datagrams refused so far: none of them rises
    /// while all is calm.
    pub fn disturbances(&self) -> [u64; 6] {
        let stats = self.stats();
        let Some(core) = self.server.core() else {
            return [0; 6];
        };
        let commands = world_of(core).metrics().commands;
        [
            commands.late,
            commands.missing,
            commands.rejected,
            stats.resyncs,
            stats.decode_errors,
            core.drops().count(DropReason::Malformed),
        ]
    }

    /// Completes the marks with what was counted elsewhere; for the end of a run.
    pub fn final_marks(&self) -> Marks {
        let mut marks = self.marks.clone();
        self.server.note_figures(&mut marks);
        let (links, clients) = (self.network.stats(), self.stats());
        for (mark, count) in [
            (Mark::Lost, links.lost),
            (Mark::Doubled, links.duplicated),
            (Mark::Overtaken, links.reordered),
            (Mark::Damaged, links.corrupted),
            (Mark::Overflowed, links.overflowed),
            (Mark::Clogged, links.clogged),
            (Mark::CopyStale, clients.stale),
            (Mark::DamageRefused, clients.refused),
            (Mark::SilenceNoticed, clients.silences),
            (Mark::Moved, self.clients.iter().filter(|client| client.moved).count() as u64),
        ] {
            marks.add(mark, count);
        }
        let clocks = self.clients.iter().map(|client| client.process.clock);
        let off = |clock: VirtualClock| {
            let passed = |at: Timestamp| clock.at(at).as_nanos();
            let own = passed(self.now) - passed(self.start);
            own.abs_diff(self.now.as_nanos() - self.start.as_nanos()) >= 1_000_000
        };
        marks.add(Mark::ClockDrifted, clocks.filter(|clock| off(*clock)).count() as u64);
        marks
    }

    /// What is missing for liveness: everyone plays, holds the world as it was after `healed` or is
    /// now, and was told every reliable message said until `told`.
    pub fn unconverged(&self, healed: Tick, told: Tick) -> Vec<String> {
        let mut wrong = crate::convergence::unconverged(self, healed);
        wrong.extend(self.checks.untold(&self.clients, told));
        wrong.extend(self.checks.too_few_compared());
        wrong
    }
}
