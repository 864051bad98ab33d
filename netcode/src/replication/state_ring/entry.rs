//! A live entity with its versions: its states from one change to the next.

use std::collections::VecDeque;

use super::super::{NetId, entity};
use crate::limits::RING_TICKS;
use crate::schema::{Audience, KindId, KindInfo, Visibility};
use crate::session::ClientId;
use crate::tick::Tick;

/// An entity's state from one change to the next.
#[derive(Clone, Debug)]
pub struct Version {
    /// Tick of the change.
    pub tick: Tick,
    /// Grid values of the fields, in the order of the kind.
    pub fields: Box<[u32]>,
    /// Hashes of the fields that each [`Audience`] sees, by audience.
    pub hashes: [u64; 4],
}

/// A live entity and its versions.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Identity of the entity.
    pub id: NetId,
    /// Kind of the entity.
    pub kind: KindId,
    /// Client that owns the entity; `None` if no client does.
    pub owner: Option<ClientId>,
    /// Versions, oldest first; never empty once the entity is recorded.
    pub(super) state_history: VecDeque<Version>,
}

impl Entry {
    /// The newest version.
    pub fn current(&self) -> &Version {
        &self.state_history[self.state_history.len() - 1]
    }

    /// The version in force at a tick, if it is still kept.
    pub fn at(&self, tick: Tick) -> Option<&Version> {
        // From the newest back, because a client's baseline is usually only a few versions old.
        self.state_history
            .iter()
            .rev()
            .find(|v| !v.tick.is_after(tick))
    }

    /// The version in force at a tick, if a client may still build on it: it is current, or was
    /// superseded at most [`RING_TICKS`] before `now`. Clients keep no older ones.
    pub fn baseline(&self, tick: Tick, now: Tick) -> Option<&Version> {
        let at = self
            .state_history
            .iter()
            .rposition(|version| !version.tick.is_after(tick))?;
        let is_recent = |next: &Version| now.distance(next.tick) <= RING_TICKS as i32;
        self.state_history
            .get(at + 1)
            .is_none_or(is_recent)
            .then(|| &self.state_history[at])
    }

    /// Number of versions that are kept.
    pub fn state_history(&self) -> usize {
        self.state_history.len()
    }

    /// Makes a new version if something changed; returns the visibility of the most visible changed
    /// field.
    pub(super) fn change(
        &mut self,
        info: &KindInfo,
        fields: &[u32],
        tick: Tick,
    ) -> Option<Visibility> {
        let least = match self.state_history.back() {
            None => Visibility::Everyone,
            Some(before) => {
                let pairs = before.fields.iter().zip(fields).zip(&info.fields);
                pairs
                    .filter(|((a, b), _)| a != b)
                    .map(|(_, field)| field.visibility)
                    .min()?
            }
        };
        let hashes = self.hashes(info, fields, least);
        let mut version = self.retire(tick).unwrap_or_else(|| Version {
            tick,
            fields: fields.into(),
            hashes,
        });
        version.tick = tick;
        version.fields.copy_from_slice(fields);
        version.hashes = hashes;
        self.state_history.push_back(version);
        Some(least)
    }

    /// Computes the hashes of a new version, of which `least` is the most visible changed field.
    /// Audiences that do not see it keep their hash, and those that see no more than the audience
    /// before share its hash.
    fn hashes(&self, info: &KindInfo, fields: &[u32], least: Visibility) -> [u64; 4] {
        let mut hashes = self
            .state_history
            .back()
            .map_or([0; 4], |before| before.hashes);
        let least = least as usize;
        for audience in &Audience::ALL[least..] {
            let at = *audience as usize;
            let sees_more = info
                .fields
                .iter()
                .any(|field| field.visibility as usize == at);
            hashes[at] = if at == least || sees_more {
                entity::hash(info, *audience, fields)
            } else {
                hashes[at - 1]
            };
        }
        hashes
    }

    /// Drops versions that were superseded more than [`RING_TICKS`] ago; returns one for its
    /// memory.
    pub(super) fn retire(&mut self, now: Tick) -> Option<Version> {
        let mut retired = None;
        while self.state_history.len() > 1
            && now.distance(self.state_history[1].tick) > RING_TICKS as i32
        {
            retired = self.state_history.pop_front();
        }
        retired
    }
}
