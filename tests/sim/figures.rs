//! Figures of a run for its tests.

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
    /// Returns a hash of every byte sent so far on every path, in order.
    pub fn sent_hash(&self) -> u64 {
        self.network.sent_hash()
    }

    /// Returns the number of clients that play.
    pub fn playing(&self) -> usize {
        self.clients
            .iter()
            .filter(|client| client.is_playing())
            .count()
    }

    /// Returns the sum of the clients' counts.
    pub fn stats(&self) -> ClientStats {
        self.clients
            .iter()
            .map(ClientProcess::stats)
            .fold(ClientStats::default(), Add::add)
    }

    /// Returns the time of the server's clock.
    pub fn server_time(&self) -> Timestamp {
        self.server.process.clock.at(self.now)
    }

    /// Checks the server's recording on its disk and returns the violations.
    pub(crate) fn check_recording(&mut self) -> Vec<String> {
        self.server.check_recording(&mut self.marks)
    }

    /// Returns the server's newest tick, or `None` while it is down.
    pub fn tick(&self) -> Option<Tick> {
        self.server.core().map(|core| world_of(core).ring().tick())
    }

    /// Returns the virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now.since(self.start)
    }

    /// Declares that from now on nothing disturbs anyone.
    pub(crate) fn calm_begins(&mut self) {
        self.checks.calm_begins();
    }

    /// Returns the counts of commands that were late, missing or refused, of resyncs and of
    /// rejected input. None of them rises while all is calm.
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

    /// Returns the marks including those counted by other components, for the end of a run.
    pub(crate) fn final_marks(&self) -> Marks {
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
            (
                Mark::Moved,
                self.clients.iter().filter(|client| client.moved).count() as u64,
            ),
        ] {
            marks.add(mark, count);
        }
        let clocks = self.clients.iter().map(|client| client.process.clock);
        let off = |clock: VirtualClock| {
            let passed = |at: Timestamp| clock.at(at).as_nanos();
            let own = passed(self.now) - passed(self.start);
            own.abs_diff(self.now.as_nanos() - self.start.as_nanos()) >= 1_000_000
        };
        marks.add(
            Mark::ClockDrifted,
            clocks.filter(|clock| off(*clock)).count() as u64,
        );
        marks
    }

    /// Returns the violations of liveness: every client plays, holds the world after `healed` or
    /// now, and has received every reliable message sent until `told`.
    pub fn unconverged(&self, healed: Tick, told: Tick) -> Vec<String> {
        let mut wrong = crate::convergence::unconverged(self, healed);
        wrong.extend(self.checks.untold(&self.clients, told));
        wrong.extend(self.checks.too_few_compared());
        wrong
    }
}
