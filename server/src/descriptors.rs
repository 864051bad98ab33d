//! Limit of the descriptors (files, sockets) that this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Limit below which the server warns, because its HTTP services then take fewer connections.
const ENOUGH: usize = 1_024;

/// Descriptors that are reserved for everything but HTTP: sockets, journal, recordings, the log.
const RESERVED: usize = 64;

/// Maximum number of descriptors that this process may have open; `usize::MAX` for no limit.
pub fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Raises the limit to the maximum that the system allows this process, and warns if it is still
/// small.
pub fn raise_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
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

/// Number of connections that one of the HTTP services may have open, 8 to `most`. Both services
/// together leave half of the descriptors, and `RESERVED` of them, to what must not fail.
///
/// # Panics
/// If `most` is less than 8.
pub(crate) fn share_for_http(most: usize) -> usize {
    (limit().saturating_sub(RESERVED) / 4).clamp(8, most)
}
