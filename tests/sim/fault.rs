//! The faults of a run and their times.

use std::time::Duration;

use derive_more::Display;
use truetick_netcode::link_sim::LinkConfig;

use crate::mark::Mark;
use crate::network::{Way, Ways};

/// A step of a handshake, named after the packet that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The client has sent its request.
    Request,
    /// The server has sent its challenge.
    Challenge,
    /// The client has sent its response.
    Response,
    /// The server has confirmed the open session.
    KeepAlive,
}

impl Step {
    /// All steps in their order.
    pub const ALL: [Self; 4] = [
        Self::Request,
        Self::Challenge,
        Self::Response,
        Self::KeepAlive,
    ];

    /// Returns the mark of an outage after this step.
    pub fn mark(self) -> Mark {
        match self {
            Self::Request => Mark::OutageAfterRequest,
            Self::Challenge => Mark::OutageAfterChallenge,
            Self::Response => Mark::OutageAfterResponse,
            Self::KeepAlive => Mark::OutageAfterKeepAlive,
        }
    }

    /// Returns whether a datagram in this direction ends the step.
    pub(crate) fn is_ended_by(self, way: Way, datagram: &[u8]) -> bool {
        let (from, kind) = match self {
            Self::Request => (Way::Up, 0),
            Self::Challenge => (Way::Down, 2),
            Self::Response => (Way::Up, 3),
            Self::KeepAlive => (Way::Down, 4),
        };
        way == from && datagram.first().is_some_and(|prefix| prefix & 0x0f == kind)
    }
}

/// A fault. Clients are identified by their index in the run.
#[derive(Clone, Copy, Debug, Display, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a plan holds a handful of them")]
pub enum Fault {
    /// A client's path gets other properties.
    #[display("client {client}: up [{}], down [{}]", describe(up), describe(down))]
    Links {
        /// Index of the client.
        client: usize,
        /// The link to the server.
        up: LinkConfig,
        /// The link from the server.
        down: LinkConfig,
    },
    /// No datagram passes a client's path.
    #[display("client {client}: cut {ways:?}")]
    Cut {
        /// Index of the client.
        client: usize,
        /// The affected directions.
        ways: Ways,
    },
    /// A client's path holds all datagrams and then delivers them at once.
    #[display("client {client}: clogged {ways:?}")]
    Clog {
        /// Index of the client.
        client: usize,
        /// The affected directions.
        ways: Ways,
    },
    /// A client's path from the server has a limited rate, with a queue of up to half a second.
    #[display("client {client}: its path carries {} kB/s", bytes_per_s / 1_000)]
    Narrow {
        /// Index of the client.
        client: usize,
        /// Rate of the path in bytes per second.
        bytes_per_s: u32,
    },
    /// Sets the interest radius of all clients, in metres.
    #[display("everyone sees {_0} m")]
    Interest(u32),
    /// A client's process is paused.
    #[display("client {_0}: stands still")]
    PauseClient(usize),
    /// The server's process is paused.
    #[display("server: stands still")]
    PauseServer,
    /// The server's process is starved of the processor: after each run it is paused for a random
    /// time, and what it sent leaves when it continues.
    #[display("server: loses the processor for up to {stolen_ms} ms at a time")]
    StarveServer {
        /// Maximum length of one pause, in milliseconds.
        stolen_ms: u32,
    },
    /// A client's process dies and restarts at the same address.
    #[display("client {_0}: crashes")]
    CrashClient(usize),
    /// The server's process dies and restarts with an empty room.
    #[display("server: crashes")]
    CrashServer,
    /// The server's machine loses power; unsynced data on its disk may be lost.
    #[display("server: loses its power")]
    PowerCut,
    /// The server's disk is full from now on.
    #[display("server: has a full disk")]
    FillDisk,
    /// The next read of the server's disk fails.
    #[display("server: has a disk that fails its next read")]
    FailRead,
    /// A client's datagrams come from another address from now on, as after a NAT rebinding.
    #[display("client {_0}: has another address")]
    ChangeAddress(usize),
    /// A client opens its session, or (if it plays) resumes it from another address, and right
    /// after a step of the handshake nothing passes its path any more.
    #[display("client {client}: cut off after its {after:?}")]
    Outage {
        /// Index of the client.
        client: usize,
        /// The last step before the outage.
        after: Step,
    },
    /// A NAT assigns one client's address to another; the first gets a new one.
    #[display("client {to}: has the address of client {from}")]
    HandOn {
        /// Index of the client that loses its address.
        from: usize,
        /// Index of the client that gets the address.
        to: usize,
    },
    /// A NAT swaps the addresses of two clients.
    #[display("clients {_0} and {_1}: have each other's address")]
    Swap(usize, usize),
    /// All clients' datagrams come from other addresses from now on, as after a restart of a NAT in
    /// front of them all.
    #[display("everyone has another address")]
    ChangeAllAddresses,
    /// A client's process dies and restarts elsewhere.
    #[display("client {_0}: crashes, and starts somewhere else")]
    MoveClient(usize),
    /// The server is drained: its clients leave at random moments, then it restarts.
    #[display("server: is drained and starts again")]
    Drain,
    /// Strangers flood the server with forged requests and copies of clients' datagrams.
    #[display("server: is flooded with requests")]
    Flood,
    /// The server's wall clock is set.
    #[display("server: wall clock set by {by_ms} ms")]
    JumpWall {
        /// Change of the wall clock, in milliseconds.
        by_ms: i64,
    },
}

impl Fault {
    /// Returns whether a session may end by the fault, or a client's token become useless, so that
    /// the client must wait for long and join again.
    pub(crate) fn ends_sessions(self) -> bool {
        match self {
            Self::CrashServer | Self::PowerCut | Self::Drain => true,
            // A token belongs to the address that its client had when it began to join.
            Self::ChangeAddress(_) | Self::ChangeAllAddresses | Self::MoveClient(_) => true,
            Self::Outage { .. } | Self::HandOn { .. } | Self::Swap(..) => true,
            // The token of a client that is just joining may expire by it.
            Self::JumpWall { by_ms } => by_ms.abs() > 5_000,
            _ => false,
        }
    }

    /// Returns the index of the client concerned, if it is a single one.
    pub fn client(self) -> Option<usize> {
        match self {
            Self::Links { client, .. } | Self::Cut { client, .. } | Self::Clog { client, .. } => {
                Some(client)
            }
            Self::Narrow { client, .. } => Some(client),
            Self::PauseClient(client) | Self::CrashClient(client) => Some(client),
            Self::ChangeAddress(client) | Self::MoveClient(client) => Some(client),
            Self::Outage { client, .. } | Self::HandOn { to: client, .. } => Some(client),
            Self::Swap(client, _) => Some(client),
            Self::PauseServer | Self::StarveServer { .. } | Self::CrashServer => None,
            Self::JumpWall { .. } => None,
            Self::ChangeAllAddresses | Self::Drain | Self::Flood => None,
            Self::PowerCut | Self::FillDisk | Self::FailRead | Self::Interest(_) => None,
        }
    }
}

/// Describes a link in a few words, without its perfect properties.
pub fn describe(link: &LinkConfig) -> String {
    let mut words = vec![format!("{:.0} ms", link.latency.as_secs_f64() * 1e3)];
    if !link.jitter.is_zero() {
        words.push(format!("±{:.0} ms", link.jitter.as_secs_f64() * 500.0));
    }
    let shares = [
        ("lost", link.loss),
        ("double", link.duplicate),
        ("late", link.reorder),
        ("damaged", link.corrupt),
    ];
    words.extend(
        shares
            .iter()
            .filter(|(_, p)| *p > 0.0)
            .map(|(name, p)| format!("{:.1} % {name}", p * 100.0)),
    );
    words.extend(
        link.bursts
            .map(|bursts| format!("bursts of {:.0}", 1.0 / bursts.leave)),
    );
    words.extend(link.rate.map(|rate| format!("{} kB/s", rate / 1_000)));
    words.join(", ")
}

/// A fault and its time.
#[derive(Clone, Copy, Debug, Display, PartialEq)]
#[display("at {:>5} ms for {:>5} ms  {fault}", at.as_millis(), lasting.as_millis())]
pub struct Scheduled {
    /// Start of the fault, from the start of the run.
    pub at: Duration,
    /// Length of the fault; ignored for an instantaneous one.
    pub lasting: Duration,
    /// The fault that begins at this time.
    pub fault: Fault,
}

impl Scheduled {
    /// Returns whether both faults affect the same client, or the server, at overlapping times: the
    /// end of one would end the other.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        // Setting a clock is instantaneous, so its end does not affect another fault.
        let moment = |fault| matches!(fault, Fault::JumpWall { .. });
        if moment(self.fault) || moment(other.fault) {
            return false;
        }
        let overlap = self.at <= other.at + other.lasting && other.at <= self.at + self.lasting;
        overlap && self.fault.client() == other.fault.client()
    }
}
