//! When the slots of a block of entities changed, for each audience.

use crate::schema::Audience;
use crate::tick::Tick;

use super::super::block_delta::BLOCK;

/// Number of audiences that clients belong to: all but the server's.
pub(super) const CLIENTS: usize = 3;

/// Records of 64 slots.
#[derive(Clone, Debug)]
pub struct Block {
    /// Bit mask of the slots with an entity of which clients may see any field.
    pub live: u64,
    /// By audience and slot, the tick of the last change of any field that the audience sees.
    pub(super) changed: [[Tick; BLOCK]; CLIENTS],
    /// By slot, the tick in which the entity was first recorded.
    pub(super) born: [Tick; BLOCK],
    /// Latest tick of `born`.
    pub(super) last_born: Tick,
    pub(super) teams: [u8; BLOCK],
}

impl Block {
    pub(super) fn new() -> Self {
        Self {
            live: 0,
            changed: [[Tick(0); BLOCK]; CLIENTS],
            born: [Tick(0); BLOCK],
            last_born: Tick(0),
            teams: [0; BLOCK],
        }
    }

    /// Bit mask of the slots that changed after a tick in what an audience of clients sees. Bits of
    /// slots that are not live are meaningless.
    pub fn changed_after(&self, tick: Tick, audience: Audience) -> u64 {
        let changed = &self.changed[audience as usize];
        (0..BLOCK).fold(0, |mask, i| {
            mask | u64::from(changed[i].is_after(tick)) << i
        })
    }

    /// Bit mask of the slots whose entity was first recorded after a tick, so that no client holds
    /// it at that tick. Bits of slots that are not live are meaningless.
    pub fn born_after(&self, tick: Tick) -> u64 {
        if !self.last_born.is_after(tick) {
            return 0;
        }
        (0..BLOCK).fold(0, |mask, i| {
            mask | u64::from(self.born[i].is_after(tick)) << i
        })
    }

    /// Tick in which a slot last changed in what an audience of clients sees.
    pub fn changed(&self, slot: u16, audience: Audience) -> Tick {
        self.changed[audience as usize][usize::from(slot) % BLOCK]
    }

    /// Bit mask of the live slots with an entity of a team; 0 for team 0.
    pub(crate) fn of_team(&self, team: u8) -> u64 {
        (0..BLOCK).fold(0, |mask, i| {
            mask | u64::from(team != 0 && self.teams[i] == team) << i
        }) & self.live
    }
}

/// A block of a ring with its index.
#[derive(Clone, Copy, Debug)]
pub struct BlockAt<'a> {
    /// Index of the block among [`StateRing::blocks`](super::StateRing::blocks).
    pub at: usize,
    /// Records of its slots.
    pub block: &'a Block,
}
