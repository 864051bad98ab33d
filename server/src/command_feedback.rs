//! Feedback to a client on its commands: how early that of the last tick arrived, and how late the
//! late ones were.
//!
//! Not every tick is sent. Feedback on a late command waits for the next snapshot.

use truetick_netcode::command::Command;
use truetick_netcode::limits::CATCH_UP_TICKS;
use truetick_netcode::replication::snapshot::{FEEDBACK_UNIT_US, Feedback, Late, Lates};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use super::command_queue::CommandQueue;
use super::timeline::Timeline;

/// Arrivals of the commands of the ticks that were simulated since the last snapshot.
#[derive(Debug)]
pub(crate) struct CommandArrivals {
    last: Option<Timestamp>,
    earlier: Vec<Timestamp>,
}

impl Default for CommandArrivals {
    fn default() -> Self {
        Self {
            last: None,
            earlier: Vec::with_capacity(CATCH_UP_TICKS as usize),
        }
    }
}

impl CommandArrivals {
    /// Records the arrival of the command of the tick that is simulated now; `None` if it is
    /// missing.
    pub fn note(&mut self, arrived: Option<Timestamp>) {
        let before = std::mem::replace(&mut self.last, arrived);
        if self.earlier.len() < CATCH_UP_TICKS as usize {
            self.earlier.extend(before);
        }
    }

    /// Takes all arrivals, once the snapshot with their effect is sent.
    pub fn take(&mut self) -> impl Iterator<Item = Timestamp> {
        self.earlier.drain(..).chain(self.last.take())
    }

    /// Feedback for the snapshot of `tick`, the last tick simulated.
    pub fn feedback<C: Command>(
        &self,
        queue: &mut CommandQueue<C>,
        tick: Tick,
        timeline: &Timeline,
    ) -> Feedback {
        let units = |us: i64| (us / FEEDBACK_UNIT_US).clamp(0, 0xfffe) as u16;
        let margin = self
            .last
            .map(|arrived| units(timeline.deadline(tick).micros_from(arrived)));
        let mut lates = Lates::default();
        for (late, arrived) in queue.take_lates() {
            // A late command that is too old for the field is not reported.
            if let Ok(back) = u8::try_from(timeline.slot(tick).distance(late)) {
                lates.push(Late {
                    back,
                    by: units(arrived.micros_from(timeline.slot_deadline(late))),
                });
            }
        }
        let (missing, skipped) = (queue.counts().missing as u8, timeline.skipped() as u16);
        Feedback {
            margin,
            lates,
            missing,
            processing: 0,
            skipped,
        }
    }
}
