//! The trace of a case: every frame drawn, every tick executed, every change of the player's keys.

use std::sync::Arc;

use glam::DVec2;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use super::courses::Course;

/// A mover as it was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// Index of the mover.
    pub index: usize,
    /// Position in metres.
    pub position: DVec2,
}

/// One frame of the display.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Time of the frame, in true time.
    pub at: Timestamp,
    /// The display time of other entities, in ticks of the server.
    pub shown_tick: Option<f64>,
    /// Position of the player's own entity, in metres.
    pub player: Option<DVec2>,
    /// The movers that were drawn.
    pub movers: Vec<Drawn>,
}

/// One tick of the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Executed {
    /// Time of the tick, in true time.
    pub at: Timestamp,
    /// Number of the tick.
    pub tick: Tick,
    /// How long before the tick its command arrived, in milliseconds; `None` if the tick ran
    /// without a new command.
    pub margin_ms: Option<f64>,
    /// When the player gave the command.
    pub given: Option<Timestamp>,
}

/// A change of the player's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// Time of the change, in true time.
    pub at: Timestamp,
    /// -1 for left, 1 for right.
    pub direction: i8,
}

/// The recording of a case, from which its figures are computed.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The movers' courses.
    pub courses: Arc<Vec<Course>>,
    /// Frames in the order in which they were drawn.
    pub frames: Vec<Frame>,
    /// Ticks in the order in which they were executed.
    pub executed: Vec<Executed>,
    /// Changes of the player's keys.
    pub keys: Vec<KeyChange>,
    /// Number of wrong predictions.
    pub mispredicted: u64,
    /// Number of wrong predictions without a cause.
    pub unexplained: u64,
    /// Number of commands that the server lacked in time.
    pub commands_missing: u64,
}
