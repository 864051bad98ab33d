//! The time from sending a command to the first snapshot that shows its effect.

use super::snapshot_buffer::AppliedSnapshot;
use crate::replication::snapshot::FEEDBACK_UNIT_US;
use crate::tick::Tick;
use crate::time::Timestamp;

/// Number of commands whose sending is remembered: four seconds at 60 Hz.
const COMMANDS: usize = 256;

/// Latency of one command, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Time from sending the command to the snapshot with its effect.
    pub total_us: i64,
    /// The latency by stages; `None` where the snapshot of the command's own tick was lost and a
    /// later one showed the effect.
    pub stages: Option<LatencyStages>,
}

/// The stages of a [`Latency`], in microseconds. They are valid only where client and server share
/// a clock (one host); elsewhere the two directions cannot be separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyStages {
    /// From sending to the server's socket.
    pub client_to_server_us: i64,
    /// From the server's socket to the tick's deadline.
    pub wait_for_tick_us: i64,
    /// From the tick's deadline to the creation of the snapshot.
    pub simulate_and_encode_us: i64,
    /// From the creation of the snapshot to the client.
    pub server_to_client_us: i64,
}

/// Remembers when commands were sent, and measures their latency.
#[derive(Debug)]
pub(crate) struct LatencyMeter {
    sent_at: Box<[Option<(Tick, Timestamp)>; COMMANDS]>,
    /// Newest slot whose command's effect was shown, and the server's count of missing commands at
    /// that time.
    shown: Option<(Tick, u8)>,
}

impl Default for LatencyMeter {
    fn default() -> Self {
        Self {
            sent_at: Box::new([None; COMMANDS]),
            shown: None,
        }
    }
}

impl LatencyMeter {
    /// Notes when the command of a slot is first sent.
    pub fn sent(&mut self, slot: Tick, now: Timestamp) {
        self.sent_at[slot.0 as usize % COMMANDS] = Some((slot, now));
    }

    /// Handles a snapshot: it shows every command up to its slot that was not shown before.
    /// Commands that the server lacked have no effect and no latency. If some of several were
    /// lacking, it is unknown which, and only the snapshot's own command counts. `deadline_us` is
    /// when the tick was due, on the server's clock.
    pub fn shown(
        &mut self,
        taken: &AppliedSnapshot,
        slot: Tick,
        deadline_us: i64,
        now: Timestamp,
    ) -> Vec<Latency> {
        let Some(feedback) = taken.feedback else {
            return Vec::new();
        };
        let (before, missing) = self.shown.unwrap_or((slot.back(1), feedback.missing));
        if !slot.is_after(before) {
            return Vec::new();
        }
        self.shown = Some((slot, feedback.missing));
        let skipped = slot.distance(before) as u32 - 1;
        let lost = if missing == feedback.missing {
            skipped.min(COMMANDS as u32)
        } else {
            0
        };
        let earlier = (1..=lost)
            .rev()
            .filter_map(|back| self.time_of(slot.back(back)));
        let total = |sent| Latency {
            total_us: now.micros_from(sent),
            stages: None,
        };
        let mut shown: Vec<Latency> = earlier.map(total).collect();
        if let (Some(margin), Some(sent)) = (feedback.margin, self.time_of(slot)) {
            let wait_for_tick_us = i64::from(margin) * FEEDBACK_UNIT_US;
            let simulate_and_encode_us = i64::from(feedback.processing) * 64;
            let stages = LatencyStages {
                client_to_server_us: deadline_us - wait_for_tick_us - sent.as_micros() as i64,
                wait_for_tick_us,
                simulate_and_encode_us,
                server_to_client_us: now.as_micros() as i64 - deadline_us - simulate_and_encode_us,
            };
            shown.push(Latency {
                stages: Some(stages),
                ..total(sent)
            });
        }
        shown
    }

    fn time_of(&self, tick: Tick) -> Option<Timestamp> {
        self.sent_at[tick.0 as usize % COMMANDS]
            .filter(|(at, _)| *at == tick)
            .map(|(_, sent)| sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::snapshot::Feedback;

    fn snapshot(tick: u32, margin: Option<u16>, missing: u8) -> AppliedSnapshot {
        let feedback = Some(Feedback {
            margin,
            missing,
            ..Feedback::default()
        });
        AppliedSnapshot {
            tick: Tick(tick),
            feedback,
            newest: true,
            last: true,
            own: None,
        }
    }

    fn totals_ms(meter: &mut LatencyMeter, taken: &AppliedSnapshot, now_ms: u64) -> Vec<i64> {
        let shown = meter.shown(taken, taken.tick, 0, Timestamp::from_millis(now_ms));
        shown
            .iter()
            .map(|latency| latency.total_us / 1_000)
            .collect()
    }

    fn meter() -> LatencyMeter {
        let mut meter = LatencyMeter::default();
        (10..20)
            .for_each(|tick| meter.sent(Tick(tick), Timestamp::from_millis(u64::from(tick) * 10)));
        meter
    }

    #[test]
    fn a_lost_snapshot_makes_its_command_take_longer_and_not_vanish() {
        let mut meter = meter();
        assert_eq!(totals_ms(&mut meter, &snapshot(10, Some(1), 0), 150), [50]);
        assert_eq!(
            totals_ms(&mut meter, &snapshot(13, Some(1), 0), 180),
            [70, 60, 50]
        );
        assert_eq!(totals_ms(&mut meter, &snapshot(13, Some(1), 0), 190), []);
    }

    #[test]
    fn a_missing_command_has_no_latency() {
        let mut meter = meter();
        assert_eq!(totals_ms(&mut meter, &snapshot(10, Some(1), 0), 150), [50]);
        assert_eq!(totals_ms(&mut meter, &snapshot(11, None, 1), 160), []);
        assert_eq!(totals_ms(&mut meter, &snapshot(14, Some(1), 2), 190), [50]);
    }
}
