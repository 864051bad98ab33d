//! How many descriptors (files, sockets) this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// With fewer a server is warned of: its HTTP services then take fewer connections.
const ENOUGH: usize = 1_024;

/// Descriptors that are left to everything but HTTP: sockets, journal, recordings, the log.
const RESERVED: usize = 64;

/// How many this process may have open at once.
pub fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Raises the limit to what the system allows this process at most, and warns of a small one.
pub fn raise_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if let Err(error) = raised {
        warn!(%error, "cannot raise the limit of open files");
    }
    let limit = limit();
    if limit < ENOUGH {
        warn!(
            limit,
            "few files may be open at once; raise the limit (ulimit -n) to {ENOUGH} or more"
        );
    }
}

/// Connections that one of the HTTP services may have open, of `most` at best: both together leave
/// half of the descriptors, and `RESERVED` of them, to what must not fail.
pub fn share_for_http(most: usize) -> usize {
    (limit().saturating_sub(RESERVED) / 4).clamp(8, most)
}
