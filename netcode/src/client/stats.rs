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
        }
    }
}
