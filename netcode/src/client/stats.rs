//! The counters of a client.

use std::ops::Add;

/// Counters of a client since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Number of snapshots compared with a prediction.
    pub compared: u64,
    /// Number of comparisons that found a difference.
    pub mispredictions: u64,
    /// Number of snapshot packets applied.
    pub snapshots: u64,
    /// Number of authentic packets that violated the format.
    pub decode_errors: u64,
    /// Number of snapshot packets whose decoded state differed from the server's.
    pub hash_mismatches: u64,
    /// Number of packets that were repeated, overtaken or too old.
    pub stale: u64,
    /// Number of datagrams that were not sealed for this session: damaged or foreign ones.
    pub refused: u64,
    /// Number of times that the server was silent for too long.
    pub silences: u64,
    /// Number of times that the session was resumed.
    pub resumes: u64,
    /// Longest time from a resumption's first request to its session, in microseconds.
    pub longest_resume_us: u64,
    /// Number of requests for a full resync.
    pub resyncs: u64,
    /// Longest time without a newer snapshot, in microseconds.
    pub longest_gap_us: u64,
    /// Number of ticks of which a snapshot's first packet arrived.
    pub ticks_seen: u64,
    /// Number of commands submitted.
    pub commands: u64,
    /// Number of ticks seen since the first command was submitted. Each reports whether the
    /// client's command for it was in time.
    pub commands_judged: u64,
    /// Number of those ticks whose command reached the server in time.
    pub commands_in_time: u64,
}

impl ClientStats {
    /// Counts a tick's feedback on whether the client's command for it was in time.
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

    /// Adds counters; of longest times it takes the longer one.
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
