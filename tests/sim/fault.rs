//! What can go wrong in a run, and when.

use std::fmt;
use std::time::Duration;

use truetick_netcode::link_sim::LinkConfig;

use crate::mark::Mark;
use crate::network::{Way, Ways};

/// A step of a handshake, by the packet that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The client has asked.
    Request,
    /// The server has asked for a proof.
    Challenge,
    /// The client has given it.
    Response,
    /// The server has told that the session is open.
    KeepAlive,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Request, Self::Challenge, Self::Response, Self::KeepAlive];

    /// What the outage after it hits.
    pub fn mark(self) -> Mark {
        match self {
            Self::Request => Mark::OutageAfterRequest,
            Self::Challenge => Mark::OutageAfterChallenge,
            Self::Response => Mark::OutageAfterResponse,
            Self::KeepAlive => Mark::OutageAfterKeepAlive,
        }
    }

    /// Whether a datagram in this direction ends the step.
    pub fn is_ended_by(self, way: Way, datagram: &[u8]) -> bool {
        let (from, kind) = match self {
            Self::Request => (Way::Up, 0),
            Self::Challenge => (Way::Down, 2),
            Self::Response => (Way::Up, 3),
            Self::KeepAlive => (Way::Down, 4),
        };
        way == from && datagram.first().is_some_and(|prefix| prefix & 0x0f == kind)
    }
}

/// Something that goes wrong. Clients are named by their place in the run.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a plan holds a handful of them")]
pub enum Fault {
    /// A client's path behaves otherwise.
    Links {
        /// Whose.
        client: usize,
        /// To the server.
        up: LinkConfig,
        /// From the server.
        down: LinkConfig,
    },
    /// Nothing passes a client's path.
    Cut {
        /// Whose.
        client: usize,
        /// Which directions.
        ways: Ways,
    },
    /// A client's path holds everything up, then lets it all out at once.
    Clog {
        /// Whose.
        client: usize,
        /// Which directions.
        ways: Ways,
    },
    /// A client's path from the server carries so many bytes a second, and holds up to half a
    /// second of them.
    Narrow {
        /// Whose.
        client: usize,
        /// How many.
        bytes_per_s: u32,
    },
    /// Every client sees so far and no further, in metres.
    Interest(u32),
    /// A client's process stands still.
    PauseClient(usize),
    /// The server's process stands still.
    PauseServer,
    /// The server's process gets the processor only now and then: whenever it has run it loses it
    /// for up to so many milliseconds, and what it sent leaves when it has it again.
    StarveServer {
        /// The most that it loses at once.
        stolen_ms: u32,
    },
    /// A client's process dies and starts again at the same address.
    CrashClient(usize),
    /// The server's process dies and starts again with an empty room.
    CrashServer,
    /// The server's machine loses its power, and with it what its disk had not written.
    PowerCut,
    /// The server's disk is full from now on.
    FillDisk,
    /// The next time that the server's disk is read, it cannot be.
    FailRead,
    /// A client's datagrams come from another address from now on, as after a new binding of a NAT.
    ChangeAddress(usize),
    /// A client opens its session, or (if it plays) resumes it from another address, and right
    /// after a step of that nothing passes its path any more.
    Outage {
        /// Whose.
        client: usize,
        /// After which step.
        after: Step,
    },
    /// A NAT gives one client's address to another; the first has a new one.
    HandOn {
        /// Whose address.
        from: usize,
        /// Who has it from now on.
        to: usize,
    },
    /// A NAT swaps the addresses of two clients.
    Swap(usize, usize),
    /// Every client's datagrams come from another address from now on, as when a NAT before them
    /// all starts again.
    ChangeAllAddresses,
    /// A client's process dies and starts again somewhere else.
    MoveClient(usize),
    /// The server is drained: its clients leave at random moments, then it starts anew.
    Drain,
    /// Strangers flood the server with requests: forged ones, and copies of what clients sent.
    Flood,
    /// The server's clock on the wall is set.
    JumpWall {
        /// By how much, in milliseconds.
        by_ms: i64,
    },
}

impl Fault {
    /// Whether a session may end by it, or a client's token come to nothing, so that it must wait
    /// for long and join anew.
    pub fn ends_sessions(self) -> bool {
        match self {
            Self::CrashServer | Self::PowerCut | Self::Drain => true,
            // A token belongs to the address that its client had when it began to join.
            Self::ChangeAddress(_) | Self::ChangeAllAddresses | Self::MoveClient(_) => true,
            Self::Outage { .. } | Self::HandOn { .. } | Self::Swap(..) => true,
            // The token of a client that is just joining may have expired by it.
            Self::JumpWall { by_ms } => by_ms.abs() > 5_000,
            _ => false,
        }
    }

    /// Whose it is, where it concerns one client.
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

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Links { client, up, down } => {
                write!(out, "client {client}: up [{}], down [{}]", describe(up), describe(down))
            }
            Self::Cut { client, ways } => write!(out, "client {client}: cut {ways:?}"),
            Self::Clog { client, ways } => write!(out, "client {client}: clogged {ways:?}"),
            Self::Narrow { client, bytes_per_s } => {
                write!(out, "client {client}: its path carries {} kB/s", bytes_per_s / 1_000)
            }
            Self::Interest(metres) => write!(out, "everyone sees {metres} m"),
            Self::PauseClient(client) => write!(out, "client {client}: stands still"),
            Self::PauseServer => write!(out, "server: stands still"),
            Self::StarveServer { stolen_ms } => {
                write!(out, "server: loses the processor for up to {stolen_ms} ms at a time")
            }
            Self::CrashClient(client) => write!(out, "client {client}: crashes"),
            Self::CrashServer => write!(out, "server: crashes"),
            Self::PowerCut => write!(out, "server: loses its power"),
            Self::FillDisk => write!(out, "server: has a full disk"),
            Self::FailRead => write!(out, "server: has a disk that fails its next read"),
            Self::ChangeAddress(client) => write!(out, "client {client}: has another address"),
            Self::Outage { client, after } => {
                write!(out, "client {client}: cut off after its {after:?}")
            }
            Self::HandOn { from, to } => {
                write!(out, "client {to}: has the address of client {from}")
            }
            Self::Swap(one, other) => {
                write!(out, "clients {one} and {other}: have each other's address")
            }
            Self::ChangeAllAddresses => write!(out, "everyone has another address"),
            Self::MoveClient(client) => {
                write!(out, "client {client}: crashes, and starts somewhere else")
            }
            Self::Drain => write!(out, "server: is drained and starts anew"),
            Self::Flood => write!(out, "server: is flooded with requests"),
            Self::JumpWall { by_ms } => write!(out, "server: wall clock set by {by_ms} ms"),
        }
    }
}

/// A link in a few words, leaving out what is perfect.
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
    words.extend(link.bursts.map(|bursts| format!("bursts of {:.0}", 1.0 / bursts.leave)));
    words.extend(link.rate.map(|rate| format!("{} kB/s", rate / 1_000)));
    words.join(", ")
}

/// A fault and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheduled {
    /// When it begins, from the start of the run.
    pub at: Duration,
    /// How long it lasts; no matter for what happens at once.
    pub lasting: Duration,
    /// What.
    pub fault: Fault,
}

impl Scheduled {
    /// Whether both befall the same client, or the server, at the same time: the end of one would
    /// end the other.
    pub fn meets(&self, other: &Self) -> bool {
        // A clock is set in a moment, and nothing ends with it.
        let moment = |fault| matches!(fault, Fault::JumpWall { .. });
        if moment(self.fault) || moment(other.fault) {
            return false;
        }
        let overlap = self.at <= other.at + other.lasting && other.at <= self.at + self.lasting;
        overlap && self.fault.client() == other.fault.client()
    }
}

impl fmt::Display for Scheduled {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasting) = (self.at.as_millis(), self.lasting.as_millis());
        write!(out, "at {at:>5} ms for {lasting:>5} ms  {}", self.fault)
    }
}
