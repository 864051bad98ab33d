//! The way of a received payload: messages, then the snapshot into the buffer, the clock and the
//! prediction.

use super::ClientRuntime;
use crate::bits::BitReader;
use crate::client::client_connection::LinkEvent;
use crate::client::interpolation::Interpolation;
use crate::client::prediction::Predict;
use crate::client::runtime::ClientEvent;
use crate::client::skipped_slots::SkippedSlots;
use crate::client::snapshot_buffer::{AppliedSnapshot, SnapshotError};
use crate::client::tick_clock::TickClock;
use crate::error::WireError;
use crate::messages::{Body, ClientMessage, MismatchReport};
use crate::mutant::{Mutant, is_planted};
use crate::session::Role;
use crate::tick::Tick;
use crate::time::Timestamp;

impl<P: Predict> ClientRuntime<P> {
    pub(super) fn take_messages(&mut self, now: Timestamp) -> Result<(), WireError> {
        while let Some(event) = self.link.next_event(now)? {
            self.take_event(event);
        }
        self.start_clock(now);
        Ok(())
    }

    pub(super) fn take_payload(&mut self, payload: &[u8], now: Timestamp) {
        match self.receive_payload(payload, now) {
            Ok(()) => {}
            Err(SnapshotError::HashMismatch(report)) => {
                self.stats.hash_mismatches += 1;
                self.ask_for_resync(now);
                self.report_mismatch(report, now);
            }
            Err(SnapshotError::Baseline) => self.note_unusable(now),
            Err(SnapshotError::Wire(WireError::Stale(_))) => self.stats.stale += 1,
            Err(SnapshotError::Wire(_)) => self.stats.decode_errors += 1,
        }
    }

    fn receive_payload(&mut self, payload: &[u8], now: Timestamp) -> Result<(), SnapshotError> {
        let (sequence, reader) = self.link.open(payload, now)?;
        while let Some(sequence) = self.link.poll_acked() {
            self.commands.packet_acked(sequence);
        }
        self.take_messages(now)?;
        self.receive_body(reader, now)?;
        self.link.accept(sequence);
        Ok(())
    }

    fn take_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Welcomed { tick_rate } => {
                self.game.welcomed(tick_rate);
                self.interpolation = Some(Interpolation::new(tick_rate));
                self.prediction.restart(tick_rate);
                self.own_view.restart();
                self.clock = None;
                self.skipped = SkippedSlots::default();
            }
            // Each snapshot carries its own count of skipped slots.
            LinkEvent::TimeLineMoved(_) => {}
            LinkEvent::Game(tick, data) => {
                if !self.events.keep(ClientEvent::Game(tick, data)) {
                    self.link.end_unread();
                }
            }
            LinkEvent::Unreliable(tick, data) => {
                self.events.keep(ClientEvent::Game(tick, data));
            }
        }
    }

    fn receive_body(
        &mut self,
        mut reader: BitReader<'_>,
        now: Timestamp,
    ) -> Result<(), SnapshotError> {
        match Body::from_tag(reader.read(Body::BITS)?)? {
            Body::Empty => Ok(reader.finish()?),
            Body::Commands => Err(WireError::Misbehaving("a server sends no commands").into()),
            Body::DisconnectNotice => Ok(self.link.take_disconnect(reader)?),
            Body::Snapshot
                if is_planted(Mutant::AcceptUndecoded) && self.is_overtaken(reader.clone()) =>
            {
                Ok(())
            }
            Body::Snapshot => {
                let taken = self.buffer.take(&self.schema, reader)?;
                self.stats.snapshots += 1;
                self.resync_throttle.packet_taken();
                self.snapshot_taken(&taken, now);
                Ok(())
            }
        }
    }

    fn is_overtaken(&self, mut reader: BitReader<'_>) -> bool {
        let tick = reader.read(32).map(Tick);
        self.buffer
            .newest()
            .zip(tick.ok())
            .is_some_and(|(newest, tick)| newest.is_after(tick))
    }

    fn snapshot_taken(&mut self, taken: &AppliedSnapshot, now: Timestamp) {
        let slot = self.slot(taken);
        if taken.newest {
            self.note_gap(now);
            if let Some(interpolation) = &mut self.interpolation {
                interpolation.snapshot(taken.tick, now);
                self.buffer
                    .take_gone()
                    .for_each(|removed| interpolation.removed(removed));
            }
            let round_trip = self
                .link
                .connection()
                .and_then(|connection| connection.rtt().measured());
            if let Some(clock) = &mut self.clock {
                clock.snapshot(slot, round_trip, now);
            }
            self.commands.settled(slot);
        }
        // A spectator acknowledges as often as a player does by its commands.
        if taken.last && self.role == Role::Spectator {
            self.link.owe_answer(now);
        }
        self.note_latency(taken, slot, now);
        taken
            .feedback
            .iter()
            .for_each(|feedback| self.stats.note_feedback(feedback.margin.is_some()));
        if let Some((feedback, clock)) = taken.feedback.as_ref().zip(self.clock.as_mut()) {
            clock.feedback(slot, feedback, now);
        }
        if taken.own.is_some() {
            self.reconcile(taken, slot);
        }
        self.start_clock(now);
    }

    /// The slot in which a snapshot's tick ran. Other entities are shown later by the slots that
    /// the server skipped.
    fn slot(&mut self, taken: &AppliedSnapshot) -> Tick {
        let known = taken
            .feedback
            .as_ref()
            .map(|feedback| self.skipped.told(feedback.skipped));
        if let (Some(moved), Some(interpolation), Some(rate)) = (
            known.map(|known| known.moved).filter(|moved| *moved > 0),
            &mut self.interpolation,
            self.link.time_line(),
        ) {
            interpolation
                .time_line_moved(i64::from(moved) * 1_000_000 / i64::from(rate.tick_rate()));
        }
        taken.tick + known.map_or(self.skipped.newest(), |known| known.skipped)
    }

    /// Starts the clock once its inputs are known. A spectator needs none: it sends no commands.
    fn start_clock(&mut self, now: Timestamp) {
        // A lost handshake packet makes the path look longer than it is, and so does a low tick
        // rate through delayed acknowledgements.
        let measured = self
            .link
            .connection()
            .and_then(|connection| connection.rtt().measured());
        let round_trip = self
            .link
            .resumable()
            .round_trip()
            .into_iter()
            .chain(measured)
            .min();
        let known = (
            &self.clock,
            self.link.time_line(),
            self.buffer.newest(),
            round_trip,
        );
        if let (None, Some(time_line), Some(newest), Some(round_trip)) = known
            && self.role == Role::Player
        {
            let newest = newest + self.skipped.newest();
            self.clock = Some(TickClock::new(
                time_line.tick_rate(),
                newest,
                round_trip,
                now,
            ));
        }
    }

    fn note_latency(&mut self, taken: &AppliedSnapshot, slot: Tick, now: Timestamp) {
        let Some(time_line) = self.link.time_line() else {
            return;
        };
        for latency in self
            .latency
            .shown(taken, slot, time_line.tick_at_us(taken.tick), now)
        {
            self.events.report(ClientEvent::Latency(latency));
        }
    }

    fn note_gap(&mut self, now: Timestamp) {
        if let Some(before) = self.newest_at.replace(now) {
            self.stats.longest_gap_us = self
                .stats
                .longest_gap_us
                .max(now.since(before).as_micros() as u64);
        }
    }

    /// Notes a packet whose baseline is not held.
    fn note_unusable(&mut self, now: Timestamp) {
        self.stats.stale += 1;
        if self.resync_throttle.packet_unusable() {
            self.ask_for_resync(now);
        }
    }

    /// Requests a full resync, since the client's copy is in doubt: at most once in about two round
    /// trips.
    fn ask_for_resync(&mut self, now: Timestamp) {
        let wait = self
            .link
            .connection()
            .map(|connection| connection.rtt().resend_after() * 2);
        if wait.is_some_and(|wait| self.resync_throttle.may_ask(wait, now)) {
            self.stats.resyncs += 1;
            self.link.tell(&ClientMessage::Resync);
        }
    }

    /// Reports the decoded state to the server, so that it can name the difference.
    fn report_mismatch(&mut self, report: MismatchReport, now: Timestamp) {
        if self.resync_throttle.may_report(now) {
            self.link.tell(&ClientMessage::Mismatch(report));
        }
    }
}
