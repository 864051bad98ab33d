//! What a client counts.

use std::ops::Add;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Snapshots compared with a prediction.
    pub compared: u64,
    /// Comparisons that differed.
    pub mispredictions: u64,
    /// Snapshot packets taken over.
    pub snapshots: u64,
    /// Genuine packets that were not what the format says.
    pub decode_errors: u64,
    /// Snapshot packets whose decoded state differed from the server's.
    pub hash_mismatches: u64,
    /// Packets that were repeated, overtaken or too old.
    pub stale: u64,
    /// Datagrams that were not sealed for this session: damaged or foreign.
    pub refused: u64,
    /// Times that the server was silent for too long.
    pub silences: u64,
    /// Times that the session was resumed.
    pub resumes: u64,
    /// Longest time that resuming took, from its first request, in microseconds.
    pub longest_resume_us: u64,
    /// Times that the client asked for everything whole.
    pub resyncs: u64,
    /// Longest time without a newer snapshot, in microseconds.
    pub longest_gap_us: u64,
    /// Ticks of which a snapshot's first packet came.
    pub ticks_seen: u64,
    /// Commands submitted.
    pub commands: u64,
    /// Ticks seen since the first command was submitted: each says what the server had of this
    /// client's commands.
    pub commands_judged: u64,
    /// Those of them whose command the server had in time.
    pub commands_in_time: u64,
}

impl ClientStats {
    /// A tick's snapshot came, which says whether the client's command for it was in time.
    pub(super) fn note_feedback(&mut self, in_time: bool) {
        self.ticks_seen += 1;
        if self.commands > 0 {
            self.commands_judged += 1;
            self.commands_in_time += u64::from(in_time);
        }
    }
}

impl Add for ClientStats {
    type Output = Self;

    /// Both together; of what took long the longest.
    fn add(self, other: Self) -> Self {
        Self {
            compared: self.compared + other.compared,
            mispredictions: self.mispredictions + other.mispredictions,
            snapshots: self.snapshots + other.snapshots,
            decode_errors: self.decode_errors + other.decode_errors,
            hash_mismatches: self.hash_mismatches + other.hash_mismatches,
            stale: self.stale + other.stale,
            refused: self.refused + other.refused,
            silences: self.silences + other.silences,
            resumes: self.resumes + other.resumes,
            longest_resume_us: self.longest_resume_us.max(other.longest_resume_us),
            resyncs: self.resyncs + other.resyncs,
            longest_gap_us: self.longest_gap_us.max(other.longest_gap_us),
            ticks_seen: self.ticks_seen + other.ticks_seen,
            commands: self.commands + other.commands,
            commands_judged: self.commands_judged + other.commands_judged,
            commands_in_time: self.commands_in_time + other.commands_in_time,
        }
    }
}
