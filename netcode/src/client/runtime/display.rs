//! What a display shows: the own entity as predicted, others as interpolated.

use super::ClientRuntime;
use crate::client::own_view::Now;
use crate::client::prediction::{Confirmed, Own, Predict, Reconciled};
use crate::client::runtime::ClientEvent;
use crate::client::snapshot_buffer::AppliedSnapshot;
use crate::replication::NetId;
use crate::schema::KindId;
use crate::tick::Tick;
use crate::time::Timestamp;

impl<P: Predict> ClientRuntime<P> {
    /// The slots of all entities that may be drawn now: those in the client's copy, and those that
    /// were removed from it but are still visible at the display time. A slot may occur twice;
    /// [`Self::view`] returns the older entity first.
    pub fn slots(&self) -> impl Iterator<Item = u16> {
        let leaving = self
            .interpolation
            .iter()
            .flat_map(|interpolation| interpolation.leaving());
        self.buffer
            .entities()
            .map(|remote| remote.id.slot)
            .chain(leaving)
    }

    /// The display time of other entities, in ticks of the server; `None` before the first
    /// snapshot.
    pub fn shown_tick(&mut self, now: Timestamp) -> Option<f64> {
        let interpolation = self.interpolation.as_mut()?;
        interpolation.advance(now);
        interpolation.clock().shown_tick()
    }

    /// The values to draw now, one per field of the kind: for the own entity the smoothed
    /// prediction between two ticks, for others the interpolated state. `None` for an unknown
    /// entity, or one whose first state is later than the display time.
    pub fn view(&mut self, slot: u16, now: Timestamp) -> Option<(NetId, KindId, Vec<f32>)> {
        let leaving = self
            .interpolation
            .as_mut()
            .and_then(|shown| shown.sample_leaving(slot, &self.schema, now));
        if leaving.is_some() {
            return leaving;
        }
        let remote = self.buffer.entity(slot)?;
        let (id, kind) = (remote.id, remote.kind);
        let info = self.schema.kind(kind);
        let is_predicted = remote.is_own() && self.prediction.own() == Some(Own { id, kind });
        let own = self
            .clock
            .as_ref()
            .zip(self.link.connection())
            .filter(|_| is_predicted);
        if let (Some((clock, connection)), Some(rate)) = (own, self.tick_rate()) {
            let state = Now {
                at: now,
                clock,
                prediction: &self.prediction,
                newest_at: self.newest_at.unwrap_or(now),
                round_trip: connection.rtt().rtt(),
                dt_s: 1.0 / f64::from(rate),
            };
            if let Some(values) = self.own_view.draw(info, &state) {
                return Some((id, kind, values));
            }
        }
        let values = self.interpolation.as_mut()?.sample(remote, info, now)?;
        Some((id, kind, values))
    }

    /// Compares the server's state of the own entity with the prediction.
    pub(super) fn reconcile(&mut self, taken: &AppliedSnapshot, slot: Tick) {
        let Some((feedback, own)) = taken.feedback.as_ref().zip(taken.own) else {
            return;
        };
        let Some(remote) = self.buffer.entity(own.slot) else {
            return;
        };
        let Some(held) = remote.at(taken.tick) else {
            return;
        };
        let info = self.schema.kind(remote.kind);
        let own = Own {
            id: remote.id,
            kind: remote.kind,
        };
        if self.prediction.own().is_some_and(|before| before != own) {
            self.own_view.restart();
        }
        let confirmed = Confirmed {
            slot,
            fields: held.fields,
            feedback,
        };
        let result = self.prediction.reconcile(&self.game, own, info, &confirmed);
        let compared = matches!(result, Reconciled::Right | Reconciled::Wrong(_));
        self.stats.compared += u64::from(compared);
        if matches!(result, Reconciled::Started | Reconciled::Wrong(_)) {
            self.own_view.corrected(info, &self.prediction);
        }
        if let Reconciled::Wrong(wrong) = result {
            self.stats.mispredictions += 1;
            self.events.report(ClientEvent::Mispredicted(wrong));
        }
    }
}
