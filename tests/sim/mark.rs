//! Marks: events that a run claims to have been through. A fault that had no effect proves nothing.

use derive_more::Display;

macro_rules! marks {
    ($($name:ident: $description:literal,)*) => {
        /// An event that a run can have been through.
        #[derive(Clone, Copy, Debug, Display, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $(#[doc = $description] #[display($description)] $name,)*
        }

        impl Mark {
            /// Every mark, in the order of declaration.
            pub const ALL: &[Mark] = &[$(Mark::$name,)*];
        }
    };
}

marks! {
    Lost: "a datagram was lost",
    Doubled: "a datagram came twice",
    Overtaken: "a datagram was overtaken",
    Damaged: "a datagram was damaged",
    Overflowed: "a narrow path dropped a datagram",
    CutUp: "a datagram to the server met a one-way cut",
    CutDown: "a datagram from the server met a one-way cut",
    CutBoth: "a datagram met a cut of both ways",
    Clogged: "a clogged path held a datagram up",
    AddressChanged: "a datagram went to an address that its client had left",
    AddressHandedOn: "a datagram came from an address at which another client's session was",
    OutageAfterRequest: "a datagram met an outage that began right after a request",
    OutageAfterChallenge: "a datagram met an outage that began right after a challenge",
    OutageAfterResponse: "a datagram met an outage that began right after a response",
    OutageAfterKeepAlive: "a datagram met an outage that began right after a session's first keep-alive",
    ClientCrashed: "a client in play crashed",
    ClientCameBack: "a client opened another session after its last one ended",
    ClientPaused: "a datagram waited for a client that stood still",
    ServerCrashed: "the server crashed with sessions open",
    ServerPaused: "a datagram waited for a server that stood still",
    ServerStarved: "a server that lost its processor ran its ticks late",
    SocketOverflowed: "a socket's buffer was full",
    ClockDrifted: "a clock was off by a millisecond or more",
    WallJumped: "a clock on the wall jumped",
    CaughtUp: "the server ran several ticks back to back",
    Slipped: "the time line skipped",
    SeveralPackets: "a tick's snapshot took more than one packet",
    Deferred: "an entity waited for lack of budget",
    BudgetFell: "a path's budget fell",
    BudgetAtFloor: "a path's budget fell to its floor",
    BudgetRose: "a path's budget rose to its ceiling again",
    InterestChanged: "the radius of sight changed with clients in play",
    CommandLate: "a command came too late",
    CommandMissing: "a command was missing and the last was repeated",
    InputDied: "a player's input had no effect",
    DisplayStood: "a display stood still for 250 ms",
    WrongByCommand: "a prediction was wrong for lack of a command",
    WrongByTouch: "a prediction was wrong because something touched the player",
    CopyStale: "a packet built on what its client no longer held, or came twice",
    DamageRefused: "a damaged datagram was refused",
    TimedOut: "a session was parked in silence",
    Resumed: "a session was resumed with a ticket",
    TakenOver: "a session was taken over with a new token",
    GraceOver: "a parked session was given up",
    Moved: "a client left because the server asked it to",
    Flooded: "a stranger's forged request was refused",
    SilenceNoticed: "a client noticed that its server was silent",
    LeftInterest: "an entity left a client's sight",
    BackInInterest: "an entity that left a client's sight came back into it",
    Watched: "a spectator saw an entity",
    Sliced: "a message came in slices",
    DiskFull: "the disk was full",
    DiskUnreadable: "the disk could not be read",
    WriteLost: "a power cut lost a write",
    WriteTorn: "a power cut tore a write",
    RecordingCut: "a power cut left a recording whose end is not whole",
}

/// Number of hits of each mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks(Vec<u64>);

impl Default for Marks {
    fn default() -> Self {
        Self(vec![0; Mark::ALL.len()])
    }
}

impl Marks {
    /// Counts one hit.
    pub fn hit(&mut self, mark: Mark) {
        self.add(mark, 1);
    }

    /// Counts several hits.
    pub fn add(&mut self, mark: Mark, hits: u64) {
        self.0[mark as usize] += hits;
    }

    /// Returns the number of hits so far.
    pub fn count(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }

    /// Adds the hits of another run.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .iter_mut()
            .zip(&other.0)
            .for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Returns the marks of `claimed` that were never hit.
    pub fn missed(&self, claimed: &[Mark]) -> Vec<Mark> {
        claimed
            .iter()
            .copied()
            .filter(|mark| self.count(*mark) == 0)
            .collect()
    }
}
