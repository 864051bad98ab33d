//! Which errors end a socket, and how the others are reported: all are counted, few are logged.

use std::io::{self, ErrorKind};

use rustix::io::Errno;
use tracing::warn;

use crate::limits::SOCKET_ERROR_LOG_INTERVAL;
use truetick_netcode::time::Timestamp;

/// Returns whether an error means that the descriptor is no longer an open socket. All other errors
/// are transient: an interface comes up again, memory is freed, a filter is changed, and an ICMP
/// message concerns one peer.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    let ends = [Errno::BADF, Errno::NOTSOCK].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|code| ends.contains(&code))
}

/// Returns whether an error only means that there is nothing to do now.
pub(super) fn is_idle(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Counter and log of one socket's errors in one direction.
#[derive(Debug)]
pub(super) struct SocketErrors {
    doing: &'static str,
    count: u64,
    /// The count at the last log line, and the time of that line.
    logged: Option<(u64, Timestamp)>,
}

impl SocketErrors {
    /// Creates an empty counter. `doing` names the failed operation in the log.
    pub(super) fn new(doing: &'static str) -> Self {
        Self {
            doing,
            count: 0,
            logged: None,
        }
    }

    /// Returns the number of errors so far. Those that only mean that there is nothing to do are
    /// not counted.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Counts an error, and logs it unless another was logged less than
    /// [`SOCKET_ERROR_LOG_INTERVAL`] ago. Returns the error if the socket is closed.
    pub(super) fn note(&mut self, error: io::Error, now: Timestamp) -> io::Result<()> {
        if is_idle(&error) {
            return Ok(());
        }
        self.count += 1;
        if is_closed(&error) {
            return Err(error);
        }
        let (before, at) = self.logged.unwrap_or_default();
        if self.logged.is_none() || now.since(at) >= SOCKET_ERROR_LOG_INTERVAL {
            warn!(%error, errors = self.count - before, "cannot {}; going on", self.doing);
            self.logged = Some((self.count, now));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn of_all_errors_only_a_closed_descriptor_is_an_end() {
        for code in 1..=133 {
            let error = io::Error::from_raw_os_error(code);
            let ends = code == Errno::BADF.raw_os_error() || code == Errno::NOTSOCK.raw_os_error();
            assert_eq!(is_closed(&error), ends, "{error}");
            let mut errors = SocketErrors::new("receive");
            assert_eq!(errors.note(error, Timestamp::default()).is_err(), ends);
        }
        assert!(!is_closed(&io::Error::other("no errno")));
    }

    #[test]
    fn each_error_is_counted_and_few_are_logged() {
        let mut errors = SocketErrors::new("receive");
        let mut logged = 0;
        for ms in 0..30_000 {
            let now = Timestamp::from_millis(ms);
            let before = errors.logged;
            errors
                .note(
                    io::Error::from_raw_os_error(Errno::NETDOWN.raw_os_error()),
                    now,
                )
                .unwrap();
            logged += usize::from(errors.logged != before);
        }
        let allowed = Duration::from_secs(30).as_secs() / SOCKET_ERROR_LOG_INTERVAL.as_secs();
        assert_eq!((errors.count(), logged as u64), (30_000, allowed));
        errors
            .note(ErrorKind::WouldBlock.into(), Timestamp::from_millis(30_000))
            .unwrap();
        assert_eq!(errors.count(), 30_000, "an empty queue is no error");
    }
}
