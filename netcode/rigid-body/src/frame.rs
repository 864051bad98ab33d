//! The data of a frame that both sides know before its first body, and after its player.

use super::Body;
use super::history::{OLDER, PastTicks};
use super::rotation::turn;
use super::vector::{Vector, place};
use truetick_netcode::replication::quaternion::Quaternion;

/// The states that a block builds on. All have the same number of bodies, in the same order.
#[derive(Clone, Copy, Debug)]
pub struct BodyBaselines<'a> {
    /// States of all bodies in the baseline.
    pub base: &'a [Body],
    /// The older states, the newest first; the baseline itself where there is none.
    pub older: [&'a [Body]; OLDER],
    /// Ages of the baseline and the older states.
    pub ticks: PastTicks,
}

/// Lowest height of a body's centre, in grid steps: half its height when it lies flat on the
/// ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floors {
    /// Lowest height of the player, body 0.
    pub player: i32,
    /// Lowest height of all other bodies.
    pub others: i32,
}

impl Floors {
    /// Lowest height of the body with this index.
    #[inline(always)]
    pub fn of(self, index: usize) -> i32 {
        if index == 0 { self.player } else { self.others }
    }
}

/// The values that all bodies of a frame share.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The states that the frame builds on.
    pub pasts: BodyBaselines<'a>,
    /// Age of the baseline divided by its distance to each older state; 0 where there is none.
    pub ratios: [f32; OLDER],
    /// Square of the age in sixths of a tick, to which the height of a fall is proportional.
    pub fall: f32,
    /// Lowest heights of bodies.
    pub floors: Floors,
    /// Position of the player in the oldest state, in the baseline and now.
    pub player: [Vector; 3],
    /// The player's turn from the oldest state to the baseline, and from there to now.
    pub turns: [Quaternion; 2],
}

impl<'a> Frame<'a> {
    /// Creates a frame whose player is not coded yet.
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

    /// Sets the player's new state once it is coded.
    #[inline(always)]
    pub(crate) fn set_player(&mut self, now: Body) {
        self.player[2] = place(now);
        self.turns[1] = turn(self.pasts.base[0].quaternion(), now.quaternion());
    }
}
