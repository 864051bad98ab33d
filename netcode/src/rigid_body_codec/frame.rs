//! What both sides know of a frame before its first body, and after its player.

use super::Body;
use super::history::{OLDER, PastTicks};
use super::rotation::turn;
use super::vector::{Vector, place};
use crate::replication::quaternion::Quaternion;

/// The states that a block builds upon: equally long, body by body.
#[derive(Clone, Copy, Debug)]
pub struct BodyBaselines<'a> {
    /// The baseline.
    pub base: &'a [Body],
    /// The states before it, the nearest first; the baseline itself where there is none.
    pub older: [&'a [Body]; OLDER],
    /// How old they are.
    pub ticks: PastTicks,
}

/// How low the middle of a body can be, in grid steps: half its height when it lies flat on the
/// ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floors {
    /// Of the player, body 0.
    pub player: i32,
    /// Of all others.
    pub others: i32,
}

impl Floors {
    /// Of a body of the frame.
    #[inline(always)]
    pub fn of(self, index: usize) -> i32 {
        if index == 0 { self.player } else { self.others }
    }
}

/// What is the same for all bodies of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The states.
    pub pasts: BodyBaselines<'a>,
    /// The age of the baseline over its distance to each older state; 0 where there is none.
    pub ratios: [f32; OLDER],
    /// The age in sixths of a tick, squared: how far things fall.
    pub fall: f32,
    /// How low bodies can be.
    pub floors: Floors,
    /// The player as of the oldest state, the baseline and now.
    pub player: [Vector; 3],
    /// The player's turn from the oldest state to the baseline, and from there to now.
    pub turns: [Quaternion; 2],
}

impl<'a> Frame<'a> {
    /// A frame whose player is not coded yet.
    pub fn new(pasts: BodyBaselines<'a>, floors: Floors) -> Self {
        let age = pasts.ticks.age as f32;
        let ratio = |gap: u32| if gap == 0 { 0.0 } else { age / gap as f32 };
        let mut frame = Self {
            pasts,
            ratios: pasts.ticks.gaps.map(ratio),
            fall: age * age / 36.0,
            floors,
            player: [[0.0; 3]; 3],
            turns: [[0.0, 0.0, 0.0, 1.0]; 2],
        };
        if let (Some(oldest), Some(base)) = (pasts.older[OLDER - 1].first(), pasts.base.first()) {
            frame.player = [place(*oldest), place(*base), place(*base)];
            frame.turns[0] = turn(oldest.quaternion(), base.quaternion());
        }
        frame
    }

    /// The player is coded: it is this now.
    #[inline(always)]
    pub fn set_player(&mut self, now: Body) {
        self.player[2] = place(now);
        self.turns[1] = turn(self.pasts.base[0].quaternion(), now.quaternion());
    }
}
