//! Faults of a game's own code that the server corrects and reports. They do not reach clients.

use std::time::Duration;

use thiserror::Error;
use truetick_netcode::channel::{Channel, ORDERED_STREAMS};
use truetick_netcode::time::Timestamp;

use super::registry::OutOfRange;

/// Minimum time between two reports of a room's faults.
pub const FAULT_INTERVAL: Duration = Duration::from_secs(1);

/// Why a game's event was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventError {
    /// The event is larger than its channel carries.
    #[error("an event of {bytes} bytes on {channel:?}, which carries at most {max}")]
    TooLarge {
        /// Channel of the event.
        channel: Channel,
        /// Bytes of its data.
        bytes: usize,
        /// Maximum bytes of data on this channel.
        max: usize,
    },
    /// The channel is an ordered stream that does not exist.
    #[error("an event on ordered stream {0} of {ORDERED_STREAMS}")]
    NoSuchStream(u8),
}

/// A fault of a game's own code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GameFault {
    /// A component held a value out of its field's range, which was clamped.
    #[error("a value was clamped: {0}")]
    OutOfRange(#[from] OutOfRange),
    /// An event could not be sent and was dropped.
    #[error("an event was refused: {0}")]
    Event(#[from] EventError),
    /// A room's message to a client was larger than its channel carries. It was dropped, and the
    /// client's session continues.
    #[error("a message to a client is too large for its channel")]
    Message,
}

/// Counts the faults of a room and limits their reports.
#[derive(Debug, Default)]
pub(crate) struct FaultLog {
    /// The first fault since the last report.
    first: Option<GameFault>,
    /// Number of faults since the last report.
    count: u64,
    reported_at: Option<Timestamp>,
}

impl FaultLog {
    /// Records a fault that happened `count` times.
    pub fn note(&mut self, fault: GameFault, count: u64) {
        self.first.get_or_insert(fault);
        self.count += count;
    }

    /// The first fault since the last report and the number of faults. `None` if there were none,
    /// or if the last report is less than [`FAULT_INTERVAL`] ago.
    pub fn poll(&mut self, now: Timestamp) -> Option<(GameFault, u64)> {
        if self
            .reported_at
            .is_some_and(|at| now.since(at) < FAULT_INTERVAL)
        {
            return None;
        }
        let fault = self.first.take()?;
        self.reported_at = Some(now);
        Some((fault, std::mem::take(&mut self.count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_and_reported_once_a_second() {
        let (mut log, start) = (FaultLog::default(), Timestamp::from_millis(5));
        let fault = |stream| GameFault::Event(EventError::NoSuchStream(stream));
        assert_eq!(log.poll(start), None);
        log.note(fault(7), 1);
        log.note(fault(8), 2);
        assert_eq!(log.poll(start), Some((fault(7), 3)));
        log.note(fault(9), 1);
        assert_eq!(log.poll(start + FAULT_INTERVAL / 2), None);
        assert_eq!(log.poll(start + FAULT_INTERVAL), Some((fault(9), 1)));
    }
}
