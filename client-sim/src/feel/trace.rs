//! What a case recorded: every frame drawn, every tick executed, every change of the player's keys.

use std::sync::Arc;

use glam::DVec2;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use super::courses::Course;

/// A mover as it was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// Which mover.
    pub index: usize,
    /// Where, in metres.
    pub position: DVec2,
}

/// One frame of the display.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// When, in true time.
    pub at: Timestamp,
    /// The time at which other entities are shown, in ticks of the server.
    pub shown_tick: Option<f64>,
    /// The player's own entity, in metres.
    pub player: Option<DVec2>,
    /// The movers.
    pub movers: Vec<Drawn>,
}

/// One tick of the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Executed {
    /// When, in true time.
    pub at: Timestamp,
    /// Which.
    pub tick: Tick,
    /// How long before that its command had arrived, in milliseconds; `None` if it ran without a
    /// new command.
    pub margin_ms: Option<f64>,
    /// When the player gave that command.
    pub given: Option<Timestamp>,
}

/// The player changed direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// When, in true time.
    pub at: Timestamp,
    /// -1 for left, 1 for right.
    pub direction: i8,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The movers' courses.
    pub courses: Arc<Vec<Course>>,
    /// Frames in the order in which they were drawn.
    pub frames: Vec<Frame>,
    /// Ticks in the order in which they were executed.
    pub executed: Vec<Executed>,
    /// The player's keys.
    pub keys: Vec<KeyChange>,
    /// Wrong predictions.
    pub mispredicted: u64,
    /// Wrong predictions without a cause.
    pub unexplained: u64,
    /// Commands that the server lacked in time.
    pub commands_missing: u64,
}
